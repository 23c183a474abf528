// swarm: one connection's protocol, with honest and hostile other sides.
#include <string>

#include "base/random.h"
#include "swarm/peer_session.h"
#include "unit/test.h"

using namespace millet;
using Kind = PeerEvent::Kind;

namespace {

constexpr uint32_t k_pieces = 20;
const PieceLayout& layout() {
  static const PieceLayout value = *PieceLayout::make(4 * k_block_size, {k_pieces * 4 * k_block_size - 1000});
  return value;
}
PeerId id_of(uint8_t byte) {
  PeerId id;
  id.raw.fill(byte);
  return id;
}
InfoHash hash_of(uint8_t byte) {
  InfoHash hash;
  hash.raw.fill(byte);
  return hash;
}
Instant at(int64_t seconds) { return Instant::from_us(1'000'000'000 + seconds * 1'000'000); }

std::vector<uint8_t> output_of(PeerSession& session) {
  std::vector<uint8_t> out;
  session.take_output(out);
  return out;
}

// A session that has had an incoming handshake, and bytes from the other side for it.
struct Fixture {
  PeerSession session{at(0), id_of(1)};
  std::vector<uint8_t> in;
  std::string failure;
  std::vector<Kind> kinds;
  PeerEvent last;

  explicit Fixture(bool fast = true, bool extended = true) {
    wire::encode(wire::Handshake{hash_of(7), id_of(2), extended, fast}, in);
    run(at(0));
    session.accept(layout());
    Bitfield have(k_pieces);
    have.set_all();
    session.greet(have, SessionHello{6881, 512, true, false, IpAddress()});
    output_of(session);
    kinds.clear();
  }
  // False: the session gave an error.
  bool run(Instant now = at(1)) {
    std::vector<uint8_t> bytes = std::exchange(in, {});
    session.feed(now, bytes);
    for (;;) {
      PeerEvent event;
      Result<bool> got = session.next(now, event);
      if (!got) {
        failure = got.error().reason;
        return false;
      }
      if (!*got) return true;
      kinds.push_back(event.kind);
      if (event.kind == Kind::handshake) return true;
      last = std::move(event);
    }
  }
  template <typename Message>
  bool get(const Message& message) {
    wire::encode(message, in);
    return run();
  }
  bool got(Kind kind) {
    bool only = kinds.size() == 1 && kinds[0] == kind;
    kinds.clear();
    return only;
  }
};

std::vector<uint8_t> piece_message(const wire::BlockRange& range, uint8_t fill) {
  std::vector<uint8_t> out;
  auto header = wire::piece_header(range);
  out.assign(header.begin(), header.end());
  out.resize(out.size() + range.length, fill);
  return out;
}

}  // namespace

static void two_sessions_shake_hands_and_tell_what_they_have(void**) {
  PeerSession out(at(0), id_of(1));
  PeerSession in(at(0), id_of(2));
  PeerEvent event;
  out.start(hash_of(7));
  std::vector<uint8_t> first = output_of(out);  // the session reads from it until next() gives false
  in.feed(at(0), first);
  assert_true(*in.next(at(0), event) && event.kind == Kind::handshake);
  assert_true(in.info_hash() == hash_of(7) && in.peer_id() == id_of(1));
  in.accept(layout());
  Bitfield some(k_pieces);
  some.set(3);
  in.greet(some, SessionHello{1234, 100, false, false, *IpAddress::parse("10.1.2.3")});
  std::vector<uint8_t> second = output_of(in);
  out.feed(at(0), second);
  assert_true(*out.next(at(0), event) && event.kind == Kind::handshake && out.peer_id() == id_of(2));
  out.accept(layout());
  assert_true(*out.next(at(0), event) && event.kind == Kind::pieces);
  assert_true(out.pieces().count() == 1 && out.pieces().test(3));
  assert_true(*out.next(at(0), event) && event.kind == Kind::extensions);
  assert_int_equal(out.remote().listen_port.value_or(0), 1234);
  assert_int_equal(out.remote().request_count_max.value_or(0), 100);
  assert_string_equal(out.remote().your_address->to_string().c_str(), "10.1.2.3");
  assert_false(out.is_upload_only());
  assert_int_equal(out.speed_id(), 0);
  assert_false(*out.next(at(0), event));
}

static void any_split_of_the_stream_gives_the_same_events(void**) {
  std::vector<uint8_t> stream;
  Bitfield have(k_pieces);
  have.set(1);
  wire::encode(wire::BitfieldBits{have.wire()}, stream);
  wire::encode(wire::Interested{}, stream);
  for (uint8_t byte : piece_message({2, k_block_size, k_block_size}, 0x5a)) stream.push_back(byte);
  wire::encode(wire::Request{{4, 0, 100}}, stream);
  wire::encode(wire::Have{9}, stream);
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    Fixture f;
    for (size_t i = 0; i < stream.size();) {
      size_t size = std::min<size_t>(stream.size() - i, 1 + random.below(round % 2 == 0 ? 5000 : 40));
      f.in.assign(stream.begin() + static_cast<std::ptrdiff_t>(i), stream.begin() + static_cast<std::ptrdiff_t>(i + size));
      assert_true(f.run());
      if (!f.kinds.empty() && f.kinds.back() == Kind::block && f.last.kind == Kind::block) {
        assert_true(f.last.data == std::vector<uint8_t>(k_block_size, 0x5a));
      }
      i += size;
    }
    assert_true(f.kinds == std::vector<Kind>({Kind::pieces, Kind::interested, Kind::block, Kind::request, Kind::have}));
  }
}

static void state_changes_come_once(void**) {
  Fixture f;
  assert_true(f.get(wire::Unchoke{}) && f.got(Kind::unchoked));
  assert_true(f.get(wire::Unchoke{}) && f.kinds.empty());
  assert_false(f.session.choking_us());
  assert_true(f.get(wire::Interested{}) && f.got(Kind::interested));
  assert_true(f.get(wire::NotInterested{}) && f.got(Kind::not_interested));
  f.session.send_choke(true);
  assert_false(f.session.has_output());
  f.session.send_choke(false);
  f.session.send_choke(false);
  assert_int_equal(output_of(f.session).size(), 5);
}

static void a_late_bitfield_stands_for_haves_and_takes_nothing_back(void**) {
  Bitfield bits(k_pieces);
  bits.set(0);
  Fixture f;
  assert_true(f.get(wire::BitfieldBits{bits.wire()}) && f.got(Kind::pieces));
  bits.set(5);
  bits.set(6);
  assert_true(f.get(wire::BitfieldBits{bits.wire()}));
  assert_true(f.kinds == std::vector<Kind>({Kind::have, Kind::have}));
  assert_true(f.session.pieces().count() == 3 && f.last.range.piece == 6);
  bits.clear(5);
  assert_false(f.get(wire::BitfieldBits{bits.wire()}));
  Fixture g;
  assert_true(g.get(wire::Have{1}) && g.got(Kind::have));
  assert_true(g.get(wire::HaveAll{}));
  assert_true(g.kinds.size() == k_pieces - 1 && g.session.pieces().all());
  assert_false(g.get(wire::HaveNone{}));
}

static void what_lies_outside_the_torrent_ends_the_connection(void**) {
  const wire::BlockRange bad[] = {
      {k_pieces, 0, 16384},
      {0, 4 * k_block_size, 1},
      {0, 4 * k_block_size - 1, 2},
      {0, 0, 0},
      {0, 0xffffffff, 16384},
      {UINT32_MAX, UINT32_MAX, UINT32_MAX},
      {k_pieces - 1, 4 * k_block_size - 1000, 1},
      {0, 0, 0xffffffff},
  };
  for (const wire::BlockRange& range : bad) {
    Fixture a;
    assert_false(a.get(wire::Request{range}));
    Fixture b;
    assert_false(b.get(wire::Cancel{range}));
    Fixture c;
    assert_false(c.get(wire::Reject{range}));
  }
  Fixture d;
  assert_false(d.get(wire::Have{k_pieces}));
  Fixture e;
  Bitfield wrong(k_pieces + 8);
  assert_false(e.get(wire::BitfieldBits{wrong.wire()}));
  Fixture f;
  const uint8_t spare[] = {0, 0, 0x01};
  assert_false(f.get(wire::BitfieldBits{spare}));
  Fixture g;
  g.in = piece_message({k_pieces, 0, 100}, 0);
  assert_false(g.run());
}

static void oversized_messages_end_the_connection(void**) {
  Fixture f;
  ByteWriter(f.in).u32(0x7fffffff).u8(7);
  assert_false(f.run());
  Fixture g;
  ByteWriter(g.in).u32(9 + 2 * k_block_size).u8(7).u32(0).u32(0);
  assert_false(g.run());
}

static void fast_messages_need_the_fast_extension(void**) {
  Fixture a(false);
  assert_false(a.get(wire::HaveAll{}));
  Fixture b(false);
  assert_false(b.get(wire::Reject{{0, 0, 100}}));
  Fixture c(false);
  c.session.send_reject({0, 0, 100});
  assert_false(c.session.has_output());
  Fixture d(true, false);
  assert_false(d.get(wire::Extended{0, as_bytes("de")}));
}

static void unknown_messages_are_skipped_but_not_for_ever(void**) {
  Fixture f;
  for (int i = 0; i < 50; ++i) {
    ByteWriter(f.in).u32(3).u8(99).u8(1).u8(2);
    assert_true(f.run());
  }
  bool open = true;
  for (int i = 0; i < 50 && open; ++i) {
    ByteWriter(f.in).u32(3).u8(99).u8(1).u8(2);
    open = f.run();
  }
  assert_false(open);
}

static void floods_end_the_connection(void**) {
  Fixture f;
  int messages = 0;
  while (f.get(wire::KeepAlive{}) && messages < 100'000) ++messages;
  assert_in_range(messages, 1000, 20'000);
  Fixture g;
  messages = 0;
  while (messages < 100'000) {
    if (!g.get(wire::Interested{}) || !g.get(wire::NotInterested{})) break;
    ++messages;
  }
  assert_in_range(messages, 500, 10'000);
  Fixture h;
  messages = 0;
  while (h.get(wire::Have{5}) && messages < 100'000) ++messages;
  assert_in_range(messages, 10, 200);
}

static void silence_ends_the_connection(void**) {
  PeerSession quiet(at(0), id_of(1));
  assert_true(quiet.next_deadline() == at(10));
  assert_true(quiet.on_timer(at(9)).has_value());
  assert_false(quiet.on_timer(at(10)).has_value());

  Fixture f;
  assert_true(f.get(wire::HaveNone{}));
  Instant now = at(1);
  int keep_alives = 0;
  while (f.session.on_timer(now).has_value()) {
    keep_alives += output_of(f.session).size() == 4;
    assert_true(f.session.next_deadline() > now);
    now = f.session.next_deadline();
  }
  assert_int_equal(keep_alives, 1);
  assert_true(now == at(1) + PeerSession::k_silence_max);
}

static void the_wrong_torrent_or_protocol_is_refused(void**) {
  PeerSession out(at(0), id_of(1));
  out.start(hash_of(7));
  std::vector<uint8_t> answer;
  wire::encode(wire::Handshake{hash_of(8), id_of(2), true, true}, answer);
  out.feed(at(0), answer);
  PeerEvent event;
  assert_false(out.next(at(0), event).has_value());
  PeerSession in(at(0), id_of(1));
  in.feed(at(0), as_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  assert_false(in.next(at(0), event).has_value());
}

static void extension_ids_can_change_and_be_withdrawn(void**) {
  Fixture f;
  wire::ExtensionHandshake hello;
  hello.btt_speed = 9;
  std::vector<uint8_t> payload;
  wire::encode(hello, payload);
  assert_true(f.get(wire::Extended{0, payload}) && f.got(Kind::extensions));
  assert_int_equal(f.session.speed_id(), 9);
  hello.btt_speed = 0;
  payload.clear();
  wire::encode(hello, payload);
  assert_true(f.get(wire::Extended{0, payload}));
  assert_int_equal(f.session.speed_id(), 0);
  // We offered no extension, so a message of one is a glitch.
  assert_true(f.get(wire::Extended{PeerSession::k_speed_id, as_bytes("x")}));
  assert_false(f.got(Kind::speed));
  f.session.send_hello(SessionHello{6881, 512, false, true, IpAddress()});
  f.kinds.clear();
  assert_true(f.get(wire::Extended{PeerSession::k_speed_id, as_bytes("x")}) && f.got(Kind::speed));
}

static void random_bytes_never_do_more_than_end_it(void**) {
  Random random(9);
  for (int round = 0; round < 3000; ++round) {
    Fixture f(random.below(2) == 0);
    for (int i = 0; i < 30; ++i) {
      uint32_t size = static_cast<uint32_t>(random.below(40));
      ByteWriter writer(f.in);
      if (random.below(3) == 0) {
        writer.u32(static_cast<uint32_t>(random.below(20))).u8(static_cast<uint8_t>(random.below(22)));
      }
      for (uint32_t j = 0; j < size; ++j) writer.u8(static_cast<uint8_t>(random.below(256)));
      if (!f.run()) break;
    }
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(two_sessions_shake_hands_and_tell_what_they_have),
      cmocka_unit_test(any_split_of_the_stream_gives_the_same_events),
      cmocka_unit_test(state_changes_come_once),
      cmocka_unit_test(a_late_bitfield_stands_for_haves_and_takes_nothing_back),
      cmocka_unit_test(what_lies_outside_the_torrent_ends_the_connection),
      cmocka_unit_test(oversized_messages_end_the_connection),
      cmocka_unit_test(fast_messages_need_the_fast_extension),
      cmocka_unit_test(unknown_messages_are_skipped_but_not_for_ever),
      cmocka_unit_test(floods_end_the_connection),
      cmocka_unit_test(silence_ends_the_connection),
      cmocka_unit_test(the_wrong_torrent_or_protocol_is_refused),
      cmocka_unit_test(extension_ids_can_change_and_be_withdrawn),
      cmocka_unit_test(random_bytes_never_do_more_than_end_it),
  };
  return RUN_TESTS(tests);
}
