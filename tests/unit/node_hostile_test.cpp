// node: peers that break the rules of the wire, each in its way. The node closes them or serves them as much as is right, stays within its
// bounds, and an honest leecher beside them is served.
#include "swarm/upload_queue.h"
#include "unit/node_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr uint32_t k_piece = 64 * 1024;

struct Fixture {
  World world;
  Payload payload = make_payload(1, k_piece, {2'000'000});
  Machine* node = &world.add();
  RawPeer* raw = nullptr;

  // `seed`: the node has the payload; else it downloads it.
  explicit Fixture(bool seed = true) {
    if (seed) node->put(payload);
    node->start();
    node->add(payload, {}, seed);
    world.run(Duration::seconds(2));
  }
  void connect(const char* from = "10.9.9.9", bool fast = true) {
    raw = world.dial_raw(*node, from);
    CHECK(raw != nullptr);
    wire::Handshake handshake;
    handshake.info_hash = payload.hash;
    handshake.peer_id.raw.fill(static_cast<uint8_t>(from[6]));
    handshake.extended = true;
    handshake.fast = fast;
    std::vector<uint8_t> out;
    wire::encode(handshake, out);
    world.send_raw(*raw, out);
    world.run(Duration::ms(100));
  }
  template <typename Message>
  void say(const Message& message) {
    std::vector<uint8_t> out;
    wire::encode(message, out);
    world.send_raw(*raw, out);
  }
  void say_bytes(std::vector<uint8_t> bytes) { world.send_raw(*raw, std::move(bytes)); }
  // Interested and unchoked.
  void get_slot() {
    say(wire::Interested{});
    world.run(Duration::seconds(1));
  }
  bool closed_within(int64_t seconds) {
    return world.run_until(Duration::seconds(seconds), [&] { return raw->closed; });
  }
  // Counts messages of one kind that the node has sent.
  uint32_t count(uint8_t id) {
    uint32_t found = 0;
    size_t at = wire::k_handshake_size;
    while (at + 4 < raw->received.size()) {
      uint32_t size = load_be<uint32_t>(raw->received.data() + at);
      found += size > 0 && raw->received[at + 4] == id;
      at += 4 + size;
    }
    return found;
  }
  bool serves_others() {
    Machine& leecher = world.add();
    leecher.start();
    leecher.add(payload, {node->endpoint});
    return world.run_until(Duration::minutes(2), [&] { return leecher.status(payload.hash).state == TorrentState::seeding; }) &&
           leecher.holds(payload);
  }
};

std::vector<uint8_t> piece_message(const wire::BlockRange& range) {
  auto header = wire::piece_header(range);
  std::vector<uint8_t> out(header.size() + range.length, 0x55);
  std::copy(header.begin(), header.end(), out.begin());
  return out;
}

}  // namespace

static void oversized_messages_close_the_connection(void**) {
  for (uint32_t size : {0xffffffffu, 0x00100000u}) {
    Fixture f;
    f.connect();
    std::vector<uint8_t> out;
    ByteWriter(out).u32(size).u8(6);
    f.say_bytes(out);
    assert_true(f.closed_within(1));
    assert_true(f.serves_others());
  }
}

static void garbage_closes_the_connection(void**) {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    Fixture f;
    f.connect();
    std::vector<uint8_t> out(5000);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random.next());
    f.say_bytes(out);
    f.closed_within(200);
    assert_true(f.raw->closed);
  }
}

static void requests_outside_the_piece_close_the_connection(void**) {
  for (wire::BlockRange range : {wire::BlockRange{0, k_piece - 1, 16384}, wire::BlockRange{1000, 0, 16384},
                                 wire::BlockRange{0, 0xffffffff, 2}, wire::BlockRange{0, 0, 0}}) {
    Fixture f;
    f.connect();
    f.get_slot();
    f.say(wire::Request{range});
    assert_true(f.closed_within(1));
    assert_int_equal(f.count(wire::PieceSlice::k_id), 0);
  }
}

static void large_requests_are_rejected_and_absurd_ones_close(void**) {
  Fixture f;
  f.connect();
  f.get_slot();
  f.say(wire::Request{{0, 0, 32768}});
  f.world.run(Duration::seconds(1));
  assert_false(f.raw->closed);
  assert_int_equal(f.count(wire::Reject::k_id), 1);
  assert_int_equal(f.count(wire::PieceSlice::k_id), 0);
  Fixture g;
  g.payload = make_payload(1, 256 * 1024, {2'000'000});
  g.node->put(g.payload);
  g.node->add(g.payload, {}, true);
  g.world.run(Duration::seconds(2));
  g.connect();
  g.get_slot();
  g.say(wire::Request{{0, 0, 200'000}});
  assert_true(g.closed_within(1));
}

static void duplicate_requests_are_served_as_asked_and_no_more(void**) {
  Fixture f;
  f.connect();
  f.get_slot();
  for (int i = 0; i < 3; ++i) f.say(wire::Request{{2, 16384, 16384}});
  f.say(wire::Request{{2, 8192, 16384}});  // overlaps
  f.world.run(Duration::seconds(1));
  assert_int_equal(f.count(wire::PieceSlice::k_id), 4);
}

static void a_flood_of_requests_is_bounded_and_rejected(void**) {
  Fixture f;
  f.connect();
  f.get_slot();
  f.node->config.upload_rate = 50'000;
  f.node->reconfigure();
  for (uint32_t i = 0; i < 1200; ++i) f.say(wire::Request{{i % 30, 0, 16384}});
  f.world.run(Duration::seconds(1));
  assert_false(f.raw->closed);
  assert_true(f.count(wire::Reject::k_id) >= 1200 - UploadQueue::k_requests_max - 20);
  int sent = 0;
  while (!f.raw->closed && sent < 100'000) {
    for (uint32_t i = 0; i < 1000; ++i) f.say(wire::Request{{i % 30, 0, 16384}});
    sent += 1000;
    f.world.run(Duration::ms(100));
  }
  assert_true(f.raw->closed);
}

static void requests_while_choked_are_rejected_not_served(void**) {
  Fixture f;
  f.connect();
  f.say(wire::Request{{0, 0, 16384}});
  f.world.run(Duration::seconds(1));
  assert_int_equal(f.count(wire::PieceSlice::k_id), 0);
  assert_int_equal(f.count(wire::Reject::k_id), 1);
  Fixture slow;
  slow.connect("10.9.9.9", false);
  slow.say(wire::Request{{0, 0, 16384}});
  slow.world.run(Duration::seconds(1));
  assert_int_equal(slow.count(wire::PieceSlice::k_id), 0);
  assert_int_equal(slow.count(wire::Reject::k_id), 0);
}

static void pieces_that_the_node_lacks_are_not_served(void**) {
  Fixture f(false);
  f.connect();
  f.get_slot();
  for (int i = 0; i < 20; ++i) f.say(wire::Request{{0, 0, 16384}});
  f.world.run(Duration::seconds(1));
  assert_int_equal(f.count(wire::PieceSlice::k_id), 0);
  for (int i = 0; i < 100; ++i) f.say(wire::Request{{0, 0, 16384}});
  assert_true(f.closed_within(2));
}

static void blocks_that_nobody_asked_for_are_dropped_then_close(void**) {
  Fixture f(false);
  f.connect();
  f.say(wire::HaveAll{});
  f.world.run(Duration::seconds(1));
  int sent = 0;
  while (!f.raw->closed && sent < 500) {
    f.say_bytes(piece_message({5, 0, 16384}));
    ++sent;
    f.world.run(Duration::ms(10));
  }
  assert_true(f.raw->closed);
  assert_in_range(sent, 10, 100);
  assert_true(f.node->disk.empty());
  assert_int_equal(f.node->status(f.payload.hash).downloaded, 0);
}

static void a_peer_that_takes_pieces_back_is_closed(void**) {
  Fixture f;
  f.connect();
  f.say(wire::Have{1});
  std::vector<uint8_t> bits(4, 0);
  f.say(wire::BitfieldBits{bits});
  assert_true(f.closed_within(1));
}

// Transmission rejects requests that it has no room for; if it is the only peer, nothing else ever changes.
static void what_was_rejected_is_asked_again_of_the_same_peer(void**) {
  Fixture f(false);
  f.connect();
  f.say(wire::HaveAll{});
  f.say(wire::Unchoke{});
  f.world.run(Duration::ms(200));
  const uint32_t asked = f.count(6);
  assert_true(asked > 0);
  const uint32_t pieces = static_cast<uint32_t>((2'000'000 + k_piece - 1) / k_piece);
  for (uint32_t piece = 0; piece < pieces; ++piece) {
    for (uint32_t begin = 0; begin < k_piece; begin += k_block_size) {
      const uint64_t left = 2'000'000 - uint64_t{piece} * k_piece - begin;
      if (left > 2'000'000) break;
      f.say(wire::Reject{{piece, begin, static_cast<uint32_t>(std::min<uint64_t>(left, k_block_size))}});
    }
  }
  f.world.run(Duration::ms(500));
  assert_int_equal(f.count(6), asked);
  f.world.run(Duration::seconds(2));
  assert_true(f.count(6) > asked);
  assert_false(f.raw->closed);
}

static void silence_closes(void**) {
  Fixture f;
  RawPeer* mute = f.world.dial_raw(*f.node, "10.5.5.5");
  assert_true(f.world.run_until(Duration::seconds(11), [&] { return mute->closed; }));
  f.connect();
  f.say(wire::HaveNone{});
  assert_false(f.closed_within(140));
  assert_true(f.closed_within(20));
}

static void a_peer_that_reads_nothing_is_closed(void**) {
  Fixture f;
  f.connect();
  f.get_slot();
  f.say(wire::Request{{0, 0, 16384}});
  f.world.run(Duration::seconds(1));
  assert_true(f.closed_within(200));
}

static void trickling_an_endless_handshake_closes(void**) {
  Fixture f;
  RawPeer* slow = f.world.dial_raw(*f.node, "10.5.5.5");
  std::vector<uint8_t> handshake;
  wire::encode(wire::Handshake{f.payload.hash, {}, true, true}, handshake);
  for (uint8_t byte : handshake) {
    if (slow->closed) break;
    f.world.send_raw(*slow, {byte});
    f.world.run(Duration::ms(400));
  }
  assert_true(slow->closed);
}

static void repeated_offences_ban_the_address(void**) {
  Fixture f;
  for (int i = 0; i < 3; ++i) {
    f.connect("10.4.4.4");
    f.say(wire::Request{{1000, 0, 16384}});
    assert_true(f.closed_within(1));
  }
  assert_null(f.world.dial_raw(*f.node, "10.4.4.4"));
  assert_non_null(f.world.dial_raw(*f.node, "10.4.4.5"));
  f.world.run(Duration::minutes(11));
  assert_non_null(f.world.dial_raw(*f.node, "10.4.4.4"));
}

static void the_wrong_torrent_is_closed_without_an_answer(void**) {
  Fixture f;
  f.payload.hash.raw[0] ^= 1;
  f.connect();
  assert_true(f.closed_within(1));
  assert_int_equal(f.raw->received.size(), 0);
}

static void a_liar_that_leaves_before_its_piece_is_hashed_is_banned_too(void**) {
  Fixture f(false);
  f.connect("10.4.4.4");
  f.say(wire::HaveAll{});
  f.say(wire::Unchoke{});
  f.world.run(Duration::seconds(1));
  // Answers every request with nonsense, and hangs up.
  size_t at = wire::k_handshake_size;
  while (at + 4 < f.raw->received.size()) {
    uint32_t size = load_be<uint32_t>(f.raw->received.data() + at);
    if (size == 13 && f.raw->received[at + 4] == wire::Request::k_id) {
      ByteReader reader(Bytes(f.raw->received).subspan(at + 5, 12));
      uint32_t piece = reader.u32();
      uint32_t begin = reader.u32();
      f.say_bytes(piece_message({piece, begin, reader.u32()}));
    }
    at += 4 + size;
  }
  f.world.run(Duration::ms(6));
  f.world.close_raw(*f.raw);
  f.world.run(Duration::seconds(2));
  assert_true(f.node->log.has("event=bad_piece"));
  assert_null(f.world.dial_raw(*f.node, "10.4.4.4"));
  assert_int_equal(f.node->status(f.payload.hash).pieces_done, 0);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(oversized_messages_close_the_connection),
      cmocka_unit_test(garbage_closes_the_connection),
      cmocka_unit_test(requests_outside_the_piece_close_the_connection),
      cmocka_unit_test(large_requests_are_rejected_and_absurd_ones_close),
      cmocka_unit_test(duplicate_requests_are_served_as_asked_and_no_more),
      cmocka_unit_test(a_flood_of_requests_is_bounded_and_rejected),
      cmocka_unit_test(requests_while_choked_are_rejected_not_served),
      cmocka_unit_test(pieces_that_the_node_lacks_are_not_served),
      cmocka_unit_test(blocks_that_nobody_asked_for_are_dropped_then_close),
      cmocka_unit_test(a_peer_that_takes_pieces_back_is_closed),
      cmocka_unit_test(what_was_rejected_is_asked_again_of_the_same_peer),
      cmocka_unit_test(silence_closes),
      cmocka_unit_test(a_peer_that_reads_nothing_is_closed),
      cmocka_unit_test(trickling_an_endless_handshake_closes),
      cmocka_unit_test(repeated_offences_ban_the_address),
      cmocka_unit_test(the_wrong_torrent_is_closed_without_an_answer),
      cmocka_unit_test(a_liar_that_leaves_before_its_piece_is_hashed_is_banned_too),
  };
  return RUN_TESTS(tests);
}
