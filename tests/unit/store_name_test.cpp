// What the programs print of the place of a store.
#include "apps/store_name.h"

#include "unit/test.h"

using namespace millet;

namespace {

void expect(const char* name, const char* shown) { assert_string_equal(without_passwords(name).c_str(), shown); }

void no_form_of_a_password_is_shown(void**) {
  expect("postgres:host=a password=SECRET dbname=b", "postgres:host=a password=*** dbname=b");
  expect("postgres:password = SECRET", "postgres:password = ***");
  expect("postgres:PASSWORD=a&b user=c", "postgres:PASSWORD=*** user=c");
  expect("postgres:password=a\\ b host=c", "postgres:password=*** host=c");
  expect("postgres:password='a b\\' c' host=d", "postgres:password=*** host=d");
  expect("postgres:password='never closed host=d", "postgres:password=***");
  expect("postgres:password=a host=b sslpassword=c", "postgres:password=*** host=b sslpassword=***");
  expect("postgres:password=password=x host=b", "postgres:password=*** host=b");
  expect("postgres:postgresql://user:SECRET@host:5432/base", "postgres:postgresql://user:***@host:5432/base");
  expect("postgres:postgres://u:a@b/c:d@host/base?x=1", "postgres:postgres://u:***@host/base?x=1");
  expect("postgres:postgresql://host/base?user=a&password=b%20c&sslmode=require",
         "postgres:postgresql://host/base?user=a&password=***&sslmode=require");
}

void the_rest_is_shown_as_it_is(void**) {
  expect("lmdb:/var/lib/millet", "lmdb:/var/lib/millet");
  expect("postgres:host=a passfile=/b dbname=password", "postgres:host=a passfile=/b dbname=password");
  expect("postgres:postgresql://user@host:5432/base", "postgres:postgresql://user@host:5432/base");
  expect("postgres:postgresql://host:5432/base", "postgres:postgresql://host:5432/base");
  expect("", "");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(no_form_of_a_password_is_shown),
      cmocka_unit_test(the_rest_is_shown_as_it_is),
  };
  return RUN_TESTS(tests);
}
