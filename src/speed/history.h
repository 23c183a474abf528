// What was earned and spent, by day and torrent, in bounded space. Durable in the same commits as the money itself, so that it neither
// loses nor repeats what a crash makes the channels lose or repeat.
//
//   the last 30 days     by torrent, at most 32 of them in a day; what is beyond stands under the zero info hash
//   the last 400 days    one entry
//   before               one entry for all, under day 0
//
// A day is one of the ledger's clock (UTC), in days since 1970: a router has no other clock that it can trust. Times that it does not know
// count for the latest day that has certainly begun.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "base/amount.h"
#include "base/ids.h"
#include "base/store_change.h"
#include "base/time.h"

namespace millet::speed {

struct HistoryEntry {
  uint32_t day = 0;  // since 1970; 0: all that is older than the others
  InfoHash torrent;  // zero: those that are not listed by themselves
  Amount earned;     // counted as provider
  Amount spent;      // owed for verified pieces as requester
  uint64_t bytes_sold = 0;
  uint64_t bytes_bought = 0;
  Amount lost;      // earned on this day or before, and never paid out: the channel ended first. Noted on the day that it was known
  Amount returned;  // spent, and never taken by the provider
};

class History {
 public:
  static constexpr uint32_t k_days_by_torrent = 30;
  static constexpr uint32_t k_torrents_per_day_max = 32;
  static constexpr uint32_t k_days_max = 400;
  // k_days_by_torrent x (k_torrents_per_day_max + 1) + k_days_max - k_days_by_torrent + 1 entries of some 130 bytes: 180 KB at most.

  void on_earned(LedgerTime now, const InfoHash& torrent, Amount amount, uint64_t bytes);
  void on_spent(LedgerTime now, const InfoHash& torrent, Amount amount, uint64_t bytes);

  void on_lost(LedgerTime now, const InfoHash& torrent, Amount amount);
  void on_returned(LedgerTime now, const InfoHash& torrent, Amount amount);

  // Newest day first, within a day by info hash, the others (zero) last.
  std::vector<HistoryEntry> entries() const;

  // ---- durable ----
  // Errors: bad_input (a record of another version or size).
  Status restore(Bytes key, Bytes value);
  // What has changed since the last call.
  void collect(StoreBatch& batch);

 private:
  using Key = std::pair<uint32_t, InfoHash>;
  struct Sums {
    Amount earned;
    Amount spent;
    uint64_t bytes_sold = 0;
    uint64_t bytes_bought = 0;
    Amount lost;
    Amount returned;
  };
  Sums& entry(LedgerTime now, const InfoHash& torrent);
  void fold(uint32_t today);
  void merge(const Key& from, const Key& to);

  std::map<Key, Sums> entries_;
  std::map<Key, bool> dirty_;
  uint32_t today_ = 0;
};

}  // namespace millet::speed
