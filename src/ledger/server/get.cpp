#include "ledger/server/get.h"

#include <charconv>

#include "ledger/common/address.h"

namespace millet {
namespace {

// Beyond k_valid_ahead_max_s, for queries and read tokens: the context's time may lag behind the one that the client has seen, and clocks
// differ.

struct Route {
  std::string_view prefix;
  bool has_name;            // a path component follows
  std::string_view suffix;  // and then this
  GetKind kind;
  std::string_view from;  // names of the parameters in the query
  std::string_view to;
};
constexpr Route k_routes[] = {
    {"/v1/params", false, "", GetKind::params, "", ""},
    {"/v1/time", false, "", GetKind::time, "", ""},
    {"/v1/supply", false, "", GetKind::supply, "", ""},
    {"/v1/pools", false, "", GetKind::pools, "", ""},
    {"/v1/accounts/", true, "", GetKind::account, "", ""},
    {"/v1/accounts/", true, "/closed", GetKind::closed, "after", ""},
    {"/v1/channels/", true, "", GetKind::channel, "", ""},
    {"/v1/policies/", true, "", GetKind::policy, "", ""},
    {"/v1/operations/", true, "", GetKind::operation, "from", ""},
    {"/v1/records", false, "", GetKind::records, "from", "limit"},
    {"/v1/tree", false, "", GetKind::tree, "", ""},
    {"/v1/tree/inclusion", false, "", GetKind::inclusion, "record", "size"},
    {"/v1/tree/consistency", false, "", GetKind::consistency, "from", "to"},
};

// The component between prefix and suffix; nothing if the path is another route's.
std::optional<std::string_view> match(const Route& route, std::string_view path) {
  if (!path.starts_with(route.prefix) || !path.ends_with(route.suffix)) return std::nullopt;
  if (path.size() < route.prefix.size() + route.suffix.size()) return std::nullopt;
  std::string_view name = path.substr(route.prefix.size(), path.size() - route.prefix.size() - route.suffix.size());
  if (name.find('/') != std::string_view::npos || name.empty() == route.has_name) return std::nullopt;
  return name;
}

// A public key, or an address.
std::optional<PublicKey> parse_account(std::string_view text) {
  auto key = PublicKey::from_hex(text);
  if (!key) key = parse_address(text);
  if (!key) return std::nullopt;
  return *key;
}

bool parse_number(std::string_view text, uint64_t& out) {
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && failure == std::errc() && end == text.data() + text.size();
}

bool parse_parameters(const Route& route, std::string_view query, GetRequest& out) {
  bool seen_from = false;
  bool seen_to = false;
  while (!query.empty()) {
    size_t end = query.find('&');
    std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string_view::npos) return false;
    std::string_view name = pair.substr(0, equals);
    bool is_from = name == route.from;
    if (!is_from && name != route.to) return false;
    bool& seen = is_from ? seen_from : seen_to;
    if (seen || !parse_number(pair.substr(equals + 1), is_from ? out.from : out.to)) return false;
    seen = true;
  }
  return true;
}

// The account of the path, the channel or the policy.
bool parse_name(std::string_view name, GetRequest& out) {
  if (out.kind == GetKind::channel) {
    auto id = ChannelId::from_hex(name);
    if (id) out.channel = *id;
    return id.has_value();
  }
  if (out.kind == GetKind::policy) {
    auto id = OperationId::from_hex(name);
    if (id) out.policy = *id;
    return id.has_value();
  }
  if (out.kind == GetKind::operation) {
    auto id = OperationId::from_hex(name);
    if (id) out.operation = *id;
    return id.has_value();
  }
  std::optional<PublicKey> account = parse_account(name);
  if (account) out.account = *account;
  return account.has_value();
}

bool needs_token(GetKind kind) {
  return kind == GetKind::account || kind == GetKind::closed || kind == GetKind::channel || kind == GetKind::operation;
}

template <typename Q>
Result<GetAnswer> ask(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const Q& query) {
  TRY_ASSIGN(QueryResult result, answer_query(store, context, key, query));
  GetAnswer answer;
  answer.code = result.code;
  if (auto* params = std::get_if<LedgerParams>(&result.body)) answer.body = *params;
  if (auto* balance = std::get_if<Balance>(&result.body)) answer.body = *balance;
  if (auto* channel = std::get_if<ChannelState>(&result.body)) answer.body = *channel;
  if (auto* policy = std::get_if<PolicyState>(&result.body)) answer.body = *policy;
  if (auto* closed = std::get_if<ClosedPage>(&result.body)) answer.body = std::move(*closed);
  return answer;
}

Error damaged_record(uint64_t record) { return error(Errc::io, "the ledger's log is damaged: record " + std::to_string(record)); }

Result<LoggedRecord> read_record(StoreTransaction& store, uint64_t index) {
  TRY_ASSIGN(std::optional<Bytes> bytes, store.get(k_table_log, log_key(index)));
  if (!bytes) return damaged_record(index);
  LoggedRecord out;
  out.bytes.assign(bytes->begin(), bytes->end());
  Result<LogRecord> record = decode_record(out.bytes);
  if (!record) return damaged_record(index);
  out.record = std::move(record).value();
  return out;
}

Result<GetAnswer> answer_records(StoreTransaction& store, const QueryContext& context, const GetRequest& request) {
  uint64_t limit = request.to == 0 ? k_get_records_default : std::min(request.to, k_get_records_max);
  LoggedPage page;
  for (uint64_t index = request.from; index < context.row.records && page.records.size() < limit; ++index) {
    TRY_ASSIGN(LoggedRecord record, read_record(store, index));
    page.records.push_back(std::move(record));
  }
  GetAnswer answer;
  answer.body = std::move(page);
  return answer;
}

Result<GetAnswer> answer_pools(StoreTransaction& store, const QueryContext& context) {
  GetAnswer answer;
  TRY_ASSIGN(answer.body, read_pools(store, context.row.time));
  return answer;
}

Result<GetAnswer> answer_proof(StoreTransaction& store, const QueryContext& context, const GetRequest& request) {
  uint64_t size = request.to == 0 ? context.row.records : request.to;
  bool inclusion = request.kind == GetKind::inclusion;
  GetAnswer answer;
  if (size > context.row.records || (inclusion ? request.from >= size : request.from > size)) {
    answer.code = LedgerCode::beyond_log;
    return answer;
  }
  LogTreeReader tree(store);
  TreeProof proof{request.from, size, {}, {}};
  if (inclusion) {
    TRY_ASSIGN(proof.leaf, tree.node(0, request.from));
    TRY_ASSIGN(proof.path, inclusion_path(tree, request.from, size));
  } else {
    TRY_ASSIGN(proof.path, consistency_path(tree, request.from, size));
  }
  answer.body = std::move(proof);
  return answer;
}

// The record of one of the account's operations, searched along the account's records from the newest one (or `from`) back. There is no
// index by operation: it would cost every operation a page of the disk.
Result<GetAnswer> answer_operation(StoreTransaction& store, const QueryContext& context, GetRequest request) {
  GetAnswer answer;
  answer.code = LedgerCode::beyond_log;
  TRY_ASSIGN(std::optional<AccountRow> account, read_row<AccountRow>(store, k_table_accounts, request.token->key.bytes()));
  uint64_t next = request.from != 0 ? request.from : account.value_or(AccountRow()).last_record;
  for (uint64_t steps = 0; steps < k_get_operation_steps_max && next < context.row.records; ++steps) {
    TRY_ASSIGN(LoggedRecord logged, read_record(store, next));
    const TouchedAccount* touched = logged.record.of(request.token->key);
    if (touched == nullptr) return answer;
    if (logged.record.head.operation == request.operation) {
      request.kind = GetKind::inclusion;
      request.from = next;
      return answer_proof(store, context, request);
    }
    next = touched->previous;
  }
  return answer;
}

Result<GetAnswer> answer_body(StoreTransaction& store, const QueryContext& context, const GetRequest& request) {
  const PublicKey asking = request.token ? request.token->key : PublicKey();
  switch (request.kind) {
    case GetKind::params: return ask(store, context, asking, ParamsQuery{});
    case GetKind::account: return ask(store, context, asking, BalanceQuery{});
    case GetKind::closed: return ask(store, context, asking, ClosedQuery{request.from});
    case GetKind::channel: return ask(store, context, asking, ChannelQuery{request.channel});
    case GetKind::policy: return ask(store, context, asking, PolicyQuery{request.policy});
    case GetKind::records: return answer_records(store, context, request);
    case GetKind::pools: return answer_pools(store, context);
    case GetKind::inclusion:
    case GetKind::consistency: return answer_proof(store, context, request);
    case GetKind::operation: return answer_operation(store, context, request);
    case GetKind::supply: {
      GetAnswer answer;
      answer.body = LedgerSupply{context.row.accounts_sum, context.row.escrow_sum};
      return answer;
    }
    case GetKind::time:
    case GetKind::tree: break;
  }
  return GetAnswer{};
}

}  // namespace

ParsedGet parse_get(std::string_view target, std::optional<std::string_view> authorization) {
  ParsedGet out;
  out.request.target = std::string(target);
  size_t question = target.find('?');
  std::string_view query = question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  out.code = LedgerCode::unknown_path;
  for (const Route& route : k_routes) {
    std::optional<std::string_view> name = match(route, target.substr(0, question));
    if (!name) continue;
    out.request.kind = route.kind;
    bool good = (!route.has_name || parse_name(*name, out.request)) && parse_parameters(route, query, out.request);
    out.code = good ? LedgerCode::done : LedgerCode::malformed;
    break;
  }
  if (out.code != LedgerCode::done || !needs_token(out.request.kind)) return out;
  Result<ReadToken> token = parse_read_token(authorization.value_or(""));
  if (!token) {
    out.code = LedgerCode::bad_signature;
    return out;
  }
  // About somebody else: what would be answered does not depend on whether that account exists.
  bool names_account = out.request.kind == GetKind::account || out.request.kind == GetKind::closed;
  if (names_account && token->key != out.request.account) out.code = LedgerCode::not_a_party;
  out.request.token = *token;
  return out;
}

LedgerCode check_get(const CheckContext& context, const GetRequest& request) {
  if (!request.token) return LedgerCode::done;
  const ReadToken& token = *request.token;
  if (context.time >= token.valid_until) return LedgerCode::too_late;
  if (token.valid_until > context.time.plus_seconds(k_valid_ahead_max_s + k_clock_tolerance_s)) return LedgerCode::too_early;
  bool good = verify(token.key, preimage(ReadStatement{context.ledger, token.key, token.valid_until}), token.signature);
  return good ? LedgerCode::done : LedgerCode::bad_signature;
}

Result<GetAnswer> answer_get(StoreTransaction& store, const QueryContext& context, const GetRequest& request) {
  TRY_ASSIGN(GetAnswer answer, answer_body(store, context, request));
  answer.time = context.row.time;
  answer.records = context.row.records;
  answer.root = context.row.root;
  return answer;
}

}  // namespace millet
