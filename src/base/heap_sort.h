// Sorts with little code: each type that std::sort is used for costs a router 4 to 9 KB of flash (introsort, with five networks for few
// elements), a heap sort 300 bytes. O(n log n) in the worst case, too, without memory. Equal elements change places: give a total order.
#pragma once

#include <utility>
#include <vector>

namespace millet {

struct Ascending {
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    return a < b;
  }
};

// Moves the element at `at` down until neither of its children is greater.
template <typename T, typename Less>
[[gnu::noinline]] void sink_in_heap(T* items, size_t at, size_t count, Less& less) {
  T moved = std::move(items[at]);
  for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
    if (child + 1 < count && less(items[child], items[child + 1])) ++child;
    if (!less(moved, items[child])) break;
    items[at] = std::move(items[child]);
    at = child;
  }
  items[at] = std::move(moved);
}

// Requires: less() is a strict weak order.
template <typename T, typename Less = Ascending>
void heap_sort(std::vector<T>& items, Less less = {}) {
  for (size_t at = items.size() / 2; at-- > 0;) sink_in_heap(items.data(), at, items.size(), less);
  for (size_t end = items.size(); end > 1;) {
    --end;
    std::swap(items[0], items[end]);
    sink_in_heap(items.data(), 0, end, less);
  }
}

}  // namespace millet
