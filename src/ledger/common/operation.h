// The operations of the private ledger, each declared once. A client signs and sends the first group; the ledger itself makes the second.
// On the wire and in the log an operation is its kind in one byte, then its fields. An operation's id is BLAKE2b-256 of the bytes that its
// account signed; the ledger executes one id at most once.
//
//   kind             fields after the kind byte                                                                     bytes
//    1 OPEN          terms[136] signature[64]                                                                       200
//    2 CLOSE         statement[80] payer[32] payee[32] payer_signature[64] signature[64]                            272
//    3 CLAIM         as CLOSE                                                                                       272
//    4 TRANSFER      ledger[32] from[32] to[32] amount u64 nonce[16] valid_until u64 memo_hash[32] signature[64]    224
//    5 FAUCET        ledger[32] key[32] epoch u64 memory_nonce u64 hashcash_nonce u64 valid_until u64 signature[64] 160
//    6 DRAW          ledger[32] pool[32] to[32] amount u64 nonce[16] valid_until u64 memo_hash[32] keys[97]
//                    signatures[64] x 3                                                                             449
//    7 POLICY        ledger[32] pool[32] replaces[32] begin u64 until u64 period_s u32 per_grant u64 per_period u64
//                    granter[32] recipients[32] x 8 valid_until u64 keys[97] signatures[64] x 3                     717
//    8 GRANT         ledger[32] policy[32] number u64 to[32] amount u64 memo_hash[32] valid_until u64 granter[32]
//                    signature[64]                                                                                  248
//    9 TICKET_FAUCET ledger[32] key[32] epoch u64 memory_nonce u64 hashcash_nonce u64 ticket[40] valid_until u64
//                    signature[64]                                                                                  200
//   16 GENESIS       key[32] time u64 (account[32] amount u64) x 10                                                 440
//   17 EXPIRE        ledger[32] channel[32]                                                                          64
//   18 EXTEND        ledger[32] from u64 to u64                                                                      48
//   19 POOL          ledger[32] terms[131]                                                                          163
//
// The keys in CLOSE, CLAIM, DRAW and POLICY, and the granter in GRANT, are not signed: they let the signatures be checked before the
// channel, the pool or the policy is looked up, and must be its own.
#pragma once

#include <variant>

#include "codec/signed.h"
#include "crypto/hash.h"
#include "ledger/common/faucet.h"
#include "ledger/common/pool.h"

namespace millet {

struct OpenOperation {
  static constexpr uint8_t k_kind = 1;
  static constexpr const char* k_name = "open";
  ChannelTerms statement;
  Signature signature;  // by the payer
  static constexpr auto k_fields =
      field_list(field("terms", &OpenOperation::statement), field("signature", &OpenOperation::signature));
  bool operator==(const OpenOperation&) const = default;
};

struct CloseOperation {
  static constexpr uint8_t k_kind = 2;
  static constexpr const char* k_name = "close";
  CloseStatement statement;
  PublicKey payer;
  PublicKey payee;
  Signature payer_signature;  // over PAY with the same seq and cum; zeros if cum is zero: nothing was paid, everything goes back
  Signature signature;        // by the payee
  static constexpr auto k_fields = field_list(
      field("statement", &CloseOperation::statement), field("payer", &CloseOperation::payer), field("payee", &CloseOperation::payee),
      field("payer_signature", &CloseOperation::payer_signature), field("signature", &CloseOperation::signature));
  bool operator==(const CloseOperation&) const = default;
};

struct ClaimOperation {
  static constexpr uint8_t k_kind = 3;
  static constexpr const char* k_name = "claim";
  ClaimStatement statement;
  PublicKey payer;
  PublicKey payee;
  Signature payer_signature;  // over PAY with the same seq and cum
  Signature signature;        // by the payee
  static constexpr auto k_fields = field_list(
      field("statement", &ClaimOperation::statement), field("payer", &ClaimOperation::payer), field("payee", &ClaimOperation::payee),
      field("payer_signature", &ClaimOperation::payer_signature), field("signature", &ClaimOperation::signature));
  bool operator==(const ClaimOperation&) const = default;
};

struct TransferStatement {
  static constexpr std::string_view k_tag = "BTT1XFER";
  LedgerId ledger;
  PublicKey from;
  PublicKey to;
  Amount amount;
  std::array<uint8_t, 16> nonce{};
  LedgerTime valid_until;
  std::array<uint8_t, 32> memo_hash{};  // of a text that only the two parties know; zeros: none
  static constexpr auto k_fields = field_list(
      field("ledger", &TransferStatement::ledger), field("from", &TransferStatement::from), field("to", &TransferStatement::to),
      field("amount", &TransferStatement::amount), field("nonce", &TransferStatement::nonce),
      field("valid_until", &TransferStatement::valid_until), field("memo_hash", &TransferStatement::memo_hash));
  bool operator==(const TransferStatement&) const = default;
};

struct TransferOperation {
  static constexpr uint8_t k_kind = 4;
  static constexpr const char* k_name = "transfer";
  TransferStatement statement;
  Signature signature;  // by `from`
  static constexpr auto k_fields =
      field_list(field("statement", &TransferOperation::statement), field("signature", &TransferOperation::signature));
  bool operator==(const TransferOperation&) const = default;
};

struct FaucetStatement {
  static constexpr std::string_view k_tag = "BTT1FAUC";
  LedgerId ledger;
  PublicKey key;
  uint64_t epoch = 0;
  uint64_t memory_nonce = 0;
  uint64_t hashcash_nonce = 0;
  LedgerTime valid_until;
  static constexpr auto k_fields =
      field_list(field("ledger", &FaucetStatement::ledger), field("key", &FaucetStatement::key),
                      field("epoch", &FaucetStatement::epoch), field("memory_nonce", &FaucetStatement::memory_nonce),
                      field("hashcash_nonce", &FaucetStatement::hashcash_nonce), field("valid_until", &FaucetStatement::valid_until));
  bool operator==(const FaucetStatement&) const = default;
};

struct FaucetOperation {
  static constexpr uint8_t k_kind = 5;
  static constexpr const char* k_name = "faucet";
  FaucetStatement statement;
  Signature signature;  // by `key`
  static constexpr auto k_fields =
      field_list(field("statement", &FaucetOperation::statement), field("signature", &FaucetOperation::signature));
  bool operator==(const FaucetOperation&) const = default;
};

// As FaucetStatement, with a ticket for a solved CAPTCHA; the numbers of the work count only where the ledger wants both.
struct TicketFaucetStatement {
  static constexpr std::string_view k_tag = "BTT1FAUT";
  LedgerId ledger;
  PublicKey key;
  uint64_t epoch = 0;
  uint64_t memory_nonce = 0;
  uint64_t hashcash_nonce = 0;
  CaptchaTicket ticket;
  LedgerTime valid_until;
  static constexpr auto k_fields =
      field_list(field("ledger", &TicketFaucetStatement::ledger), field("key", &TicketFaucetStatement::key),
                      field("epoch", &TicketFaucetStatement::epoch), field("memory_nonce", &TicketFaucetStatement::memory_nonce),
                      field("hashcash_nonce", &TicketFaucetStatement::hashcash_nonce), field("ticket", &TicketFaucetStatement::ticket),
                      field("valid_until", &TicketFaucetStatement::valid_until));
  bool operator==(const TicketFaucetStatement&) const = default;
};

struct TicketFaucetOperation {
  static constexpr uint8_t k_kind = 9;
  static constexpr const char* k_name = "ticket_faucet";
  TicketFaucetStatement statement;
  Signature signature;  // by `key`
  static constexpr auto k_fields =
      field_list(field("statement", &TicketFaucetOperation::statement), field("signature", &TicketFaucetOperation::signature));
  bool operator==(const TicketFaucetOperation&) const = default;
};

struct DrawStatement {
  static constexpr std::string_view k_tag = "BTT1DRAW";
  LedgerId ledger;
  PublicKey pool;  // its account
  PublicKey to;
  Amount amount;
  std::array<uint8_t, 16> nonce{};
  LedgerTime valid_until;
  std::array<uint8_t, 32> memo_hash{};  // as in TransferStatement
  static constexpr auto k_fields =
      field_list(field("ledger", &DrawStatement::ledger), field("pool", &DrawStatement::pool), field("to", &DrawStatement::to),
                      field("amount", &DrawStatement::amount), field("nonce", &DrawStatement::nonce),
                      field("valid_until", &DrawStatement::valid_until), field("memo_hash", &DrawStatement::memo_hash));
  bool operator==(const DrawStatement&) const = default;
};

// What has vested of a pool goes to an account.
struct DrawOperation {
  static constexpr uint8_t k_kind = 6;
  static constexpr const char* k_name = "draw";
  DrawStatement statement;
  PoolKeys keys;
  PoolSignatures signatures;
  static constexpr auto k_fields = field_list(field("statement", &DrawOperation::statement), field("keys", &DrawOperation::keys),
                                                   field("signatures", &DrawOperation::signatures));
  bool operator==(const DrawOperation&) const = default;
};

inline constexpr size_t k_policy_recipients_max = 8;

// The keys of a pool let somebody give from it, within limits that everybody can check: grants to developers of applications.
struct PolicyStatement {
  static constexpr std::string_view k_tag = "BTT1PLCY";
  LedgerId ledger;
  PublicKey pool;
  OperationId replaces;  // a policy of the same pool, which ends with this; zeros: none
  LedgerTime begin;      // grants are executed in begin <= time < until
  LedgerTime until;
  uint32_t period_s = 0;                                        // periods follow each other from `begin` on
  Amount per_grant;                                             // most of one grant
  Amount per_period;                                            // most of all grants in one period
  PublicKey granter;                                            // signs the grants
  std::array<PublicKey, k_policy_recipients_max> recipients{};  // who may get one; all zeros: any account
  LedgerTime valid_until;                                       // of this operation
  static constexpr auto k_fields = field_list(
      field("ledger", &PolicyStatement::ledger), field("pool", &PolicyStatement::pool), field("replaces", &PolicyStatement::replaces),
      field("begin", &PolicyStatement::begin), field("until", &PolicyStatement::until), field("period_s", &PolicyStatement::period_s),
      field("per_grant", &PolicyStatement::per_grant), field("per_period", &PolicyStatement::per_period),
      field("granter", &PolicyStatement::granter), field("recipients", &PolicyStatement::recipients),
      field("valid_until", &PolicyStatement::valid_until));
  bool operator==(const PolicyStatement&) const = default;

  // Its times and limits can be kept.
  bool makes_sense() const { return period_s > 0 && begin < until && per_grant <= per_period; }
  bool allows(const PublicKey& to) const;
  // Requires: begin <= time, makes_sense().
  uint64_t period_at(LedgerTime time) const { return time.seconds_since(begin) / period_s; }
};

struct PolicyOperation {
  static constexpr uint8_t k_kind = 7;
  static constexpr const char* k_name = "policy";
  PolicyStatement statement;
  PoolKeys keys;
  PoolSignatures signatures;
  static constexpr auto k_fields = field_list(field("statement", &PolicyOperation::statement), field("keys", &PolicyOperation::keys),
                                                   field("signatures", &PolicyOperation::signatures));
  bool operator==(const PolicyOperation&) const = default;
};

struct GrantStatement {
  static constexpr std::string_view k_tag = "BTT1GRNT";
  LedgerId ledger;
  OperationId policy;
  uint64_t number = 0;  // grants of a policy are 1, 2, 3...: none is executed twice, however old, and none is missing
  PublicKey to;
  Amount amount;
  std::array<uint8_t, 32> memo_hash{};  // as in TransferStatement
  LedgerTime valid_until;
  static constexpr auto k_fields =
      field_list(field("ledger", &GrantStatement::ledger), field("policy", &GrantStatement::policy),
                      field("number", &GrantStatement::number), field("to", &GrantStatement::to), field("amount", &GrantStatement::amount),
                      field("memo_hash", &GrantStatement::memo_hash), field("valid_until", &GrantStatement::valid_until));
  bool operator==(const GrantStatement&) const = default;
};

struct GrantOperation {
  static constexpr uint8_t k_kind = 8;
  static constexpr const char* k_name = "grant";
  GrantStatement statement;
  PublicKey granter;
  Signature signature;  // by `granter`
  static constexpr auto k_fields =
      field_list(field("statement", &GrantOperation::statement), field("granter", &GrantOperation::granter),
                      field("signature", &GrantOperation::signature));
  bool operator==(const GrantOperation&) const = default;
};

// An account that exists from the start, and what it holds then.
struct GenesisAccount {
  PublicKey account;
  Amount amount;
  static constexpr auto k_fields = field_list(field("account", &GenesisAccount::account), field("amount", &GenesisAccount::amount));
  bool operator==(const GenesisAccount&) const = default;
};
inline constexpr size_t k_genesis_accounts = 10;

// The first record of a ledger. The ledger id is its operation id.
struct GenesisOperation {
  static constexpr uint8_t k_kind = 16;
  static constexpr const char* k_name = "genesis";
  static constexpr std::string_view k_tag = "BTT1GENE";
  PublicKey key;  // of the ledger
  LedgerTime time;
  std::array<GenesisAccount, k_genesis_accounts> accounts;
  static constexpr auto k_fields = field_list(field("key", &GenesisOperation::key), field("time", &GenesisOperation::time),
                                                   field("accounts", &GenesisOperation::accounts));
  bool operator==(const GenesisOperation&) const = default;
};

// A channel's time is up: what was not claimed goes back to the payer.
struct ExpireOperation {
  static constexpr uint8_t k_kind = 17;
  static constexpr const char* k_name = "expire";
  static constexpr std::string_view k_tag = "BTT1EXPR";
  LedgerId ledger;
  ChannelId channel;
  static constexpr auto k_fields = field_list(field("ledger", &ExpireOperation::ledger), field("channel", &ExpireOperation::channel));
  bool operator==(const ExpireOperation&) const = default;
};

// The ledger was out from `from` to `to`: every channel that is open lives longer by that.
struct ExtendOperation {
  static constexpr uint8_t k_kind = 18;
  static constexpr const char* k_name = "extend";
  static constexpr std::string_view k_tag = "BTT1EXTD";
  LedgerId ledger;
  LedgerTime from;
  LedgerTime to;
  static constexpr auto k_fields =
      field_list(field("ledger", &ExtendOperation::ledger), field("from", &ExtendOperation::from), field("to", &ExtendOperation::to));
  bool operator==(const ExtendOperation&) const = default;
};

// The terms of one pool, whose account the genesis has made: right after the genesis, once for each pool that has terms.
struct PoolOperation {
  static constexpr uint8_t k_kind = 19;
  static constexpr const char* k_name = "pool";
  static constexpr std::string_view k_tag = "BTT1POOT";
  LedgerId ledger;
  PoolTerms terms;
  static constexpr auto k_fields = field_list(field("ledger", &PoolOperation::ledger), field("terms", &PoolOperation::terms));
  bool operator==(const PoolOperation&) const = default;
};

static_assert(k_fields_size<OpenOperation> == 200);
static_assert(k_fields_size<CloseOperation> == 272);
static_assert(k_fields_size<ClaimOperation> == 272);
static_assert(k_fields_size<TransferOperation> == 224);
static_assert(k_fields_size<FaucetOperation> == 160);
static_assert(k_fields_size<TicketFaucetOperation> == 200);
static_assert(k_fields_size<DrawOperation> == 449);
static_assert(k_fields_size<PolicyOperation> == 717);
static_assert(k_fields_size<GrantOperation> == 248);
static_assert(k_fields_size<GenesisOperation> == 440);

// What a client may send.
using Operation = std::variant<OpenOperation, CloseOperation, ClaimOperation, TransferOperation, FaucetOperation, DrawOperation,
                               PolicyOperation, GrantOperation, TicketFaucetOperation>;

// The id of what an account signed.
template <typename Statement>
OperationId statement_id(const Statement& statement) {
  return OperationId{blake2b_256(preimage(statement))};
}
inline ChannelId channel_id(const ChannelTerms& terms) { return ChannelId{blake2b_256(preimage(terms))}; }

OperationId operation_id(const Operation& operation);
// The account that signs: payer, payee, sender or receiver of a grant; the first key of a pool; the granter.
const PublicKey& operation_signer(const Operation& operation);
const LedgerId& operation_ledger(const Operation& operation);
const char* operation_name(const Operation& operation);

// Appends kind and fields.
template <typename Op>
void append_operation(std::vector<uint8_t>& out, const Op& operation) {
  out.push_back(Op::k_kind);
  append_fields(out, operation);
}
void append_operation(std::vector<uint8_t>& out, const Operation& operation);
// Reads one operation that a client may send. Errors: bad_input.
Result<Operation> take_operation(ByteReader& in);

}  // namespace millet
