#include "speed/bans.h"

#include <algorithm>

#include "speed/records.h"

namespace millet::speed {

BanList::Subject BanList::of(const PublicKey& key) {
  Subject out;
  out.raw[0] = 'k';
  std::copy(key.raw.begin(), key.raw.end(), out.raw.begin() + 1);
  return out;
}

BanList::Subject BanList::of(const IpAddress& address) {
  Subject out;
  out.raw[0] = address.is_v4() ? '4' : '6';
  // One IPv6 host has a whole /64.
  Bytes raw = address.is_v4() ? address.raw() : address.raw().first(8);
  std::copy(raw.begin(), raw.end(), out.raw.begin() + 1);
  return out;
}

bool BanList::is_stale(LedgerTime now, const Entry& entry) {
  return now > entry.until.plus_seconds(k_ban_max_s) && (entry.strikes.empty() || now > entry.strikes.back().plus_seconds(k_strike_life_s));
}

void BanList::drop_old(LedgerTime now, Entry& entry) {
  std::erase_if(entry.strikes, [&](LedgerTime at) { return now > at.plus_seconds(k_strike_life_s); });
}

BanList::Entry& BanList::entry(LedgerTime now, const Subject& subject) {
  auto it = entries_.find(subject);
  if (it == entries_.end() && entries_.size() >= k_subjects_max) {
    // Room for the new one: what no longer matters, else what ends first.
    for (auto old = entries_.begin(); old != entries_.end();) {
      if (!is_stale(now, old->second)) {
        ++old;
        continue;
      }
      dirty_[old->first] = true;
      old = entries_.erase(old);
    }
    if (entries_.size() >= k_subjects_max) {
      auto first =
          std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.second.until < b.second.until; });
      dirty_[first->first] = true;
      entries_.erase(first);
    }
  }
  Entry& found = entries_[subject];
  if (is_stale(now, found)) found = Entry();
  drop_old(now, found);
  dirty_[subject] = true;
  return found;
}

bool BanList::strike(LedgerTime now, const Subject& subject) {
  Entry& e = entry(now, subject);
  e.strikes.push_back(now);
  if (e.strikes.size() < k_strikes_to_ban) return false;
  e.strikes.clear();
  uint64_t seconds = std::min(k_ban_s << std::min<uint32_t>(e.bans, 10), k_ban_max_s);
  e.until = std::max(e.until, now.plus_seconds(seconds));
  if (e.bans < UINT8_MAX) ++e.bans;
  return true;
}

void BanList::forgive(LedgerTime now, const Subject& subject) {
  auto it = entries_.find(subject);
  if (it == entries_.end() || it->second.strikes.empty()) return;
  drop_old(now, it->second);
  if (!it->second.strikes.empty()) it->second.strikes.erase(it->second.strikes.begin());
  dirty_[subject] = true;
}

void BanList::ban(LedgerTime now, const Subject& subject, uint64_t seconds) {
  Entry& e = entry(now, subject);
  e.until = std::max(e.until, now.plus_seconds(seconds));
}

uint64_t BanList::banned_for(LedgerTime now, const Subject& subject) const {
  auto it = entries_.find(subject);
  return it == entries_.end() ? 0 : it->second.until.seconds_since(now);
}

uint32_t BanList::strikes(LedgerTime now, const Subject& subject) const {
  auto it = entries_.find(subject);
  if (it == entries_.end()) return 0;
  Entry copy = it->second;
  drop_old(now, copy);
  return static_cast<uint32_t>(copy.strikes.size());
}

Status BanList::restore(Bytes key, Bytes value) {
  TRY_ASSIGN(BanRecord record, decode_record<BanRecord>(value));
  Entry e;
  e.until = record.until;
  e.bans = record.bans;
  for (LedgerTime at : {record.strike_1, record.strike_2}) {
    if (at.in_seconds() != 0) e.strikes.push_back(at);
  }
  if (key.size() != Subject::k_size) return error(Errc::bad_input, "record of a ban under a key of another size");
  entries_[Subject::from_bytes(key)] = e;
  return ok;
}

void BanList::collect(StoreBatch& batch) {
  for (const auto& [subject, unused] : dirty_) {
    auto it = entries_.find(subject);
    std::vector<uint8_t> key(subject.raw.begin(), subject.raw.end());
    if (it == entries_.end()) {
      batch.push_back({k_table_bans, key, std::nullopt});
      continue;
    }
    BanRecord record;
    record.until = it->second.until;
    record.bans = it->second.bans;
    // A third strike is a ban, so two are all that an entry holds.
    if (it->second.strikes.size() > 0) record.strike_1 = it->second.strikes[0];
    if (it->second.strikes.size() > 1) record.strike_2 = it->second.strikes[1];
    batch.push_back({k_table_bans, key, encode_record(record)});
  }
  dirty_.clear();
}

}  // namespace millet::speed
