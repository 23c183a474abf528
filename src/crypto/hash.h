// Hashes: BLAKE2b-256 and SHA-256 (libsodium), SHA-1 (BEP 3) by the processor's instructions where the caller says that it has them,
// else mbedTLS.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/ids.h"

namespace millet {

using Hash32 = std::array<uint8_t, 32>;

Hash32 blake2b_256(Bytes message);
// Keyed BLAKE2b-256. Requires: 16 <= key.size() <= 64.
Hash32 blake2b_256_keyed(Bytes key, Bytes message);
// BLAKE2b-256 of a stream.
class Blake2b256 {
 public:
  Blake2b256();
  void update(Bytes bytes);
  // Requires: not finished yet.
  Hash32 finish();

 private:
  alignas(64) uint8_t state_[384];  // libsodium's, which C++ code must not see the inside of
};
Hash32 sha256(Bytes message);

// What the processor can do; found out below hal/ and passed in (engines detect nothing).
struct CpuFeatures {
  bool sha1 = false;  // x86 SHA extensions with SSE4.1, or the ARMv8 SHA-1 instructions
};

// SHA-1 of a stream. Copyable, so that a piece can be hashed as it arrives.
class Sha1 {
 public:
  explicit Sha1(CpuFeatures cpu = {});
  void update(Bytes bytes);
  // The digest; start() before the next use.
  Sha1Digest finish();
  void start();
  static Sha1Digest of(Bytes bytes, CpuFeatures cpu = {});
  // a.update(x) and b.update(y), faster than one after the other where the processor has instructions for it.
  static void update_both(Sha1& a, Bytes x, Sha1& b, Bytes y);

 private:
  void blocks(const uint8_t* data, size_t count);
  uint32_t state_[5];
  uint64_t length_ = 0;
  uint8_t pending_[64];
  size_t pending_size_ = 0;
  CpuFeatures cpu_;
};

}  // namespace millet
