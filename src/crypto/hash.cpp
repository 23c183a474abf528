#include "crypto/hash.h"

#include <mbedtls/sha1.h>
#include <mbedtls/version.h>
#include <sodium.h>

#include <algorithm>

#include "crypto/sha1_blocks.h"

// The chaining value has no function of its own in either version of mbedTLS that we build with.
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#define MILLET_SHA1_STATE MBEDTLS_PRIVATE(state)
#else
#define MILLET_SHA1_STATE state
#endif

namespace millet {

Hash32 blake2b_256(Bytes message) {
  Hash32 out;
  crypto_generichash(out.data(), out.size(), message.data(), message.size(), nullptr, 0);
  return out;
}

Hash32 blake2b_256_keyed(Bytes key, Bytes message) {
  CHECK(key.size() >= crypto_generichash_KEYBYTES_MIN && key.size() <= crypto_generichash_KEYBYTES_MAX);
  Hash32 out;
  crypto_generichash(out.data(), out.size(), message.data(), message.size(), key.data(), key.size());
  return out;
}

namespace {
crypto_generichash_state* as_state(uint8_t* bytes) { return static_cast<crypto_generichash_state*>(static_cast<void*>(bytes)); }
}  // namespace

Blake2b256::Blake2b256() {
  static_assert(sizeof state_ >= sizeof(crypto_generichash_state) && alignof(crypto_generichash_state) <= 64);
  crypto_generichash_init(as_state(state_), nullptr, 0, sizeof(Hash32));
}
void Blake2b256::update(Bytes bytes) { crypto_generichash_update(as_state(state_), bytes.data(), bytes.size()); }
Hash32 Blake2b256::finish() {
  Hash32 out;
  crypto_generichash_final(as_state(state_), out.data(), out.size());
  return out;
}

Hash32 sha256(Bytes message) {
  Hash32 out;
  crypto_hash_sha256(out.data(), message.data(), message.size());
  return out;
}

Sha1::Sha1(CpuFeatures cpu) : cpu_(cpu) { start(); }

void Sha1::start() {
  static constexpr uint32_t k_initial[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};  // FIPS 180-4
  std::copy(std::begin(k_initial), std::end(k_initial), state_);
  length_ = 0;
  pending_size_ = 0;
}

void Sha1::blocks(const uint8_t* data, size_t count) {
  if (cpu_.sha1 && sha1_blocks_by_instructions(state_, data, count)) return;
  mbedtls_sha1_context context;
  mbedtls_sha1_init(&context);
  for (int i = 0; i < 5; ++i) context.MILLET_SHA1_STATE[i] = state_[i];
  for (size_t i = 0; i < count; ++i) mbedtls_internal_sha1_process(&context, data + 64 * i);
  for (int i = 0; i < 5; ++i) state_[i] = static_cast<uint32_t>(context.MILLET_SHA1_STATE[i]);
}

void Sha1::update(Bytes bytes) {
  length_ += bytes.size();
  if (pending_size_ != 0) {
    size_t take = std::min(bytes.size(), sizeof pending_ - pending_size_);
    std::memcpy(pending_ + pending_size_, bytes.data(), take);
    pending_size_ += take;
    bytes = bytes.subspan(take);
    if (pending_size_ < sizeof pending_) return;
    blocks(pending_, 1);
    pending_size_ = 0;
  }
  size_t whole = bytes.size() / 64;
  if (whole != 0) blocks(bytes.data(), whole);
  bytes = bytes.subspan(whole * 64);
  if (!bytes.empty()) std::memcpy(pending_, bytes.data(), bytes.size());
  pending_size_ = bytes.size();
}

void Sha1::update_both(Sha1& a, Bytes x, Sha1& b, Bytes y) {
  size_t count = std::min(x.size(), y.size()) / 64;
  bool aligned = a.pending_size_ == 0 && b.pending_size_ == 0 && count != 0;
  if (aligned && a.cpu_.sha1 && b.cpu_.sha1 && sha1_blocks_by_instructions(a.state_, x.data(), b.state_, y.data(), count)) {
    a.length_ += 64 * count;
    b.length_ += 64 * count;
    x = x.subspan(64 * count);
    y = y.subspan(64 * count);
  }
  a.update(x);
  b.update(y);
}

Sha1Digest Sha1::finish() {
  uint64_t bits = length_ * 8;
  uint8_t padding[72] = {0x80};
  size_t size = (pending_size_ < 56 ? 56 : 120) - pending_size_;
  store_be<uint64_t>(padding + size, bits);
  update(Bytes(padding, size + 8));
  Sha1Digest out;
  for (size_t i = 0; i < 5; ++i) store_be<uint32_t>(out.raw.data() + 4 * i, state_[i]);
  return out;
}

Sha1Digest Sha1::of(Bytes bytes, CpuFeatures cpu) {
  Sha1 hash(cpu);
  hash.update(bytes);
  return hash.finish();
}

}  // namespace millet
