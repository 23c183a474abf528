#include "speed/history.h"

#include <algorithm>

#include "speed/records.h"

namespace millet::speed {
namespace {

constexpr uint64_t k_day_s = 24 * 3600;

void add(Amount& sum, Amount amount) { sum = sum.plus(amount).value_or(Amount::supply()); }
void add(uint64_t& sum, uint64_t bytes) { sum = bytes > UINT64_MAX - sum ? UINT64_MAX : sum + bytes; }

}  // namespace

void History::merge(const Key& from, const Key& to) {
  Sums sums = entries_.at(from);
  entries_.erase(from);
  Sums& into = entries_[to];
  add(into.earned, sums.earned);
  add(into.spent, sums.spent);
  add(into.bytes_sold, sums.bytes_sold);
  add(into.bytes_bought, sums.bytes_bought);
  add(into.lost, sums.lost);
  add(into.returned, sums.returned);
  dirty_[from] = dirty_[to] = true;
}

// A new day: what has become old is no longer told apart.
void History::fold(uint32_t today) {
  today_ = today;
  std::vector<Key> old;
  for (const auto& [key, sums] : entries_) {
    bool by_torrent = !key.second.is_zero();
    uint64_t limit = by_torrent ? k_days_by_torrent : k_days_max;
    if (key.first != 0 && uint64_t{key.first} + limit <= today) old.push_back(key);
  }
  for (const Key& key : old) {
    bool ancient = uint64_t{key.first} + k_days_max <= today;
    merge(key, {ancient ? 0 : key.first, InfoHash()});
  }
}

History::Sums& History::entry(LedgerTime now, const InfoHash& torrent) {
  uint32_t day = static_cast<uint32_t>(std::min<uint64_t>(now.in_seconds() / k_day_s, UINT32_MAX));
  // Days only come: what a clock of another past says is counted today.
  if (day > today_) fold(day);
  Key key{today_, torrent};
  if (!torrent.is_zero() && !entries_.contains(key)) {
    auto first = entries_.lower_bound({today_, InfoHash()});
    uint32_t count = 0;
    for (auto it = first; it != entries_.end(); ++it) count += it->first.second.is_zero() ? 0 : 1;
    if (count >= k_torrents_per_day_max) key.second = InfoHash();
  }
  dirty_[key] = true;
  return entries_[key];
}

void History::on_earned(LedgerTime now, const InfoHash& torrent, Amount amount, uint64_t bytes) {
  Sums& sums = entry(now, torrent);
  add(sums.earned, amount);
  add(sums.bytes_sold, bytes);
}

void History::on_spent(LedgerTime now, const InfoHash& torrent, Amount amount, uint64_t bytes) {
  Sums& sums = entry(now, torrent);
  add(sums.spent, amount);
  add(sums.bytes_bought, bytes);
}

void History::on_lost(LedgerTime now, const InfoHash& torrent, Amount amount) {
  if (!amount.is_zero()) add(entry(now, torrent).lost, amount);
}

void History::on_returned(LedgerTime now, const InfoHash& torrent, Amount amount) {
  if (!amount.is_zero()) add(entry(now, torrent).returned, amount);
}

std::vector<HistoryEntry> History::entries() const {
  std::vector<HistoryEntry> out;
  auto day_end = entries_.end();
  while (day_end != entries_.begin()) {
    uint32_t day = std::prev(day_end)->first.first;
    auto day_begin = entries_.lower_bound({day, InfoHash()});
    bool others = day_begin->first.second.is_zero();
    auto put = [&](const std::pair<const Key, Sums>& e) {
      out.push_back({day, e.first.second, e.second.earned, e.second.spent, e.second.bytes_sold, e.second.bytes_bought, e.second.lost,
                     e.second.returned});
    };
    for (auto it = others ? std::next(day_begin) : day_begin; it != day_end; ++it) put(*it);
    if (others) put(*day_begin);
    day_end = day_begin;
  }
  return out;
}

Status History::restore(Bytes key, Bytes value) {
  SettledHistoryRecord record;
  if (!value.empty() && value[0] == HistoryRecord::k_version) {
    TRY_ASSIGN(record.sums, decode_record<HistoryRecord>(value));
  } else {
    TRY_ASSIGN(record, decode_record<SettledHistoryRecord>(value));
  }
  ByteReader reader(key);
  uint32_t day = reader.u32();
  InfoHash torrent = InfoHash{reader.array<InfoHash::k_size>()};
  if (!reader.done()) return error(Errc::bad_input, "record of the history under a key of another size");
  const HistoryRecord& sums = record.sums;
  entries_[{day, torrent}] = {sums.earned, sums.spent, sums.bytes_sold, sums.bytes_bought, record.lost, record.returned};
  today_ = std::max(today_, day);
  return ok;
}

void History::collect(StoreBatch& batch) {
  for (const auto& [key, unused] : dirty_) {
    std::vector<uint8_t> name;
    ByteWriter(name).u32(key.first).bytes(key.second.bytes());
    auto it = entries_.find(key);
    if (it == entries_.end()) {
      batch.push_back({k_table_history, std::move(name), std::nullopt});
      continue;
    }
    const Sums& sums = it->second;
    SettledHistoryRecord record{{sums.earned, sums.spent, sums.bytes_sold, sums.bytes_bought}, sums.lost, sums.returned};
    batch.push_back({k_table_history, std::move(name), encode_record(record)});
  }
  dirty_.clear();
}

}  // namespace millet::speed
