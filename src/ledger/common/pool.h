// Pools: the accounts that the genesis gives the supply to, where they have terms (who may draw from them, and when). A pool with terms
// has no key: its account is the hash of its terms, so that the ledger id, which hashes the accounts, promises the terms too, and no
// signature of one key moves anything out of it.
//
//   keys        threshold u8, key[32] x 3                          zeros where there are fewer keys
//   terms       index u8, nudge u8, issued u64, at_start u64, begin u64, period_s u32, periods u32, keys[97]
//   account     BLAKE2b-256("BTT1PACC" | terms); nudge is the least number with which that is no public key
#pragma once

#include "codec/fields.h"

namespace millet {

inline constexpr size_t k_pool_keys_max = 3;  // two of three survive the loss of one, and the theft of one

struct PoolKeys {
  uint8_t threshold = 0;  // keys that must sign; 0: nobody can draw, the faucet alone gives from it
  std::array<PublicKey, k_pool_keys_max> keys{};
  static constexpr auto k_fields = field_list(field("threshold", &PoolKeys::threshold), field("keys", &PoolKeys::keys));
  bool operator==(const PoolKeys&) const = default;
};
// In the order of the issuance table (white paper, "BTT Token Issuance"); ONCHAIN for what will live on the TRON chain.
inline constexpr const char* k_pool_names[] = {"public_sale",     "private_sale",    "seed_sale", "tron_airdrop", "protocol_airdrop",
                                               "team_foundation", "tron_foundation", "ecosystem", "partnership",  "onchain"};

// In the order of the keys; zeros: this one has not signed.
using PoolSignatures = std::array<Signature, k_pool_keys_max>;

// Nothing before `begin`, `at_start` from then on, and with every period that has passed an equal part of the rest, until it is all.
struct Vesting {
  Amount at_start;
  LedgerTime begin;
  uint32_t period_s = 0;
  uint32_t periods = 0;  // 0: everything from `begin` on
  static constexpr auto k_fields = field_list(field("at_start", &Vesting::at_start), field("begin", &Vesting::begin),
                                                   field("period_s", &Vesting::period_s), field("periods", &Vesting::periods));
  bool operator==(const Vesting&) const = default;
};
// What may have been drawn of `issued` at `time`, rounded down to a micro-BTT. Requires: at_start <= issued.
Amount vested(Amount issued, const Vesting& vesting, LedgerTime time);

struct PoolTerms {
  static constexpr std::string_view k_tag = "BTT1PACC";
  uint8_t index = 0;  // in the issuance table
  uint8_t nudge = 0;
  Amount issued;
  Vesting vesting;
  PoolKeys keys;
  static constexpr auto k_fields =
      field_list(field("index", &PoolTerms::index), field("nudge", &PoolTerms::nudge), field("issued", &PoolTerms::issued),
                      field("vesting", &PoolTerms::vesting), field("keys", &PoolTerms::keys));
  bool operator==(const PoolTerms&) const = default;
};
static_assert(k_fields_size<PoolKeys> == 97);
static_assert(k_fields_size<PoolTerms> == 131);

PublicKey pool_account(const PoolTerms& terms);
// Sets `nudge`, so that the account is nobody's key. Requires: crypto_init().
void make_keyless(PoolTerms& terms);

// The keys that have signed `message` are enough, and no other signature is there. Takes as long as three signatures at most.
bool pool_signatures_hold(const PoolKeys& keys, Bytes message, const PoolSignatures& signatures);

}  // namespace millet
