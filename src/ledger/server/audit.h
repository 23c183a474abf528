// An audit of the whole log: replays every record from the genesis by rules of its own, beside the code that executed them, and recomputes
// balances, channels, the supply and the root of the tree. It trusts nothing but the bytes of the records.
//
// What pools may give at which time is checked by their terms, which the ledger id promises.
//
// What it can't check: the operator's own limits (least capacity, length of a channel's life, work, tickets and limits of networks). Of
// initial balances it checks that none, and no day's sum, is above what any operator may give (faucet.h).
#pragma once

#include <map>
#include <set>

#include "ledger/common/api.h"

namespace millet {

// Every signature that the record's operation needs is there. Pure, for any thread. Errors: conflict.
Status audit_signatures(Bytes record);

struct AuditTotals {
  LedgerId ledger;
  PublicKey key;  // of the ledger
  uint64_t records = 0;
  Hash32 root{};
  LedgerTime time;  // of the last record
  uint64_t accounts = 0;
  uint64_t open_channels = 0;
  Amount available;
  Amount in_channels;
};

class LogAudit {
 public:
  // The next record: all but its signatures. Errors: conflict, and no more can be added then.
  Status add(Bytes record);
  // Errors: conflict if what accounts and channels hold is not the supply, or there is no record.
  Result<AuditTotals> totals() const;

  // What the account has after the last record, and the last record about it; nothing if none touched it.
  struct Account {
    Amount balance;
    uint64_t last_record = k_no_record;
    bool granted = false;
  };
  const Account* account(const PublicKey& key) const;
  // What was claimed of a channel that is open; nothing if it is not.
  std::optional<Amount> open_channel(const ChannelId& id) const;

 private:
  struct Channel {
    ChannelTerms terms;
    Amount claimed;
    uint64_t extension_s = 0;  // when it was opened
    uint64_t last_record = 0;
  };
  struct Pool {
    PoolTerms terms;
    Amount drawn;
  };
  struct Policy {
    PolicyStatement terms;
    bool ended = false;
    uint64_t grants = 0;
    std::map<uint64_t, Amount> spent;  // by period; the last one only
  };
  // What the record must say beside its operation; the accounts hold their new balances already.
  struct Expected {
    Amount paid;
    Amount refunded;
    uint64_t channel_previous = k_no_record;
    std::vector<PublicKey> touched;
  };
  Result<Expected> replay(const LogRecord& record, const LoggedOperation& operation);
  Result<Expected> run(const LogRecord& record, const GenesisOperation& op);
  Result<Expected> run(const LogRecord& record, const OpenOperation& op);
  Result<Expected> run(const LogRecord& record, const ClaimOperation& op);
  Result<Expected> run(const LogRecord& record, const CloseOperation& op);
  Result<Expected> run(const LogRecord& record, const TransferOperation& op);
  Result<Expected> run(const LogRecord& record, const FaucetOperation& op);
  Result<Expected> run(const LogRecord& record, const TicketFaucetOperation& op);
  Result<Expected> initial_balance(const LogRecord& record, const PublicKey& key);
  Result<Expected> run(const LogRecord& record, const ExpireOperation& op);
  Result<Expected> run(const LogRecord& record, const ExtendOperation& op);
  Result<Expected> run(const LogRecord& record, const DrawOperation& op);
  Result<Expected> run(const LogRecord& record, const PoolOperation& op);
  Result<Expected> run(const LogRecord& record, const PolicyOperation& op);
  Result<Expected> run(const LogRecord& record, const GrantOperation& op);
  // Only what has vested leaves a pool with terms.
  Status draw(const LogRecord& record, const PublicKey& pool, Amount amount);
  Status check_record(const LogRecord& record, const Expected& expected);
  Status once(const LogRecord& record, LedgerTime valid_until);
  Status move(const PublicKey& from, const PublicKey& to, Amount amount);
  LedgerTime effective_expiry(const Channel& channel) const;
  template <typename Op>
  Result<Channel*> redeemed(const LogRecord& record, const Op& op);

  LedgerId ledger_;
  PublicKey key_;
  PublicKey faucet_pool_;
  uint64_t faucet_day_ = 0;
  Amount faucet_spent_;  // on that day
  MerkleEdge tree_;
  LedgerTime time_;
  uint64_t extension_s_ = 0;
  std::map<PublicKey, Account> accounts_;
  std::map<ChannelId, Channel> channels_;  // open ones
  std::map<PublicKey, Pool> pools_;        // that have terms
  std::map<OperationId, Policy> policies_;
  bool pools_are_known_ = false;  // an operation came: no terms any more
  // Operations that could be repeated: until their valid_until.
  std::multimap<uint64_t, OperationId> recent_by_time_;
  std::set<OperationId> recent_;
};

}  // namespace millet
