// What goes between the ledger and its clients: bodies of HTTP POST requests and of their replies (PROTOCOL.md). Every reply is signed by
// the ledger's key over the hash and the nonce of the request and the ledger's time, refusals too. Layouts only; who checks what is in
// ledger/client and ledger/server.
//
//   POST /v1/op       version u8 = 1, nonce[16], count u8, operation x count
//   POST /v1/query    version u8 = 1, nonce[16], key[32], valid_until u64, count u8, query x count, signature[64]
//   reply             head[236], result x count, signature[64]
#pragma once

#include <vector>

#include "ledger/common/codes.h"
#include "ledger/common/faucet.h"
#include "ledger/common/operation.h"
#include "ledger/common/record.h"

namespace millet {

inline constexpr uint8_t k_ledger_api_version = 1;
inline constexpr size_t k_operations_max = 64;   // of one request: one HTTP exchange pays for many signatures
inline constexpr size_t k_queries_max = 8;       // keeps a reply below k_reply_size_max
inline constexpr size_t k_closed_page_max = 32;  // channels in one answer of the closed feed
// Of one answer to RECORDS, of which a request has at most one: with seven closed feeds it stays below k_reply_size_max.
inline constexpr size_t k_record_page_size_max = 24 * 1024;
inline constexpr size_t k_request_size_max = 20 * 1024;
inline constexpr size_t k_captcha_response_max = 8 * 1024;  // hCaptcha's are the longest, some 3 KiB
inline constexpr size_t k_reply_size_max = 64 * 1024;
// How far ahead valid_until may be (src/ledger/PROTOCOL.md).
inline constexpr uint64_t k_valid_ahead_max_s = 600;
// What a requester's clock may be ahead of the ledger's beside that.
inline constexpr uint64_t k_clock_tolerance_s = 60;

using RequestNonce = std::array<uint8_t, 16>;

struct OperationRequest {
  RequestNonce nonce{};
  std::vector<Operation> operations;
};

// ---- queries ----

// The ledger's rules. Anybody may ask.
struct ParamsQuery {
  static constexpr uint8_t k_kind = 1;
  static constexpr auto k_fields = field_list();
};
// What the asking key has.
struct BalanceQuery {
  static constexpr uint8_t k_kind = 2;
  static constexpr auto k_fields = field_list();
};
// Only a party to the channel may ask.
struct ChannelQuery {
  static constexpr uint8_t k_kind = 3;
  ChannelId channel;
  static constexpr auto k_fields = field_list(field("channel", &ChannelQuery::channel));
};
// Channels of the asking key that ended, in the order of their end, after the record `after` (0 is the first).
struct ClosedQuery {
  static constexpr uint8_t k_kind = 4;
  uint64_t after = 0;
  static constexpr auto k_fields = field_list(field("after", &ClosedQuery::after));
};
// Work to do for an initial balance.
struct ChallengeQuery {
  static constexpr uint8_t k_kind = 5;
  static constexpr auto k_fields = field_list();
};
// Whether a record is in the log of `size` records; size 0: of the reply's tree head. Anybody may ask.
struct InclusionQuery {
  static constexpr uint8_t k_kind = 6;
  uint64_t record = 0;
  uint64_t size = 0;
  static constexpr auto k_fields = field_list(field("record", &InclusionQuery::record), field("size", &InclusionQuery::size));
};
// Whether the log of `from` records is the beginning of the one of `to`; to 0: of the reply's tree head. Anybody may ask.
struct ConsistencyQuery {
  static constexpr uint8_t k_kind = 7;
  uint64_t from = 0;
  uint64_t to = 0;
  static constexpr auto k_fields = field_list(field("from", &ConsistencyQuery::from), field("to", &ConsistencyQuery::to));
};
// The records that touched the asking key, newest first, from the record `from` (k_no_record: its last) to the record `until`
// (k_no_record: its first), as many as there is room for.
struct RecordsQuery {
  static constexpr uint8_t k_kind = 8;
  uint64_t from = k_no_record;
  uint64_t until = k_no_record;
  static constexpr auto k_fields = field_list(field("from", &RecordsQuery::from), field("until", &RecordsQuery::until));
};
// A pool of the issuance table, by its place there. Anybody may ask.
struct PoolQuery {
  static constexpr uint8_t k_kind = 9;
  uint8_t index = 0;
  static constexpr auto k_fields = field_list(field("index", &PoolQuery::index));
};
// A policy for grants. Anybody may ask.
struct PolicyQuery {
  static constexpr uint8_t k_kind = 10;
  OperationId policy;
  static constexpr auto k_fields = field_list(field("policy", &PolicyQuery::policy));
};
// The answer to a CAPTCHA, as its widget gave it, for a ticket. One in a request, by the key that wants the initial balance.
struct CaptchaQuery {
  static constexpr uint8_t k_kind = 11;
  std::vector<uint8_t> response;  // 1 to k_captcha_response_max; on the wire after its size as u16
};
using Query = std::variant<ParamsQuery, BalanceQuery, ChannelQuery, ClosedQuery, ChallengeQuery, InclusionQuery, ConsistencyQuery,
                           RecordsQuery, PoolQuery, PolicyQuery, CaptchaQuery>;

struct QueryRequest {
  RequestNonce nonce{};
  PublicKey key;  // zeros: nobody in particular, without a signature
  LedgerTime valid_until;
  std::vector<Query> queries;
  Signature signature;  // over "BTT1QURY", ledger id and the body before the signature
};

// ---- results ----

// What the whole log was at a time. Two of one size and different roots prove that the ledger lied.
struct TreeHeadStatement {
  static constexpr std::string_view k_tag = "BTT1TREE";
  LedgerId ledger;
  uint64_t size = 0;  // records
  Hash32 root{};
  LedgerTime time;
  static constexpr auto k_fields = field_list(field("ledger", &TreeHeadStatement::ledger), field("size", &TreeHeadStatement::size),
                                                   field("root", &TreeHeadStatement::root), field("time", &TreeHeadStatement::time));
};
struct SignedTreeHead {
  uint64_t size = 0;
  Hash32 root{};
  LedgerTime time;
  Signature signature;  // of the ledger, over TreeHeadStatement
  static constexpr auto k_fields = field_list(field("size", &SignedTreeHead::size), field("root", &SignedTreeHead::root),
                                                   field("time", &SignedTreeHead::time), field("signature", &SignedTreeHead::signature));
  bool operator==(const SignedTreeHead&) const = default;

  TreeHeadStatement statement(const LedgerId& ledger) const { return {ledger, size, root, time}; }
  MerkleRoot tree() const { return {size, root}; }
};
static_assert(k_fields_size<SignedTreeHead> == 112);

// The ledger promises that the operation is in its log: a statement that can be shown to others.
struct ReceiptStatement {
  static constexpr std::string_view k_tag = "BTT1RCPT";
  LedgerId ledger;
  OperationId operation;
  uint64_t record = 0;  // index in the log
  Hash32 record_hash{};
  LedgerTime time;
  static constexpr auto k_fields =
      field_list(field("ledger", &ReceiptStatement::ledger), field("operation", &ReceiptStatement::operation),
                      field("record", &ReceiptStatement::record), field("record_hash", &ReceiptStatement::record_hash),
                      field("time", &ReceiptStatement::time));
  bool operator==(const ReceiptStatement&) const = default;
};

// What became of an operation. Where the code is not done, the rest is zeros.
struct OperationResult {
  uint16_t code = 0;
  OperationId operation;  // the one that the record holds: for a CLAIM below what was claimed before, that earlier one
  uint64_t record = 0;
  Hash32 record_hash{};
  LedgerTime time;    // of the execution, not of a repetition
  Amount paid;        // TRANSFER, FAUCET: the amount; CLAIM, CLOSE: to the payee over the channel's whole life
  Amount refunded;    // CLOSE: to the payer
  Signature receipt;  // over ReceiptStatement
  static constexpr auto k_fields = field_list(
      field("code", &OperationResult::code), field("operation", &OperationResult::operation), field("record", &OperationResult::record),
      field("record_hash", &OperationResult::record_hash), field("time", &OperationResult::time), field("paid", &OperationResult::paid),
      field("refunded", &OperationResult::refunded), field("receipt", &OperationResult::receipt));
  LedgerCode ledger_code() const { return static_cast<LedgerCode>(code); }
  bool operator==(const OperationResult&) const = default;
};

struct LedgerParams {
  static constexpr uint8_t k_kind = ParamsQuery::k_kind;
  Amount capacity_min;  // of a channel
  uint32_t channel_life_min_s = 0;
  uint32_t channel_life_max_s = 0;
  uint32_t channels_max = 0;  // open ones of one payer
  Amount grant;               // of the faucet; zero: off
  FaucetWork work;
  static constexpr auto k_fields =
      field_list(field("capacity_min", &LedgerParams::capacity_min), field("channel_life_min_s", &LedgerParams::channel_life_min_s),
                      field("channel_life_max_s", &LedgerParams::channel_life_max_s), field("channels_max", &LedgerParams::channels_max),
                      field("grant", &LedgerParams::grant), field("work", &LedgerParams::work));
  bool operator==(const LedgerParams&) const = default;
};

// An account that the ledger does not know has nothing: the answer is zeros, not an error.
struct Balance {
  static constexpr uint8_t k_kind = BalanceQuery::k_kind;
  Amount available;
  Amount in_channels;          // of channels that it pays over: capacity - claimed
  uint32_t open_channels = 0;  // as payer
  uint8_t granted = 0;         // 1: it had its initial balance
  Amount spend_only;           // of it all: pays for service over channels, can't be transferred before spend_only_until
  LedgerTime spend_only_until;
  Signature fund;  // over FundStatement{ledger, key, available, time of the reply}
  static constexpr auto k_fields = field_list(field("available", &Balance::available), field("in_channels", &Balance::in_channels),
                                                   field("open_channels", &Balance::open_channels), field("granted", &Balance::granted),
                                                   field("spend_only", &Balance::spend_only),
                                                   field("spend_only_until", &Balance::spend_only_until), field("fund", &Balance::fund));
  bool operator==(const Balance&) const = default;
};

enum class ChannelStatusCode : uint8_t { open = 0, closed = 1, expired = 2 };

struct ChannelState {
  static constexpr uint8_t k_kind = ChannelQuery::k_kind;
  ChannelTerms terms;
  uint8_t status = 0;           // ChannelStatusCode
  Amount claimed;               // paid to the payee so far; for a channel that ended, in all
  LedgerTime effective_expiry;  // terms.expiry and the ledger's outages since
  LedgerTime ended;             // zero while it is open
  uint64_t record = 0;          // last one about this channel
  static constexpr auto k_fields =
      field_list(field("terms", &ChannelState::terms), field("status", &ChannelState::status),
                      field("claimed", &ChannelState::claimed), field("effective_expiry", &ChannelState::effective_expiry),
                      field("ended", &ChannelState::ended), field("record", &ChannelState::record));
  bool operator==(const ChannelState&) const = default;
};

// Oldest first. `more` than these: ask again with the record of the last one.
struct ClosedPage {
  static constexpr uint8_t k_kind = ClosedQuery::k_kind;
  std::vector<ChannelState> channels;  // at most k_closed_page_max
  bool more = false;
  bool operator==(const ClosedPage&) const = default;
};

struct FaucetChallenge {
  static constexpr uint8_t k_kind = ChallengeQuery::k_kind;
  Hash32 challenge{};
  uint64_t epoch = 0;
  LedgerTime valid_until;  // a solution is taken before this
  FaucetWork work;
  Amount grant;
  static constexpr auto k_fields = field_list(field("challenge", &FaucetChallenge::challenge), field("epoch", &FaucetChallenge::epoch),
                                                   field("valid_until", &FaucetChallenge::valid_until),
                                                   field("work", &FaucetChallenge::work), field("grant", &FaucetChallenge::grant));
  bool operator==(const FaucetChallenge&) const = default;
};

struct InclusionProof {
  static constexpr uint8_t k_kind = InclusionQuery::k_kind;
  uint64_t record = 0;
  uint64_t size = 0;  // never 0
  Hash32 leaf{};      // of the record
  MerklePath path;    // at most k_inclusion_path_max
  bool operator==(const InclusionProof&) const = default;
};
struct ConsistencyProof {
  static constexpr uint8_t k_kind = ConsistencyQuery::k_kind;
  uint64_t from = 0;
  uint64_t to = 0;
  MerklePath path;  // at most k_consistency_path_max
  bool operator==(const ConsistencyProof&) const = default;
};
// A record as it is in the log of the reply's tree head, and its path there.
struct ProvenRecord {
  std::vector<uint8_t> record;  // at most k_record_size_max
  MerklePath path;
  bool operator==(const ProvenRecord&) const = default;
};
// A record of an account, and what its balance can't be understood without: of CLAIM and CLOSE for the payee the record before about the
// channel, of CLOSE and EXPIRE for the payer its OPEN, and where they paid what they do not say themselves the CLAIM that paid it.
struct AccountRecord {
  ProvenRecord entry;
  std::optional<ProvenRecord> context;
  std::optional<ProvenRecord> claim;  // only with a context
  bool operator==(const AccountRecord&) const = default;
};
struct RecordPage {
  static constexpr uint8_t k_kind = RecordsQuery::k_kind;
  std::vector<AccountRecord> records;  // together at most k_record_page_size_max
  bool operator==(const RecordPage&) const = default;
};

struct PoolState {
  static constexpr uint8_t k_kind = PoolQuery::k_kind;
  PublicKey account;
  Amount issued;
  Amount available;
  Amount vested;          // at the time of the reply; what was drawn is issued - available
  uint8_t has_terms = 0;  // 1: they follow; 0: the account is a key, and zeros follow
  PoolKeys keys;
  Vesting vesting;
  static constexpr auto k_fields =
      field_list(field("account", &PoolState::account), field("issued", &PoolState::issued), field("available", &PoolState::available),
                      field("vested", &PoolState::vested), field("has_terms", &PoolState::has_terms), field("keys", &PoolState::keys),
                      field("vesting", &PoolState::vesting));
  bool operator==(const PoolState&) const = default;
};

struct PolicyState {
  static constexpr uint8_t k_kind = PolicyQuery::k_kind;
  PolicyStatement terms;
  uint64_t record = 0;
  uint8_t ended = 0;    // 1: another one has replaced it
  uint64_t grants = 0;  // the number of the last
  Amount left;          // that may be granted in the period of the reply's time
  static constexpr auto k_fields =
      field_list(field("terms", &PolicyState::terms), field("record", &PolicyState::record), field("ended", &PolicyState::ended),
                      field("grants", &PolicyState::grants), field("left", &PolicyState::left));
  bool operator==(const PolicyState&) const = default;
};

struct CaptchaAnswer {
  static constexpr uint8_t k_kind = CaptchaQuery::k_kind;
  CaptchaTicket ticket;
  uint8_t work_too = 0;  // 1: the ledger wants the proof of work beside it
  static constexpr auto k_fields = field_list(field("ticket", &CaptchaAnswer::ticket), field("work_too", &CaptchaAnswer::work_too));
  bool operator==(const CaptchaAnswer&) const = default;
};

// kind u8, code u16; the body only if the code is done.
struct QueryResult {
  uint8_t kind = 0;
  LedgerCode code = LedgerCode::done;
  std::variant<std::monostate, LedgerParams, Balance, ChannelState, ClosedPage, FaucetChallenge, InclusionProof, ConsistencyProof,
               RecordPage, PoolState, PolicyState, CaptchaAnswer>
      body;
  bool operator==(const QueryResult&) const = default;
};

struct ReplyHead {
  uint8_t version = k_ledger_api_version;
  Hash32 request_hash{};  // BLAKE2b-256 of the request's body
  RequestNonce nonce{};   // zeros if the request could not be read
  LedgerId ledger;
  PublicKey key;        // the ledger's; a client believes only the one that it has pinned
  LedgerTime time;      // durable: never below an earlier reply's
  SignedTreeHead tree;  // of the log that queries were answered from, and that holds the operations
  uint16_t code = 0;    // of the whole request; if it is not done, there are no results
  uint8_t count = 0;
  static constexpr auto k_fields = field_list(
      field("version", &ReplyHead::version), field("request_hash", &ReplyHead::request_hash), field("nonce", &ReplyHead::nonce),
      field("ledger", &ReplyHead::ledger), field("key", &ReplyHead::key), field("time", &ReplyHead::time), field("tree", &ReplyHead::tree),
      field("code", &ReplyHead::code), field("count", &ReplyHead::count));
  bool operator==(const ReplyHead&) const = default;
};
inline constexpr std::string_view k_reply_tag = "BTT1REPL";
static_assert(k_fields_size<ReplyHead> == 236);
static_assert(k_fields_size<OperationResult> == 162);

// Operations' results or queries' results, never both.
struct Reply {
  ReplyHead head;
  std::vector<OperationResult> operations;
  std::vector<QueryResult> queries;
  bool operator==(const Reply&) const = default;
};

// ---- bytes ----

std::vector<uint8_t> encode_request(const OperationRequest& request);
// With the signature as it is in the struct.
std::vector<uint8_t> encode_request(const QueryRequest& request);
// What the asking key signs. Requires: as encode_request.
std::vector<uint8_t> query_preimage(const QueryRequest& request, const LedgerId& ledger);

// Errors: bad_input (malformed), no_room (too many operations or queries, more than one RECORDS).
Result<OperationRequest> decode_operation_request(Bytes body);
Result<QueryRequest> decode_query_request(Bytes body);

// Everything but the signature; count and code of the head are as they are.
std::vector<uint8_t> encode_reply(const Reply& reply);
// What the ledger signs: the tag, then the reply without its signature.
std::vector<uint8_t> reply_preimage(Bytes unsigned_reply);

// A reply cut into what is signed and the signature. Errors: bad_input (too short, too long).
struct SealedReply {
  Bytes content;
  Signature signature;
};
Result<SealedReply> split_reply(Bytes body);
// Errors: bad_input.
Result<ReplyHead> decode_reply_head(Bytes content);
enum class ReplyKind : uint8_t { operations, queries };
Result<Reply> decode_reply(Bytes content, ReplyKind kind);

// Bytes that the entry takes in a page.
size_t encoded_size(const AccountRecord& record);

}  // namespace millet
