// node: whole nodes in one process: seeding, downloading, swarms, restarts after a crash, bad data, limits.
#include "unit/node_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr uint32_t k_piece = 64 * 1024;
const char* const k_tracker = "http://10.1.1.1/announce";

bool is(Machine& machine, const Payload& payload, TorrentState state) {
  return machine.is_up() && machine.status(payload.hash).state == state;
}

Machine& seed_in(World& world, const Payload& payload) {
  Machine& seed = world.add();
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  CHECK(world.run_until(Duration::seconds(10), [&] { return is(seed, payload, TorrentState::seeding); }));
  return seed;
}

Machine& leech_in(World& world, const Payload& payload, std::vector<Endpoint> peers) {
  Machine& leecher = world.add();
  leecher.start();
  leecher.add(payload, std::move(peers));
  return leecher;
}

bool completes(World& world, Machine& machine, const Payload& payload, Duration time = Duration::minutes(5)) {
  return world.run_until(time, [&] { return is(machine, payload, TorrentState::seeding); }) && machine.holds(payload);
}

}  // namespace

static void a_seed_serves_a_leecher(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {300'000, 70'000, 1'000'000});
  Machine& seed = seed_in(world, payload);
  Machine& leecher = leech_in(world, payload, {seed.endpoint});
  assert_true(completes(world, leecher, payload));
  world.run(Duration::seconds(1));
  assert_int_equal(seed.status(payload.hash).uploaded, payload.size);
  TorrentStatus down = leecher.status(payload.hash);
  assert_int_equal(down.downloaded, payload.size);
  assert_int_equal(down.done, payload.size);
  assert_int_equal(leecher.pieces_hashed, payload.pieces);
  // Two seeds have nothing to say to each other.
  assert_int_equal(seed.status(payload.hash).peers, 0);
}

static void empty_files_do_not_matter(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {0, 100'000, 0, 0, 100'000, 0});
  Machine& seed = seed_in(world, payload);
  Machine& leecher = leech_in(world, payload, {seed.endpoint});
  std::erase_if(payload.files, [](const auto& file) { return file.second.empty(); });  // the driver's sync makes them
  assert_true(completes(world, leecher, payload));
}

static void a_swarm_finds_itself_by_the_tracker_and_shares(void**) {
  World world;
  Payload payload = make_payload(2, k_piece, {4'000'000}, k_tracker);
  Machine& seed = world.add();
  seed.config.upload_rate = 200'000;
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  world.run(Duration::seconds(2));
  std::vector<Machine*> leechers;
  for (int i = 0; i < 3; ++i) leechers.push_back(&leech_in(world, payload, {}));
  for (Machine* leecher : leechers) assert_true(completes(world, *leecher, payload));
  world.run(Duration::seconds(1));
  // The leechers gave each other most of what they got: the seed alone would have needed a minute.
  assert_true(seed.status(payload.hash).uploaded < 2 * payload.size);
  assert_true(world.now < Instant::from_us(45'000'000));
  assert_true(leechers[0]->urls.front().find("event=started") != std::string::npos);
  assert_true(std::any_of(leechers[0]->urls.begin(), leechers[0]->urls.end(), [](const std::string& url) {
    return url.find("event=completed") != std::string::npos && url.find("left=0") != std::string::npos;
  }));
  assert_true(std::none_of(seed.urls.begin(), seed.urls.end(),
                           [](const std::string& url) { return url.find("event=completed") != std::string::npos; }));
}

static void one_seed_gives_one_run(void**) {
  uint64_t first = 0;
  for (int round = 0; round < 2; ++round) {
    World world(77);
    Payload payload = make_payload(3, k_piece, {2'000'000}, k_tracker);
    seed_in(world, payload);
    Machine& a = leech_in(world, payload, {});
    Machine& b = leech_in(world, payload, {});
    assert_true(completes(world, a, payload) && completes(world, b, payload));
    uint64_t now = static_cast<uint64_t>(world.now.in_us());
    if (round == 0) first = now;
    assert_true(first == now);
  }
}

static void nodes_that_dial_each_other_keep_one_connection(void**) {
  for (uint64_t seed_number = 1; seed_number <= 6; ++seed_number) {
    World world(seed_number);
    Payload payload = make_payload(4, k_piece, {20'000'000});
    Machine& a = seed_in(world, payload);
    a.config.upload_rate = 100'000;
    a.reconfigure();
    Machine& b = leech_in(world, payload, {a.endpoint});
    a.crash();
    a.start();
    // Both dial at the same moment.
    a.command(&Node::remove_torrent, payload.hash, false);
    a.add(payload, {b.endpoint}, true);
    world.run(Duration::seconds(20));
    assert_int_equal(a.status(payload.hash).peers, 1);
    assert_int_equal(b.status(payload.hash).peers, 1);
    world.run(Duration::seconds(60));
    assert_int_equal(b.status(payload.hash).peers, 1);
    assert_true(b.status(payload.hash).done > 0);
  }
}

// However long each dial and each packet takes, one connection is left, the same for both, and never one less once blocks come over it.
static void of_two_connections_the_one_in_use_is_kept(void**) {
  for (uint64_t number = 1; number <= 60; ++number) {
    World world(number);
    Payload payload = make_payload(4, k_piece, {4'000'000});
    Machine& a = seed_in(world, payload);
    a.config.upload_rate = 200'000;
    a.reconfigure();
    Machine& b = world.add();
    b.start();
    Random random(number);
    world.delays = [&](const Machine&) {
      World::Delays delays{Duration::ms(1), Duration::ms(1)};
      delays.dial = Duration::ms(static_cast<int64_t>(random.below(number % 3 == 0 ? 4000 : 300) + 1));
      delays.bytes = Duration::ms(static_cast<int64_t>(random.below(200) + 1));
      return delays;
    };
    a.command(&Node::remove_torrent, payload.hash, false);
    bool a_first = random.below(2) == 0;
    if (a_first) a.add(payload, {b.endpoint}, true);
    b.add(payload, {a.endpoint});
    if (!a_first) a.add(payload, {b.endpoint}, true);
    bool in_use = false;
    bool lost = world.run_until(Duration::seconds(12), [&] {
      bool now_in_use = false;
      for (const PeerStatus& peer : b.node->peers(world.now, payload.hash)) now_in_use = now_in_use || peer.downloaded > 0;
      bool was_in_use = in_use;
      in_use = now_in_use;
      return was_in_use && !now_in_use;
    });
    assert_false(lost);
    assert_true(in_use);
    assert_int_equal(a.status(payload.hash).peers, 1);
    assert_int_equal(b.status(payload.hash).peers, 1);
  }
}

static void a_node_that_dials_itself_gives_up(void**) {
  World world;
  Payload payload = make_payload(5, k_piece, {1'000'000}, k_tracker);
  Machine& node = world.add();
  node.start();
  node.add(payload, {node.endpoint});
  world.run(Duration::minutes(10));
  int dials = 0;
  for (const std::string& line : node.log.lines) dials += line.find("this is ourselves") != std::string::npos;
  assert_int_equal(dials, 1);
  assert_int_equal(node.status(payload.hash).peers, 0);
}

static void a_lying_peer_is_banned_and_the_download_completes(void**) {
  for (uint64_t seed_number = 1; seed_number <= 5; ++seed_number) {
    World world(seed_number);
    Payload payload = make_payload(6, k_piece, {3'000'000});
    Machine& good = seed_in(world, payload);
    Machine& bad = seed_in(world, payload);
    bad.tamper = [](const BlockRef& block, std::vector<uint8_t>& bytes) {
      if (block.begin == 0) bytes[0] ^= 1;
    };
    Machine& leecher = leech_in(world, payload, {good.endpoint, bad.endpoint});
    assert_true(completes(world, leecher, payload));
    assert_true(leecher.log.has("event=peer_banned address=" + bad.endpoint.address.to_string()));
    assert_false(leecher.log.has("event=peer_banned address=" + good.endpoint.address.to_string()));
  }
}

static void the_end_of_a_download_does_not_wait_for_a_silent_peer(void**) {
  World world;
  Payload payload = make_payload(7, k_piece, {2'000'000});
  Machine& good = seed_in(world, payload);
  Machine& silent = seed_in(world, payload);
  silent.config.upload_rate = 1;  // one burst, then nothing
  silent.reconfigure();
  Machine& leecher = leech_in(world, payload, {good.endpoint, silent.endpoint});
  assert_true(completes(world, leecher, payload, Duration::seconds(100)));
}

static void upload_and_download_rates_hold(void**) {
  for (bool up : {true, false}) {
    World world;
    Payload payload = make_payload(8, k_piece, {3'000'000});
    Machine& seed = seed_in(world, payload);
    Machine& leecher = world.add();
    (up ? seed.config.upload_rate : leecher.config.download_rate) = 100'000;
    leecher.start();
    seed.reconfigure();
    Instant began = world.now;
    leecher.add(payload, {seed.endpoint});
    assert_true(completes(world, leecher, payload));
    assert_in_range((world.now - began).in_ms(), 26'000, 34'000);
  }
}

// ---- restarts ----

static void a_restart_after_a_crash_checks_only_what_was_being_written(void**) {
  Random moments(11);
  for (uint64_t seed_number = 1; seed_number <= 25; ++seed_number) {
    World world(seed_number);
    Payload payload = make_payload(9, k_piece, {500'000, 8'000'000, 3'000'000});
    Machine& seed = seed_in(world, payload);
    seed.config.upload_rate = 600'000;
    seed.reconfigure();
    Machine& leecher = leech_in(world, payload, {seed.endpoint});
    for (int crashes = 0; crashes < 3 && !is(leecher, payload, TorrentState::seeding); ++crashes) {
      world.run(Duration::ms(static_cast<int64_t>(200 + moments.below(8000))));
      uint32_t done = leecher.status(payload.hash).pieces_done;
      leecher.crash();
      world.run(Duration::ms(500));
      uint32_t hashed = leecher.pieces_hashed;
      leecher.start();
      world.run(Duration::ms(8));  // the files have been looked at: what is known is there at once
      uint32_t known = leecher.status(payload.hash).pieces_done;
      assert_true(world.run_until(Duration::seconds(5), [&] { return !is(leecher, payload, TorrentState::checking); }));
      // Nothing that was verified is lost, and what is hashed again was leased: at most the lease's bound.
      assert_true(leecher.status(payload.hash).pieces_done >= done);
      assert_true(leecher.pieces_hashed - hashed <= Picker::k_lease_max / k_piece);
      // What was verified longer ago than a sync takes is not hashed again.
      assert_true(known + 600'000 * 7 / k_piece + 3 >= done);
    }
    assert_true(completes(world, leecher, payload));
  }
}

static void a_complete_torrent_is_served_at_once_after_a_crash(void**) {
  World world;
  Payload payload = make_payload(10, k_piece, {2'000'000});
  Machine& seed = seed_in(world, payload);
  world.run(Duration::seconds(10));
  uint32_t hashed = seed.pieces_hashed;
  seed.crash();
  seed.start();
  world.run(Duration::ms(10));
  assert_true(is(seed, payload, TorrentState::seeding));
  assert_int_equal(seed.pieces_hashed, hashed);
}

static void a_clean_stop_needs_no_check(void**) {
  World world;
  Payload payload = make_payload(11, k_piece, {6'000'000}, k_tracker);
  Machine& seed = seed_in(world, payload);
  seed.config.upload_rate = 500'000;
  seed.reconfigure();
  Machine& leecher = leech_in(world, payload, {seed.endpoint});
  world.run(Duration::seconds(7));
  uint32_t done = leecher.status(payload.hash).pieces_done;
  assert_in_range(done, 10, payload.pieces - 10);
  leecher.node->shut_down(world.now);
  leecher.drain();
  assert_true(world.run_until(Duration::seconds(3), [&] { return leecher.stopped; }));
  assert_true(leecher.node->next_deadline().is_never());
  assert_true(leecher.urls.back().find("event=stopped") != std::string::npos);
  uint32_t hashed = leecher.pieces_hashed;
  leecher.crash();
  leecher.start();
  world.run(Duration::ms(10));
  assert_true(leecher.status(payload.hash).pieces_done >= done);
  assert_int_equal(leecher.pieces_hashed, hashed);
  assert_true(completes(world, leecher, payload));
}

static void stopping_does_not_wait_for_a_dead_tracker_or_disk(void**) {
  World world;
  Payload payload = make_payload(12, k_piece, {1'000'000}, k_tracker);
  Machine& seed = seed_in(world, payload);
  world.run(Duration::seconds(1));
  world.http = [](Machine&, const HttpExchange&) -> Result<HttpReply> { return error(Errc::timed_out, "no answer"); };
  seed.store.set_fault(StoreFault::full);
  seed.command(&Node::set_torrent, payload.hash, TorrentSettings{Amount::micro(5), {}, {}, {}});
  world.run(Duration::seconds(1));
  assert_true(seed.log.has("event=state_not_saved"));
  seed.node->shut_down(world.now);
  seed.drain();
  assert_true(world.run_until(Duration::seconds(30), [&] { return seed.stopped; }));
}

static void nothing_is_written_before_its_lease_is_durable(void**) {
  World world;
  Payload payload = make_payload(13, k_piece, {1'000'000});
  Machine& seed = seed_in(world, payload);
  Machine& leecher = world.add();
  leecher.start();
  leecher.store.set_fault(StoreFault::full);
  leecher.add(payload, {seed.endpoint});
  world.run(Duration::seconds(30));
  assert_true(leecher.disk.empty());
  assert_true(leecher.log.has("event=state_not_saved"));
  assert_int_equal(leecher.status(payload.hash).downloaded, 0);
}

// ---- idleness, limits, commands ----

static void an_idle_node_sleeps(void**) {
  World world;
  Payload payload = make_payload(14, k_piece, {1'000'000}, k_tracker);
  Machine& seed = seed_in(world, payload);
  world.run(Duration::seconds(10));
  uint32_t calls = seed.timer_calls;
  uint32_t commits = seed.commits;
  world.run(Duration::hours(10));
  assert_in_range(seed.timer_calls - calls, 10, 25);  // announces, and nothing else
  assert_int_equal(seed.commits, commits);
}

static void connections_are_limited(void**) {
  World world;
  Payload payload = make_payload(15, k_piece, {1'000'000});
  Machine& seed = seed_in(world, payload);
  uint32_t accepted = 0;
  for (int i = 0; i < 10'000; ++i) accepted += world.dial_raw(seed, "10.7.7.7") != nullptr;
  assert_int_equal(accepted, seed.config.peers_per_address);
  for (int i = 0; i < 250; ++i) {
    std::string from = "10.8.0." + std::to_string(i);
    accepted += world.dial_raw(seed, from.c_str()) != nullptr;
  }
  assert_int_equal(accepted, seed.config.peers_max);
  // They say nothing and are gone after ten seconds.
  world.run(Duration::seconds(11));
  assert_int_equal(seed.node->stats(world.now).peers, 0);
  assert_non_null(world.dial_raw(seed, "10.7.7.7"));
}

static void the_same_torrent_elsewhere_is_a_conflict(void**) {
  World world;
  Payload payload = make_payload(16, k_piece, {100'000});
  Machine& seed = seed_in(world, payload);
  AddTorrent request;
  request.metainfo = payload.metainfo;
  assert_true(seed.node->add_torrent(world.now, request).has_value());
  request.root = "/elsewhere";
  Result<InfoHash> other = seed.node->add_torrent(world.now, request);
  assert_true(!other && other.error().code == Errc::conflict);
  std::vector<uint8_t> cut(payload.metainfo.begin(), payload.metainfo.end() - 5);
  request.metainfo = cut;
  assert_true(seed.node->add_torrent(world.now, request).error().code == Errc::bad_input);
  InfoHash unknown;
  for (const Status& status : {seed.node->pause_torrent(world.now, unknown), seed.node->verify_torrent(world.now, unknown),
                               seed.node->remove_torrent(world.now, unknown, true)}) {
    assert_true(!status && status.error().code == Errc::not_found);
  }
}

static void pause_resume_verify_and_remove(void**) {
  World world;
  Payload payload = make_payload(17, k_piece, {3'000'000}, k_tracker);
  Machine& seed = seed_in(world, payload);
  seed.config.upload_rate = 300'000;
  seed.reconfigure();
  Machine& leecher = leech_in(world, payload, {seed.endpoint});
  world.run(Duration::seconds(3));
  leecher.command(&Node::pause_torrent, payload.hash);
  world.run(Duration::seconds(1));
  uint64_t done = leecher.status(payload.hash).done;
  assert_true(done > 0 && is(leecher, payload, TorrentState::paused));
  assert_int_equal(leecher.status(payload.hash).download_rate, 0);
  world.run(Duration::minutes(5));
  assert_int_equal(leecher.status(payload.hash).done, done);
  leecher.crash();
  leecher.start();
  world.run(Duration::seconds(10));
  assert_true(is(leecher, payload, TorrentState::paused));  // also over a restart
  leecher.command(&Node::resume_torrent, payload.hash);
  assert_true(completes(world, leecher, payload));
  uint32_t hashed = leecher.pieces_hashed;
  leecher.command(&Node::verify_torrent, payload.hash);
  assert_true(is(leecher, payload, TorrentState::checking));
  assert_true(completes(world, leecher, payload));
  assert_int_equal(leecher.pieces_hashed - hashed, payload.pieces);
  // A new check does not show the last one's progress while its files are still looked at.
  leecher.command(&Node::pause_torrent, payload.hash);
  leecher.command(&Node::verify_torrent, payload.hash);
  leecher.command(&Node::resume_torrent, payload.hash);
  assert_true(is(leecher, payload, TorrentState::checking));
  assert_int_equal(leecher.status(payload.hash).pieces_checked, 0);
  assert_true(completes(world, leecher, payload));
  leecher.command(&Node::remove_torrent, payload.hash, false);
  assert_int_equal(leecher.node->torrents(world.now).size(), 0);
  assert_true(leecher.urls.back().find("event=stopped") != std::string::npos);
  world.run(Duration::seconds(5));
  leecher.crash();
  leecher.start();
  assert_int_equal(leecher.node->torrents(world.now).size(), 0);
}

static void a_tracker_that_is_down_slow_or_mad_does_no_harm(void**) {
  std::vector<std::function<Result<HttpReply>(Machine&, const HttpExchange&)>> trackers = {
      [](Machine&, const HttpExchange&) -> Result<HttpReply> { return error(Errc::unavailable, "connection refused"); },
      [](Machine&, const HttpExchange&) -> Result<HttpReply> {
        return HttpReply{500, {}};
      },
      [](Machine&, const HttpExchange&) -> Result<HttpReply> {
        return HttpReply{200, std::vector<uint8_t>(100'000, 'd')};
      },
      [](Machine&, const HttpExchange&) -> Result<HttpReply> {
        std::string text = "d14:failure reason14:not registerede";
        return HttpReply{200, {text.begin(), text.end()}};
      },
  };
  for (auto& tracker : trackers) {
    World world;
    world.http = tracker;
    Payload payload = make_payload(18, k_piece, {500'000}, k_tracker);
    Machine& seed = seed_in(world, payload);
    world.run(Duration::hours(1));
    assert_in_range(seed.urls.size(), 5, 12);
    assert_true(!seed.status(payload.hash).tracker_message.empty());
    Machine& leecher = leech_in(world, payload, {seed.endpoint});
    assert_true(completes(world, leecher, payload));
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_seed_serves_a_leecher),
      cmocka_unit_test(empty_files_do_not_matter),
      cmocka_unit_test(a_swarm_finds_itself_by_the_tracker_and_shares),
      cmocka_unit_test(one_seed_gives_one_run),
      cmocka_unit_test(nodes_that_dial_each_other_keep_one_connection),
      cmocka_unit_test(of_two_connections_the_one_in_use_is_kept),
      cmocka_unit_test(a_node_that_dials_itself_gives_up),
      cmocka_unit_test(a_lying_peer_is_banned_and_the_download_completes),
      cmocka_unit_test(the_end_of_a_download_does_not_wait_for_a_silent_peer),
      cmocka_unit_test(upload_and_download_rates_hold),
      cmocka_unit_test(a_restart_after_a_crash_checks_only_what_was_being_written),
      cmocka_unit_test(a_complete_torrent_is_served_at_once_after_a_crash),
      cmocka_unit_test(a_clean_stop_needs_no_check),
      cmocka_unit_test(stopping_does_not_wait_for_a_dead_tracker_or_disk),
      cmocka_unit_test(nothing_is_written_before_its_lease_is_durable),
      cmocka_unit_test(an_idle_node_sleeps),
      cmocka_unit_test(connections_are_limited),
      cmocka_unit_test(the_same_torrent_elsewhere_is_a_conflict),
      cmocka_unit_test(pause_resume_verify_and_remove),
      cmocka_unit_test(a_tracker_that_is_down_slow_or_mad_does_no_harm),
  };
  return RUN_TESTS(tests);
}
