// Evidence that a ledger contradicts itself: statements that its key signed, which can't all be true. Anybody who knows the key can check
// it, without the ledger and without trusting who shows it (millet ledger verify-evidence).
//
//   "BTT1EVID" | ledger[32] | key[32] | heads u8 (0 to 4) | SignedTreeHead[112] x heads
//   | receipt u8 (0 or 1) [operation[32] record u64 record_hash[32] time u64 signature[64] | operation size u16 | operation]
//   | exchanges u8 (0 to 2) | (request size u32 | request | reply size u32 | reply) x exchanges
#pragma once

#include "ledger/common/account_chain.h"

namespace millet {

inline constexpr size_t k_evidence_heads_max = 4;
inline constexpr size_t k_evidence_exchanges_max = 2;
inline constexpr size_t k_evidence_size_max = 192 * 1024;  // two requests, two replies and the statements

// The promise that an operation is in the log, and the operation (kind and fields) if it is known.
struct SignedReceipt {
  OperationId operation;
  uint64_t record = 0;
  Hash32 record_hash{};
  LedgerTime time;
  Signature signature;
  static constexpr auto k_fields = field_list(field("operation", &SignedReceipt::operation), field("record", &SignedReceipt::record),
                                                   field("record_hash", &SignedReceipt::record_hash), field("time", &SignedReceipt::time),
                                                   field("signature", &SignedReceipt::signature));
  ReceiptStatement statement(const LedgerId& ledger) const { return {ledger, operation, record, record_hash, time}; }
  bool operator==(const SignedReceipt&) const = default;
};
struct HeldReceipt {
  SignedReceipt receipt;
  std::vector<uint8_t> operation;  // kind and fields; empty: not known
  bool operator==(const HeldReceipt&) const = default;
};

// The operation is the receipt's own (not an earlier one with the same effect) and the account signed it: its record touches the account.
bool is_signed_by(const HeldReceipt& held, const PublicKey& account);

// A request of queries and the ledger's reply, whole, as they were sent.
struct QueryExchange {
  std::vector<uint8_t> request;
  std::vector<uint8_t> reply;
  bool operator==(const QueryExchange&) const = default;
};

struct Evidence {
  LedgerId ledger;
  PublicKey key;
  std::vector<SignedTreeHead> heads;  // at most k_evidence_heads_max
  std::optional<HeldReceipt> receipt;
  std::vector<QueryExchange> exchanges;  // at most k_evidence_exchanges_max
  bool operator==(const Evidence&) const = default;
};
std::vector<uint8_t> encode_evidence(const Evidence& evidence);
// Errors: bad_input.
Result<Evidence> decode_evidence(Bytes bytes);

// ---- what it shows ----

// An exchange, decoded; signatures are not checked here.
struct OpenedExchange {
  QueryRequest request;
  Reply reply;
};
// Errors: bad_input (can't be read, or the reply is to another request).
Result<OpenedExchange> open_exchange(const QueryExchange& exchange);

// Where a record that an account must have stands in a page of its records.
enum class ChainPlace : uint8_t { found, elsewhere, contradicted };
// `from`: of the query; `size`: of the reply's tree head.
ChainPlace place_in_chain(const ChainPage& page, uint64_t from, uint64_t size, uint64_t record, const Hash32& leaf);

struct Findings {
  std::optional<std::string> contradiction;  // what the statements contradict each other in
  // Each of these must be valid, else its record is the contradiction.
  std::vector<OwedSignature> owed;
  std::vector<ChainPage> pages;  // one for each exchange; empty if it has none
};
// Compares everything with everything. Takes for granted that the ledger signed heads, receipt and exchanges.
// Requires: `opened` are the evidence's exchanges.
Findings examine(const Evidence& evidence, std::span<const OpenedExchange> opened);

// Checks all signatures, then examines. What is proven, in a sentence. Errors: bad_input (something is not signed by the ledger),
// not_found (nothing contradicts).
Result<std::string> judge_evidence(const Evidence& evidence);

}  // namespace millet
