// Names of things that are hashes or keys. Distinct types, so that a ledger id is never passed as a public key.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace millet {

template <typename Tag, size_t N>
struct FixedBytes {
  static constexpr size_t k_size = N;
  std::array<uint8_t, N> raw{};

  Bytes bytes() const { return raw; }
  std::string hex() const { return to_hex(raw); }
  bool is_zero() const {
    for (uint8_t byte : raw) {
      if (byte != 0) return false;
    }
    return true;
  }
  static Result<FixedBytes> from_hex(std::string_view text) {
    FixedBytes out;
    TRY(millet::from_hex(text, out.raw));
    return out;
  }
  // Requires: bytes.size() == N.
  static FixedBytes from_bytes(Bytes bytes) {
    CHECK(bytes.size() == N);
    FixedBytes out;
    std::memcpy(out.raw.data(), bytes.data(), N);
    return out;
  }
  bool operator==(const FixedBytes&) const = default;
  std::strong_ordering operator<=>(const FixedBytes& other) const { return compare(raw, other.raw); }
};

using Sha1Digest = FixedBytes<struct Sha1DigestTag, 20>;
using InfoHash = FixedBytes<struct InfoHashTag, 20>;        // BEP 3: SHA-1 of the info dictionary
using PeerId = FixedBytes<struct PeerIdTag, 20>;            // BEP 20
using PublicKey = FixedBytes<struct PublicKeyTag, 32>;      // Ed25519; names a ledger account
using Signature = FixedBytes<struct SignatureTag, 64>;      // Ed25519, detached
using LedgerId = FixedBytes<struct LedgerIdTag, 32>;        // BLAKE2b-256 of the ledger's genesis record
using ChannelId = FixedBytes<struct ChannelIdTag, 32>;      // BLAKE2b-256 of the signed terms of the opening
using OperationId = FixedBytes<struct OperationIdTag, 32>;  // BLAKE2b-256 of a ledger operation's signed bytes

}  // namespace millet
