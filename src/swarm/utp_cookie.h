// Sequence numbers that remember for us (as SYN cookies of TCP do, RFC 4987 section 3.6): the number of our STATE is a keyed hash of the
// SYN that it answers. Who sends a SYN with a forged source leaves no state here, and one packet as long as its own goes to that source.
// The connection is made by the first packet that acknowledges the number, which only somebody who got our STATE knows.
#pragma once

#include <array>

#include "base/endpoint.h"
#include "base/random.h"
#include "base/time.h"
#include "crypto/hash.h"

namespace millet {

class UtpCookies {
 public:
  static constexpr int64_t k_epoch_seconds = 64;  // a cookie holds between one and two of them
  // A first packet may be lost or overtaken: so many of those behind it also make the connection.
  static constexpr unsigned k_first_packets = 8;

  explicit UtpCookies(SecureRandom& random) { random.fill(key_); }

  uint16_t make(Instant now, const Endpoint& remote, uint16_t connection, uint16_t syn_seq) const {
    return hash(epoch_of(now), remote, connection, syn_seq);
  }
  // A packet acknowledges `acknowledged` to the connection of the SYN with number `syn_seq`: was that number ours?
  bool check(Instant now, const Endpoint& remote, uint16_t connection, uint16_t syn_seq, uint16_t cookie) const {
    int64_t epoch = epoch_of(now);
    return hash(epoch, remote, connection, syn_seq) == cookie || hash(epoch - 1, remote, connection, syn_seq) == cookie;
  }

 private:
  static int64_t epoch_of(Instant now) { return now.in_us() / (k_epoch_seconds * 1'000'000); }
  uint16_t hash(int64_t epoch, const Endpoint& remote, uint16_t connection, uint16_t syn_seq) const {
    std::array<uint8_t, 31> message{};
    store_be<uint64_t>(message.data(), static_cast<uint64_t>(epoch));
    Bytes raw = remote.address.raw();
    message[8] = static_cast<uint8_t>(raw.size());
    std::memcpy(message.data() + 9, raw.data(), raw.size());
    store_be<uint16_t>(message.data() + 25, remote.port);
    store_be<uint16_t>(message.data() + 27, connection);
    store_be<uint16_t>(message.data() + 29, syn_seq);
    Hash32 out = blake2b_256_keyed(key_, message);
    return load_be<uint16_t>(out.data());
  }
  std::array<uint8_t, 32> key_{};
};

}  // namespace millet
