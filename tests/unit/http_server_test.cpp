// HTTP connections of the ledger's server over streams that the test holds in its hand.
#include "driver/http_server.h"

#include <algorithm>
#include <cstdio>

#include "unit/fake_streams.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

struct Asked {
  hal::StreamId stream;
  std::string method, target, body;
};

struct World final : HttpServerEvents {
  World() : server(streams, *this, 1000) {}
  void on_http_request(hal::StreamId stream, std::string_view method, std::string_view target, Bytes body) override {
    asked.push_back({stream, std::string(method), std::string(target), std::string(as_text(body))});
    if (answer_at_once) server.reply(now, stream, 200, as_bytes("yes"));
  }
  void on_http_oversized(hal::StreamId stream) override {
    oversized.push_back(stream);
    server.reply(now, stream, 413, as_bytes("too large"));
  }
  void accept(hal::StreamId stream, const char* from = "192.0.2.1:5") { server.on_accepted(now, stream, *Endpoint::parse(from)); }
  void receive(hal::StreamId stream, std::string_view text) { server.on_received(now, stream, as_bytes(text)); }
  void pass(Duration time) {
    now = now + time;
    if (server.next_deadline() <= now) server.on_timer(now);
  }

  Instant now = Instant::from_us(1);
  FakeStreams streams;
  HttpServer server;
  std::vector<Asked> asked;
  std::vector<hal::StreamId> oversized;
  bool answer_at_once = false;
};

constexpr std::string_view k_post = "POST /v1/op HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
constexpr std::string_view k_get = "GET /b HTTP/1.1\r\nHost: x\r\n\r\n";

size_t count(const std::string& text, std::string_view what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

void a_request_is_asked_once_and_answered_on_a_kept_connection(void**) {
  World world;
  world.accept(1);
  for (char c : k_post) world.receive(1, std::string_view(&c, 1));
  assert_int_equal(world.asked.size(), 1);
  assert_string_equal(world.asked[0].body.c_str(), "abc");
  assert_string_equal(world.asked[0].target.c_str(), "/v1/op");
  assert_false(world.streams.reading[1]);
  world.server.reply(world.now, 1, 200, as_bytes("yes"));
  assert_true(world.streams.sent[1].ends_with("\r\n\r\nyes"));
  assert_true(world.streams.reading[1]);
  assert_false(world.streams.is_closed(1));
  world.receive(1, k_get);
  assert_int_equal(world.asked.size(), 2);
}

void requests_that_come_early_wait_for_the_answer(void**) {
  World world;
  world.accept(1);
  world.receive(1, std::string(k_post) + std::string(k_get) + std::string(k_get));
  assert_int_equal(world.asked.size(), 1);
  world.server.reply(world.now, 1, 200, as_bytes("1"));
  assert_int_equal(world.asked.size(), 2);
  world.server.reply(world.now, 1, 200, as_bytes("2"));
  world.server.reply(world.now, 1, 200, as_bytes("3"));
  assert_int_equal(world.asked.size(), 3);
  assert_int_equal(count(world.streams.sent[1], "HTTP/1.1 200"), 3);
  World at_once;
  at_once.answer_at_once = true;
  at_once.accept(1);
  std::string many;
  for (int i = 0; i < 300; ++i) many += k_get;
  at_once.receive(1, many);
  assert_int_equal(count(at_once.streams.sent[1], "HTTP/1.1 200"), 300);
  at_once.accept(2);
  at_once.receive(2, many + many + many);
  assert_int_equal(count(at_once.streams.sent[2], "HTTP/1.1 200"), 1);
  assert_true(at_once.streams.is_closed(2));
}

void a_reply_goes_out_as_the_socket_takes_it(void**) {
  World world;
  world.accept(1);
  world.receive(1, k_get);
  world.streams.room = 10;
  world.server.reply(world.now, 1, 200, as_bytes("body"));
  assert_int_equal(world.streams.sent[1].size(), 10);
  world.streams.room = SIZE_MAX;
  world.server.on_writable(world.now, 1);
  assert_true(world.streams.sent[1].ends_with("\r\n\r\nbody"));
}

void a_client_that_does_not_take_its_reply_is_dropped(void**) {
  World world;
  world.accept(1);
  world.receive(1, k_get);
  world.streams.room = 10;
  world.server.reply(world.now, 1, 200, as_bytes("body"));
  world.pass(HttpServer::k_reply_max);
  assert_true(world.streams.is_closed(1));
}

// Whoever sends a byte now and then holds its place no longer than one who is silent.
void slow_and_silent_requests_end_in_time(void**) {
  World world;
  world.accept(1);
  world.accept(2);
  world.receive(2, "P");
  for (int i = 0; i < 9; ++i) {
    world.pass(Duration::seconds(1));
    world.receive(2, "O");
  }
  assert_false(world.streams.is_closed(2));
  world.pass(Duration::seconds(1));
  assert_true(world.streams.is_closed(1));
  assert_true(world.streams.is_closed(2));
  assert_int_equal(world.server.connections(), 0);
}

void an_idle_connection_is_kept_for_a_while(void**) {
  World world;
  world.answer_at_once = true;
  world.accept(1);
  world.receive(1, k_get);
  world.pass(HttpServer::k_idle_max - Duration::seconds(1));
  world.receive(1, k_get);
  assert_int_equal(world.asked.size(), 2);
  world.pass(HttpServer::k_idle_max);
  assert_true(world.streams.is_closed(1));
}

void a_request_that_is_being_answered_has_no_deadline(void**) {
  World world;
  world.accept(1);
  world.receive(1, k_get);
  world.pass(Duration::hours(1));
  assert_false(world.streams.is_closed(1));
}

void connections_are_bounded_for_each_address_and_in_all(void**) {
  World world;
  hal::StreamId stream = 0;
  for (size_t i = 0; i < HttpServer::k_connections_per_address_max + 3; ++i) world.accept(++stream);
  assert_int_equal(world.server.connections(), HttpServer::k_connections_per_address_max);
  assert_int_equal(world.server.refused(), 3);
  world.server.on_closed(1);
  world.accept(++stream);
  assert_int_equal(world.server.connections(), HttpServer::k_connections_per_address_max);
  for (int address = 2; address < 40; ++address) {
    std::string from = "192.0.2." + std::to_string(address) + ":1";
    for (int i = 0; i < 50; ++i) world.accept(++stream, from.c_str());
  }
  assert_int_equal(world.server.connections(), HttpServer::k_connections_per_network_max);
  for (int network = 3; network < 40; ++network) {
    std::string from = "192.0." + std::to_string(network) + ".1:1";
    for (int i = 0; i < 50; ++i) world.accept(++stream, from.c_str());
  }
  assert_int_equal(world.server.connections(), HttpServer::k_connections_max);
}

// Who has one address of IPv6 has 2^64 of them.
void the_64_of_an_ipv6_address_is_one_sender_and_the_48_one_network(void**) {
  World world;
  hal::StreamId stream = 0;
  auto hex = [](size_t number) {
    char text[8];
    std::snprintf(text, sizeof text, "%zx", number);
    return std::string(text);
  };
  for (size_t host = 1; host <= 200; ++host) world.accept(++stream, ("[2001:db8:1:1::" + hex(host) + "]:1").c_str());
  assert_int_equal(world.server.connections(), HttpServer::k_connections_per_address_max);
  for (size_t line = 2; line <= 2000; ++line) world.accept(++stream, ("[2001:db8:1:" + hex(line) + "::1]:1").c_str());
  assert_int_equal(world.server.connections(), HttpServer::k_connections_per_network_max);
  assert_false(world.streams.is_closed(stream));
}

// A client that asks and asks and takes no answer has a place only as long as nobody else wants one.
void connections_that_do_not_take_their_reply_give_their_place(void**) {
  World world;
  world.answer_at_once = true;
  world.accept(1, "198.51.100.1:1");
  world.receive(1, k_get);
  world.streams.room = 0;
  hal::StreamId stream = 1;
  for (size_t i = 1; i < HttpServer::k_connections_max; ++i) {
    ++stream;
    world.accept(stream, ("192." + std::to_string(i / 60) + ".0.1:1").c_str());
    world.receive(stream, k_get);
  }
  assert_int_equal(world.server.connections(), HttpServer::k_connections_max);
  world.pass(Duration::ms(100));
  world.streams.room = 1;
  world.server.on_writable(world.now, 2);  // takes a byte: goes on later than those around it
  world.streams.room = 0;
  world.accept(++stream, "198.51.100.2:1");
  assert_false(world.streams.is_closed(stream));
  assert_true(world.server.evicted() == 1 && world.server.refused() == 0);
  assert_false(world.streams.is_closed(1));  // waits for longest, but is alone in its network
  assert_false(world.streams.is_closed(2));
  world.streams.room = SIZE_MAX;
  world.receive(stream, k_get);
  assert_true(world.streams.sent[stream].ends_with("yes"));
}

// Whoever has said nothing for longest gives its place; whoever is being answered keeps it.
void silent_connections_give_their_place_to_new_ones(void**) {
  World world;
  hal::StreamId stream = 0;
  auto from = [](hal::StreamId id) { return "192.0." + std::to_string((id - 1) / 64) + ".1:1"; };
  for (size_t i = 0; i < HttpServer::k_connections_max; ++i) {
    ++stream;
    world.accept(stream, from(stream).c_str());
  }
  world.receive(1, k_get);
  world.receive(2, "GET /slow");
  world.pass(Duration::seconds(1));
  for (int i = 0; i < 2; ++i) {
    ++stream;
    world.accept(stream, from(stream).c_str());
  }
  assert_false(world.streams.is_closed(1));
  assert_true(world.streams.is_closed(2));
  assert_true(world.streams.is_closed(65));  // then the next network has most
  assert_false(world.streams.is_closed(stream));
  assert_int_equal(world.server.connections(), HttpServer::k_connections_max);
  assert_int_equal(world.server.evicted(), 2);
}

void garbage_and_oversized_requests_are_refused_and_the_connection_ends(void**) {
  World world;
  world.accept(1);
  world.receive(1, "\x01\x02 nonsense\r\n\r\n");
  assert_true(world.streams.sent[1].starts_with("HTTP/1.1 400"));
  assert_true(world.streams.is_closed(1));
  world.accept(2);
  world.receive(2, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  assert_int_equal(world.oversized.size(), 1);
  assert_true(world.streams.sent[2].starts_with("HTTP/1.1 413"));
  assert_true(world.streams.is_closed(2));
  world.accept(3);
  world.receive(3, "GET /" + std::string(20'000, 'a'));
  assert_true(world.streams.is_closed(3));
  assert_int_equal(world.asked.size(), 0);
}

void a_reply_to_a_connection_that_is_gone_is_forgotten(void**) {
  World world;
  world.accept(1);
  world.receive(1, k_get);
  world.server.on_closed(1);
  world.server.reply(world.now, 1, 200, as_bytes("yes"));
  assert_true(world.streams.sent[1].empty());
}

void stopping_ends_idle_connections_and_answers_the_others(void**) {
  World world;
  world.accept(1);
  world.accept(2);
  world.receive(2, k_get);
  world.server.stop();
  assert_true(world.streams.is_closed(1));
  assert_false(world.streams.is_closed(2));
  world.accept(3);
  assert_true(world.streams.is_closed(3));
  world.server.reply(world.now, 2, 200, as_bytes("last"));
  assert_true(world.streams.sent[2].ends_with("last"));
  assert_true(world.streams.is_closed(2));
  assert_int_equal(world.server.connections(), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_request_is_asked_once_and_answered_on_a_kept_connection),
      cmocka_unit_test(requests_that_come_early_wait_for_the_answer),
      cmocka_unit_test(a_reply_goes_out_as_the_socket_takes_it),
      cmocka_unit_test(a_client_that_does_not_take_its_reply_is_dropped),
      cmocka_unit_test(slow_and_silent_requests_end_in_time),
      cmocka_unit_test(an_idle_connection_is_kept_for_a_while),
      cmocka_unit_test(a_request_that_is_being_answered_has_no_deadline),
      cmocka_unit_test(connections_are_bounded_for_each_address_and_in_all),
      cmocka_unit_test(the_64_of_an_ipv6_address_is_one_sender_and_the_48_one_network),
      cmocka_unit_test(connections_that_do_not_take_their_reply_give_their_place),
      cmocka_unit_test(silent_connections_give_their_place_to_new_ones),
      cmocka_unit_test(garbage_and_oversized_requests_are_refused_and_the_connection_ends),
      cmocka_unit_test(a_reply_to_a_connection_that_is_gone_is_forgotten),
      cmocka_unit_test(stopping_ends_idle_connections_and_answers_the_others),
  };
  return RUN_TESTS(tests);
}
