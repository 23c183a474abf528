// Watches the ledger for its user: that its log only grows, that the operations it gave receipts for are in it, and that the account's own
// records follow from one another, with a balance that is the one it tells. Tree heads that other clients saw are held against it: a
// ledger that shows different logs to different users is found out. What proves a lie becomes evidence (common/evidence.h), once.
//
//   on_told, on_result, on_gossip, time -> Ask -> on_answer -> [VerifyBytes -> on_verified] -> Keep, NewHead, or Alarm
//
// No I/O. One check is one exchange of queries, more where many records are new. What must not be forgotten goes out as Keep.
#pragma once

#include <map>

#include "base/fifo.h"
#include "base/log.h"
#include "base/store_change.h"
#include "ledger/client/client.h"
#include "ledger/common/evidence.h"

namespace millet {

inline constexpr const char* k_table_watch = "ledger_watch";

class LedgerWatch {
 public:
  static constexpr size_t k_receipts_max = 1024;         // held until they are checked; the oldest go first
  static constexpr size_t k_receipts_per_check_max = 4;  // asked for one by one
  static constexpr size_t k_gossip_max = 8;              // heads that wait to be checked; more are dropped
  static constexpr size_t k_heads_known_max = 16;        // heads of others that were found to agree
  static constexpr Duration k_receipt_delay = Duration::seconds(30);
  static constexpr Duration k_interval = Duration::minutes(10);
  static constexpr Duration k_gossip_interval = Duration::minutes(1);
  static constexpr Duration k_retry = Duration::minutes(1);

  using Ticket = uint64_t;
  struct Verify {
    Ticket ticket;
    PublicKey key;
    std::vector<uint8_t> message;
    Signature signature;
  };
  // Queries of the own key; on_answer answers.
  struct Ask {
    std::vector<Query> queries;
  };
  struct Keep {
    StoreBatch changes;
    bool unhurried = false;  // losing it costs a check more, no evidence
  };
  // A newer head that is consistent with all before: for others to see.
  struct NewHead {
    SignedTreeHead head;
  };
  struct Alarm {
    std::string reason;
    std::vector<uint8_t> evidence;  // of evidence.h
  };
  using Output = std::variant<Verify, Ask, Keep, NewHead, Alarm>;

  struct Identity {
    LedgerId ledger;
    PublicKey ledger_key;
    PublicKey own_key;
  };
  LedgerWatch(const Identity& identity, LogSink& log) : id_(identity), log_(log) {}

  // A row of k_table_watch, before start(). Errors: bad_input.
  Status restore(Bytes key, Bytes value);
  void start(Instant now);

  // The tree head of a reply that the ledger signed.
  void on_told(Instant now, const SignedTreeHead& head);
  // The ledger executed the operation.
  void on_result(Instant now, const Operation& operation, const OperationResult& result);
  // What another client shows: anything.
  void on_gossip(Instant now, const SignedTreeHead& head);
  // The answer to Ask, with a signature that was checked. An error: later.
  void on_answer(Instant now, Result<QueryExchange> exchange);
  void on_verified(Instant now, Ticket ticket, bool valid);

  Instant next_deadline() const;
  void on_timer(Instant now);
  bool poll(Output& out);

  const std::optional<SignedTreeHead>& head() const { return head_; }
  // Why the ledger is not to be trusted any more; empty: nothing is known against it.
  const std::string& alarm() const { return alarm_; }

 private:
  // The newest of the account's records up to which everything was checked.
  struct Mark {
    uint64_t record = 0;
    Hash32 leaf{};
    static constexpr auto k_fields = field_list(field("record", &Mark::record), field("leaf", &Mark::leaf));
  };
  struct Check {
    uint64_t from = k_no_record;             // of the page that is asked for
    std::optional<SignedTreeHead> gossip;    // being held against the log
    std::optional<ChainPage::Entry> newest;  // of the first page
    std::optional<QueryExchange> skipping;   // a page that left out the mark; the mark is being asked for
    QueryExchange exchange;                  // answered, being checked
    std::optional<OpenedExchange> opened;
    std::map<Ticket, std::string> pending;  // signatures, and what it means that one is missing
    ChainPage page;                         // of it
    bool examined = false;
  };
  void plan(Instant at);
  void ask(Instant now);
  void examine_answer(Instant now);
  void accept(Instant now);
  bool check_receipts(const ChainPage& page);
  bool walk(Instant now, const ChainPage& page);
  // Nothing: the next check comes when something happens.
  void end_check(Instant now, std::optional<Duration> next);
  Evidence evidence() const;
  bool raise_if_proven(const Evidence& evidence, std::span<const OpenedExchange> opened);
  void raise(const std::string& reason, const Evidence& evidence);
  Ticket verify_later(const PublicKey& key, std::vector<uint8_t> message, const Signature& signature);
  void take_gossip(Instant now, const SignedTreeHead& head);
  void take_receipt(Instant now, HeldReceipt held);
  void keep(std::vector<uint8_t> key, std::optional<std::vector<uint8_t>> value, bool unhurried = false);
  void drop_receipt(uint64_t record);

  struct Pending {
    HeldReceipt held;
    bool included = false;
  };

  Identity id_;
  LogSink& log_;
  std::optional<SignedTreeHead> head_;
  std::optional<Mark> mark_;
  std::map<uint64_t, Pending> receipts_;  // by record
  Fifo<SignedTreeHead> gossip_;           // signed, not yet held against the log
  Fifo<SignedTreeHead> known_;
  std::string alarm_;
  std::optional<Check> check_;
  // Signatures under way that belong to no check.
  std::map<Ticket, SignedTreeHead> gossip_pending_;
  std::map<Ticket, HeldReceipt> receipts_pending_;
  bool started_ = false;
  Instant due_ = Instant::never();
  Instant gossip_after_;
  Ticket last_ticket_ = 0;
  Fifo<Output> out_;
};

}  // namespace millet
