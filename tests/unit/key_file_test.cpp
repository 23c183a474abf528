// The key file: made once, never replaced, refused when others may read it.
#include "driver/key_file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;

namespace {

class CountingRandom final : public SecureRandom {
 public:
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = next_++;
  }

 private:
  uint8_t next_ = 1;
};

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

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_key_is_made_once_and_read_again),
      cmocka_unit_test(a_key_that_others_may_read_is_refused),
      cmocka_unit_test(a_damaged_key_is_refused_and_not_replaced),
      cmocka_unit_test(a_half_made_key_of_a_crash_does_not_count),
      cmocka_unit_test(a_missing_folder_is_named),
  };
  return RUN_TESTS(tests);
}
