#include "node/ledger_link.h"

#include <algorithm>

#include "ledger/common/head_text.h"

namespace millet {
namespace {

// How long a signed query may be on its way, by the ledger's clock: a bound on replays.
constexpr uint64_t k_query_valid_s = 300;
// Signatures that the watch asks for; the client's tickets count from 1.
constexpr LedgerClient::Ticket k_watch_ticket = LedgerClient::Ticket{1} << 63;

speed::LedgerOutcome outcome_of(LedgerCode code) {
  switch (code) {
    case LedgerCode::done: return speed::LedgerOutcome::done;
    case LedgerCode::busy:
    case LedgerCode::unavailable: return speed::LedgerOutcome::unavailable;
    case LedgerCode::unknown_channel: return speed::LedgerOutcome::unknown_channel;
    case LedgerCode::channel_closed:
    case LedgerCode::channel_expired: return speed::LedgerOutcome::channel_ended;
    case LedgerCode::insufficient: return speed::LedgerOutcome::insufficient;
    case LedgerCode::too_late: return speed::LedgerOutcome::too_late;
    default: return speed::LedgerOutcome::refused;
  }
}

// An operation of the ledger's API from an engine's request; nothing if the request is a query.
std::optional<Operation> operation_of(const speed::LedgerRequest& request) {
  if (const auto* open = std::get_if<speed::OpenChannel>(&request)) {
    OpenOperation out;
    out.statement = open->terms;
    out.signature = open->signature;
    return out;
  }
  if (const auto* close = std::get_if<speed::CloseChannel>(&request)) {
    return CloseOperation{close->statement, close->payer, close->payee, close->payer_signature, close->signature};
  }
  if (const auto* claim = std::get_if<speed::ClaimChannel>(&request)) {
    return ClaimOperation{claim->statement, claim->payer, claim->payee, claim->payer_signature, claim->signature};
  }
  return std::nullopt;
}

void take_operation_result(const OperationResult& result, speed::LedgerReply& out) {
  out.outcome = outcome_of(result.ledger_code());
  out.claimed = result.paid;
  if (out.outcome != speed::LedgerOutcome::done) out.reason = ledger_code_name(result.ledger_code());
}

void take_query_result(const QueryResult& result, speed::LedgerReply& out) {
  out.outcome = outcome_of(result.code);
  if (out.outcome != speed::LedgerOutcome::done) {
    out.reason = ledger_code_name(result.code);
    return;
  }
  if (const auto* channel = std::get_if<ChannelState>(&result.body)) {
    out.terms = channel->terms;
    out.open = static_cast<ChannelStatusCode>(channel->status) == ChannelStatusCode::open;
    out.effective_expiry = channel->effective_expiry;
    out.claimed = channel->claimed;
  } else if (const auto* balance = std::get_if<Balance>(&result.body)) {
    out.available = balance->available;
    out.fund = balance->fund;
  } else {
    out.outcome = speed::LedgerOutcome::unavailable;
    out.reason = "the ledger answered another question";
  }
}

}  // namespace

LedgerLink::LedgerLink(const Options& options, SecureRandom& random, LogSink& log)
    : options_(options), log_(log), client_(options.ledger_key, options.own_key, random) {
  while (!options_.url.empty() && options_.url.back() == '/') options_.url.pop_back();
  if (!options_.ledger) return;
  client_.set_ledger(*options_.ledger);
  make_watch(*options_.ledger);
}

void LedgerLink::make_watch(const LedgerId& ledger) {
  watch_.emplace(LedgerWatch::Identity{ledger, options_.ledger_key, options_.own_key}, log_);
}

Status LedgerLink::restore_watch(Bytes key, Bytes value) {
  CHECK(watch_.has_value());
  return watch_->restore(key, value);
}

void LedgerLink::on_gossip(Instant now, Bytes head) {
  Result<SignedTreeHead> decoded = decode_fields<SignedTreeHead>(head);
  if (!watch_ || !decoded) return;
  watch_->on_gossip(now, *decoded);
  drain(now);
}

void LedgerLink::begin_check(Instant now, const std::vector<Query>& queries) {
  watch_call_ = ++last_call_;
  client_.query(*watch_call_, queries, ledger_time(now).plus_seconds(k_query_valid_s));
}

void LedgerLink::start(Instant now) { hello(now); }

void LedgerLink::hello(Instant now) {
  hello_at_ = Instant::never();
  hello_call_ = ++last_call_;
  client_.query_params(*hello_call_);
  drain(now);
}

void LedgerLink::on_timer(Instant now) {
  if (hello_at_ <= now) hello(now);
  if (watch_ && watch_->next_deadline() <= now) watch_->on_timer(now);
  drain(now);
}

void LedgerLink::call(Instant now, const speed::LedgerCall& call) {
  if (waiting_.size() >= k_waiting_max) {
    speed::LedgerReply reply;
    reply.reason = "too many calls wait for the ledger";
    out_.push_back(Answer{call.ticket, std::move(reply)});
    return;
  }
  waiting_.push_back({call.ticket, call.request});
  begin_waiting(now);
  drain(now);
}

void LedgerLink::begin_waiting(Instant now) {
  // Before the ledger has introduced itself nobody knows for which ledger to sign.
  while (introduced_ && !waiting_.empty() && calls_.size() < k_calls_max) {
    LedgerCallId id = ++last_call_;
    Call& call = calls_.emplace(id, std::move(waiting_.front())).first->second;
    waiting_.pop_front();
    begin(now, id, call);
  }
}

void LedgerLink::begin(Instant now, LedgerCallId id, const Call& call) {
  if (std::optional<Operation> operation = operation_of(call.request)) return client_.submit(id, {*operation});
  LedgerTime valid_until = ledger_time(now).plus_seconds(k_query_valid_s);
  if (const auto* channel = std::get_if<speed::QueryChannel>(&call.request)) {
    ChannelQuery query;
    query.channel = channel->channel;
    return client_.query(id, {query}, valid_until);
  }
  client_.query(id, {BalanceQuery{}}, valid_until);
}

void LedgerLink::on_signed(Instant now, LedgerClient::Ticket ticket, const Signature& signature) {
  client_.on_signed(ticket, signature);
  drain(now);
}

void LedgerLink::on_verified(Instant now, LedgerClient::Ticket ticket, bool valid) {
  if ((ticket & k_watch_ticket) == 0) {
    client_.on_verified(ticket, valid);
  } else if (watch_) {
    watch_->on_verified(now, ticket & ~k_watch_ticket, valid);
  }
  drain(now);
}

void LedgerLink::on_reply(Instant now, LedgerClient::Ticket ticket, Result<std::vector<uint8_t>> body,
                          std::optional<LedgerTime> tls_not_after) {
  client_.on_reply(ticket, std::move(body), tls_not_after);
  drain(now);
}

void LedgerLink::drain(Instant now) {
  if (draining_) return;
  draining_ = true;
  while (drain_client(now) || drain_watch(now)) {
  }
  draining_ = false;
}

bool LedgerLink::drain_watch(Instant now) {
  bool any = false;
  LedgerWatch::Output out;
  while (watch_ && watch_->poll(out)) {
    any = true;
    if (auto* ask = std::get_if<LedgerWatch::Ask>(&out)) {
      begin_check(now, ask->queries);
    } else if (auto* check = std::get_if<LedgerWatch::Verify>(&out)) {
      out_.push_back(LedgerClient::VerifyBytes{check->ticket | k_watch_ticket, check->key, std::move(check->message), check->signature});
    } else if (auto* kept = std::get_if<LedgerWatch::Keep>(&out)) {
      out_.push_back(std::move(*kept));
    } else if (auto* head = std::get_if<LedgerWatch::NewHead>(&out)) {
      out_.push_back(*head);
    } else if (auto* alarm = std::get_if<LedgerWatch::Alarm>(&out)) {
      out_.push_back(std::move(*alarm));
    }
  }
  return any;
}

bool LedgerLink::drain_client(Instant now) {
  bool any = false;
  LedgerClient::Output out;
  while (client_.poll(out)) {
    any = true;
    if (auto* answer = std::get_if<LedgerClient::LedgerAnswer>(&out)) {
      on_answer(now, *answer);
    } else if (auto* post = std::get_if<LedgerClient::PostBody>(&out)) {
      out_.push_back(Post{post->ticket, options_.url + post->path, std::move(post->body), pin(now)});
    } else if (auto* sign = std::get_if<LedgerClient::SignBytes>(&out)) {
      out_.push_back(std::move(*sign));
    } else if (auto* verify = std::get_if<LedgerClient::VerifyBytes>(&out)) {
      out_.push_back(std::move(*verify));
    }
  }
  return any;
}

// Before the first answer the time is not known: that answer is checked against the certificate.
LedgerPin LedgerLink::pin(Instant now) const {
  return {options_.ledger_key, client_.ledger(), introduced_ ? ledger_time(now) : LedgerTime()};
}

LedgerTime LedgerLink::ledger_time(Instant now) const {
  int64_t passed = (now - told_at_).in_seconds();
  return told_.plus_seconds(passed > 0 ? static_cast<uint64_t>(passed) : 0);
}

// One log line each time that the ledger comes or goes, not one per call.
void LedgerLink::note(const LedgerClient::LedgerAnswer& answer) {
  const Result<Reply>& reply = answer.reply;
  if (reply) {
    if (!reached_) LogLine(log_, LogLevel::info, "ledger_reached").add("url", options_.url).add("ledger_id", reply->head.ledger.hex());
    reached_ = true;
    trouble_.clear();
    return;
  }
  if (trouble_ != reply.error().reason) {
    LogLine(log_, LogLevel::warn, "ledger_unreachable")
        .add("url", options_.url)
        .add("reason", reply.error().reason)
        .add("meanwhile", "seeding goes on, paid only over channels that are open; the ledger is asked again by itself");
  }
  reached_ = false;
  trouble_ = reply.error().reason;
}

// The ledger's clock was set: the same query once more, by its new time. True if the answer is that of the repetition.
bool LedgerLink::repeat(Instant now, const LedgerClient::LedgerAnswer& answer, Call& call) {
  bool wrong_time = answer.refused == LedgerCode::too_late || answer.refused == LedgerCode::too_early;
  if (!wrong_time || call.repeated) return false;
  call.repeated = true;
  begin(now, answer.call, call);
  return true;
}

void LedgerLink::on_answer(Instant now, const LedgerClient::LedgerAnswer& answer) {
  LedgerCallId id = answer.call;
  const Result<Reply>& reply = answer.reply;
  if (answer.time) {
    told_ = *answer.time;
    told_at_ = now;
  }
  auto found = calls_.find(id);
  if (found != calls_.end() && repeat(now, answer, found->second)) return;
  note(answer);
  if (watch_ && reply) watch_->on_told(now, reply->head.tree);
  if (watch_ && watch_call_ == id) {
    watch_call_.reset();
    if (!reply) return watch_->on_answer(now, reply.error());
    return watch_->on_answer(now, QueryExchange{answer.request, answer.signed_reply});
  }
  if (hello_call_ == id) {
    hello_call_.reset();
    const LedgerParams* params = reply && !reply->queries.empty() ? std::get_if<LedgerParams>(&reply->queries[0].body) : nullptr;
    if (params == nullptr) {
      hello_at_ = now + hello_retry_;
      hello_retry_ = std::min(hello_retry_ * 2, k_hello_retry_max);
      return;
    }
    introduced_ = true;
    if (!watch_) make_watch(reply->head.ledger);
    watch_->start(now);
    out_.push_back(Introduced{reply->head.ledger, reply->head.time, *params});
    begin_waiting(now);
    return;
  }
  if (found == calls_.end()) return;
  speed::LedgerReply out;
  if (reply) {
    out = translate(found->second, *reply);
    std::optional<Operation> operation = operation_of(found->second.request);
    if (operation && reply->operations.size() == 1) watch_->on_result(now, *operation, reply->operations[0]);
  } else {
    // An answer that the ledger signed and that calls the request wrong is final; anything else may be better the next time.
    bool final = reply.error().code == Errc::bad_input;
    out.outcome = final ? speed::LedgerOutcome::refused : speed::LedgerOutcome::unavailable;
    out.reason = reply.error().reason;
    out.time = answer.time.value_or(LedgerTime());
  }
  out_.push_back(Answer{found->second.ticket, std::move(out)});
  calls_.erase(found);
  begin_waiting(now);
}

speed::LedgerReply LedgerLink::translate(const Call& call, const Reply& reply) const {
  speed::LedgerReply out;
  out.time = reply.head.time;
  bool is_operation = operation_of(call.request).has_value();
  if (is_operation && reply.operations.size() == 1) {
    take_operation_result(reply.operations[0], out);
  } else if (!is_operation && reply.queries.size() == 1) {
    take_query_result(reply.queries[0], out);
  } else {
    out.reason = "the ledger's reply has not one result";
  }
  return out;
}

bool LedgerLink::poll(Output& out) {
  if (out_.empty()) return false;
  out = std::move(out_.front());
  out_.pop_front();
  return true;
}

std::string LedgerLink::head_text() const {
  if (!watch_ || !watch_->head() || !client_.ledger()) return "";
  return write_head_text({*client_.ledger(), *watch_->head()});
}

std::string LedgerLink::state() const {
  if (watch_ && !watch_->alarm().empty()) return "not trusted: " + watch_->alarm();
  if (!trouble_.empty()) return "unreachable: " + trouble_;
  return reached_ ? "reachable" : "unknown";
}

}  // namespace millet
