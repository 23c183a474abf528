// When to announce one torrent to which of its trackers (BEP 3, tiers of BEP 12). One announce is under way at a time. The trackers of a
// tier are tried in random order, tiers one after the other; the first that answers is kept in front of its tier and asked again after its
// interval. When none answers, the pause between rounds doubles.
//
// Only http trackers; the URL, the counters and the exchange itself are the owner's.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "codec/tracker.h"

namespace millet {

class Announcer {
 public:
  static constexpr uint32_t k_interval_default_s = 1800;
  static constexpr uint32_t k_interval_min_s = 60;    // what a tracker asks below this is not followed
  static constexpr uint32_t k_early_default_s = 120;  // for more peers, where the tracker has no "min interval"
  static constexpr Duration k_pause_first = Duration::seconds(15);
  static constexpr Duration k_pause_max = Duration::minutes(30);

  // Trackers of other schemes are left out. `random` must outlive it.
  Announcer(const std::vector<std::vector<std::string>>& tiers, Random& random);

  bool has_trackers() const { return !tiers_.empty(); }
  // Announces from now on.
  void start(Instant now);
  // Became complete: trackers that heard of us as a leecher hear "completed".
  void complete(Instant now);
  // Says "stopped" to whom we said "started" last, once, then nothing.
  void stop(Instant now);
  // More peers would help: announce before the interval is over, but not before the tracker allows it.
  void want_peers(Instant now);
  // The network was away: who could not be reached may be now, and our address may be another. A tracker that was reached within its
  // minimum interval is asked after that.
  void on_network_back(Instant now);

  struct Attempt {
    std::string tracker;
    AnnounceEvent event = AnnounceEvent::none;
    std::string tracker_id;
  };
  // The announce to make now; it is under way until on_reply or on_failure.
  bool poll(Instant now, Attempt& out);
  void on_reply(Instant now, const AnnounceReply& reply);
  // Not reached, or an answer that is none.
  void on_failure(Instant now, const std::string& reason);

  Instant next_deadline() const;
  bool is_under_way() const { return under_way_; }
  // Stopped, and the tracker knows or can't be told.
  bool is_finished() const { return stopping_ && !under_way_ && !stop_due(); }
  // The last failure or warning; empty while all is well.
  const std::string& message() const { return message_; }
  std::vector<std::string> trackers() const;

 private:
  struct Tracker {
    std::string url;
    std::string id;        // "trackerid"
    bool started = false;  // it counts us as a peer
    bool told_complete = false;
  };
  using Tier = std::vector<Tracker>;

  Tracker& current() { return tiers_[tier_][index_]; }
  AnnounceEvent event_for(const Tracker& tracker) const;
  void next_tracker(Instant now);
  Tracker* last_started();
  bool stop_due() const;

  std::vector<Tier> tiers_;
  Random& random_;
  size_t tier_ = 0;
  size_t index_ = 0;
  AnnounceEvent sent_ = AnnounceEvent::none;  // of the announce under way
  Instant next_at_ = Instant::never();
  Instant early_at_;  // want_peers() may bring next_at_ forward to here
  uint32_t rounds_failed_ = 0;
  bool running_ = false;
  bool stopping_ = false;
  bool completed_ = false;      // while running
  bool sent_complete_ = false;  // the announce under way says so
  bool under_way_ = false;
  std::string message_;
};

}  // namespace millet
