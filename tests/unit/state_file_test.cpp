// A state that moves between machines: the file's bytes, what is refused, and that one state goes on in one place.
#include "driver/state_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "apps/state_command.h"
#include "driver/key_file.h"
#include "ledger/common/address.h"
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
  Result<uint64_t> rows = export_state(store, StoredKey{test_key(), {}}, folder / "out");
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
  Result<StoredKey> key = check_state_file(folder / "in");
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
    Result<StoredKey> key = check_state_file(path);
    assert_false(key.has_value());
    assert_true(contains(key.error().reason, path.c_str()) && contains(key.error().reason, "ends before its end"));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    write_text_file(path, changed);
    Result<StoredKey> key = check_state_file(path);
    assert_false(key.has_value());
    assert_true(contains(key.error().reason, path.c_str()));
  }
  write_text_file(path, whole + "x");
  assert_false(check_state_file(path).has_value());
  std::string later = whole;
  later[8] = 3;
  write_text_file(path, later);
  assert_true(contains(check_state_file(path).error().reason, "version 3"));
}

void sizes_beyond_the_limits_are_refused(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string head = golden().substr(0, 9);
  // A key of 257 bytes, a value of 4 GiB, a table without a name: refused before anything of that size is asked for.
  for (const std::string& part : {std::string("\1\1a\1\1", 5), std::string("\1\1a\0\1k\xff\xff\xff\xff", 10), std::string("\1\0", 2)}) {
    write_text_file(folder / "in", head + part + std::string(600, 'x'));
    Result<StoredKey> key = check_state_file(folder / "in");
    assert_false(key.has_value());
    assert_true(contains(key.error().reason, "damaged"));
  }
}

void nothing_is_written_over(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  MemoryStore store;
  write_text_file(folder / "out", "mine");
  Result<uint64_t> rows = export_state(store, StoredKey{test_key(), {}}, folder / "out");
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

void what_root_writes_belongs_to_the_folders_owner(void**) {
  if (geteuid() != 0) skip();
  assert_true(crypto_init().has_value());
  constexpr uid_t k_user = 65534;
  TempFolder folder;
  const std::string target = folder / "target";
  mkdir(target.c_str(), 0700);
  assert_int_equal(chown(target.c_str(), k_user, k_user), 0);
  auto owned = [&](std::initializer_list<const char*> names) {
    bool all = true;
    for (const char* name : names) {
      struct stat info {};
      all = all && stat((target + "/" + name).c_str(), &info) == 0 && info.st_uid == k_user && info.st_gid == k_user;
    }
    return all;
  };
  write_text_file(folder / "in", golden());
  assert_int_equal(state(target, "import", folder / "in"), k_exit_done);
  assert_true(owned({"data.mdb", "lock", "wallet.key"}));
  assert_true(write_key_file(target + "/" + k_key_file_name, test_key()).has_value());
  assert_true(owned({"wallet.key"}));
  // A file keeps its owner where the folder is somebody else's.
  assert_int_equal(chown(target.c_str(), 0, 0), 0);
  assert_int_equal(state(target, "export", folder / "out"), k_exit_done);
  assert_int_equal(state(target, "import", folder / "out"), k_exit_done);
  assert_true(write_key_file(target + "/" + k_key_file_name, test_key()).has_value());
  assert_true(owned({"data.mdb", "lock", "wallet.key"}));
}

void a_wallet_is_replaced_only_beside_an_unused_state(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string target = folder / "target", path = target + "/" + k_key_file_name;
  mkdir(target.c_str(), 0700);
  std::array<uint8_t, 32> seed{7};
  const SigningKey other = SigningKey::from_seed(seed);
  assert_true(store_key(path, other).has_value());
  write_text_file(folder / "in", golden());
  {
    Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(target);
    assert_true(store.has_value() && commit_batch(**store, k_rows).has_value());
  }
  assert_int_equal(state(target, "import", folder / "in"), k_exit_failed);
  assert_true(load_key(path)->public_key() == other.public_key());
  // As a first start leaves it.
  assert_int_equal(unlink((target + "/data.mdb").c_str()), 0);
  {
    Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(target);
    assert_true(store.has_value() && note_account(**store, other.public_key()).has_value());
  }
  assert_int_equal(state(target, "import", folder / "in"), k_exit_done);
  assert_true(load_key(path)->public_key() == test_key().public_key());
  assert_true(load_key(path + ".replaced." + address_of(other.public_key()))->public_key() == other.public_key());
}

class ZeroRandom final : public SecureRandom {
 public:
  void fill(MutBytes out) override { std::fill(out.begin(), out.end(), uint8_t{0}); }
};

void a_locked_wallet_is_handed_over_as_it_is(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string first = folder / "first", second = folder / "second", file = folder / "file";
  mkdir(first.c_str(), 0700);
  ZeroRandom random;
  Result<SealedKey> sealed = seal_key(test_key(), as_bytes("secret"), random);
  assert_true(sealed.has_value());
  assert_true(write_key_file(first + "/" + k_key_file_name, *sealed).has_value());
  {
    Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(first);
    assert_true(store.has_value() && commit_batch(**store, k_rows).has_value());
  }
  assert_int_equal(state(first, "export", file), k_exit_done);
  const std::string whole = read_text_file(file);
  const SigningKey key = test_key();
  const Bytes open_seed = key.seed();
  assert_int_equal(whole[8], 2);
  assert_true(whole.find(std::string(open_seed.begin(), open_seed.end())) == std::string::npos);
  assert_int_equal(state(second, "import", file), k_exit_done);
  assert_true(read_text_file(second + "/" + k_key_file_name) == read_text_file(first + "/" + k_key_file_name));
  Result<StoredKey> moved = read_key_file(second + "/" + k_key_file_name);
  assert_true(moved && moved->sealed && open_key(*moved->sealed, as_bytes("secret"))->public_key() == test_key().public_key());
  for (size_t at : {whole.size() - 100, whole.size() - 200}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    write_text_file(folder / "changed", changed);
    assert_true(contains(check_state_file(folder / "changed").error().reason, "damaged"));
  }
}

void the_mark_names_the_file_by_its_whole_path(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::string first = folder / "first";
  mkdir(first.c_str(), 0700);
  assert_true(store_key(first + "/" + k_key_file_name, test_key()).has_value());
  assert_true(LmdbStore::open(first).has_value());
  char before[4096];
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir(folder.path().c_str()), 0);
  assert_int_equal(state(first, "export", "first/../rel.state"), k_exit_done);
  assert_int_equal(chdir(before), 0);
  assert_true(contains(mark_of(first), "/rel.state") && mark_of(first)[0] == '/');
  assert_int_equal(state(first, "import", mark_of(first)), k_exit_done);
}

void the_largest_row_goes_through(void**) {
  assert_true(crypto_init().has_value());
  TempFolder folder;
  const std::vector<uint8_t> large(k_state_value_size_max, 0x5a), larger(k_state_value_size_max + 1, 0x5a);
  MemoryStore from, to, refused;
  assert_true(commit_batch(from, {{"t", {1}, large}, {"t", {2}, std::vector<uint8_t>{1}}}).has_value());
  assert_true(export_state(from, StoredKey{test_key(), {}}, folder / "out").has_value());
  assert_true(check_state_file(folder / "out").has_value());
  assert_int_equal(*import_rows(folder / "out", to), 2);
  const uint8_t first_key[] = {1};
  Result<std::unique_ptr<StoreTransaction>> read = to.begin_read();
  assert_true(equal(**(*read)->get("t", first_key), large));
  assert_true(commit_batch(refused, {{"t", {1}, larger}}).has_value());
  assert_int_equal(export_state(refused, StoredKey{test_key(), {}}, folder / "none").error().code, Errc::no_room);
}

void a_state_goes_on_with_its_own_key_only(void**) {
  assert_true(crypto_init().has_value());
  MemoryStore store;
  std::array<uint8_t, 32> seed{7};
  const SigningKey mine = test_key(), other = SigningKey::from_seed(seed);
  auto with = [&](const SigningKey& key) {
    StoredKey stored;
    stored.open = &key == &mine ? test_key() : SigningKey::from_seed(seed);
    return Result<StoredKey>(std::move(stored));
  };
  const Result<StoredKey> none = error(Errc::not_found, "none");
  // A new state: any key, and none.
  assert_true(check_account(store, none, "k").has_value() && check_account(store, with(mine), "k").has_value());
  assert_true(note_account(store, mine.public_key()).has_value());
  assert_true(*is_unused(store));
  // Money may have come to the address; the user's other key is taken.
  Status missing = check_account(store, none, "/s/wallet.key");
  assert_true(!missing && missing.error().code == Errc::conflict);
  for (const std::string& word : {std::string("/s/wallet.key is missing"), address_of(mine.public_key()), std::string("backup")}) {
    assert_true(contains(missing.error().reason, word.c_str()));
  }
  assert_true(check_account(store, with(other), "k").has_value());
  assert_true(commit_batch(store, k_rows).has_value());
  assert_false(*is_unused(store));
  assert_true(check_account(store, with(mine), "k").has_value());
  Status foreign = check_account(store, with(other), "k");
  assert_false(foreign.has_value());
  for (const SigningKey* key : {&mine, &other}) assert_true(contains(foreign.error().reason, address_of(key->public_key()).c_str()));
  assert_false(check_account(store, none, "k").has_value());
  // A damaged file is its reader's to tell. A state that does not know its account has nothing to say about a key.
  assert_true(check_account(store, error(Errc::bad_input, "damaged"), "k").has_value());
  MemoryStore old;
  assert_true(commit_batch(old, k_rows).has_value());
  assert_true(check_account(old, with(other), "k").has_value());
  assert_false(check_account(old, none, "k").has_value());
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
      cmocka_unit_test(a_state_goes_on_with_its_own_key_only),
      cmocka_unit_test(what_root_writes_belongs_to_the_folders_owner),
      cmocka_unit_test(a_wallet_is_replaced_only_beside_an_unused_state),
      cmocka_unit_test(a_locked_wallet_is_handed_over_as_it_is),
      cmocka_unit_test(the_mark_names_the_file_by_its_whole_path),
      cmocka_unit_test(the_largest_row_goes_through),
  };
  return RUN_TESTS(tests);
}
