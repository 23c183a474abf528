// The uTP engine on a machine with several addresses: a stream stays at the address that its peer knows.
#include <vector>

#include "unit/test.h"
#include "unit/utp_pair.h"

using namespace millet;

namespace {

const IpAddress k_first = IpAddress::v4({10, 0, 0, 1});
const IpAddress k_second = IpAddress::v4({10, 0, 0, 2});
const Endpoint k_remote = {IpAddress::v4({192, 0, 2, 7}), 5000};

struct Engine {
  SeededSecureRandom secure{1};
  Utp utp{{}, secure, 1};
  Instant now = at_seconds(100);
  struct Sent {
    IpAddress from;
    UtpHeader header;
  };
  std::vector<UtpEvent::Kind> events;

  std::vector<Sent> say() {
    UtpEvent event;
    while (utp.poll(now, event)) events.push_back(event.kind);
    std::vector<Sent> out;
    UtpRun run;
    std::vector<uint8_t> buffer(UtpRun::k_size_max);
    while (utp.plan(now, run)) {
      utp.commit(now, run, buffer);
      UtpPacket packet;
      assert_true(run.to == k_remote);
      assert_true(decode_utp(Bytes(buffer).first(run.count == 1 ? run.last_size : run.packet_size), packet));
      out.push_back({run.from, packet.header});
    }
    return out;
  }
  std::vector<Sent> hear(const UtpHeader& header, const IpAddress& local, size_t payload = 0) {
    utp.on_datagram(now, k_remote, packet_bytes(header, payload), local);
    return say();
  }
};

UtpHeader header_of(UtpType type, uint16_t connection, uint16_t seq, uint16_t ack = 0) {
  UtpHeader out;
  out.type = type;
  out.connection = connection;
  out.seq = seq;
  out.ack = ack;
  out.sent_us = 1;
  out.window = 1 << 20;
  return out;
}

void who_connects_is_answered_from_the_address_that_it_asked(void**) {
  Engine engine;
  auto answer = engine.hear(header_of(UtpType::syn, 500, 1), k_second);
  assert_int_equal(answer.size(), 1);
  assert_true(answer[0].from == k_second && answer[0].header.type == UtpType::state);
  uint16_t cookie = answer[0].header.seq;
  auto acknowledged = engine.hear(header_of(UtpType::data, 501, 2, static_cast<uint16_t>(cookie - 1)), k_second, 10);
  assert_true(engine.events.front() == UtpEvent::Kind::accepted);
  assert_int_equal(engine.utp.count(), 1);
  engine.now = engine.now + Duration::seconds(1);
  engine.utp.on_timer(engine.now);
  for (const Engine::Sent& sent : engine.say()) acknowledged.push_back(sent);
  assert_true(!acknowledged.empty());
  for (const Engine::Sent& sent : acknowledged) assert_true(sent.from == k_second);
  // What somebody sends to another address of ours does not move the stream there.
  for (const Engine::Sent& sent : engine.hear(header_of(UtpType::data, 501, 3, static_cast<uint16_t>(cookie - 1)), k_first, 2000))
    assert_true(sent.from == k_second);
}

void who_is_refused_hears_it_from_the_address_that_it_asked(void**) {
  Engine engine;
  auto answer = engine.hear(header_of(UtpType::fin, 77, 1), k_second);
  assert_int_equal(answer.size(), 1);
  assert_true(answer[0].from == k_second && answer[0].header.type == UtpType::reset);
}

void our_own_stream_stays_where_its_answer_came_to(void**) {
  Engine engine;
  UtpId stream = *engine.utp.connect(engine.now, k_remote);
  auto syn = engine.say();
  assert_int_equal(syn.size(), 1);
  assert_true(syn[0].from.is_any());  // the system knows best
  // Nothing that comes before the answer decides.
  uint16_t receive_id = syn[0].header.connection;
  engine.hear(header_of(UtpType::state, receive_id, 900, static_cast<uint16_t>(syn[0].header.seq + 9)), k_first);
  engine.hear(header_of(UtpType::state, receive_id, 900, syn[0].header.seq), k_second);
  assert_true(engine.events.back() == UtpEvent::Kind::connected || engine.events.back() == UtpEvent::Kind::writable);
  engine.utp.offer(engine.now, stream, 100);
  auto data = engine.say();
  assert_true(!data.empty());
  for (const Engine::Sent& sent : data) assert_true(sent.from == k_second);
  engine.utp.abandon(engine.now, stream);
  auto reset = engine.say();
  assert_true(!reset.empty() && reset[0].header.type == UtpType::reset && reset[0].from == k_second);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(who_connects_is_answered_from_the_address_that_it_asked),
      cmocka_unit_test(who_is_refused_hears_it_from_the_address_that_it_asked),
      cmocka_unit_test(our_own_stream_stays_where_its_answer_came_to),
  };
  return RUN_TESTS(tests);
}
