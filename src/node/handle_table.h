// Things by a handle that is never used again: a sorted vector, because handles grow. Walks are in the order of the handles, so the same
// run gives the same walk. What is erased during a walk is gone at once: walk over handles() when that can happen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"

namespace millet {

template <typename T>
class HandleTable {
 public:
  // The next handle; the object is put in with insert().
  uint32_t next_handle() const { return last_ + 1; }
  T& insert(std::unique_ptr<T> object) {
    CHECK(last_ < UINT32_MAX);
    entries_.push_back({++last_, std::move(object)});
    return *entries_.back().object;
  }
  // nullptr: it is gone.
  T* find(uint32_t handle) {
    auto at = place(handle);
    return at != entries_.end() && at->handle == handle ? at->object.get() : nullptr;
  }
  const T* find(uint32_t handle) const { return const_cast<HandleTable*>(this)->find(handle); }
  void erase(uint32_t handle) {
    auto at = place(handle);
    CHECK(at != entries_.end() && at->handle == handle);
    entries_.erase(at);
  }
  size_t size() const { return entries_.size(); }
  std::vector<uint32_t> handles() const {
    std::vector<uint32_t> out;
    out.reserve(entries_.size());
    for (const Entry& entry : entries_) out.push_back(entry.handle);
    return out;
  }

  struct Entry {
    uint32_t handle;
    std::unique_ptr<T> object;
  };
  class Walk {
   public:
    explicit Walk(typename std::vector<Entry>::const_iterator at) : at_(at) {}
    T& operator*() const { return *at_->object; }
    Walk& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Walk& other) const { return at_ != other.at_; }

   private:
    typename std::vector<Entry>::const_iterator at_;
  };
  Walk begin() const { return Walk(entries_.begin()); }
  Walk end() const { return Walk(entries_.end()); }

 private:
  auto place(uint32_t handle) {
    return std::lower_bound(entries_.begin(), entries_.end(), handle, [](const Entry& entry, uint32_t h) { return entry.handle < h; });
  }
  std::vector<Entry> entries_;
  uint32_t last_ = 0;
};

}  // namespace millet
