// A queue in one piece of memory: first in, first out, amortised constant time. For where std::deque would be, which takes a block of up
// to 4 KB for each queue that is not empty (LLVM's; there are several per peer) and 2 KB of code for each type.
// A push_back() may move the elements, unlike in a deque: hold no reference over it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "base/check.h"

namespace millet {

template <typename T>
class Fifo {
 public:
  using iterator = T*;
  using const_iterator = const T*;

  Fifo() = default;
  // The first of `items` is the front.
  explicit Fifo(std::vector<T> items) : items_(std::move(items)) {}

  bool empty() const { return size() == 0; }
  size_t size() const { return items_.size() - head_; }
  // Requires: not empty.
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size() - 1]; }
  const T& back() const { return (*this)[size() - 1]; }
  // Requires: index < size().
  T& operator[](size_t index) {
    CHECK(index < size());
    return items_[head_ + index];
  }
  const T& operator[](size_t index) const {
    CHECK(index < size());
    return items_[head_ + index];
  }
  T* begin() { return items_.data() + head_; }
  T* end() { return items_.data() + items_.size(); }
  const T* begin() const { return items_.data() + head_; }
  const T* end() const { return items_.data() + items_.size(); }

  void push_back(const T& item) { items_.push_back(item); }
  void push_back(T&& item) { items_.push_back(std::move(item)); }
  // Requires: not empty.
  void pop_front() { pop_front(1); }
  // Requires: count <= size().
  void pop_front(size_t count) {
    CHECK(count <= size());
    for (; count > 0; --count) {
      T gone = std::move(items_[head_++]);  // what it holds is freed now, not when the memory is used again
      static_cast<void>(gone);
    }
    tidy();
  }
  // Requires: `at` is within.
  void erase(const T* at) {
    if (at == begin()) return pop_front();
    items_.erase(items_.begin() + (at - items_.data()));
    tidy();
  }
  template <typename Condition>
  void erase_if(Condition condition) {
    items_.erase(std::remove_if(items_.begin() + static_cast<std::ptrdiff_t>(head_), items_.end(), condition), items_.end());
    tidy();
  }
  void clear() {
    items_.clear();
    tidy();
  }
  void swap(Fifo& other) {
    items_.swap(other.items_);
    std::swap(head_, other.head_);
  }

 private:
  static constexpr size_t k_kept_max = 1024;  // bytes that an empty queue holds on to
  static constexpr size_t k_gap_min = 16;     // elements; below that moving them is not worth it

  // The gap in front never is the larger half, so each element is moved once on average.
  void tidy() {
    if (head_ == items_.size()) {
      items_.clear();
      head_ = 0;
      if (items_.capacity() * sizeof(T) > k_kept_max) std::vector<T>().swap(items_);
    } else if (head_ >= k_gap_min && head_ >= items_.size() - head_) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }

  std::vector<T> items_;
  size_t head_ = 0;  // of items_, those before are gone
};

}  // namespace millet
