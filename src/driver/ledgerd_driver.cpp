#include "driver/ledgerd_driver.h"

#include <utility>

namespace millet {

class LedgerdDriver::CheckJob final : public hal::Job {
 public:
  CheckJob(LedgerdDriver& driver, CheckWork work) : driver_(driver), work_(std::move(work)) {}
  void run() override { checked_ = run_check(std::move(work_)); }
  void done() override {
    driver_.service_.on_checked(driver_.system_.clock.now(), std::move(checked_));
    driver_.settle();
  }

 private:
  LedgerdDriver& driver_;
  CheckWork work_;
  CheckedRequest checked_;
};

class LedgerdDriver::BatchJob final : public hal::Job {
 public:
  BatchJob(LedgerdDriver& driver, LedgerBatch batch, LedgerTime wall, bool witnessed)
      : driver_(driver), batch_(std::move(batch)), wall_(wall), witnessed_(witnessed) {}
  void run() override {
    outcome_ = driver_.state_.apply(batch_, wall_);
    if (witnessed_) noted_ = driver_.witness_->note(*driver_.witness_store_);
  }
  void done() override {
    driver_.on_witness(noted_);
    driver_.service_.on_batch(driver_.system_.clock.now(), std::move(outcome_));
    driver_.settle();
  }

 private:
  LedgerdDriver& driver_;
  LedgerBatch batch_;
  LedgerTime wall_;
  bool witnessed_;
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

void LedgerdDriver::on_accepted(hal::ListenerId, hal::StreamId stream, const Endpoint& remote) {
  http_.on_accepted(system_.clock.now(), stream, remote);
  settle();
}

void LedgerdDriver::on_connected(hal::StreamId) {}

void LedgerdDriver::on_received(hal::StreamId stream, Bytes bytes) {
  http_.on_received(system_.clock.now(), stream, bytes);
  settle();
}

void LedgerdDriver::on_writable(hal::StreamId stream) {
  http_.on_writable(system_.clock.now(), stream);
  settle();
}

void LedgerdDriver::on_closed(hal::StreamId stream, const Error&) {
  http_.on_closed(stream);
  settle();
}

void LedgerdDriver::on_http_request(hal::StreamId stream, std::string_view method, std::string_view target, Bytes body) {
  std::string_view path = target.substr(0, target.find('?'));
  expect_reply(stream, service_.on_request(system_.clock.now(), method, path, body));
}

void LedgerdDriver::on_http_oversized(hal::StreamId stream) { expect_reply(stream, service_.on_oversized(system_.clock.now())); }

void LedgerdDriver::expect_reply(hal::StreamId stream, std::optional<uint64_t> request) {
  if (request) {
    asked_by_[*request] = stream;
  } else {
    http_.drop(stream);
  }
}

void LedgerdDriver::on_timer() {
  Instant now = system_.clock.now();
  http_.on_timer(now);
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
  system_.loop.arm(earlier(next, shutdown_deadline_));
}

void LedgerdDriver::act(CheckWork& work) {
  system_.executor.submit(hal::Queue::compute, std::make_unique<CheckJob>(*this, std::move(work)));
}

void LedgerdDriver::act(LedgerBatch& batch) {
  int64_t wall_s = system_.clock.wall().in_seconds();
  LedgerTime wall = LedgerTime::from_seconds(wall_s > 0 ? static_cast<uint64_t>(wall_s) : 0);
  Instant now = system_.clock.now();
  bool witnessed = witness_ != nullptr && (now >= next_witness_ || !shutdown_deadline_.is_never());
  if (witnessed) next_witness_ = now + k_witness_interval;
  system_.executor.submit(hal::Queue::store, std::make_unique<BatchJob>(*this, std::move(batch), wall, witnessed));
}

void LedgerdDriver::act(SealWork& work) { system_.executor.submit(hal::Queue::compute, std::make_unique<SealJob>(*this, std::move(work))); }

void LedgerdDriver::on_witness(const Status& noted) {
  if (!noted && !witness_fails_) LogLine(log_, LogLevel::error, "ledger_witness_failed").add("reason", noted.error().reason);
  witness_fails_ = !noted;
}

void LedgerdDriver::act(LedgerReply& reply) {
  auto found = asked_by_.find(reply.request);
  CHECK(found != asked_by_.end());
  hal::StreamId stream = found->second;
  asked_by_.erase(found);
  http_.reply(system_.clock.now(), stream, reply.status, reply.body);
}

void LedgerdDriver::end(bool well) {
  if (ended_) return;
  ended_ = true;
  ended_well_ = well;
  system_.loop.stop();
}

}  // namespace millet
