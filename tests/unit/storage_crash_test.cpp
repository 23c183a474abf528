// Storage over a simulated disk: what survives which crash.
#include "driver/storage.h"

#include "unit/sim_fixture.h"
#include "unit/test.h"

namespace millet::sim {
namespace {

constexpr TorrentHandle k_torrent = 1;

struct Answers final : StorageEvents {
  void on_block_read(PeerHandle, const BlockRef&, const Status&, std::vector<uint8_t>) override { ++count; }
  void on_block_written(Ticket, const Status& status) override { count += status ? 1 : 0; }
  void on_piece_hashed(Ticket, const Result<Sha1Digest>& digest) override { count += digest ? 1 : 0; }
  void on_files_checked(Ticket, const Result<FileStates>& files) override { count += files ? 1 : 0; }
  void on_files_deleted(const std::string&, const Status&) override {}
  int count = 0;
};

struct Rig {
  explicit Rig(TestWorld& in) : test(in), storage(in.system(0).files, in.system(0).executor, CpuFeatures{}, answers, 8) {
    storage.open({k_torrent, "/data", {{"t/a", k_block_size}, {"t/b", k_block_size}}, 2 * k_block_size});
  }
  bool answered(int count) {
    test.world.run_for(Duration::seconds(10));
    return answers.count == count;
  }
  TestWorld& test;
  Answers answers;
  Storage storage;
};

// A process writes a piece and is killed; the next one finds it whole in the page cache and syncs before it vouches for it. Then the
// power goes.
void piece_that_a_dead_process_wrote_is_synced_once_it_was_verified(void**) {
  TestWorld test(1);
  test.world.machine(0).disk().install_folder("/data");
  {
    Rig first(test);
    for (uint32_t begin : {0u, k_block_size})
      first.storage.write({1, {k_torrent, 0, begin, k_block_size}, std::vector<uint8_t>(k_block_size, 7)});
    assert_true(first.answered(2));
  }
  test.world.machine(0).crash(CrashKind::kill);
  test.world.machine(0).start();
  {
    Rig second(test);
    second.storage.hash({1, k_torrent, 0});
    assert_true(second.answered(1));
    second.storage.sync({2, k_torrent});
    assert_true(second.answered(2));
  }
  test.world.machine(0).disk().power_cut(0);
  const std::vector<uint8_t> expected(k_block_size, 7);
  for (const char* path : {"/data/t/a", "/data/t/b"}) {
    const std::vector<uint8_t>* content = test.world.machine(0).disk().content(path);
    assert_non_null(content);
    assert_true(*content == expected);
  }
}

}  // namespace
}  // namespace millet::sim

int main() {
  using namespace millet::sim;
  const CMUnitTest tests[] = {
      cmocka_unit_test(piece_that_a_dead_process_wrote_is_synced_once_it_was_verified),
  };
  return RUN_TESTS(tests);
}
