// The pump between the ledger's service and a machine: HTTP connections in, checks and signatures to the compute workers, batches to the
// store's thread. It decides nothing but order and bounds.
#pragma once

#include <map>

#include "base/fifo.h"
#include "driver/captcha_hook.h"
#include "driver/http_server.h"
#include "driver/ledgerd_metrics.h"
#include "driver/tls_streams.h"
#include "driver/witness_file.h"
#include "hal/system.h"
#include "ledger/server/service.h"

namespace millet {

class LedgerdDriver final : private hal::StreamEvents, private hal::TimerEvents, private HttpServerEvents, private CaptchaEvents {
 public:
  // When a shutdown takes longer, the program ends without it: what was answered is durable.
  static constexpr Duration k_shutdown_max = Duration::seconds(10);

  // Requires: all outlive it; it is destroyed when no job runs any more. From start() on nobody else uses `state`.
  LedgerdDriver(hal::System& system, LedgerState& state, const SigningKey& key, LogSink& log);
  ~LedgerdDriver() override;
  LedgerdDriver(const LedgerdDriver&) = delete;

  // Notes there what is signed of the log, before anybody is answered from it. Requires: before start(); it outlives this.
  void set_witness(WitnessFile& witness) { witness_ = &witness; }
  // Listens and begins to serve. The address that it got. Errors: as Streams::listen.
  Result<Endpoint> start(const Endpoint& listen);
  // Listens with TLS, too. The certificate counts for `key_life_s` seconds of ledger time and is replaced after half of that; keys are in
  // memory only. Returns the address that it got. Requires: key_life_s >= 2, not started. Errors: as Streams::listen; io.
  Result<Endpoint> listen_tls(const Endpoint& listen, uint64_t key_life_s);
  // Requests per second of one address and of one key; 0 is no limit. Requires: not started.
  void set_limits(uint64_t address_rate, uint64_t key_rate) { service_.set_limits(address_rate, key_rate); }
  // Who judges CAPTCHAs. Requires: not started.
  void set_captcha(CaptchaHook::Options options) {
    CaptchaEvents& events = *this;
    captcha_.emplace(system_, std::move(options), events, log_);
  }
  // Where `millet-ledgerd audit` leaves what it found, for the metrics.
  void set_audit_file(std::string path) { audit_file_ = std::move(path); }
  // Who may see /metrics and /v1/records: by default who asks from this machine.
  struct Public {
    bool metrics = false;
    bool records = false;
  };
  void set_public(const Public& what) { public_ = what; }
  // As the signal does: ends with Loop::stop(), at the latest after k_shutdown_max.
  void shut_down();
  // The shutdown ended with everything durable.
  bool ended_well() const { return ended_well_; }

 private:
  // How often the witness goes to its disk: what a power cut and then a restore from a backup of that moment could take back unseen.
  static constexpr Duration k_witness_interval = Duration::seconds(5);
  // With the workers at once, some 30 ms of one core: answers and handshakes do not wait behind everything that was asked.
  static constexpr size_t k_checks_max = 256;

  class CheckJob;
  class BatchJob;
  class SealJob;
  class WriteJob;
  struct Asked {
    hal::StreamId stream = 0;
    Instant at;
  };
  static constexpr hal::ListenerId k_listener = 1;
  static constexpr hal::ListenerId k_tls_listener = 2;

  void on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) override;
  void on_connected(hal::StreamId stream) override;
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_writable(hal::StreamId stream) override;
  void on_closed(hal::StreamId stream, const Error& reason) override;
  void on_timer() override;
  void on_shutdown() override;
  void on_http_request(hal::StreamId stream, std::string_view method, std::string_view target, Bytes body) override;
  void on_http_oversized(hal::StreamId stream) override;
  void on_captcha_judged(uint64_t request, LedgerCode code) override;

  void expect_reply(hal::StreamId stream, std::optional<uint64_t> request);
  // Does what the service wants, and re-arms the timer.
  void settle();
  void act(CheckWork& work);
  void start_checks();
  void act(LedgerBatch& batch);
  void act(SealWork& work);
  void act(WriteWork& work);
  void act(CaptchaWork& work);
  void act(LedgerReply& reply);
  void on_witness(const Status& noted);
  bool is_asked_on_this_machine(hal::StreamId stream) const;
  // What is answered without the ledger: health, metrics, and what is no request of ours. False: it is one.
  bool answer_here(Instant now, hal::StreamId stream, std::string_view method, std::string_view path);
  void answer_text(Instant now, hal::StreamId stream, int status, std::string_view type, std::string_view text);
  LedgerdGauges gauges();
  void end(bool well);
  // A new key and certificate, for connections from now on.
  Status renew_tls_key();

  hal::System& system_;
  LedgerState& state_;
  const SigningKey& key_;
  LogSink& log_;
  LedgerService service_;
  TlsStreams streams_;
  HttpServer http_;
  std::optional<CaptchaHook> captcha_;
  std::map<uint64_t, Asked> asked_by_;  // request to connection
  Fifo<CheckWork> checks_;              // not with the workers yet
  size_t checking_ = 0;                 // operations that are
  LedgerdMetrics metrics_;
  uint64_t tls_key_life_s_ = 0;  // 0: no TLS
  LedgerTime tls_renew_at_;
  Instant shutdown_deadline_ = Instant::never();
  std::string audit_file_;
  Public public_;
  WitnessFile* witness_ = nullptr;
  Instant next_witness_;
  bool witness_fails_ = false;  // one line in the log for a row of failures
  bool settling_ = false;
  bool ended_ = false;
  bool ended_well_ = false;
};

}  // namespace millet
