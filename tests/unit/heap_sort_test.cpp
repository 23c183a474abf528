// heap_sort() beside the sort of the standard library.
#include <algorithm>
#include <functional>
#include <string>

#include "base/heap_sort.h"
#include "base/random.h"
#include "unit/test.h"

using namespace millet;

namespace {

void heap_sort_gives_the_order_of_sort(void**) {
  Random random(2);
  for (size_t size = 0; size < 200; ++size) {
    for (uint64_t values : {1u, 2u, 10u, 1000000u}) {
      std::vector<std::string> items;
      for (size_t i = 0; i < size; ++i) items.push_back("item " + std::to_string(random.below(values)));
      std::vector<std::string> sorted = items;
      std::sort(sorted.begin(), sorted.end());
      heap_sort(items);
      assert_true(items == sorted);
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      heap_sort(items, std::greater<>());
      assert_true(items == sorted);
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(heap_sort_gives_the_order_of_sort),
  };
  return RUN_TESTS(tests);
}
