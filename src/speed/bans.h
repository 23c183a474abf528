// Strikes and bans (PROTOCOL.md section 11), by key and by address, for both sides. Durable: a restart is no pardon. Times are the ledger's
// floor (ledger_clock.h), because a router has no other clock that survives a reboot; while the ledger is away, monotonic time goes on from
// it, so that a ban lasts longer by the time that the machine was off, and ends.
#pragma once

#include <map>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/store_change.h"
#include "base/time.h"

namespace millet::speed {

class BanList {
 public:
  static constexpr uint32_t k_strikes_to_ban = 3;
  static constexpr uint64_t k_strike_life_s = 3600;
  static constexpr uint64_t k_ban_s = 3600;           // the first; doubled each time
  static constexpr uint64_t k_ban_max_s = 24 * 3600;  // also how long a ban is remembered after its end
  static constexpr size_t k_subjects_max = 4096;      // 100 bytes each

  // Who, as the key of its record: 'k' and a key, or '4' or '6' and an address with zeros behind it.
  using Subject = FixedBytes<struct BanSubjectTag, 33>;
  static Subject of(const PublicKey& key);
  static Subject of(const IpAddress& address);

  // True if this strike made it a ban.
  bool strike(LedgerTime now, const Subject& subject);
  // Takes back the oldest strike.
  void forgive(LedgerTime now, const Subject& subject);
  void ban(LedgerTime now, const Subject& subject, uint64_t seconds);
  // Seconds left; 0: not banned.
  uint64_t banned_for(LedgerTime now, const Subject& subject) const;
  uint32_t strikes(LedgerTime now, const Subject& subject) const;

  // ---- durable ----
  // Errors: bad_input (a record of another version or size).
  Status restore(Bytes key, Bytes value);
  // What has changed since the last call.
  void collect(StoreBatch& batch);
  bool dirty() const { return !dirty_.empty(); }

 private:
  struct Entry {
    std::vector<LedgerTime> strikes;  // oldest first, at most k_strikes_to_ban
    LedgerTime until;
    uint8_t bans = 0;
  };
  Entry& entry(LedgerTime now, const Subject& subject);
  static bool is_stale(LedgerTime now, const Entry& entry);
  static void drop_old(LedgerTime now, Entry& entry);

  std::map<Subject, Entry> entries_;
  std::map<Subject, bool> dirty_;
};

}  // namespace millet::speed
