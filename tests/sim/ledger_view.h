// The ledger's books, as its store has them after every commit, against what the ledger promises: nothing appears or vanishes, a channel
// ends once, claims only grow, and nobody is paid what the payer did not sign or loses what was acknowledged as durable.
#pragma once

#include <map>

#include "hal/sim/machine.h"
#include "ledger/server/tables.h"
#include "sim/money.h"
#include "sim/report.h"

namespace millet::simtest {

class LedgerView final : public sim::Observer, public CommitWatch {
 public:
  // Requires: all outlive it.
  LedgerView(sim::World& world, MemoryStore& store, MoneyChecker& wire, Report& report);
  ~LedgerView() override { store_.set_watch(nullptr); }

  struct Channel {
    ChannelRow row;
    bool ended() const { return !row.is_open(); }
  };
  const std::map<ChannelId, Channel>& channels() const { return channels_; }
  // Zero if there is no such account.
  Amount balance(const PublicKey& key) const;
  uint64_t open_channels() const { return open_channels_; }
  // Those that their payee has to end: it keeps the rules, and has called money of them its own.
  uint64_t unsettled_channels() const;
  uint64_t records() const { return row_.records; }
  // Reads all books and compares; for the end of a run. What follows single commits must have come to the same.
  void check_all();

  void on_commit(const StoreBatch& changes) override;
  void after_event(Instant now) override;

 private:
  bool read_all();
  Status take(const StoreChange& change);
  void take_account(const PublicKey& key, const AccountRow* row);
  void take_channel(const ChannelId& id, const ChannelRow& row);
  void check_channel(const ChannelId& id, const ChannelRow& row);
  void check_sums();
  bool payee_must_end(const ChannelId& id, const Channel& channel) const;

  MemoryStore& store_;
  MoneyChecker& wire_;
  Report& report_;
  StoreBatch fresh_;  // committed by the event under way
  LedgerRow row_;
  std::map<PublicKey, AccountRow> accounts_;
  std::map<ChannelId, Channel> channels_;
  uint64_t available_ = 0;
  uint64_t escrow_ = 0;
  uint64_t open_channels_ = 0;
};

}  // namespace millet::simtest
