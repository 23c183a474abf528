// The key file: made once, never replaced, refused when others may read it.
#include "driver/key_file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/counting_random.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;
using millet::testing::CountingRandom;

namespace {

void write_text(const std::string& path, const char* text, mode_t mode) {
  FILE* file = fopen(path.c_str(), "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  chmod(path.c_str(), mode);
}

void a_key_is_made_once_and_read_again(void**) {
  TempFolder folder;
  CountingRandom random;
  std::string path = folder.path() + "/key";
  Result<SigningKey> made = load_or_create_key(path, random);
  assert_true(made.has_value());
  struct stat info {};
  assert_int_equal(stat(path.c_str(), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  Result<SigningKey> again = load_or_create_key(path, random);
  assert_true(again.has_value() && again->public_key() == made->public_key());
  assert_int_not_equal(access((path + ".new").c_str(), F_OK), 0);
}

void a_key_that_others_may_read_is_refused(void**) {
  TempFolder folder;
  CountingRandom random;
  std::string path = folder.path() + "/key";
  assert_true(load_or_create_key(path, random).has_value());
  chmod(path.c_str(), 0640);
  Result<SigningKey> again = load_or_create_key(path, random);
  assert_false(again.has_value());
  assert_true(again.error().code == Errc::denied);
  assert_non_null(strstr(again.error().reason.c_str(), path.c_str()));
}

void a_damaged_key_is_refused_and_not_replaced(void**) {
  TempFolder folder;
  CountingRandom random;
  std::string path = folder.path() + "/key";
  for (const char* text : {"", "00ff\n", "zz00000000000000000000000000000000000000000000000000000000000000\n",
                           "0000000000000000000000000000000000000000000000000000000000000000"}) {
    write_text(path, text, 0600);
    Result<SigningKey> key = load_or_create_key(path, random);
    assert_false(key.has_value());
    assert_true(key.error().code == Errc::bad_input);
  }
}

void a_half_made_key_of_a_crash_does_not_count(void**) {
  TempFolder folder;
  CountingRandom random;
  std::string path = folder.path() + "/key";
  write_text(path + ".new", "0011", 0600);
  assert_true(load_or_create_key(path, random).has_value());
}

void a_missing_folder_is_named(void**) {
  CountingRandom random;
  Result<SigningKey> key = load_or_create_key("/nonexistent/folder/key", random);
  assert_false(key.has_value());
  assert_non_null(strstr(key.error().reason.c_str(), "/nonexistent/folder/key"));
}

SealedKey sealed_with(const SigningKey& key, const char* passphrase, SecureRandom& random) {
  Result<SealedKey> sealed = seal_key(key, as_bytes(std::string_view(passphrase)), random);
  CHECK(sealed.has_value());
  return *sealed;
}
Result<SigningKey> open(const SealedKey& sealed, const char* passphrase) {
  return open_key(sealed, as_bytes(std::string_view(passphrase)));
}

void a_locked_key_opens_with_its_passphrase_only(void**) {
  TempFolder folder;
  CountingRandom random;
  std::string path = folder.path() + "/key";
  Result<SigningKey> made = load_or_create_key(path, random);
  assert_true(made.has_value());
  assert_true(write_key_file(path, sealed_with(*made, "correct horse", random)).has_value());
  struct stat info {};
  assert_int_equal(stat(path.c_str(), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  Result<SigningKey> locked = load_or_create_key(path, random);  // neither used nor replaced
  assert_true(!locked && locked.error().code == Errc::denied);
  Result<StoredKey> stored = read_key_file(path);
  assert_true(stored.has_value() && stored->sealed && !stored->open && stored->public_key() == made->public_key());
  Result<SigningKey> wrong = open(*stored->sealed, "correct horsf");
  assert_true(!wrong && wrong.error().code == Errc::denied);
  Result<SigningKey> right = open(*stored->sealed, "correct horse");
  assert_true(right.has_value() && right->public_key() == made->public_key() && equal(right->seed(), made->seed()));
  assert_false(open(*stored->sealed, "").has_value());
  // And back.
  assert_true(write_key_file(path, *right).has_value());
  Result<SigningKey> again = load_key(path);
  assert_true(again.has_value() && again->public_key() == made->public_key());
}

void a_damaged_or_dear_sealed_key_is_refused(void**) {
  TempFolder folder;
  CountingRandom random;
  std::string path = folder.path() + "/key";
  Result<SigningKey> made = load_or_create_key(path, random);
  SealedKey sealed = sealed_with(*made, "x", random);
  for (int field = 0; field < 5; ++field) {
    SealedKey bad = sealed;
    if (field == 0) bad.box[5] ^= 1;
    if (field == 1) bad.salt[5] ^= 1;
    if (field == 2) bad.public_key.raw[5] ^= 1;
    if (field == 3) bad.memory_kib = SealedKey::k_memory_kib_max + 1;
    if (field == 4) bad.passes = SealedKey::k_passes_max + 1;
    assert_false(open(bad, "x").has_value());
  }
  assert_true(write_key_file(path, sealed).has_value());
  FILE* file = fopen(path.c_str(), "r");
  char text[600] = {};
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  assert_in_range(size, 250, 512);
  for (size_t keep = 0; keep < size; keep += 7) {
    std::string cut(text, keep);
    unlink(path.c_str());
    write_text(path, cut.c_str(), 0600);
    assert_false(read_key_file(path).has_value());
  }
  unlink(path.c_str());
  write_text(path, (std::string(text, size - 1) + " more\n").c_str(), 0600);
  assert_false(read_key_file(path).has_value());
}

void a_passphrase_file_is_its_owners_and_has_one_line(void**) {
  TempFolder folder;
  std::string path = folder.path() + "/pass";
  write_text(path, "open sesame\r\nsecond line\n", 0600);
  Result<Secret> passphrase = read_passphrase_file(path);
  assert_true(passphrase.has_value() && passphrase->text == "open sesame");
  chmod(path.c_str(), 0644);
  Result<Secret> readable = read_passphrase_file(path);
  assert_true(!readable && readable.error().code == Errc::denied);
  chmod(path.c_str(), 0600);
  for (const std::string& text : {std::string(), std::string("\n"), std::string(k_passphrase_size_max + 1, 'a')}) {
    unlink(path.c_str());
    write_text(path, text.c_str(), 0600);
    assert_false(read_passphrase_file(path).has_value());
  }
  Result<Secret> missing = read_passphrase_file(folder.path() + "/absent");
  assert_true(!missing && missing.error().code == Errc::not_found);
  assert_non_null(strstr(missing.error().reason.c_str(), "passphrase file"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_key_is_made_once_and_read_again),
      cmocka_unit_test(a_key_that_others_may_read_is_refused),
      cmocka_unit_test(a_damaged_key_is_refused_and_not_replaced),
      cmocka_unit_test(a_half_made_key_of_a_crash_does_not_count),
      cmocka_unit_test(a_missing_folder_is_named),
      cmocka_unit_test(a_locked_key_opens_with_its_passphrase_only),
      cmocka_unit_test(a_damaged_or_dear_sealed_key_is_refused),
      cmocka_unit_test(a_passphrase_file_is_its_owners_and_has_one_line),
  };
  return RUN_TESTS(tests);
}
