// The ledger's books, read from its store after every commit, against what the ledger promises: nothing appears or vanishes, a channel
// ends once, claims only grow, and nobody is paid what the payer did not sign or loses what was acknowledged as durable.
#pragma once

#include <map>

#include "hal/sim/machine.h"
#include "ledger/server/tables.h"
#include "sim/money.h"
#include "sim/report.h"

namespace millet::simtest {

class LedgerView final : public sim::Observer {
 public:
  // Requires: all outlive it.
  LedgerView(sim::World& world, MemoryStore& store, MoneyChecker& wire, Report& report);

  struct Channel {
    ChannelRow row;
    bool ended() const { return !row.is_open(); }
  };
  const std::map<ChannelId, Channel>& channels() const { return channels_; }
  // Zero if there is no such account.
  Amount balance(const PublicKey& key) const;
  uint64_t open_channels() const;
  uint64_t records() const { return row_.records; }

  void after_event(Instant now) override;

 private:
  void read();
  bool read_rows();
  void check_channel(const ChannelId& id, const ChannelRow& row);

  MemoryStore& store_;
  MoneyChecker& wire_;
  Report& report_;
  uint64_t seen_commits_ = 0;
  LedgerRow row_;
  std::map<PublicKey, AccountRow> accounts_;
  std::map<ChannelId, Channel> channels_;
};

}  // namespace millet::simtest
