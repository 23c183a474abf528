// swarm: when to announce to which tracker.
#include <map>
#include <set>

#include "swarm/announce.h"
#include "unit/test.h"

using namespace millet;

namespace {

Instant at(int64_t seconds) { return Instant::from_us(seconds * 1'000'000); }
AnnounceReply reply(uint32_t interval = 1800) {
  AnnounceReply out;
  out.interval_s = interval;
  return out;
}
AnnounceReply refusal() {
  AnnounceReply out;
  out.failure = "not registered";
  return out;
}
using Tiers = std::vector<std::vector<std::string>>;

}  // namespace

static void a_life_of_events(void**) {
  Random random(1);
  Announcer announcer(Tiers{{"http://a/announce"}}, random);
  Announcer::Attempt attempt;
  assert_false(announcer.poll(at(0), attempt));
  announcer.start(at(0));
  assert_true(announcer.poll(at(0), attempt) && attempt.event == AnnounceEvent::started);
  assert_false(announcer.poll(at(0), attempt));
  assert_true(announcer.next_deadline().is_never());
  AnnounceReply first = reply(600);
  first.tracker_id = "xyz";
  announcer.on_reply(at(1), first);
  assert_true(announcer.next_deadline() == at(601));
  assert_false(announcer.poll(at(600), attempt));
  assert_true(announcer.poll(at(601), attempt) && attempt.event == AnnounceEvent::none);
  assert_string_equal(attempt.tracker_id.c_str(), "xyz");
  announcer.complete(at(602));  // while an announce is under way
  announcer.on_reply(at(603), reply(600));
  assert_true(announcer.poll(at(603), attempt) && attempt.event == AnnounceEvent::completed);
  announcer.on_reply(at(604), reply(600));
  assert_true(announcer.next_deadline() == at(1204));
  announcer.stop(at(700));
  assert_false(announcer.is_finished());
  assert_true(announcer.poll(at(700), attempt) && attempt.event == AnnounceEvent::stopped);
  announcer.on_reply(at(701), reply());
  assert_true(announcer.is_finished() && announcer.next_deadline().is_never());
  announcer.start(at(800));
  assert_true(announcer.poll(at(800), attempt) && attempt.event == AnnounceEvent::started);
}

static void completed_is_said_once_and_never_by_a_seed(void**) {
  Random random(1);
  Announcer announcer(Tiers{{"http://a/"}}, random);
  Announcer::Attempt attempt;
  announcer.start(at(0));
  announcer.poll(at(0), attempt);
  announcer.complete(at(1));  // after the request with what is left went out
  announcer.on_reply(at(2), reply(100));
  assert_true(announcer.poll(at(2), attempt) && attempt.event == AnnounceEvent::completed);
  announcer.on_reply(at(3), reply(100));
  assert_true(announcer.poll(at(103), attempt) && attempt.event == AnnounceEvent::none);
  Announcer seed(Tiers{{"http://a/"}}, random);
  seed.start(at(0));
  seed.poll(at(0), attempt);
  seed.on_reply(at(1), reply(100));
  assert_true(seed.poll(at(101), attempt) && attempt.event == AnnounceEvent::none);
}

static void tiers_are_tried_in_order_and_the_working_tracker_moves_up(void**) {
  std::set<std::string> first;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    Announcer announcer(Tiers{{"http://a1/", "http://a2/", "udp://no/"}, {"https://no/"}, {"http://b/"}}, random);
    assert_int_equal(announcer.trackers().size(), 3);
    Announcer::Attempt attempt;
    announcer.start(at(0));
    assert_true(announcer.poll(at(0), attempt));
    std::string a = attempt.tracker;
    first.insert(a);
    announcer.on_failure(at(1), "refused");
    assert_true(announcer.poll(at(1), attempt) && attempt.tracker.starts_with("http://a") && attempt.tracker != a);
    std::string works = attempt.tracker;
    announcer.on_reply(at(2), reply(60));
    assert_true(announcer.poll(at(62), attempt) && attempt.tracker == works);
    announcer.on_failure(at(63), "refused");
    assert_true(announcer.poll(at(63), attempt) && attempt.tracker == a);
    announcer.on_reply(at(64), refusal());
    assert_true(announcer.poll(at(64), attempt) && attempt.tracker == "http://b/");
    assert_true(attempt.event == AnnounceEvent::started);
    assert_true(announcer.message().find("not registered") != std::string::npos);
    announcer.on_reply(at(65), reply());
    assert_true(announcer.message().empty());
    // Both that know us hear that we stop.
    announcer.stop(at(70));
    std::set<std::string> stopped;
    while (announcer.poll(at(70), attempt)) {
      assert_true(attempt.event == AnnounceEvent::stopped);
      stopped.insert(attempt.tracker);
      announcer.on_failure(at(70), "down");
    }
    assert_true(stopped == std::set<std::string>({works, "http://b/"}));
    assert_true(announcer.is_finished());
  }
  assert_int_equal(first.size(), 2);
}

static void pauses_between_failed_rounds_double(void**) {
  Random random(1);
  Announcer announcer(Tiers{{"http://a/"}}, random);
  Announcer::Attempt attempt;
  announcer.start(at(0));
  Instant now = at(0);
  Duration last;
  for (int i = 0; i < 30; ++i) {
    assert_true(announcer.poll(now, attempt));
    announcer.on_failure(now, "down");
    Duration pause = announcer.next_deadline() - now;
    assert_true(pause > last || pause >= Announcer::k_pause_max);
    assert_true(pause <= Announcer::k_pause_max + Announcer::k_pause_max / 4);
    announcer.want_peers(now);  // does not hurry a tracker that is down
    assert_true(announcer.next_deadline() - now == pause);
    last = pause;
    now = announcer.next_deadline();
  }
}

static void intervals_of_the_tracker_hold(void**) {
  Random random(1);
  Announcer announcer(Tiers{{"http://a/"}}, random);
  Announcer::Attempt attempt;
  announcer.start(at(0));
  announcer.poll(at(0), attempt);
  AnnounceReply strict = reply(5);
  strict.min_interval_s = 900;
  announcer.on_reply(at(0), strict);
  announcer.want_peers(at(1));
  assert_true(announcer.next_deadline() == at(900));
  announcer.poll(at(900), attempt);
  announcer.on_reply(at(900), reply(5));
  assert_true(announcer.next_deadline() == at(960));
  announcer.poll(at(960), attempt);
  announcer.on_reply(at(960), reply(1800));
  announcer.want_peers(at(970));
  assert_true(announcer.next_deadline() == at(1080));
}

static void no_http_tracker_means_nothing_to_do(void**) {
  Random random(1);
  Announcer announcer(Tiers{{"udp://a/"}, {"wss://b/"}}, random);
  announcer.start(at(0));
  Announcer::Attempt attempt;
  assert_false(announcer.poll(at(0), attempt));
  assert_true(announcer.next_deadline().is_never() && !announcer.message().empty());
  announcer.complete(at(1));
  announcer.stop(at(2));
  assert_true(announcer.is_finished() && announcer.next_deadline().is_never());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_life_of_events),
      cmocka_unit_test(completed_is_said_once_and_never_by_a_seed),
      cmocka_unit_test(tiers_are_tried_in_order_and_the_working_tracker_moves_up),
      cmocka_unit_test(pauses_between_failed_rounds_double),
      cmocka_unit_test(intervals_of_the_tracker_hold),
      cmocka_unit_test(no_http_tracker_means_nothing_to_do),
  };
  return RUN_TESTS(tests);
}
