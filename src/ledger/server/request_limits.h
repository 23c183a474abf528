// How much one sender may ask: token buckets for each address, for the network that it is in, and for each key that signs. The tables are
// bounded: when one is full, whoever has been quiet longest is forgotten, with a full bucket next time.
#pragma once

#include <algorithm>
#include <list>
#include <map>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/token_bucket.h"

namespace millet {

// What counts as one sender: an IPv4 address, or the /64 of an IPv6 address, which is what one line or one machine gets.
IpAddress one_sender(const IpAddress& address);

// Buckets by key, the ones used last in front.
template <typename Key>
class BucketTable {
 public:
  BucketTable(uint64_t rate, size_t size_max) : rate_(rate), size_max_(size_max) {}
  // A bucket holds two seconds of its rate: a page that loads, a wallet that starts.
  bool take(Instant now, const Key& key, uint64_t units) { return rate_ == 0 || bucket(key).take(now, units); }
  bool can_take(Instant now, const Key& key, uint64_t units) {
    if (rate_ == 0) return true;
    auto found = places_.find(key);
    return found == places_.end() || found->second->bucket.can_take(now, units);  // who only looks takes no place
  }
  // Takes them, or all that is there.
  void charge(Instant now, const Key& key, uint64_t units) {
    if (rate_ == 0) return;
    TokenBucket& from = bucket(key);
    from.take(now, std::min(units, from.level(now)));
  }
  size_t size() const { return order_.size(); }

 private:
  struct Entry {
    Key key;
    TokenBucket bucket;
  };
  TokenBucket& bucket(const Key& key) {
    auto found = places_.find(key);
    if (found == places_.end()) {
      if (order_.size() >= size_max_) {
        places_.erase(order_.back().key);
        order_.pop_back();
      }
      order_.push_front({key, TokenBucket(rate_, 2 * rate_)});
      found = places_.emplace(key, order_.begin()).first;
    } else {
      order_.splice(order_.begin(), order_, found->second);
    }
    return found->second->bucket;
  }
  uint64_t rate_;
  size_t size_max_;
  std::list<Entry> order_;
  std::map<Key, typename std::list<Entry>::iterator> places_;
};

class RequestLimits {
 public:
  static constexpr size_t k_addresses_max = 16'384;  // 3 MiB of each kind at most
  static constexpr uint64_t k_network_factor = 8;    // a /24 or /48 may ask as much as so many of its addresses

  // Requests per second of one address (an IPv6 /64 is one), where each operation to be checked counts as one, and of one key; 0: no limit.
  RequestLimits(uint64_t address_rate, uint64_t key_rate)
      : addresses_(address_rate, k_addresses_max), networks_(address_rate * k_network_factor, k_addresses_max),
        keys_(key_rate, k_addresses_max) {}

  RequestLimits(const RequestLimits&) = delete;

  // False: it is one too many.
  bool take(Instant now, const IpAddress& from, uint64_t requests = 1);
  bool take(Instant now, const PublicKey& key) { return count(keys_.take(now, key, 1)); }
  // False: the key has no room for one more operation now. Nothing is taken: what an operation costs its signer, charge() takes when it is
  // known that the signer has sent it, and nobody else again.
  bool has_room(Instant now, const PublicKey& key) { return count(keys_.can_take(now, key, 1)); }
  void charge(Instant now, const PublicKey& key, uint64_t operations) { keys_.charge(now, key, operations); }

  uint64_t refused() const { return refused_; }
  size_t size() const { return addresses_.size() + networks_.size() + keys_.size(); }

 private:
  bool count(bool taken) {
    if (!taken) ++refused_;
    return taken;
  }
  BucketTable<IpAddress> addresses_;
  BucketTable<IpAddress> networks_;
  BucketTable<PublicKey> keys_;
  uint64_t refused_ = 0;
};

}  // namespace millet
