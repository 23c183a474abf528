// Store::written_bytes() against what the program really gave to the disk: every write to the state's file is recorded while batches of all
// kinds are committed. The figure is never below the truth, and hardly above.
#include <cstdio>
#include <fstream>
#include <vector>

#include "base/random.h"
#include "crash/recorder.h"
#include "store/lmdb/lmdb_store.h"
#include "unit/temp_folder.h"

namespace millet::crash {
namespace {

constexpr const char* k_tables[] = {"torrent", "resume", "payee_channels", "debts"};
constexpr uint32_t k_commits = 3000;

// Small changes mostly, as a node makes them; now and then a large value (a .torrent), or many at once, or erasing.
StoreBatch draw_batch(Random& random) {
  StoreBatch batch;
  uint64_t changes = random.below(20) == 0 ? 200 : 1 + random.below(6);
  for (uint64_t i = 0; i < changes; ++i) {
    StoreChange change{k_tables[random.below(4)], {static_cast<uint8_t>(random.below(200)), static_cast<uint8_t>(random.below(4))}, {}};
    uint64_t kind = random.below(10);
    if (kind > 2) change.value.emplace(kind == 9 ? random.below(60'000) : 1 + random.below(300), static_cast<uint8_t>(i));
    batch.push_back(std::move(change));
  }
  return batch;
}

uint64_t recorded_bytes(const std::string& log) {
  std::ifstream file(log, std::ios::binary);
  uint64_t bytes = 0;
  RecordHead head{};
  while (file.read(reinterpret_cast<char*>(&head), sizeof head)) {
    if (head.op == DiskOp::write) bytes += head.data_size;
    file.seekg(std::streamoff{head.path_size} + head.second_size + head.data_size, std::ios::cur);
  }
  return bytes;
}

bool measure() {
  TempFolder folder(TempFolder::memory_base());
  Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(folder / "state");
  if (!store || (*store)->written_bytes() != 0) return false;
  Random random(1);
  if (!start_recording((folder / "state").c_str(), (folder / "log").c_str())) return false;
  for (uint32_t i = 0; i < k_commits; ++i) {
    if (!commit_batch(**store, draw_batch(random))) return false;
  }
  stop_recording();
  uint64_t counted = (*store)->written_bytes(), written = recorded_bytes(folder / "log");
  std::printf("%u commits: %llu bytes written, %llu counted\n", k_commits, static_cast<unsigned long long>(written),
              static_cast<unsigned long long>(counted));
  return written > 0 && counted >= written && counted <= written + written / 20;
}

}  // namespace
}  // namespace millet::crash

int main() { return millet::crash::measure() ? 0 : 1; }
