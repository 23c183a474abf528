// TLS between real sockets: an HTTP client that pins a ledger, and a server whose key is replaced, on one loop.
#include "driver/tls_streams.h"

#include <map>

#include "driver/http_client.h"
#include "driver/http_server.h"
#include "hal/linux/system.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr size_t k_reply_max = 2'000'000;

struct World final : HttpEvents, HttpServerEvents, hal::StreamEvents, hal::TimerEvents {
  World() {
    system.streams.set_events(this);
    system.loop.set_events(this);
    renew(1000);
    listening = *tls.listen(1, *Endpoint::parse("127.0.0.1:0"));
  }
  ~World() override {
    system.loop.stop();
    machine.run();
  }
  void renew(uint64_t not_after) {
    auto made = make_tls_server(key, id, LedgerTime::from_seconds(not_after), system.random);
    tls.serve(1, std::move(made).value());
  }
  LedgerPin pin(uint64_t time = 1) const { return {key.public_key(), id, LedgerTime::from_seconds(time)}; }

  // From the machine: ours is what the client does not know.
  void on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) override {
    served.push_back(stream);
    tls.on_accepted(listener, stream, remote);
  }
  void on_connected(hal::StreamId stream) override { client.on_connected(now(), stream); }
  void on_received(hal::StreamId stream, Bytes bytes) override {
    if (!client.on_received(now(), stream, bytes)) tls.on_received(stream, bytes);
  }
  void on_writable(hal::StreamId stream) override {
    if (!client.on_writable(now(), stream)) tls.on_writable(stream);
  }
  void on_closed(hal::StreamId stream, const Error& reason) override {
    if (!client.on_closed(now(), stream, reason)) tls.on_closed(stream, reason);
  }
  void on_timer() override {
    client.on_timer(now());
    if (http.next_deadline() <= now()) http.on_timer(now());
  }
  void on_shutdown() override {}
  void on_http_request(hal::StreamId stream, std::string_view, std::string_view target, Bytes asked) override {
    last_body.assign(asked.begin(), asked.end());
    http.reply(now(), stream, 200, target == "/large" ? Bytes(large) : as_bytes("hello"));
  }
  void on_http_oversized(hal::StreamId stream) override { http.drop(stream); }
  void on_http_done(Ticket ticket, const Result<HttpReply>& answer) override { answers.emplace(ticket, answer); }

  // What the server's connections tell the HTTP server.
  struct Above final : hal::StreamEvents {
    explicit Above(World& in) : world(in) {}
    void on_accepted(hal::ListenerId, hal::StreamId stream, const Endpoint& remote) override {
      world.http.on_accepted(world.now(), stream, remote);
    }
    void on_connected(hal::StreamId) override {}
    void on_received(hal::StreamId stream, Bytes bytes) override { world.http.on_received(world.now(), stream, bytes); }
    void on_writable(hal::StreamId stream) override { world.http.on_writable(world.now(), stream); }
    void on_closed(hal::StreamId stream, const Error&) override { world.http.on_closed(stream); }
    World& world;
  };

  Instant now() { return system.clock.now(); }
  const Result<HttpReply>& ask(Ticket ticket, const LedgerPin& who, const char* path = "/", const char* scheme = "https://") {
    HttpExchange exchange{ticket, scheme + listening.to_string() + path, body, k_reply_max, 10'000, who};
    client.start(now(), std::move(exchange));
    Instant end = now() + Duration::seconds(15);
    while (answers.find(ticket) == answers.end() && now() < end) {
      system.loop.arm(earlier(earlier(client.next_deadline(), http.next_deadline()), now() + Duration::ms(5)));
      uv_run(machine.uv(), UV_RUN_ONCE);
    }
    return answers.at(ticket);
  }

  NullLog log;
  hal::LinuxSystem machine{log};
  hal::System& system = machine.system();
  std::array<uint8_t, 32> seed{1};
  SigningKey key = SigningKey::from_seed(seed);
  LedgerId id;
  Above above{*this};
  TlsStreams tls{system, above};
  HttpServer http{tls, *this, k_reply_max};
  HttpClient client{system, IpAddress(), *this};
  Endpoint listening;
  std::vector<uint8_t> body, last_body, large = std::vector<uint8_t>(1'500'000, 'x');
  std::vector<hal::StreamId> served;
  std::map<Ticket, Result<HttpReply>> answers;
};

void the_ledger_is_asked_and_its_certificate_told(void**) {
  World world;
  const Result<HttpReply>& reply = world.ask(1, world.pin());
  assert_true(reply.has_value());
  assert_string_equal(std::string(as_text(reply->body)).c_str(), "hello");
  assert_int_equal(reply->tls_not_after->in_seconds(), 1000);
}

void large_messages_go_as_the_sockets_take_them(void**) {
  World world;
  world.body.assign(1'900'000, 'q');
  const Result<HttpReply>& reply = world.ask(1, world.pin(), "/large");
  assert_true(reply.has_value());
  assert_true(reply->body == world.large);
  assert_true(world.last_body == world.body);
}

void a_second_exchange_takes_up_the_session(void**) {
  World world;
  for (Ticket ticket = 1; ticket <= 3; ++ticket) assert_true(world.ask(ticket, world.pin()).has_value());
  assert_int_equal(world.client.tls().handshakes, 3);
  assert_int_equal(world.client.tls().resumed, 2);
}

void a_replaced_key_is_freed_when_its_connections_have_ended(void**) {
  World world;
  assert_true(world.ask(1, world.pin()).has_value());
  world.renew(2000);
  const Result<HttpReply>& reply = world.ask(2, world.pin(1500));
  assert_int_equal(reply->tls_not_after->in_seconds(), 2000);
  assert_int_equal(world.client.tls().resumed, 0);
  for (hal::StreamId stream : world.served) world.tls.close(stream);
  assert_int_equal(world.tls.contexts(), 1);
}

void denied_without_a_request(World& world, const Result<HttpReply>& reply) {
  assert_false(reply.has_value());
  assert_int_equal(static_cast<int>(reply.error().code), static_cast<int>(Errc::denied));
  assert_true(world.last_body.empty());
}

void who_is_not_the_pinned_ledger_gets_no_request(void**) {
  World world;
  world.body = {'s', 'e', 'c', 'r', 'e', 't'};
  LedgerPin other = world.pin();
  other.key = SigningKey::from_seed({2}).public_key();
  denied_without_a_request(world, world.ask(1, other));
  denied_without_a_request(world, world.ask(2, world.pin(1000)));  // the statement has ended
  LedgerPin anew = world.pin();
  anew.ledger = LedgerId::from_bytes(std::vector<uint8_t>(32, 9));
  denied_without_a_request(world, world.ask(3, anew));
  // Also where a session could be taken up.
  assert_true(world.ask(4, world.pin()).has_value());
  world.last_body.clear();
  denied_without_a_request(world, world.ask(5, world.pin(1000)));
}

void plain_http_to_the_port_is_told_so(void**) {
  World world;
  const Result<HttpReply>& reply = world.ask(1, world.pin(), "/", "http://");
  assert_int_equal(reply->status, 400);
  assert_non_null(strstr(std::string(as_text(reply->body)).c_str(), "https://"));
  assert_int_equal(world.tls.counters().plain, 1);
  assert_int_equal(world.http.connections(), 0);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_ledger_is_asked_and_its_certificate_told),
      cmocka_unit_test(large_messages_go_as_the_sockets_take_them),
      cmocka_unit_test(a_second_exchange_takes_up_the_session),
      cmocka_unit_test(a_replaced_key_is_freed_when_its_connections_have_ended),
      cmocka_unit_test(who_is_not_the_pinned_ledger_gets_no_request),
      cmocka_unit_test(plain_http_to_the_port_is_told_so),
  };
  return RUN_TESTS(tests);
}
