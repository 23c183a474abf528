// The bytes that are signed about payment channels (src/speed/PROTOCOL.md): all fields big-endian, an 8-byte domain tag and the
// ledger id first, so that a signature of one kind or of one ledger is never valid as another. Layouts only: no hashing, no signing.
//
//   OPEN   "BTT1OPEN" ledger[32] payer[32] payee[32] capacity u64 expiry u64 nonce[16] valid_until u64   144 bytes, signed by the payer
//   PAY    "BTT1PAY\0" ledger[32] channel[32] seq u64 cum u64                                             88 bytes, signed by the payer
//   CLOSE  "BTT1CLOS" ledger[32] channel[32] seq u64 cum u64                                              88 bytes, signed by the payee
//   CLAIM  "BTT1CLAM" ledger[32] channel[32] seq u64 cum u64                                              88 bytes, signed by the payee
//   FUND   "BTT1FUND" ledger[32] key[32] available u64 time u64                                           88 bytes, signed by the ledger
//
// channel_id = BLAKE2b-256 of the OPEN bytes: ChannelId{blake2b_256(preimage(terms))}.
#pragma once

#include "codec/fields.h"

namespace millet {

// What a channel is, for ever: its id is the hash of these terms.
struct ChannelTerms {
  static constexpr std::string_view k_tag = "BTT1OPEN";
  LedgerId ledger;
  PublicKey payer;
  PublicKey payee;
  Amount capacity;
  LedgerTime expiry;  // an outage of the ledger moves the effective expiry, never this field
  std::array<uint8_t, 16> nonce{};
  LedgerTime valid_until;  // the ledger opens the channel before this time or never
  static constexpr auto k_fields =
      field_list(field("ledger", &ChannelTerms::ledger), field("payer", &ChannelTerms::payer), field("payee", &ChannelTerms::payee),
                      field("capacity", &ChannelTerms::capacity), field("expiry", &ChannelTerms::expiry),
                      field("nonce", &ChannelTerms::nonce), field("valid_until", &ChannelTerms::valid_until));
  bool operator==(const ChannelTerms&) const = default;
};

// One payment: `cum` is everything ever paid over the channel, so that the newest payment replaces all before it.
struct PayStatement {
  static constexpr std::string_view k_tag{"BTT1PAY\0", 8};
  LedgerId ledger;
  ChannelId channel;
  uint64_t seq = 0;
  Amount cum;
  static constexpr auto k_fields = field_list(field("ledger", &PayStatement::ledger), field("channel", &PayStatement::channel),
                                                   field("seq", &PayStatement::seq), field("cum", &PayStatement::cum));
  bool operator==(const PayStatement&) const = default;
};

// The payee asks the ledger to end the channel at `cum`. Goes with the payer's PAY signature over the same seq and cum.
struct CloseStatement {
  static constexpr std::string_view k_tag = "BTT1CLOS";
  LedgerId ledger;
  ChannelId channel;
  uint64_t seq = 0;
  Amount cum;
  static constexpr auto k_fields = field_list(field("ledger", &CloseStatement::ledger), field("channel", &CloseStatement::channel),
                                                   field("seq", &CloseStatement::seq), field("cum", &CloseStatement::cum));
  bool operator==(const CloseStatement&) const = default;
};

// The payee asks the ledger for cum - claimed, and the channel stays open. Goes with the payer's PAY signature like CloseStatement.
struct ClaimStatement {
  static constexpr std::string_view k_tag = "BTT1CLAM";
  LedgerId ledger;
  ChannelId channel;
  uint64_t seq = 0;
  Amount cum;
  static constexpr auto k_fields = field_list(field("ledger", &ClaimStatement::ledger), field("channel", &ClaimStatement::channel),
                                                   field("seq", &ClaimStatement::seq), field("cum", &ClaimStatement::cum));
  bool operator==(const ClaimStatement&) const = default;
};

// The ledger says what an account could spend at a time: what backs a bid.
struct FundStatement {
  static constexpr std::string_view k_tag = "BTT1FUND";
  LedgerId ledger;
  PublicKey key;
  Amount available;
  LedgerTime time;
  static constexpr auto k_fields = field_list(field("ledger", &FundStatement::ledger), field("key", &FundStatement::key),
                                                   field("available", &FundStatement::available), field("time", &FundStatement::time));
  bool operator==(const FundStatement&) const = default;
};

static_assert(8 + k_fields_size<ChannelTerms> == 144);
static_assert(8 + k_fields_size<PayStatement> == 88);

}  // namespace millet
