#include "driver/ledgerd_driver.h"

#include <algorithm>
#include <utility>

namespace millet {
namespace {

constexpr std::string_view k_json = "application/json";
constexpr std::string_view k_text = "text/plain";
constexpr std::string_view k_retry_after = "Retry-After: 1\r\n";
// What a handshake costs beside a request: a connection that is opened for each is dear.
constexpr uint64_t k_handshake_requests = 8;
// Nothing to be signed: they say nothing about the ledger.
constexpr std::string_view k_too_many =
    "{\"error\":{\"code\":\"busy\",\"number\":4,\"message\":\"too many requests from your address; come back in a second\"}}\n";
constexpr std::string_view k_not_public =
    "{\"error\":{\"code\":\"not_a_party\",\"number\":26,\"message\":\"the ledger shows this on its own machine only, unless its operator "
    "says otherwise\"}}\n";
constexpr std::string_view k_wrong_method = "{\"error\":{\"code\":\"malformed\",\"number\":1,\"message\":\"only GET and POST\"}}\n";

}  // namespace

class LedgerdDriver::CheckJob final : public hal::Job {
 public:
  CheckJob(LedgerdDriver& driver, CheckWork work, size_t operations) : driver_(driver), work_(std::move(work)), operations_(operations) {}
  void run() override { checked_ = run_check(std::move(work_)); }
  void done() override {
    driver_.checking_ -= operations_;
    driver_.start_checks();
    driver_.service_.on_checked(driver_.system_.clock.now(), std::move(checked_));
    driver_.settle();
  }

 private:
  LedgerdDriver& driver_;
  CheckWork work_;
  const size_t operations_;
  CheckedRequest checked_;
};

class LedgerdDriver::BatchJob final : public hal::Job {
 public:
  BatchJob(LedgerdDriver& driver, LedgerBatch batch, LedgerTime wall, bool sync_witness)
      : driver_(driver), batch_(std::move(batch)), wall_(wall), sync_witness_(sync_witness) {}
  void run() override {
    outcome_ = driver_.state_.apply(batch_, wall_);
    if (driver_.witness_ != nullptr && outcome_.tree.size != 0) noted_ = driver_.witness_->note(outcome_.tree, sync_witness_);
    // What is not noted is not told: after a restore nobody could see that it is missing. Whoever asks again gets its first result.
    if (!noted_) outcome_ = unavailable_outcome(batch_, noted_);
  }
  void done() override {
    driver_.on_witness(noted_);
    ++driver_.metrics_.batches;
    if (!outcome_.status) ++driver_.metrics_.failed_batches;
    driver_.service_.on_batch(driver_.system_.clock.now(), std::move(outcome_));
    driver_.settle();
  }

 private:
  LedgerdDriver& driver_;
  LedgerBatch batch_;
  LedgerTime wall_;
  bool sync_witness_;
  Status noted_ = ok;
  BatchOutcome outcome_;
};

class LedgerdDriver::SealJob final : public hal::Job {
 public:
  SealJob(LedgerdDriver& driver, SealWork work) : driver_(driver), request_(work.request), work_(std::move(work)) {}
  void run() override { body_ = run_seal(driver_.key_, std::move(work_)); }
  void done() override {
    driver_.service_.on_sealed(driver_.system_.clock.now(), request_, std::move(body_));
    driver_.settle();
  }

 private:
  LedgerdDriver& driver_;
  uint64_t request_;
  SealWork work_;
  std::vector<uint8_t> body_;
};

class LedgerdDriver::WriteJob final : public hal::Job {
 public:
  WriteJob(LedgerdDriver& driver, WriteWork work) : driver_(driver), work_(std::move(work)) {}
  void run() override { answer_ = write_get(driver_.key_, driver_.state_.ledger(), work_.get, work_.answer); }
  void done() override {
    driver_.service_.on_written(driver_.system_.clock.now(), work_.request, std::move(answer_));
    driver_.settle();
  }

 private:
  LedgerdDriver& driver_;
  const WriteWork work_;
  HttpAnswer answer_;
};

LedgerdDriver::LedgerdDriver(hal::System& system, LedgerState& state, const SigningKey& key, LogSink& log)
    : system_(system), state_(state), key_(key), log_(log), service_(state, key.public_key(), log), streams_(system, *this),
      http_(streams_, *this, k_request_size_max) {
  system_.streams.set_events(&streams_);
  system_.loop.set_events(this);
}

LedgerdDriver::~LedgerdDriver() {
  system_.streams.set_events(nullptr);
  system_.loop.set_events(nullptr);
}

Result<Endpoint> LedgerdDriver::start(const Endpoint& listen) {
  TRY_ASSIGN(Endpoint got, system_.streams.listen(k_listener, listen));
  service_.on_timer(system_.clock.now());  // the first batch says how long the ledger was out
  settle();
  return got;
}

Result<Endpoint> LedgerdDriver::listen_tls(const Endpoint& listen, uint64_t key_life_s) {
  CHECK(key_life_s >= 2);
  tls_key_life_s_ = key_life_s;
  TRY(renew_tls_key());
  return streams_.listen(k_tls_listener, listen);
}

Status LedgerdDriver::renew_tls_key() {
  LedgerTime not_after = service_.time().plus_seconds(tls_key_life_s_);
  tls_renew_at_ = service_.time().plus_seconds(tls_key_life_s_ / 2);
  TRY_ASSIGN(std::unique_ptr<TlsContext> context, make_tls_server(key_, state_.ledger(), not_after, system_.random));
  TRY_ASSIGN(TlsPeer shown, read_certificate(context->certificate()));
  LogLine(log_, LogLevel::info, "tls_key").add("sha256", to_hex(shown.public_key_hash)).add("not_after", not_after.in_seconds());
  streams_.serve(k_tls_listener, std::move(context));
  return ok;
}

void LedgerdDriver::on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) {
  Instant now = system_.clock.now();
  if (listener == k_tls_listener && !service_.limits().take(now, remote.address, k_handshake_requests)) return streams_.close(stream);
  http_.on_accepted(now, stream, remote);
  settle();
}

void LedgerdDriver::on_connected(hal::StreamId stream) {
  if (captcha_ && captcha_->http().on_connected(system_.clock.now(), stream)) settle();
}

void LedgerdDriver::on_received(hal::StreamId stream, Bytes bytes) {
  Instant now = system_.clock.now();
  if (!captcha_ || !captcha_->http().on_received(now, stream, bytes)) http_.on_received(now, stream, bytes);
  settle();
}

void LedgerdDriver::on_writable(hal::StreamId stream) {
  Instant now = system_.clock.now();
  if (!captcha_ || !captcha_->http().on_writable(now, stream)) http_.on_writable(now, stream);
  settle();
}

void LedgerdDriver::on_closed(hal::StreamId stream, const Error& reason) {
  if (!captcha_ || !captcha_->http().on_closed(system_.clock.now(), stream, reason)) http_.on_closed(stream);
  settle();
}

void LedgerdDriver::on_http_request(hal::StreamId stream, std::string_view method, std::string_view target, Bytes body) {
  Instant now = system_.clock.now();
  std::string_view path = target.substr(0, target.find('?'));
  if (answer_here(now, stream, method, path)) return;
  bool limited = !service_.limits().take(now, http_.remote(stream), method == "POST" ? check_cost(path, body) : 1);
  if (method == "GET") {
    ++metrics_.gets;
    if (limited) return answer_text(now, stream, 429, k_json, k_too_many);
    return expect_reply(stream, service_.on_get(now, target, http_.request_header(stream, "authorization")));
  }
  ++(path == "/v1/op" ? metrics_.operations : path == "/v1/query" ? metrics_.queries : metrics_.others);
  expect_reply(stream, limited ? service_.on_limited(now, body) : service_.on_request(now, method, path, body, http_.remote(stream)));
}

// From a loopback address and under a name of it. A web page that has its own name resolve to 127.0.0.1 (DNS rebinding) asks under that
// name, and a proxy beside the ledger under the one that the world knows.
bool LedgerdDriver::is_asked_on_this_machine(hal::StreamId stream) const {
  if (!http_.remote(stream).is_loopback()) return false;
  std::string_view host = http_.request_header(stream, "host").value_or("localhost");
  bool literal_v6 = host.starts_with('[');
  if (literal_v6) host.remove_prefix(1);
  host = host.substr(0, host.find(literal_v6 ? ']' : ':'));
  Result<IpAddress> address = IpAddress::parse(host);
  return host == "localhost" || (address && address->is_loopback());
}

bool LedgerdDriver::answer_here(Instant now, hal::StreamId stream, std::string_view method, std::string_view path) {
  if (method != "GET" && method != "POST") {
    ++metrics_.others;
    // The answer to HEAD has no body (RFC 9110, 9.3.2): who does not expect one would take it for the next answer.
    answer_text(now, stream, 405, k_json, method == "HEAD" ? std::string_view() : k_wrong_method);
  } else if (method == "GET" && path == "/healthz") {
    answer_text(now, stream, 200, k_text, "alive\n");
  } else if (method == "GET" && path == "/readyz") {
    bool ready = service_.is_ready(now);
    answer_text(now, stream, ready ? 200 : 503, k_text, ready ? "ready\n" : "the store fails or does not answer, or the ledger ends\n");
  } else if (method == "GET" && !is_asked_on_this_machine(stream) &&
             ((path == "/metrics" && !public_.metrics) || (path == "/v1/records" && !public_.records))) {
    answer_text(now, stream, 403, k_json, k_not_public);
  } else if (method == "GET" && path == "/metrics") {
    answer_text(now, stream, 200, "text/plain; version=0.0.4", write_metrics(metrics_, gauges()));
  } else {
    return false;
  }
  return true;
}

void LedgerdDriver::answer_text(Instant now, hal::StreamId stream, int status, std::string_view type, std::string_view text) {
  metrics_.add_answer(status, Duration());
  std::string_view headers = status == 429 ? k_retry_after : status == 405 ? "Allow: GET, POST\r\n" : "";
  http_.reply(now, stream, {status, type, headers, as_bytes(text)});
}

LedgerdGauges LedgerdDriver::gauges() {
  LedgerdGauges out;
  out.connections = http_.connections();
  out.connections_refused = http_.refused();
  out.connections_evicted = http_.evicted();
  out.requests = service_.under_way();
  out.limited = service_.limits().refused();
  out.ledger_time = service_.time().in_seconds();
  out.ready = service_.is_ready(system_.clock.now());
  out.tls = streams_.counters();
  if (!audit_file_.empty()) out.audit = read_audit_file(audit_file_);  // a line of text, of the page cache
  return out;
}

void LedgerdDriver::on_http_oversized(hal::StreamId stream) { expect_reply(stream, service_.on_oversized(system_.clock.now())); }

void LedgerdDriver::expect_reply(hal::StreamId stream, std::optional<uint64_t> request) {
  if (request) {
    asked_by_[*request] = {stream, system_.clock.now()};
  } else {
    http_.drop(stream);
  }
}

void LedgerdDriver::on_timer() {
  Instant now = system_.clock.now();
  http_.on_timer(now);
  if (captcha_) captcha_->http().on_timer(now);
  if (service_.next_deadline() <= now) service_.on_timer(now);
  if (shutdown_deadline_ <= now) end(false);
  settle();
}

void LedgerdDriver::on_shutdown() { shut_down(); }

void LedgerdDriver::shut_down() {
  if (!shutdown_deadline_.is_never()) return;
  Instant now = system_.clock.now();
  shutdown_deadline_ = now + k_shutdown_max;
  streams_.set_accepting(k_listener, false);
  if (tls_key_life_s_ != 0) streams_.set_accepting(k_tls_listener, false);
  http_.stop();
  service_.shut_down(now);
  settle();
}

void LedgerdDriver::settle() {
  if (settling_) return;  // a reply can free a connection for its next request
  settling_ = true;
  LedgerService::Output out;
  while (service_.poll(out)) {
    std::visit([this](auto& action) { act(action); }, out);
  }
  settling_ = false;
  if (tls_key_life_s_ != 0 && service_.time() >= tls_renew_at_) {
    Status renewed = renew_tls_key();  // if not, the old one counts as long again
    if (!renewed) LogLine(log_, LogLevel::error, "tls_key_failed").add("reason", renewed.error().reason);
  }
  if (service_.is_ended() && http_.connections() == 0) end(true);
  Instant next = earlier(service_.next_deadline(), http_.next_deadline());
  if (captcha_) next = earlier(next, captcha_->http().next_deadline());
  system_.loop.arm(earlier(next, shutdown_deadline_));
}

void LedgerdDriver::act(CheckWork& work) {
  checks_.push_back(std::move(work));
  start_checks();
}

void LedgerdDriver::start_checks() {
  for (; !checks_.empty(); checks_.pop_front()) {
    const OperationRequest* request = std::get_if<OperationRequest>(&checks_.front().body);
    size_t operations = request != nullptr ? std::max<size_t>(request->operations.size(), 1) : 1;
    if (checking_ != 0 && checking_ + operations > k_checks_max) return;
    checking_ += operations;
    system_.executor.submit(hal::Queue::compute, std::make_unique<CheckJob>(*this, std::move(checks_.front()), operations));
  }
}

void LedgerdDriver::act(LedgerBatch& batch) {
  int64_t wall_s = system_.clock.wall().in_seconds();
  LedgerTime wall = LedgerTime::from_seconds(wall_s > 0 ? static_cast<uint64_t>(wall_s) : 0);
  Instant now = system_.clock.now();
  bool sync_witness = now >= next_witness_ || !shutdown_deadline_.is_never();
  if (sync_witness) next_witness_ = now + k_witness_interval;
  system_.executor.submit(hal::Queue::store, std::make_unique<BatchJob>(*this, std::move(batch), wall, sync_witness));
}

void LedgerdDriver::act(SealWork& work) { system_.executor.submit(hal::Queue::compute, std::make_unique<SealJob>(*this, std::move(work))); }

void LedgerdDriver::on_witness(const Status& noted) {
  if (!noted && !witness_fails_) LogLine(log_, LogLevel::error, "ledger_witness_failed").add("reason", noted.error().reason);
  witness_fails_ = !noted;
}

void LedgerdDriver::act(WriteWork& work) {
  system_.executor.submit(hal::Queue::compute, std::make_unique<WriteJob>(*this, std::move(work)));
}

void LedgerdDriver::act(CaptchaWork& work) {
  CHECK(captcha_.has_value());
  captcha_->ask(system_.clock.now(), work.request, work.response, work.from);
}

void LedgerdDriver::on_captcha_judged(uint64_t request, LedgerCode code) {
  service_.on_captcha(system_.clock.now(), request, code);
  settle();
}

void LedgerdDriver::act(LedgerReply& reply) {
  auto found = asked_by_.find(reply.request);
  CHECK(found != asked_by_.end());
  Asked asked = found->second;
  asked_by_.erase(found);
  Instant now = system_.clock.now();
  metrics_.add_answer(reply.status, now - asked.at);
  HttpServer::Answer answer;
  answer.status = reply.status;
  answer.body = reply.body;
  std::string headers;
  if (!reply.signature.empty()) {
    answer.content_type = k_json;
    headers = "Millet-Signature: " + reply.signature + "\r\nCache-Control: no-store\r\n";
  }
  if (reply.status == 401) headers += "WWW-Authenticate: Bearer\r\n";
  if (reply.status == 429) headers += k_retry_after;
  answer.headers = headers;
  http_.reply(now, asked.stream, answer);
}

void LedgerdDriver::end(bool well) {
  if (ended_) return;
  ended_ = true;
  ended_well_ = well;
  if (!well) {
    // Nobody was told that any of it is done: clients send it again.
    LogLine(log_, LogLevel::error, "shutdown_unfinished")
        .add("after_s", static_cast<uint64_t>(k_shutdown_max.in_seconds()))
        .add("requests", uint64_t{service_.under_way()})
        .add("store_busy", service_.is_batch_under_way() ? "yes" : "no")
        .add("connections", uint64_t{http_.connections()});
  }
  system_.loop.stop();
}

}  // namespace millet
