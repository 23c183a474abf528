// From what BitTorrent Speed asks of the ledger to the ledger's API and back: finds out which ledger it is, keeps the number of calls at
// once small, and turns answers into what the engines act on. No I/O: signatures, HTTP and results are outputs.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/fifo.h"
#include "base/log.h"
#include "ledger/client/client.h"
#include "ledger/client/watch.h"
#include "ledger/common/tls_key.h"
#include "speed/outputs.h"

namespace millet {

class LedgerLink {
 public:
  static constexpr size_t k_calls_max = 8;       // HTTP exchanges at once; the rest waits its turn
  static constexpr size_t k_waiting_max = 4096;  // a call per channel and more; beyond it the engine hears "unavailable"
  static constexpr uint32_t k_timeout_ms = 20'000;
  static constexpr Duration k_hello_retry_min = Duration::seconds(1);
  static constexpr Duration k_hello_retry_max = Duration::minutes(1);

  // What happened to one call of the engines.
  struct Answer {
    speed::Ticket ticket;
    speed::LedgerReply reply;
  };
  // The ledger answered for the first time in this process: its id, its time, its rules.
  struct Introduced {
    LedgerId ledger;
    LedgerTime time;
    LedgerParams params;
  };
  // url: of the exchange, path included.
  struct Post {
    LedgerClient::Ticket ticket;
    std::string url;
    std::vector<uint8_t> body;
    LedgerPin pin;
  };
  using Output = std::variant<LedgerClient::SignBytes, LedgerClient::VerifyBytes, Post, Answer, Introduced, LedgerWatch::Keep,
                              LedgerWatch::NewHead, LedgerWatch::Alarm>;

  struct Options {
    std::string url;  // http[s]://host:port
    PublicKey ledger_key;
    PublicKey own_key;
    std::optional<LedgerId> ledger;  // as an earlier run learned it
  };
  LedgerLink(const Options& options, SecureRandom& random, LogSink& log);

  // A row of k_table_watch. Before start(). Requires: the ledger's id is known. Errors: bad_input.
  Status restore_watch(Bytes key, Bytes value);
  // Asks who the ledger is; repeated until it answers.
  void start(Instant now);
  void call(Instant now, const speed::LedgerCall& call);

  void on_signed(Instant now, LedgerClient::Ticket ticket, const Signature& signature);
  void on_verified(Instant now, LedgerClient::Ticket ticket, bool valid);
  void on_reply(Instant now, LedgerClient::Ticket ticket, Result<std::vector<uint8_t>> body,
                std::optional<LedgerTime> tls_not_after = std::nullopt);

  // A tree head that a peer shows: anything.
  void on_gossip(Instant now, Bytes head);

  Instant next_deadline() const { return watch_ ? earlier(hello_at_, watch_->next_deadline()) : hello_at_; }
  void on_timer(Instant now);
  bool poll(Output& out);

  // For people: "unknown" before the first answer, "reachable", or "unreachable: why".
  std::string state() const;
  // The newest tree head that was checked, as text (ledger/common/head_text.h); empty: none.
  std::string head_text() const;
  bool introduced() const { return introduced_; }
  // Nothing proves that the ledger contradicts itself.
  bool is_trusted() const { return !watch_ || watch_->alarm().empty(); }

 private:
  struct Call {
    speed::Ticket ticket;
    speed::LedgerRequest request;
    bool repeated = false;  // a query that came at the wrong time by the ledger's clock
  };
  void hello(Instant now);
  void make_watch(const LedgerId& ledger);
  void begin_check(Instant now, const std::vector<Query>& queries);
  bool drain_client(Instant now);
  bool drain_watch(Instant now);
  void begin_waiting(Instant now);
  void begin(Instant now, LedgerCallId id, const Call& call);
  void drain(Instant now);
  void on_answer(Instant now, const LedgerClient::LedgerAnswer& answer);
  void note(const LedgerClient::LedgerAnswer& answer);
  bool repeat(Instant now, const LedgerClient::LedgerAnswer& answer, Call& call);
  LedgerTime ledger_time(Instant now) const;
  LedgerPin pin(Instant now) const;
  speed::LedgerReply translate(const Call& call, const Reply& reply) const;

  Options options_;
  LogSink& log_;
  LedgerClient client_;
  // What the ledger said last, and when: for how long a query may be valid. No floor: its clock may have been set back.
  LedgerTime told_;
  Instant told_at_;
  Fifo<Call> waiting_;
  std::map<LedgerCallId, Call> calls_;
  Fifo<Output> out_;
  LedgerCallId last_call_ = 0;
  std::optional<LedgerCallId> hello_call_;
  std::optional<LedgerWatch> watch_;  // from when the ledger's id is known
  std::optional<LedgerCallId> watch_call_;
  bool draining_ = false;
  Instant hello_at_ = Instant::never();
  Duration hello_retry_ = k_hello_retry_min;
  bool introduced_ = false;
  bool reached_ = false;  // the last exchange had a good answer
  std::string trouble_;
};

}  // namespace millet
