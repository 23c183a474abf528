#include "ledger/server/service.h"

#include <algorithm>

namespace millet {
namespace {

constexpr Duration k_heartbeat = Duration::seconds(LedgerState::k_heartbeat_s);
constexpr Duration k_retry = Duration::seconds(1);  // after a failure of the store

int post_status(LedgerCode code) {
  switch (code) {
    case LedgerCode::done: return 200;
    case LedgerCode::unknown_path: return 404;
    case LedgerCode::too_large: return 413;
    case LedgerCode::busy:
    case LedgerCode::unavailable: return 503;
    default: return 400;
  }
}

LedgerCode code_of(const Error& malformed) { return malformed.code == Errc::no_room ? LedgerCode::too_large : LedgerCode::malformed; }

// Rows that answering reads, most of them.
constexpr size_t k_rows_of_proof = 16;
size_t rows_of(const Query& query) {
  if (std::holds_alternative<RecordsQuery>(query)) return 64;
  if (std::holds_alternative<ClosedQuery>(query)) return k_closed_page_max;
  if (std::holds_alternative<InclusionQuery>(query) || std::holds_alternative<ConsistencyQuery>(query)) return k_rows_of_proof;
  return 1;
}
size_t rows_of(const BatchItem& item) {
  size_t rows = 1;
  for (const Query& query : item.queries) rows += rows_of(query);
  if (!item.get) return rows;
  switch (item.get->kind) {
    case GetKind::records: return k_get_records_max;
    case GetKind::operation: return k_get_operation_steps_max;
    case GetKind::closed: return k_closed_page_max;
    case GetKind::inclusion:
    case GetKind::consistency: return k_rows_of_proof;
    default: return rows;
  }
}

size_t count_faucets(const std::vector<Operation>& operations) {
  return static_cast<size_t>(
      std::count_if(operations.begin(), operations.end(), [](const Operation& operation) { return asks_for_initial_balance(operation); }));
}

}  // namespace

LedgerService::LedgerService(const LedgerState& state, const PublicKey& key, LogSink& log)
    : ledger_(state.ledger()), key_(key), context_(state.check_context(state.opened_at())), tree_(state.opened_tree()), log_(log) {}

std::optional<uint64_t> LedgerService::begin(Bytes body) {
  bool full = ending_ || requests_.size() - refusals_ >= k_requests_max;
  if (full && refusals_ >= k_refusals_max) return std::nullopt;
  uint64_t id = ++last_request_;
  requests_[id].hash = blake2b_256(body);
  if (full) refuse(id, LedgerCode::busy);
  return id;
}

std::optional<uint64_t> LedgerService::on_oversized(Instant) {
  std::optional<uint64_t> id = begin({});
  if (id && !requests_[*id].refused) refuse(*id, LedgerCode::too_large);
  return id;
}

std::optional<uint64_t> LedgerService::on_request(Instant now, std::string_view method, std::string_view path, Bytes body,
                                                  const std::optional<IpAddress>& from) {
  if (body.size() > k_request_size_max) return on_oversized(now);
  std::optional<uint64_t> id = begin(body);
  if (!id) return id;
  Request& request = requests_[*id];
  request.from = from;
  if (request.refused) return id;
  auto decode = [&](auto decoder) {
    auto decoded = decoder(body);
    if (decoded) {
      check(*id, request, std::move(*decoded));
    } else {
      refuse(*id, code_of(decoded.error()));
    }
  };
  if (method == "POST" && path == "/v1/op") {
    decode(decode_operation_request);
  } else if (method == "POST" && path == "/v1/query") {
    decode(decode_query_request);
  } else {
    refuse(*id, LedgerCode::unknown_path);
  }
  return id;
}

std::optional<uint64_t> LedgerService::on_limited(Instant, Bytes body) {
  std::optional<uint64_t> id = begin(body);
  if (!id || requests_[*id].refused) return id;
  refuse(*id, LedgerCode::busy, true);
  return id;
}

std::optional<uint64_t> LedgerService::on_get(Instant now, std::string_view target, std::optional<std::string_view> authorization) {
  ParsedGet parsed = parse_get(target, authorization);
  bool full = ending_ || requests_.size() - refusals_ >= k_requests_max;
  if (full && refusals_ >= k_refusals_max) return std::nullopt;
  uint64_t id = ++last_request_;
  requests_[id].get = parsed.request;
  if (full || parsed.code != LedgerCode::done) {
    refuse(id, full ? LedgerCode::busy : parsed.code);
  } else if (parsed.request.token) {
    ++checking_;
    out_.push_back(CheckWork{id, context_, std::move(parsed.request), {}, 0});
  } else {
    BatchItem item;
    item.request = id;
    item.get = std::move(parsed.request);
    wait_for_batch(now, std::move(item));
    make_batch(now);
  }
  return id;
}

void LedgerService::check(uint64_t id, Request& request, OperationRequest body) {
  request.nonce = body.nonce;
  CheckWork work{id, context_, {}, {}, 0};
  work.context.from = request.from;
  size_t faucets = count_faucets(body.operations);
  if (faucets > 1) return refuse(id, LedgerCode::too_large);
  if (faucets == 1) {
    OperationId faucet = *find_faucet(body.operations);
    auto seen = std::find_if(faucet_seen_.begin(), faucet_seen_.end(), [&](const SeenFaucet& s) { return s.id == faucet; });
    if (seen != faucet_seen_.end()) {
      work.faucet_known = seen->code;
    } else if (faucet_checks_ >= k_faucet_checks_max) {
      return refuse(id, LedgerCode::busy);
    } else {
      request.faucet = faucet;
      ++faucet_checks_;
    }
  }
  for (size_t i = 0; i < body.operations.size(); ++i) {
    const PublicKey* account = new_account_of(body.operations[i]);
    if (account != nullptr && accounts_.contains(*account)) work.accounts_known |= uint64_t{1} << i;
  }
  work.body = std::move(body);
  ++checking_;
  out_.push_back(std::move(work));
}

void LedgerService::check(uint64_t id, Request& request, QueryRequest body) {
  request.nonce = body.nonce;
  request.asked_by = body.key;
  ++checking_;
  out_.push_back(CheckWork{id, context_, std::move(body), {}, 0});
}

void LedgerService::on_checked(Instant now, CheckedRequest checked) {
  auto found = requests_.find(checked.request);
  CHECK(found != requests_.end() && checking_ > 0);
  --checking_;
  Request& request = found->second;
  for (const BatchItem::CheckedOperation& op : checked.item.operations) {
    const PublicKey* account = op.checked == LedgerCode::done ? new_account_of(op.operation) : nullptr;
    if (account != nullptr) accounts_.add(*account);
  }
  if (request.faucet) {
    --faucet_checks_;
    for (const BatchItem::CheckedOperation& op : checked.item.operations) {
      // Out of memory for the moment says nothing about the solution; without a valid signature it may be anybody's.
      bool final = op.checked == LedgerCode::done || op.checked == LedgerCode::faucet_work;
      if (asks_for_initial_balance(op.operation) && final) faucet_seen_.push_back({*request.faucet, op.checked});
    }
    if (faucet_seen_.size() > k_faucet_seen_max) faucet_seen_.pop_front();
    request.faucet.reset();
  }
  if (checked.code != LedgerCode::done) {
    refuse(checked.request, checked.code);
  } else if (!is_within_limits(now, checked.item, request)) {
    refuse(checked.request, LedgerCode::busy, true);
  } else {
    checked.item.from = request.from;
    if (!ask_about_captcha(checked.item)) wait_for_batch(now, std::move(checked.item));
  }
  make_batch(now);
}

bool LedgerService::ask_about_captcha(BatchItem& item) {
  for (const Query& query : item.queries) {
    const auto* captcha = std::get_if<CaptchaQuery>(&query);
    if (captcha == nullptr || item.key.is_zero() || context_.captcha == CaptchaUse::off) continue;
    if (judged_.size() >= k_captchas_max) {
      item.captcha = LedgerCode::captcha_unavailable;
      return false;
    }
    out_.push_back(CaptchaWork{item.request, captcha->response, item.from});
    uint64_t request = item.request;
    judged_.emplace(request, std::move(item));
    return true;
  }
  return false;
}

void LedgerService::on_captcha(Instant now, uint64_t request, LedgerCode code) {
  auto found = judged_.find(request);
  CHECK(found != judged_.end());
  found->second.captcha = code;
  BatchItem item = std::move(found->second);
  judged_.erase(found);
  wait_for_batch(now, std::move(item));
  make_batch(now);
}

bool LedgerService::is_within_limits(Instant now, const BatchItem& item, Request& request) {
  if (item.get) return !item.get->token || limits_->take(now, item.get->token->key);
  if (!item.key.is_zero()) return limits_->take(now, item.key);
  for (const BatchItem::CheckedOperation& op : item.operations) {
    const PublicKey& signer = request.signers.emplace_back(operation_signer(op.operation));
    if (op.checked == LedgerCode::done && !limits_->has_room(now, signer)) return false;
  }
  return true;
}

void LedgerService::charge_signers(Instant now, const Request& request, const std::vector<OperationResult>& results,
                                   uint64_t first_record) {
  for (size_t i = 0; i < results.size() && i < request.signers.size(); ++i) {
    bool executed = results[i].ledger_code() == LedgerCode::done && results[i].record >= first_record;
    if (executed) limits_->charge(now, request.signers[i], 1);
  }
}

void LedgerService::wait_for_batch(Instant now, BatchItem item) {
  if (item.operations.empty()) return reads_.push_back(std::move(item));
  if (waiting_.empty()) gather_until_ = now + k_gather_max;
  operations_waiting_ += item.operations.size();
  waiting_.push_back(std::move(item));
}

bool LedgerService::is_gathering(Instant now) const {
  return !waiting_.empty() && checking_ > 0 && operations_waiting_ < k_gather_operations && now < gather_until_ && !tick_due(now);
}

void LedgerService::make_batch(Instant now) {
  if (batch_in_flight_) return;
  bool write = !waiting_.empty() && !is_gathering(now);
  bool last = ending_ && !final_batch_done_ && waiting_.empty() && reads_.empty();
  if (!write && reads_.empty() && !tick_due(now) && !last) return;
  LedgerBatch batch;
  batch.ticket = ++last_batch_;
  for (size_t operations = 0; write && !waiting_.empty(); waiting_.pop_front()) {
    size_t more = waiting_.front().operations.size();
    operations += more;
    if (operations > k_operations_per_batch_max && !batch.items.empty()) break;
    operations_waiting_ -= more;
    batch.items.push_back(std::move(waiting_.front()));
  }
  gather_until_ = now;  // what is left has waited for this one
  for (size_t rows = 0; !reads_.empty(); reads_.pop_front()) {
    bool first = rows == 0;
    rows += rows_of(reads_.front());
    if (rows > k_rows_per_batch_max && !first) break;
    batch.items.push_back(std::move(reads_.front()));
  }
  batch_in_flight_ = true;
  batch_since_ = now;
  next_tick_ = now + k_heartbeat;
  out_.push_back(std::move(batch));
}

void LedgerService::on_batch(Instant now, BatchOutcome outcome) {
  CHECK(batch_in_flight_ && outcome.ticket == last_batch_);
  batch_in_flight_ = false;
  if (outcome.time > context_.time) context_.time = outcome.time;
  const uint64_t first_record = tree_.size;  // of this batch
  if (outcome.tree.size > 0) tree_ = outcome.tree;
  if (!outcome.status) {
    if (!failing_) LogLine(log_, LogLevel::error, "ledger_store_failed").add("reason", outcome.status.error().reason);
    next_tick_ = earlier(next_tick_, now + k_retry);
  } else {
    if (failing_) LogLine(log_, LogLevel::info, "ledger_store_works_again");
    if (outcome.more_to_expire) next_tick_ = now;
  }
  failing_ = !outcome.status;
  if (ending_ && outcome.items.empty()) final_batch_done_ = true;
  for (ItemOutcome& item : outcome.items) {
    auto found = requests_.find(item.request);
    CHECK(found != requests_.end());
    if (found->second.get) {
      GetAnswer failed{LedgerCode::unavailable, false, context_.time, 0, {}, {}};
      out_.push_back(WriteWork{item.request, *found->second.get, item.got ? std::move(*item.got) : std::move(failed)});
      continue;
    }
    charge_signers(now, found->second, item.operations, first_record);
    Reply reply;
    reply.operations = std::move(item.operations);
    reply.queries = std::move(item.queries);
    reply.head.count = static_cast<uint8_t>(reply.operations.size() + reply.queries.size());
    seal(item.request, std::move(reply));
  }
  make_batch(now);
}

void LedgerService::refuse(uint64_t id, LedgerCode code, bool limited) {
  Request& request = requests_[id];
  request.refused = true;
  request.status = limited ? 429 : post_status(code);
  ++refusals_;
  if (request.get) {
    out_.push_back(WriteWork{id, *request.get, GetAnswer{code, limited, context_.time, 0, {}, {}}});
    return;
  }
  Reply reply;
  reply.head.code = static_cast<uint16_t>(code);
  seal(id, std::move(reply));
}

void LedgerService::seal(uint64_t id, Reply reply) {
  const Request& request = requests_[id];
  reply.head.request_hash = request.hash;
  reply.head.nonce = request.nonce;
  reply.head.ledger = ledger_;
  reply.head.key = key_;
  reply.head.time = context_.time;
  reply.head.tree = tree_;
  out_.push_back(SealWork{id, request.status, std::move(reply), request.asked_by});
}

void LedgerService::on_sealed(Instant, uint64_t id, std::vector<uint8_t> body) {
  auto found = requests_.find(id);
  CHECK(found != requests_.end());
  answer({id, found->second.status, std::move(body), {}});
}

void LedgerService::on_written(Instant, uint64_t id, HttpAnswer written) {
  Bytes body = as_bytes(written.body);
  answer({id, written.status, std::vector<uint8_t>(body.begin(), body.end()), std::move(written.signature)});
}

void LedgerService::answer(LedgerReply reply) {
  auto found = requests_.find(reply.request);
  CHECK(found != requests_.end());
  if (found->second.refused) --refusals_;
  requests_.erase(found);
  out_.push_back(std::move(reply));
}

void LedgerService::shut_down(Instant now) {
  if (ending_) return;
  ending_ = true;
  make_batch(now);
}

Instant LedgerService::next_deadline() const {
  if (batch_in_flight_) return Instant::never();
  return waiting_.empty() ? next_tick_ : earlier(next_tick_, gather_until_);
}

void LedgerService::on_timer(Instant now) { make_batch(now); }

bool LedgerService::poll(Output& out) {
  if (out_.empty()) return false;
  out = std::move(out_.front());
  out_.pop_front();
  return true;
}

}  // namespace millet
