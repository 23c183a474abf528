#include "swarm/announce.h"

#include <algorithm>

namespace millet {

Announcer::Announcer(const std::vector<std::vector<std::string>>& tiers, Random& random) : random_(random) {
  for (const std::vector<std::string>& urls : tiers) {
    Tier tier;
    for (const std::string& url : urls) {
      if (url.starts_with("http://")) tier.push_back(Tracker{url, {}, false, false});
    }
    // BEP 12: the order within a tier is random, so that its trackers share the load.
    random_.shuffle(tier);
    if (!tier.empty()) tiers_.push_back(std::move(tier));
  }
  if (tiers_.empty() && !tiers.empty()) message_ = "none of the torrent's trackers speaks http";
}

void Announcer::start(Instant now) {
  if (tiers_.empty()) return;
  running_ = true;
  stopping_ = false;
  rounds_failed_ = 0;
  tier_ = index_ = 0;
  next_at_ = now;
}

void Announcer::complete(Instant now) {
  completed_ = true;
  if (running_ && !under_way_) next_at_ = now;
}

void Announcer::stop(Instant now) {
  running_ = false;
  stopping_ = true;
  completed_ = false;
  next_at_ = stop_due() ? now : Instant::never();
}

void Announcer::want_peers(Instant now) {
  if (!running_ || under_way_ || rounds_failed_ > 0) return;
  next_at_ = std::min(next_at_, std::max(now, early_at_));
}

void Announcer::on_network_back(Instant now) {
  if (!running_ || under_way_) return;
  next_at_ = rounds_failed_ > 0 ? now : std::min(next_at_, std::max(now, early_at_));
  rounds_failed_ = 0;
}

bool Announcer::stop_due() const {
  return std::any_of(tiers_.begin(), tiers_.end(), [](const Tier& tier) {
    return std::any_of(tier.begin(), tier.end(), [](const Tracker& tracker) { return tracker.started; });
  });
}

AnnounceEvent Announcer::event_for(const Tracker& tracker) const {
  if (!tracker.started) return AnnounceEvent::started;
  if (completed_ && !tracker.told_complete) return AnnounceEvent::completed;
  return AnnounceEvent::none;
}

bool Announcer::poll(Instant now, Attempt& out) {
  if (under_way_ || now < next_at_) return false;
  if (stopping_) {
    for (tier_ = 0; tier_ < tiers_.size(); ++tier_) {
      for (index_ = 0; index_ < tiers_[tier_].size(); ++index_) {
        if (!current().started) continue;
        sent_ = AnnounceEvent::stopped;
        under_way_ = true;
        out = {current().url, sent_, current().id};
        return true;
      }
    }
    next_at_ = Instant::never();
    return false;
  }
  if (!running_) return false;
  sent_ = event_for(current());
  sent_complete_ = completed_;
  under_way_ = true;
  out = {current().url, sent_, current().id};
  return true;
}

void Announcer::on_reply(Instant now, const AnnounceReply& reply) {
  if (reply.failure && sent_ != AnnounceEvent::stopped) {
    on_failure(now, "the tracker says: " + *reply.failure);
    return;
  }
  CHECK(under_way_);
  under_way_ = false;
  Tracker& tracker = current();
  if (reply.tracker_id) tracker.id = *reply.tracker_id;
  tracker.started = sent_ != AnnounceEvent::stopped;
  // A leecher that was complete from the start never says "completed" (BEP 3).
  if (sent_ == AnnounceEvent::started || sent_ == AnnounceEvent::completed) tracker.told_complete = sent_complete_;
  if (stopping_) {
    next_at_ = stop_due() ? now : Instant::never();
    return;
  }
  message_ = reply.warning;
  rounds_failed_ = 0;
  uint32_t interval = std::max(reply.interval_s.value_or(k_interval_default_s), k_interval_min_s);
  uint32_t early = reply.min_interval_s.value_or(std::min(interval, k_early_default_s));
  next_at_ = now + Duration::seconds(std::max(interval, reply.min_interval_s.value_or(0)));
  early_at_ = now + Duration::seconds(early);
  // BEP 12: the one that works goes to the front of its tier, and is asked first from now on.
  Tier& tier = tiers_[tier_];
  std::rotate(tier.begin(), tier.begin() + static_cast<std::ptrdiff_t>(index_), tier.begin() + static_cast<std::ptrdiff_t>(index_) + 1);
  tier_ = index_ = 0;
  if (completed_ && event_for(tier.front()) == AnnounceEvent::completed) next_at_ = now;
}

void Announcer::on_failure(Instant now, const std::string& reason) {
  CHECK(under_way_);
  under_way_ = false;
  if (stopping_) {
    current().started = false;  // it will forget us by itself
    next_at_ = stop_due() ? now : Instant::never();
    return;
  }
  message_ = current().url + ": " + reason;
  next_tracker(now);
}

void Announcer::next_tracker(Instant now) {
  if (++index_ < tiers_[tier_].size()) {
    next_at_ = now;
    return;
  }
  index_ = 0;
  if (++tier_ < tiers_.size()) {
    next_at_ = now;
    return;
  }
  tier_ = 0;
  int64_t us = std::min(k_pause_first.in_us() << std::min<uint32_t>(rounds_failed_, 20), k_pause_max.in_us());
  ++rounds_failed_;
  next_at_ = now + Duration::us(us + static_cast<int64_t>(random_.below(static_cast<uint64_t>(us / 4))));
}

Instant Announcer::next_deadline() const { return under_way_ ? Instant::never() : next_at_; }

std::vector<std::string> Announcer::trackers() const {
  std::vector<std::string> out;
  for (const Tier& tier : tiers_) {
    for (const Tracker& tracker : tier) out.push_back(tracker.url);
  }
  return out;
}

}  // namespace millet
