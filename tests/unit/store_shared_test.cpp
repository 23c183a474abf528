// An LMDB store that one process writes and others read or copy meanwhile. The rules of every store: store_test.
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <filesystem>

#include "base/random.h"
#include "store/lmdb/lmdb_store.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr const char* k_table = "first";

Bytes b(const char* text) { return as_bytes(text); }

bool put(Store& store, const char* key, const char* value) {
  auto txn = store.begin_write();
  return txn && (*txn)->put(k_table, b(key), b(value)) && (*txn)->commit();
}

constexpr size_t k_moved_rows = 400;
constexpr uint64_t k_moved_start = 1'000'000;

std::vector<uint8_t> moved_row(uint64_t amount) {
  std::vector<uint8_t> value(600, static_cast<uint8_t>(amount));
  store_be<uint64_t>(value.data(), amount);
  return value;
}

std::array<uint8_t, 2> moved_key(size_t row) { return {static_cast<uint8_t>(row >> 8), static_cast<uint8_t>(row)}; }

bool fill_moved(Store& store) {
  StoreBatch batch;
  for (size_t i = 0; i < k_moved_rows; ++i) {
    auto key = moved_key(i);
    batch.push_back({k_table, {key.begin(), key.end()}, moved_row(k_moved_start)});
  }
  return commit_batch(store, batch).has_value();
}

// Moves something between rows, so that their sum stays.
bool move_some(Store& store, Random& random) {
  auto txn = store.begin_write();
  if (!txn) return false;
  for (int i = 0; i < 20; ++i) {
    auto from = moved_key(random.below(k_moved_rows)), to = moved_key(random.below(k_moved_rows));
    if (from == to) continue;
    auto amount_of = [&](Bytes key) { return load_be<uint64_t>((**(*txn)->get(k_table, key)).data()); };
    uint64_t less = amount_of(from) - 1, more = amount_of(to) + 1;
    if (!(*txn)->put(k_table, from, moved_row(less)) || !(*txn)->put(k_table, to, moved_row(more))) return false;
  }
  return (*txn)->commit().has_value();
}

bool is_sum_right(StoreTransaction& txn) {
  uint64_t sum = 0;
  for (size_t i = 0; i < k_moved_rows; ++i) {
    auto value = txn.get(k_table, moved_key(i));
    if (!value || !*value || (*value)->size() != 600) return false;
    uint64_t amount = load_be<uint64_t>((*value)->data());
    if ((**value)[599] != static_cast<uint8_t>(amount)) return false;
    sum += amount;
  }
  return sum == k_moved_rows * k_moved_start;
}

std::unique_ptr<LmdbStore> open_shared(const std::string& path) {
  LmdbStore::Options options;
  options.shared = true;
  auto store = LmdbStore::open(path, options);
  CHECK(store.has_value());
  return std::move(*store);
}

// A child process that runs `body`. In the middle of it the body may wait until the parent has done something.
struct Neighbour {
  template <typename Body>
  explicit Neighbour(Body body) {
    CHECK(pipe(to_child_) == 0 && pipe(to_parent_) == 0);
    child_ = fork();
    if (child_ == 0) _exit(body(*this) ? 0 : 1);
  }
  ~Neighbour() {
    for (int fd : {to_child_[0], to_child_[1], to_parent_[0], to_parent_[1]}) close(fd);
  }
  // Of the child.
  bool say_and_wait() {
    char byte = 'x';
    return write(to_parent_[1], &byte, 1) == 1 && read(to_child_[0], &byte, 1) == 1;
  }
  // Of the parent.
  bool wait() {
    char byte = 0;
    pollfd ready{to_parent_[0], POLLIN, 0};
    return poll(&ready, 1, 20'000) == 1 && read(to_parent_[0], &byte, 1) == 1;
  }
  void go_on() { CHECK(write(to_child_[1], "x", 1) == 1); }
  bool ended_well() {
    int status = 0;
    waitpid(child_, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  void kill_it() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

 private:
  int to_child_[2];
  int to_parent_[2];
  pid_t child_ = 0;
};

void another_process_reads_one_moment_while_this_one_writes(void**) {
  TempFolder folder(TempFolder::memory_base());
  std::string path = folder / "state";
  Random random(3);
  auto store = open_shared(path);
  assert_true(fill_moved(*store));
  Neighbour reader([&](Neighbour& self) {
    auto opened = LmdbStore::open_read_only(path);
    if (!opened) return false;
    auto denied = (*opened)->begin_write();
    if (denied || denied.error().code != Errc::denied) return false;
    auto before = (*opened)->begin_read();
    if (!before || !is_sum_right(**before) || !self.say_and_wait()) return false;
    // What was there before is all there is, though everything has been written many times since.
    if (!is_sum_right(**before) || (*before)->get(k_table, b("later"))->has_value()) return false;
    before->reset();
    auto after = (*opened)->begin_read();  // the map has grown meanwhile
    return after && is_sum_right(**after) && (*after)->get(k_table, b("later"))->has_value();
  });
  assert_true(reader.wait());
  bool good = true;
  for (int i = 0; i < 200; ++i) good = good && move_some(*store, random);
  good = good && put(*store, "later", "1");
  good = good && commit_batch(*store, {{"second", {'b', 'i', 'g'}, std::vector<uint8_t>(size_t{24} << 20, 1)}});
  reader.go_on();
  assert_true(good);
  assert_true(reader.ended_well());
}

void a_killed_reader_does_not_make_the_file_grow_for_ever(void**) {
  TempFolder folder(TempFolder::memory_base());
  std::string path = folder / "state";
  Random random(4);
  auto store = open_shared(path);
  assert_true(fill_moved(*store));
  Neighbour reader([&](Neighbour& self) {
    auto opened = LmdbStore::open_read_only(path);
    auto before = (*opened)->begin_read();
    return before && self.say_and_wait();
  });
  assert_true(reader.wait());
  reader.kill_it();
  bool good = true;
  for (int i = 0; i < 300; ++i) good = good && move_some(*store, random);
  auto size = std::filesystem::file_size(path + "/data.mdb");
  for (int i = 0; i < 300; ++i) good = good && move_some(*store, random);
  assert_true(good);
  assert_int_equal(std::filesystem::file_size(path + "/data.mdb"), size);
}

void a_backup_is_one_moment_of_a_store_that_is_written(void**) {
  TempFolder folder(TempFolder::memory_base());
  std::string path = folder / "state", base = folder.path();
  Random random(5);
  auto store = open_shared(path);
  assert_true(fill_moved(*store));
  Neighbour copier([&](Neighbour& self) {
    auto opened = LmdbStore::open_read_only(path);
    for (int i = 0; i < 8; ++i) {
      std::string copy = base + "/copy" + std::to_string(i);
      if (!opened || !(*opened)->back_up(copy)) return false;
      if (std::filesystem::exists(copy + "/data.new")) return false;
      auto again = (*opened)->back_up(copy);
      if (again || again.error().code != Errc::conflict) return false;
      auto restored = LmdbStore::open(copy);
      if (!restored || !is_sum_right(**(*restored)->begin_read())) return false;
    }
    return self.say_and_wait();
  });
  // Until it is done; each moment between two commits is as good as another.
  bool good = true;
  for (int i = 0; i < 400; ++i) good = good && move_some(*store, random);
  assert_true(copier.wait());
  copier.go_on();
  assert_true(copier.ended_well());
  assert_true(good);
  assert_true(is_sum_right(**store->begin_read()));
}

void who_reads_what_is_not_there_or_not_shared_is_told_so(void**) {
  TempFolder folder(TempFolder::memory_base());
  std::string path = folder / "state";
  auto missing = LmdbStore::open_read_only(path);
  assert_false(missing.has_value());
  assert_int_equal(missing.error().code, Errc::not_found);
  auto store = LmdbStore::open(path);
  assert_true(put(**store, "a", "1"));
  Neighbour refused([&](Neighbour&) {
    auto reader = LmdbStore::open_read_only(path);
    return !reader && reader.error().code == Errc::conflict && reader.error().reason.find(path) != std::string::npos;
  });
  assert_true(refused.ended_well());
  store->reset();
  Neighbour reads([&](Neighbour&) {
    auto reader = LmdbStore::open_read_only(path);
    if (!reader) return false;
    auto txn = (*reader)->begin_read();
    return txn && (*txn)->get(k_table, b("a"))->has_value();
  });
  assert_true(reads.ended_well());
  assert_true(LmdbStore::open(path).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(another_process_reads_one_moment_while_this_one_writes),
      cmocka_unit_test(a_killed_reader_does_not_make_the_file_grow_for_ever),
      cmocka_unit_test(a_backup_is_one_moment_of_a_store_that_is_written),
      cmocka_unit_test(who_reads_what_is_not_there_or_not_shared_is_told_so),
  };
  return RUN_TESTS(tests);
}
