// A state that moves between machines: the file's bytes, what is refused, and that one state goes on in one place.
#include "driver/state_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "apps/state_command.h"
#include "driver/key_file.h"
#include "store/lmdb/lmdb_store.h"
#include "store/memory_store.h"
#include "unit/temp_folder.h"
#include "unit/test.h"
#include "unit/text_file.h"

using namespace millet;

namespace {

// Made by another program from the description in state_file.h.
constexpr const char* k_golden =
    "4d494c4c45545354010105616c706861000101000000036f6e650105616c70686100030100ff000000000104626574610001fe000000050001020304"
    "02000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0300000000000000035773a22c2a80f1d1b7b349f9c208c5484a15"
    "18e0a34b0c154e4b7217145cbd3d";

std::string golden() {
  std::string text(std::string_view(k_golden).size() / 2, '\0');
  if (!from_hex(k_golden, MutBytes(reinterpret_cast<uint8_t*>(text.data()), text.size()))) abort();
  return text;
}

SigningKey test_key() {
  std::array<uint8_t, 32> seed;
  for (uint8_t i = 0; i < 32; ++i) seed[i] = i;
  return SigningKey::from_seed(seed);
}

const StoreBatch k_rows = {{"beta", {0xfe}, std::vector<uint8_t>{0, 1, 2, 3, 4}},
                           {"alpha", {1}, std::vector<uint8_t>{'o', 'n', 'e'}},
                           {"alpha", {1, 0, 0xff}, std::vector<uint8_t>{}}};

bool has_rows(Store& store) {
  Result<std::unique_ptr<StoreTransaction>> source = store.begin_read();
  if (!source) return false;
  for (const StoreChange& row : k_rows) {
    Result<std::optional<Bytes>> value = (*source)->get(row.table, row.key);
    if (!value || !*value || !equal(**value, *row.value)) return false;
  }
  return true;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void a_state_has_one_form_on_every_machine(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  MemoryStore store;
  assert_true(commit_batch(store, k_rows).has_value());
  Result<uint64_t> rows = export_state(store, test_key(), folder / "out");
  assert_true(rows.has_value());
  assert_int_equal(*rows, 3);
  assert_true(read_text_file(folder / "out") == golden());
  struct stat info {};
  stat((folder / "out").c_str(), &info);
  assert_int_equal(info.st_mode & 0777, 0600);
}

void a_file_of_another_machine_is_read(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  write_text_file(folder / "in", golden());
  Result<SigningKey> key = check_state_file(folder / "in");
  assert_true(key.has_value());
  assert_true(key->public_key() == test_key().public_key());
  Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(folder / "state");
  assert_true(store.has_value());
  Result<uint64_t> rows = import_rows(folder / "in", **store);
  assert_true(rows.has_value());
  assert_int_equal(*rows, 3);
  assert_true(has_rows(**store));
}

void every_torn_or_changed_file_is_refused_by_name(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string whole = golden(), path = folder / "in";
  for (size_t size = 0; size < whole.size(); ++size) {
    write_text_file(path, whole.substr(0, size));
    Result<SigningKey> key = check_state_file(path);
    assert_false(key.has_value());
    assert_true(contains(key.error().reason, path.c_str()) && contains(key.error().reason, "ends before its end"));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    write_text_file(path, changed);
    Result<SigningKey> key = check_state_file(path);
    assert_false(key.has_value());
    assert_true(contains(key.error().reason, path.c_str()));
  }
  write_text_file(path, whole + "x");
  assert_false(check_state_file(path).has_value());
  std::string later = whole;
  later[8] = 2;
  write_text_file(path, later);
  assert_true(contains(check_state_file(path).error().reason, "version 2"));
}

void sizes_beyond_the_limits_are_refused(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string head = golden().substr(0, 9);
  // A key of 257 bytes, a value of 4 GiB, a table without a name: refused before anything of that size is asked for.
  for (const std::string& part : {std::string("\1\1a\1\1", 5), std::string("\1\1a\0\1k\xff\xff\xff\xff", 10), std::string("\1\0", 2)}) {
    write_text_file(folder / "in", head + part + std::string(600, 'x'));
    Result<SigningKey> key = check_state_file(folder / "in");
    assert_false(key.has_value());
    assert_true(contains(key.error().reason, "damaged"));
  }
}

void nothing_is_written_over(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  MemoryStore store;
  write_text_file(folder / "out", "mine");
  Result<uint64_t> rows = export_state(store, test_key(), folder / "out");
  assert_false(rows.has_value());
  assert_true(rows.error().code == Errc::conflict);
  assert_true(read_text_file(folder / "out") == "mine");
}

// `millet state WORD FILE`: its exit status.
int state(const std::string& folder, const char* word, const std::string& file) {
  CommandContext context;
  context.state = folder;
  const char* words[] = {word, file.c_str()};
  return state_command(context, words);
}

std::string mark_of(const std::string& folder) {
  Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(folder);
  if (!store) return "?";
  Result<std::string> mark = handed_over_to(**store);
  return mark ? *mark : "?";
}

void a_state_goes_on_in_one_place(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string first = folder / "first", second = folder / "second", file = folder / "file";
  mkdir(first.c_str(), 0700);
  assert_int_equal(state(first, "export", file), k_exit_failed);
  assert_true(store_key(first + "/" + k_key_file_name, test_key()).has_value());
  {
    Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(first);
    assert_true(store.has_value() && commit_batch(**store, k_rows).has_value());
    assert_int_equal(state(first, "export", file), k_exit_failed);  // milletd runs
  }
  assert_int_equal(state(first, "export", file), k_exit_done);
  assert_string_equal(mark_of(first).c_str(), file.c_str());
  assert_int_equal(state(first, "export", folder / "again"), k_exit_failed);
  assert_int_equal(state(second, "import", file), k_exit_done);
  assert_string_equal(mark_of(second).c_str(), "");
  {
    Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(second);
    assert_true(store.has_value() && has_rows(**store));
  }
  assert_true(load_key(second + "/" + k_key_file_name)->public_key() == test_key().public_key());
  assert_int_not_equal(access((second + "/import.new").c_str(), F_OK), 0);
  assert_int_equal(state(second, "import", file), k_exit_failed);  // it has a state
  assert_int_equal(state(first, "import", file), k_exit_done);     // taken back
  assert_string_equal(mark_of(first).c_str(), "");
  assert_int_equal(state(first, "copy", file), k_exit_usage);
}

void the_wallet_of_somebody_else_is_not_replaced(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string target = folder / "target";
  mkdir(target.c_str(), 0700);
  std::array<uint8_t, 32> seed{7};
  assert_true(store_key(target + "/" + k_key_file_name, SigningKey::from_seed(seed)).has_value());
  write_text_file(folder / "in", golden());
  assert_int_equal(state(target, "import", folder / "in"), k_exit_failed);
  assert_true(load_key(target + "/" + k_key_file_name)->public_key() == SigningKey::from_seed(seed).public_key());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_state_has_one_form_on_every_machine),
      cmocka_unit_test(a_file_of_another_machine_is_read),
      cmocka_unit_test(every_torn_or_changed_file_is_refused_by_name),
      cmocka_unit_test(sizes_beyond_the_limits_are_refused),
      cmocka_unit_test(nothing_is_written_over),
      cmocka_unit_test(a_state_goes_on_in_one_place),
      cmocka_unit_test(the_wallet_of_somebody_else_is_not_replaced),
  };
  return RUN_TESTS(tests);
}
