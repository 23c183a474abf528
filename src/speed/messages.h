// The messages of BitTorrent Speed (PROTOCOL.md, "Messages"): one BEP 10 extension named "btt_speed", a subtype byte, then fields of
// fixed size, big-endian. Each message is declared once here: its k_fields drive decoding, encoding, the log line and the tests' generator.
//
// A payload here starts with the subtype; the length, the 20 and the extension id before it belong to the peer wire.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "codec/fields.h"
#include "codec/signed.h"

namespace millet::speed {

inline constexpr uint8_t k_version = 1;
inline constexpr size_t k_payload_size_max = 4096;  // refused unread above it; the largest message has 214 bytes
inline constexpr uint8_t k_slot_unknown = 255;      // RESUME: "I hold nothing of this"
inline constexpr uint8_t k_slots_max = 8;           // live channels of one pair of keys on a connection
inline constexpr size_t k_tree_head_size = 112;     // may follow HELLO

using Nonce = std::array<uint8_t, 32>;
using TreeHeadBytes = std::array<uint8_t, k_tree_head_size>;

// Service bits of HELLO.
inline constexpr uint32_t k_service_provider = 1;
inline constexpr uint32_t k_service_requester = 2;

// requester -> provider: what the sender would pay for this torrent.
struct BidMessage {
  static constexpr uint8_t k_type = 1;
  static constexpr const char* k_name = "bid";
  static constexpr uint8_t k_flag_withdraw = 1;
  uint32_t bid_seq = 0;
  uint8_t flags = 0;
  Rate rate;
  static constexpr auto k_fields =
      field_list(field("bid_seq", &BidMessage::bid_seq), field("flags", &BidMessage::flags), field("rate", &BidMessage::rate));
  bool operator==(const BidMessage&) const = default;
};

enum class RateKind : uint8_t { auction = 0, free = 1, reserve = 2 };

// provider -> requester, the bid response: what the bytes after it in the stream cost.
struct RateMessage {
  static constexpr uint8_t k_type = 2;
  static constexpr const char* k_name = "rate";
  uint32_t epoch = 0;    // 1 for the first of a connection, then one more each
  uint32_t bid_seq = 0;  // the bid that it answers
  Rate rate;
  uint8_t kind = 0;     // RateKind
  uint32_t window = 0;  // unpaid bytes that the provider tolerates
  uint16_t pay_timeout_s = 0;
  uint64_t sent = 0;  // payload bytes of blocks sent on this connection so far
  static constexpr auto k_fields =
      field_list(field("epoch", &RateMessage::epoch), field("bid_seq", &RateMessage::bid_seq), field("rate", &RateMessage::rate),
                      field("kind", &RateMessage::kind), field("window", &RateMessage::window),
                      field("pay_timeout", &RateMessage::pay_timeout_s), field("sent", &RateMessage::sent));
  bool operator==(const RateMessage&) const = default;
};

// requester -> provider: this channel pays you, under this slot. With both keys of HELLO it names the whole terms.
struct ChannelMessage {
  static constexpr uint8_t k_type = 3;
  static constexpr const char* k_name = "channel";
  uint8_t slot = 0;
  Amount capacity;
  LedgerTime expiry;
  std::array<uint8_t, 16> nonce{};
  LedgerTime valid_until;
  static constexpr auto k_fields = field_list(field("slot", &ChannelMessage::slot), field("capacity", &ChannelMessage::capacity),
                                                   field("expiry", &ChannelMessage::expiry), field("nonce", &ChannelMessage::nonce),
                                                   field("valid_until", &ChannelMessage::valid_until));
  bool operator==(const ChannelMessage&) const = default;
};

// requester -> provider: `cum` is everything ever paid over the channel. The signature is that of PayStatement.
struct PayMessage {
  static constexpr uint8_t k_type = 4;
  static constexpr const char* k_name = "pay";
  uint8_t slot = 0;
  uint64_t seq = 0;
  Amount cum;
  Signature signature;
  static constexpr auto k_fields = field_list(field("slot", &PayMessage::slot), field("seq", &PayMessage::seq),
                                                   field("cum", &PayMessage::cum), field("signature", &PayMessage::signature));
  bool operator==(const PayMessage&) const = default;
};

enum class AckStatus : uint8_t {
  counted = 0,
  stale = 1,  // not above what is held; a RESUME follows
  over_capacity = 2,
  bad_signature = 3,  // the connection ends
  bad_channel = 4,    // the ledger says otherwise; nothing is counted
  expiring = 5,       // pay over another channel
  closed = 6,
};

// provider -> requester: how far the payments of a channel have come.
struct AckMessage {
  static constexpr uint8_t k_type = 5;
  static constexpr const char* k_name = "ack";
  uint8_t slot = 0;
  uint8_t status = 0;  // AckStatus
  uint64_t seq = 0;    // of the highest payment counted
  Amount counted;      // cumulative amount taken as paid
  Amount durable;      // of it, what survives a power cut: the only promise
  Amount unpaid;       // what the payer owes beyond it, over all channels; for information
  static constexpr auto k_fields =
      field_list(field("slot", &AckMessage::slot), field("status", &AckMessage::status), field("seq", &AckMessage::seq),
                      field("counted", &AckMessage::counted), field("durable", &AckMessage::durable), field("unpaid", &AckMessage::unpaid));
  bool operator==(const AckMessage&) const = default;
};

// provider -> requester, the answer to CHANNEL and to a stale PAY: the newest payment that is durable here, with the payer's own signature.
struct ResumeMessage {
  static constexpr uint8_t k_type = 6;
  static constexpr const char* k_name = "resume";
  uint8_t slot = k_slot_unknown;
  ChannelId channel;
  uint64_t seq = 0;
  Amount cum;
  Signature signature;
  static constexpr auto k_fields =
      field_list(field("slot", &ResumeMessage::slot), field("channel", &ResumeMessage::channel), field("seq", &ResumeMessage::seq),
                      field("cum", &ResumeMessage::cum), field("signature", &ResumeMessage::signature));
  bool operator==(const ResumeMessage&) const = default;
};

enum class CloseReason : uint8_t { complete = 0, expiring = 1, shutting_down = 2, disabled = 3, idle = 4, rolled_over = 5 };

// both ways: the channel will not be used any more. From the requester it asks the provider to close at the ledger.
struct CloseMessage {
  static constexpr uint8_t k_type = 7;
  static constexpr const char* k_name = "close";
  ChannelId channel;
  uint8_t reason = 0;  // CloseReason
  uint64_t seq = 0;
  Amount cum;
  static constexpr auto k_fields = field_list(field("channel", &CloseMessage::channel), field("reason", &CloseMessage::reason),
                                                   field("seq", &CloseMessage::seq), field("cum", &CloseMessage::cum));
  bool operator==(const CloseMessage&) const = default;
};

enum class StopReason : uint8_t { banned = 0, unpaid = 1, superseded = 2, shutting_down = 3, disabled = 4, no_channel = 5, idle = 6 };

// provider -> requester: no paid serving on this connection for retry_after seconds.
struct StopMessage {
  static constexpr uint8_t k_type = 8;
  static constexpr const char* k_name = "stop";
  uint8_t reason = 0;  // StopReason
  uint32_t retry_after_s = 0;
  static constexpr auto k_fields =
      field_list(field("reason", &StopMessage::reason), field("retry_after", &StopMessage::retry_after_s));
  bool operator==(const StopMessage&) const = default;
};

// both ways, the first message: who the sender is. Followed by PROVE if both sides have a use for each other.
struct HelloMessage {
  static constexpr uint8_t k_type = 9;
  static constexpr const char* k_name = "hello";
  uint8_t version = k_version;
  LedgerId ledger;
  PublicKey key;
  Nonce nonce{};
  uint32_t services = 0;
  // Follows the fields, or not: the newest head of the ledger's log that the sender has checked (src/ledger/PROTOCOL.md). Not looked into.
  std::optional<TreeHeadBytes> tree_head{};
  static constexpr auto k_fields =
      field_list(field("version", &HelloMessage::version), field("ledger", &HelloMessage::ledger), field("key", &HelloMessage::key),
                      field("nonce", &HelloMessage::nonce), field("services", &HelloMessage::services));
  bool operator==(const HelloMessage&) const = default;
};

// both ways: the sender holds the key of its HELLO, on this connection. The signature is that of ProofStatement.
struct ProveMessage {
  static constexpr uint8_t k_type = 10;
  static constexpr const char* k_name = "prove";
  Signature signature;
  static constexpr auto k_fields = field_list(field("signature", &ProveMessage::signature));
  bool operator==(const ProveMessage&) const = default;
};

// requester -> provider: what its account can spend, in the words of the ledger (FundStatement).
struct FundsMessage {
  static constexpr uint8_t k_type = 11;
  static constexpr const char* k_name = "funds";
  Amount available;
  LedgerTime time;
  Signature signature;
  static constexpr auto k_fields = field_list(field("available", &FundsMessage::available), field("time", &FundsMessage::time),
                                                   field("signature", &FundsMessage::signature));
  bool operator==(const FundsMessage&) const = default;
};

// requester -> provider: this piece failed its hash and came from several sources; do not wait for its payment until it is known whose
// block was wrong.
struct HoldMessage {
  static constexpr uint8_t k_type = 12;
  static constexpr const char* k_name = "hold";
  uint32_t piece = 0;
  static constexpr auto k_fields = field_list(field("piece", &HoldMessage::piece));
  bool operator==(const HoldMessage&) const = default;
};

// requester -> provider: the offer of the RATE with this epoch stands. The provider unchokes then, so that no request from before the price
// is served at the price, or out of order.
struct AcceptMessage {
  static constexpr uint8_t k_type = 13;
  static constexpr const char* k_name = "accept";
  uint32_t epoch = 0;
  static constexpr auto k_fields = field_list(field("epoch", &AcceptMessage::epoch));
  bool operator==(const AcceptMessage&) const = default;
};

// What PROVE signs: both keys, both nonces and the connection that they meet on, so that a proof is worth nothing anywhere else.
struct ProofStatement {
  static constexpr std::string_view k_tag = "BTT1HELO";
  LedgerId ledger;
  uint8_t role = 0;  // 1: the signer opened the connection, 2: it accepted it
  PublicKey signer;
  PublicKey other;
  Nonce signer_nonce{};
  Nonce other_nonce{};
  InfoHash info_hash;
  PeerId signer_peer;
  PeerId other_peer;
  static constexpr auto k_fields = field_list(
      field("ledger", &ProofStatement::ledger), field("role", &ProofStatement::role), field("signer", &ProofStatement::signer),
      field("other", &ProofStatement::other), field("signer_nonce", &ProofStatement::signer_nonce),
      field("other_nonce", &ProofStatement::other_nonce), field("info_hash", &ProofStatement::info_hash),
      field("signer_peer", &ProofStatement::signer_peer), field("other_peer", &ProofStatement::other_peer));
  bool operator==(const ProofStatement&) const = default;
};

// std::monostate stands for a subtype that this version does not know: ignored.
using Message = std::variant<std::monostate, BidMessage, RateMessage, ChannelMessage, PayMessage, AckMessage, ResumeMessage, CloseMessage,
                             StopMessage, HelloMessage, ProveMessage, FundsMessage, HoldMessage, AcceptMessage>;

// Errors: protocol if the payload is empty, above k_payload_size_max, of the wrong size for its subtype, or has an amount, a rate or an
// enumeration out of range.
Result<Message> decode(Bytes payload);
// The payload, subtype first. Requires: the message is not std::monostate.
std::vector<uint8_t> encode(const Message& message);
// One line for the log: "pay slot=0 seq=3 cum=4096". Keys, nonces and signatures are cut to eight digits.
std::string describe(const Message& message);

}  // namespace millet::speed
