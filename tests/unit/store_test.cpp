// The rules of store.h, held by every store; then what only one of them has: the memory store's crash, LMDB's lock, limits and probe
// (PostgreSQL's own: postgres_store_test).
#include "store/lmdb/lmdb_store.h"
#include "store/lmdb/probe.h"
#include "store/memory_store.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/random.h"
#include "unit/any_store.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr const char* k_table = "first";
constexpr const char* k_other = "second";

Bytes b(const char* text) { return as_bytes(text); }

bool put(Store& store, const char* table, const char* key, const char* value) {
  auto txn = store.begin_write();
  return txn && (*txn)->put(table, b(key), b(value)) && (*txn)->commit();
}

// "-" if there is none.
std::string get(Store& store, const char* table, const char* key) {
  auto txn = store.begin_read();
  auto value = (*txn)->get(table, b(key));
  return *value ? std::string(as_text(**value)) : "-";
}

std::string seek(StoreTransaction& txn, const char* from) {
  auto entry = txn.seek(k_table, b(from));
  return *entry ? std::string(as_text((*entry)->key)) + "=" + std::string(as_text((*entry)->value)) : "-";
}

void what_is_committed_is_read_again_after_a_restart(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  assert_string_equal(get(fixture.store(), k_table, "a").c_str(), "-");
  assert_true(put(fixture.store(), k_table, "a", "1"));
  assert_true(put(fixture.store(), k_other, "a", "2"));
  assert_true(put(fixture.store(), k_table, "a", "3"));
  fixture.restart();
  assert_string_equal(get(fixture.store(), k_table, "a").c_str(), "3");
  assert_string_equal(get(fixture.store(), k_other, "a").c_str(), "2");
  assert_string_equal(get(fixture.store(), "never written", "a").c_str(), "-");
}

void what_is_not_committed_leaves_nothing(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  assert_true(put(fixture.store(), k_table, "kept", "1"));
  {
    auto txn = fixture.store().begin_write();
    assert_true((*txn)->put(k_table, b("kept"), b("changed")).has_value());
    assert_true((*txn)->put(k_table, b("new"), b("x")).has_value());
    assert_true((*txn)->put(k_other, b("new"), b("x")).has_value());  // a table that does not exist yet
    assert_true((*txn)->erase(k_table, b("kept")).has_value());
    assert_false((*txn)->get(k_table, b("kept"))->has_value());  // its own writes it does see
    assert_true((*txn)->get(k_other, b("new"))->has_value());
  }
  assert_string_equal(get(fixture.store(), k_table, "kept").c_str(), "1");
  assert_string_equal(get(fixture.store(), k_table, "new").c_str(), "-");
  assert_string_equal(get(fixture.store(), k_other, "new").c_str(), "-");
  assert_true(put(fixture.store(), k_other, "new", "y"));
  assert_string_equal(get(fixture.store(), k_other, "new").c_str(), "y");
}

void erasing_removes_and_erasing_nothing_is_fine(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  assert_true(put(fixture.store(), k_table, "a", "1"));
  auto txn = fixture.store().begin_write();
  assert_true((*txn)->erase(k_table, b("a")).has_value());
  assert_true((*txn)->erase(k_table, b("none")).has_value());
  assert_true((*txn)->erase("no table", b("none")).has_value());
  assert_true((*txn)->commit().has_value());
  txn->reset();
  fixture.restart();
  assert_string_equal(get(fixture.store(), k_table, "a").c_str(), "-");
}

void keys_order_as_bytes(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  for (const char* key : {"b", "aa", "\xff", "a", "B", "ab"}) assert_true(put(fixture.store(), k_table, key, "v"));
  auto txn = fixture.store().begin_read();
  assert_string_equal(seek(**txn, "").c_str(), "B=v");
  assert_string_equal(seek(**txn, "a").c_str(), "a=v");
  assert_string_equal(seek(**txn, "a\x01").c_str(), "aa=v");
  assert_string_equal(seek(**txn, "ac").c_str(), "b=v");
  assert_string_equal(seek(**txn, "c").c_str(), "\xff=v");
  assert_string_equal(seek(**txn, "\xff\x01").c_str(), "-");
  auto last = (*txn)->last(k_table);
  assert_true(equal((*last)->key, b("\xff")));
  assert_false((*txn)->last("no table")->has_value());
}

void values_may_be_empty_or_large(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  std::string large(300'000, 'x');
  std::string key(k_store_key_size_max, 'k');
  auto txn = fixture.store().begin_write();
  assert_true((*txn)->put(k_table, b("empty"), {}).has_value());
  assert_true((*txn)->put(k_table, as_bytes(key), as_bytes(large)).has_value());
  assert_true((*txn)->commit().has_value());
  txn->reset();
  fixture.restart();
  assert_string_equal(get(fixture.store(), k_table, "empty").c_str(), "");
  assert_true(get(fixture.store(), k_table, key.c_str()) == large);
}

void commit_batch_is_all_or_nothing(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  assert_true(put(fixture.store(), k_table, "gone", "1"));
  StoreBatch batch;
  batch.push_back({k_table, {'a'}, std::vector<uint8_t>{'1'}});
  batch.push_back({k_table, {'g', 'o', 'n', 'e'}, std::nullopt});
  assert_true(commit_batch(fixture.store(), batch).has_value());
  assert_string_equal(get(fixture.store(), k_table, "a").c_str(), "1");
  assert_string_equal(get(fixture.store(), k_table, "gone").c_str(), "-");
}

// Random puts, erases, roll-backs, restarts and scans against a std::map.
void random_use_agrees_with_a_map(void** state) {
  Random random(7);
  SKIP_WITHOUT_POSTGRES(state);
  AnyStore fixture(kind_of(state));
  MemoryStore::Table model;
  bool good = true;
  for (int round = 0; round < 300 && good; ++round) {
    MemoryStore::Table next = model;
    auto txn = fixture.store().begin_write();
    for (uint64_t i = random.below(12); i > 0; --i) {
      std::vector<uint8_t> key = {static_cast<uint8_t>('a' + random.below(5)), static_cast<uint8_t>(random.below(4))};
      if (random.below(3) == 0) {
        next.erase(key);
        good = good && (*txn)->erase(k_table, key);
      } else {
        std::vector<uint8_t> value(random.below(2000), static_cast<uint8_t>(random.below(256)));
        next[key] = value;
        good = good && (*txn)->put(k_table, key, value);
      }
    }
    if (random.below(4) != 0) {
      good = good && (*txn)->commit();
      model = next;
    }
    txn->reset();
    if (random.below(16) == 0) fixture.restart();
    auto read = fixture.store().begin_read();
    std::vector<uint8_t> from;
    size_t count = 0;
    for (;;) {
      auto entry = (*read)->seek(k_table, from);
      if (!*entry) break;
      from.assign((*entry)->key.begin(), (*entry)->key.end());
      auto expected = model.find(from);
      good = good && expected != model.end() && equal(expected->second, (*entry)->value);
      from.push_back(0);
      ++count;
    }
    good = good && count == model.size();
  }
  assert_true(good);
}

void a_copy_has_every_row_and_goes_into_an_empty_store_only(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  // Between this kind and LMDB, in both directions.
  AnyStore first(kind_of(state)), second(StoreKind::lmdb), third(kind_of(state));
  StoreBatch batch;
  for (int i = 0; i < 9000; ++i) {
    std::vector<uint8_t> key = {static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
    batch.push_back({i % 3 == 0 ? k_table : k_other, key, std::vector<uint8_t>(static_cast<size_t>(i % 700), 7)});
  }
  batch.push_back({"empty", {'x'}, std::vector<uint8_t>{'1'}});
  batch.push_back({k_table, {'e', 'n', 'd'}, std::vector<uint8_t>{'!'}});
  assert_true(commit_batch(first.store(), batch).has_value());
  assert_true(commit_batch(first.store(), {{"empty", {'x'}, std::nullopt}}).has_value());
  assert_int_equal(copy_store(first.store(), second.store(), k_table, b("end")).value(), 9001);
  assert_int_equal(copy_store(second.store(), third.store(), k_table, b("end")).value(), 9001);
  third.restart();
  bool good = true;
  auto txn = third.store().begin_read();
  for (size_t i = 0; i < 9000; ++i) {
    auto value = (*txn)->get(batch[i].table, batch[i].key);
    good = good && *value && equal(**value, *batch[i].value);
  }
  txn->reset();
  assert_true(good);
  assert_string_equal(get(third.store(), k_table, "end").c_str(), "!");
  auto again = copy_store(first.store(), second.store(), k_table, b("end"));
  assert_false(again.has_value());
  assert_int_equal(again.error().code, Errc::conflict);
}

void memory_crash_forgets_what_was_not_durable(void**) {
  MemoryStore store;
  store.set_durable_at_commit(false);
  assert_true(put(store, k_table, "a", "1"));
  assert_true(put(store, k_table, "a", "2"));
  uint64_t second = store.commit_count();
  assert_true(put(store, k_table, "a", "3"));
  assert_string_equal(get(store, k_table, "a").c_str(), "3");
  store.make_durable(second);
  store.crash();
  assert_string_equal(get(store, k_table, "a").c_str(), "2");
  assert_true(put(store, k_table, "a", "4"));
  store.crash();
  assert_string_equal(get(store, k_table, "a").c_str(), "2");
  assert_true(put(store, k_table, "a", "5"));
  store.make_durable(store.commit_count());
  store.crash();
  assert_string_equal(get(store, k_table, "a").c_str(), "5");
}

void memory_faults_are_told_apart(void**) {
  MemoryStore store;
  assert_true(put(store, k_table, "a", "1"));
  store.set_fault(StoreFault::read_only);
  auto denied = store.begin_write();
  assert_false(denied.has_value());
  assert_int_equal(denied.error().code, Errc::denied);
  assert_string_equal(get(store, k_table, "a").c_str(), "1");
  store.set_fault(StoreFault::full);
  {
    auto txn = store.begin_write();
    auto written = (*txn)->put(k_table, b("a"), b("2"));
    assert_false(written.has_value());
    assert_int_equal(written.error().code, Errc::no_room);
    assert_false((*txn)->commit().has_value());  // after an error it can only be dropped
  }
  store.set_fault(StoreFault::broken);
  assert_false(store.begin_read().has_value());
  store.set_fault(StoreFault::none);
  assert_string_equal(get(store, k_table, "a").c_str(), "1");
}

// Runs `body` in a child process, so that limits and rights of the child leave this process alone. The body's result is the child's.
template <typename Body>
bool in_child(Body body) {
  pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void a_second_process_on_one_state_folder_is_refused(void**) {
  TempFolder folder;
  auto first = LmdbStore::open(folder / "state");
  assert_true(first.has_value());
  std::string path = folder / "state", owner = std::to_string(getpid());
  assert_true(in_child([&] {
    auto second = LmdbStore::open(path);
    return !second && second.error().code == Errc::conflict && second.error().reason.find(path) != std::string::npos &&
           second.error().reason.find("(" + owner + ")") != std::string::npos;
  }));
  first->reset();
  assert_true(in_child([&] { return LmdbStore::open(path).has_value(); }));
}

void the_lock_goes_with_a_killed_process(void**) {
  TempFolder folder;
  std::string path = folder / "state";
  int ready[2];
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    auto store = LmdbStore::open(path);
    bool good = store && put(**store, k_table, "a", "1") && write(ready[1], "x", 1) == 1;
    if (good) pause();
    _exit(1);
  }
  char byte = 0;
  bool opened = read(ready[0], &byte, 1) == 1;
  bool refused = !LmdbStore::open(path);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  assert_true(opened);
  assert_true(refused);
  auto store = LmdbStore::open(path);
  assert_true(store.has_value());
  assert_string_equal(get(**store, k_table, "a").c_str(), "1");
}

void files_are_for_the_owner_only(void**) {
  TempFolder folder;
  auto store = LmdbStore::open(folder / "state");
  assert_true(store.has_value());
  struct stat info {};
  for (const char* name : {"state", "state/lock", "state/data.mdb"}) {
    assert_int_equal(stat((folder / name).c_str(), &info), 0);
    assert_int_equal(info.st_mode & 0077, 0);
  }
}

// A full disk, as the limit on file sizes shows it: no_room, nothing half written, and it goes on when there is room again.
void a_full_disk_is_no_room_and_loses_nothing(void**) {
  TempFolder folder;
  std::string path = folder / "state";
  assert_true(in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    auto store = LmdbStore::open(path);
    if (!store || !put(**store, k_table, "a", "1")) return false;
    const rlimit small{400'000, RLIM_INFINITY}, large{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &small);
    std::string big(1'000'000, 'x');
    {
      auto txn = (*store)->begin_write();
      Status status = (*txn)->put(k_table, b("big"), as_bytes(big));
      if (status) status = (*txn)->commit();
      if (status || status.error().code != Errc::no_room) return false;
    }
    if (get(**store, k_table, "a") != "1" || get(**store, k_table, "big") != "-") return false;
    setrlimit(RLIMIT_FSIZE, &large);
    return put(**store, k_table, "a", "2") && get(**store, k_table, "a") == "2";
  }));
  auto store = LmdbStore::open(path);
  assert_true(store.has_value());
  assert_string_equal(get(**store, k_table, "a").c_str(), "2");
}

void the_map_grows_up_to_its_limit_and_then_is_no_room(void**) {
  TempFolder folder;
  LmdbStore::Options options;
  options.map_size_max = uint64_t{24} << 20;
  auto store = LmdbStore::open(folder / "state", options);
  assert_true(store.has_value());
  std::vector<uint8_t> value(1 << 20, 7);
  bool full = false;
  unsigned written = 0;
  for (; written < 40 && !full; ++written) {
    uint8_t key = static_cast<uint8_t>(written);
    Status status = commit_batch(**store, {{k_table, {key}, value}});
    if (!status) {
      full = true;
      assert_int_equal(status.error().code, Errc::no_room);
    }
  }
  assert_true(full);
  assert_true(written > 17);  // more than the first map held
  uint8_t key = 0;
  assert_true(commit_batch(**store, {{k_table, {key}, std::nullopt}}).has_value());  // erasing makes room
}

void a_folder_without_rights_is_denied_with_its_name(void**) {
  TempFolder folder;
  std::string path = folder / "state";
  assert_int_equal(mkdir(path.c_str(), 0755), 0);
  assert_int_equal(chmod(folder.path().c_str(), 0755), 0);
  if (geteuid() != 0) assert_int_equal(chmod(path.c_str(), 0555), 0);
  assert_true(in_child([&] {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return false;
    auto store = LmdbStore::open(path);
    return !store && store.error().code == Errc::denied && store.error().reason.find(path) != std::string::npos;
  }));
  auto missing = LmdbStore::open(folder / "none/state");
  assert_false(missing.has_value());
  assert_non_null(strstr(missing.error().reason.c_str(), "none/state"));
}

// LMDB crashes on such files; the probe turns that into an error.
void a_damaged_file_is_an_error_and_not_a_crash(void**) {
  Random random(11);
  bool good = true;
  unsigned refused = 0;
  for (int round = 0; round < 24 && good; ++round) {
    TempFolder folder;
    std::string path = folder / "state";
    {
      auto store = LmdbStore::open(path);
      for (int i = 0; i < 60; ++i) {
        std::vector<uint8_t> key = {static_cast<uint8_t>(i)};
        good = good && commit_batch(**store, {{k_table, key, std::vector<uint8_t>(700, 1)}});
      }
    }
    std::string file = path + "/data.mdb";
    uint64_t size = std::filesystem::file_size(file);
    if (round % 3 == 0) {
      std::filesystem::resize_file(file, random.below(size));
    } else {
      std::FILE* out = std::fopen(file.c_str(), "r+b");
      assert_non_null(out);
      for (uint64_t page = round % 3 == 1 ? 2 : 0; page * 4096 < size; page += 1 + random.below(3)) {
        std::string noise(64, '\xa5');
        std::fseek(out, static_cast<long>(page * 4096 + random.below(64)), SEEK_SET);
        good = good && std::fwrite(noise.data(), 1, noise.size(), out) == noise.size();
      }
      std::fclose(out);
    }
    good = good && in_child([&] {
             auto store = LmdbStore::open(path);
             return store || store.error().reason.find(path) != std::string::npos;
           });
    refused += in_child([&] { return !LmdbStore::open(path); });
  }
  assert_true(good);
  assert_true(refused > 16);
}

// Mebibytes of mapped files that this process holds in memory.
uint64_t resident_of_files() {
  FILE* file = fopen("/proc/self/statm", "r");
  unsigned long long size = 0, resident = 0, shared = 0;
  bool read = file != nullptr && fscanf(file, "%llu %llu %llu", &size, &resident, &shared) == 3;
  if (file != nullptr) fclose(file);
  assert_true(read);
  return shared * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) >> 20;
}

void reading_everything_holds_only_a_part_of_it_in_memory(void**) {
  TempFolder folder(TempFolder::memory_base());
  constexpr uint32_t k_rows = sizeof(void*) == 4 ? 32'768 : 65'536;  // of nearly a page each; 32 bits have room for 256 MiB
  auto value_of = [](uint32_t row) {
    std::vector<uint8_t> value(4000, static_cast<uint8_t>(row));
    store_be<uint32_t>(value.data(), row);
    return value;
  };
  auto key_of = [](uint32_t row) {
    std::array<uint8_t, 4> key;
    store_be<uint32_t>(key.data(), row * 2'654'435'761u);  // in another order than they were written
    return key;
  };
  auto store = LmdbStore::open(folder / "state");
  assert_true(store.has_value());
  for (uint32_t row = 0; row < k_rows;) {
    auto writing = (*store)->begin_write();
    assert_true(writing.has_value());
    for (uint32_t end = row + 1024; row < end; ++row) assert_true((*writing)->put(k_table, key_of(row), value_of(row)).has_value());
    assert_true((*writing)->commit().has_value());
  }
  auto reading = (*store)->begin_read();
  assert_true(reading.has_value());
  uint64_t most = 0, wrong = 0;
  for (uint32_t row = 0; row < k_rows; ++row) {
    auto found = (*reading)->get(k_table, key_of(row));
    wrong += found && *found && equal(**found, value_of(row)) ? 0 : 1;
    if (row % 256 == 0) most = std::max(most, resident_of_files());
  }
  assert_int_equal(wrong, 0);
  assert_true(most < 160);  // MiB, of 256: 96, what 256 reads map, and the program
}

void a_file_that_could_not_be_checked_is_not_called_damaged(void**) {
  assert_true(judge_probe(0, "/s/data.mdb").has_value());
  auto says = [](int status, Errc code, const char* word, bool damaged) {
    Status judged = judge_probe(status, "/s/data.mdb");
    const std::string reason = judged ? "" : judged.error().reason;
    return !judged && judged.error().code == code && reason.find("/s/data.mdb") != std::string::npos &&
           reason.find(word) != std::string::npos && (reason.find("is damaged") != std::string::npos) == damaged;
  };
  // As waitpid() has it: a signal as it is, an exit status shifted.
  assert_true(says(SIGALRM, Errc::io, "start again", false));
  assert_true(says(EACCES << 8, Errc::denied, "Permission denied", false));
  assert_true(says(EIO << 8, Errc::io, std::strerror(EIO), false));  // musl and glibc have their own words
  for (const char* word : {"state import", "deposits", "history"}) {
    assert_true(says(SIGSEGV, Errc::io, word, true) && says(255 << 8, Errc::io, word, true));
  }
  TempFolder folder;
  assert_true(LmdbStore::open(folder.path()).has_value());
  assert_int_equal(chmod((folder / "data.mdb").c_str(), 0), 0);
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (chown(folder.path().c_str(), 65534, 0) != 0 || chown((folder / "lock").c_str(), 65534, 0) != 0)) _exit(2);
    if (geteuid() == 0 && setuid(65534) != 0) _exit(3);
    auto store = LmdbStore::open(folder.path());
    _exit(!store && store.error().code == Errc::denied && store.error().reason.find("damaged") == std::string::npos ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(what_is_committed_is_read_again_after_a_restart),
      FOR_EVERY_STORE(what_is_not_committed_leaves_nothing),
      FOR_EVERY_STORE(erasing_removes_and_erasing_nothing_is_fine),
      FOR_EVERY_STORE(keys_order_as_bytes),
      FOR_EVERY_STORE(values_may_be_empty_or_large),
      FOR_EVERY_STORE(commit_batch_is_all_or_nothing),
      FOR_EVERY_STORE(random_use_agrees_with_a_map),
      FOR_EVERY_STORE(a_copy_has_every_row_and_goes_into_an_empty_store_only),
      cmocka_unit_test(memory_crash_forgets_what_was_not_durable),
      cmocka_unit_test(memory_faults_are_told_apart),
      cmocka_unit_test(a_second_process_on_one_state_folder_is_refused),
      cmocka_unit_test(the_lock_goes_with_a_killed_process),
      cmocka_unit_test(files_are_for_the_owner_only),
      cmocka_unit_test(a_full_disk_is_no_room_and_loses_nothing),
      cmocka_unit_test(the_map_grows_up_to_its_limit_and_then_is_no_room),
      cmocka_unit_test(reading_everything_holds_only_a_part_of_it_in_memory),
      cmocka_unit_test(a_folder_without_rights_is_denied_with_its_name),
      cmocka_unit_test(a_file_that_could_not_be_checked_is_not_called_damaged),
      cmocka_unit_test(a_damaged_file_is_an_error_and_not_a_crash),
  };
  return RUN_TESTS(tests);
}
