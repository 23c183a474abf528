// `GET /v1/...`: the ledger as JSON, for people and for programs of others (API.md, openapi.json). Reads only. What belongs to an account
// needs a token that the account signed; everything else is for everybody.
//
//   parse_get -> check_get (worker) -> answer_get (store's thread) -> write_get (worker)
//
// Every answer is signed by the ledger, as replies of the binary protocol are, but has no nonce: its time says how old it is.
#pragma once

#include <string>

#include "ledger/common/read_token.h"
#include "ledger/server/genesis.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/queries.h"

namespace millet {

inline constexpr uint64_t k_get_records_max = 100;  // of one page; some 60 KiB of JSON
inline constexpr uint64_t k_get_records_default = 20;
inline constexpr uint64_t k_get_operation_steps_max = 1000;  // records of an account that are searched for an operation: some milliseconds

enum class GetKind : uint8_t {
  params,
  time,
  supply,
  pools,
  account,
  closed,
  channel,
  policy,
  records,
  tree,
  inclusion,
  consistency,
  operation,
};

struct GetRequest {
  GetKind kind = GetKind::params;
  std::string target;  // as it came: the answer's signature names it
  PublicKey account;
  ChannelId channel;
  OperationId policy;
  OperationId operation;
  uint64_t from = 0;  // after, from, record
  uint64_t to = 0;    // limit, size, to; 0: not given
  std::optional<ReadToken> token;
};

// What is asked for. The code is done, or says why it can't be.
struct ParsedGet {
  LedgerCode code = LedgerCode::done;
  GetRequest request;
};
ParsedGet parse_get(std::string_view target, std::optional<std::string_view> authorization);

// Whether the token, if there is one, is valid.
LedgerCode check_get(const CheckContext& context, const GetRequest& request);

struct LedgerSupply {
  Amount in_accounts;
  Amount in_channels;
};
struct LoggedRecord {
  LogRecord record;
  std::vector<uint8_t> bytes;  // as in the log
};
struct LoggedPage {
  std::vector<LoggedRecord> records;
};
struct TreeProof {
  uint64_t first = 0;
  uint64_t size = 0;
  Hash32 leaf{};  // of an inclusion
  MerklePath path;
};

struct GetAnswer {
  LedgerCode code = LedgerCode::done;
  bool limited = false;  // the sender asked too much
  LedgerTime time;
  uint64_t records = 0;  // in the log
  Hash32 root{};         // of its tree
  std::variant<std::monostate, LedgerParams, Balance, ChannelState, ClosedPage, LedgerSupply, std::vector<PoolState>, PolicyState,
               LoggedPage, TreeProof>
      body;
};
// Errors: of the store.
Result<GetAnswer> answer_get(StoreTransaction& store, const QueryContext& context, const GetRequest& request);

// An answer as it goes out.
struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string signature;  // hexadecimal, over AnswerStatement
};
// What is signed of an answer.
struct AnswerStatement {
  static constexpr std::string_view k_tag = "BTT1JSON";
  LedgerId ledger;
  Hash32 target_hash{};  // BLAKE2b-256 of the request's target
  uint16_t status = 0;
  Hash32 body_hash{};
  static constexpr auto k_fields =
      field_list(field("ledger", &AnswerStatement::ledger), field("target_hash", &AnswerStatement::target_hash),
                      field("status", &AnswerStatement::status), field("body_hash", &AnswerStatement::body_hash));
};
HttpAnswer write_get(const SigningKey& key, const LedgerId& ledger, const GetRequest& request, const GetAnswer& answer);

}  // namespace millet
