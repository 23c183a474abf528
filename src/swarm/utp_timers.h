// The earliest of many deadlines, by small numbers: a heap that allocates nothing once it has grown. A deadline that moves back is found
// out when it comes, so that traffic does not move anything.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/time.h"

namespace millet {

class UtpTimers {
 public:
  // The key is due at `when` or earlier. Never: no change.
  void arm(uint16_t key, Instant when) {
    if (when.is_never()) return;
    if (key >= places_.size()) places_.resize(key + 1u, k_none);
    if (places_[key] == k_none) {
      places_[key] = static_cast<uint16_t>(heap_.size());
      heap_.push_back({when, key});
    } else if (when < heap_[places_[key]].at) {
      heap_[places_[key]].at = when;
    } else {
      return;
    }
    up(places_[key]);
  }
  void disarm(uint16_t key) {
    if (key < places_.size() && places_[key] != k_none) remove(places_[key]);
  }
  Instant next() const { return heap_.empty() ? Instant::never() : heap_[0].at; }
  // Takes off a key that is due; the caller arms it again as needed.
  bool pop(Instant now, uint16_t& key) {
    if (heap_.empty() || heap_[0].at > now) return false;
    key = heap_[0].key;
    remove(0);
    return true;
  }
  size_t memory() const { return heap_.capacity() * sizeof(Entry) + places_.capacity() * sizeof(uint16_t); }

 private:
  static constexpr uint16_t k_none = 0xffff;
  struct Entry {
    Instant at;
    uint16_t key;
    // Equal times by key: the order is the same on every machine.
    bool operator<(const Entry& other) const { return at != other.at ? at < other.at : key < other.key; }
  };

  void remove(size_t place) {
    places_[heap_[place].key] = k_none;
    Entry last = heap_.back();
    heap_.pop_back();
    if (place == heap_.size()) return;
    heap_[place] = last;
    places_[last.key] = static_cast<uint16_t>(place);
    up(place);
    down(places_[last.key]);
  }
  void exchange(size_t a, size_t b) {
    std::swap(heap_[a], heap_[b]);
    places_[heap_[a].key] = static_cast<uint16_t>(a);
    places_[heap_[b].key] = static_cast<uint16_t>(b);
  }
  void up(size_t place) {
    for (; place != 0 && heap_[place] < heap_[(place - 1) / 2]; place = (place - 1) / 2) exchange(place, (place - 1) / 2);
  }
  void down(size_t place) {
    while (true) {
      size_t least = place;
      for (size_t child = 2 * place + 1; child <= 2 * place + 2 && child < heap_.size(); ++child) {
        if (heap_[child] < heap_[least]) least = child;
      }
      if (least == place) return;
      exchange(place, least);
      place = least;
    }
  }
  std::vector<Entry> heap_;
  std::vector<uint16_t> places_;  // by key
};

}  // namespace millet
