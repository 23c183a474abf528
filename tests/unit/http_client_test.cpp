#include "driver/http_client.h"

#include <map>

#include "hal/linux/system.h"
#include "unit/test.h"

using namespace millet;

namespace {

// A client, and a server whose replies the test decides, on one loop.
struct World final : HttpEvents, hal::StreamEvents, hal::TimerEvents {
  World() {
    system.streams.set_events(this);
    system.loop.set_events(this);
    listening = *system.streams.listen(1, *Endpoint::parse("127.0.0.1:0"));
  }
  ~World() { stop_running(); }
  void on_http_done(Ticket ticket, const Result<HttpReply>& answer) override {
    answers.emplace(ticket, answer);
    ++answer_count;
  }
  void on_accepted(hal::ListenerId, hal::StreamId stream, const Endpoint&) override { requests[stream]; }
  void on_connected(hal::StreamId stream) override { client.on_connected(now(), stream); }
  void on_received(hal::StreamId stream, Bytes bytes) override {
    if (client.on_received(now(), stream, bytes)) return;
    requests[stream].append(as_text(bytes));
    if (!reply.empty() && requests[stream].find("\r\n\r\n") != std::string::npos) {
      Bytes parts[] = {as_bytes(reply)};
      system.streams.send(stream, parts);
      if (close_after) system.streams.close(stream);
    }
  }
  void on_writable(hal::StreamId stream) override { client.on_writable(now(), stream); }
  void on_closed(hal::StreamId stream, const Error& reason) override {
    if (!client.on_closed(now(), stream, reason)) requests.erase(stream);
  }
  void on_timer() override { client.on_timer(now()); }
  void on_shutdown() override {}
  Instant now() { return system.clock.now(); }

  void start(Ticket ticket, const std::string& path, uint32_t timeout_ms = 5000, uint32_t size_max = 1000) {
    start_url(ticket, "http://" + listening.to_string() + path, timeout_ms, size_max);
  }
  void start_url(Ticket ticket, const std::string& url, uint32_t timeout_ms = 5000, uint32_t size_max = 1000) {
    client.start(now(), {ticket, url, body, size_max, timeout_ms});
  }
  // Turns the loop until so many answers are there; false after ten seconds.
  bool until_answers(size_t count) {
    Instant end = now() + Duration::seconds(10);
    while (answer_count < count && now() < end) {
      system.loop.arm(earlier(client.next_deadline(), now() + Duration::ms(5)));
      uv_run(machine.uv(), UV_RUN_ONCE);
    }
    return answer_count == count;
  }
  void stop_running() {
    system.loop.stop();
    machine.run();
  }

  NullLog log;
  hal::LinuxSystem machine{log};
  hal::System& system = machine.system();
  HttpClient client{system, IpAddress(), *this};
  Endpoint listening;
  std::map<hal::StreamId, std::string> requests;
  std::string reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  bool close_after = false;
  std::vector<uint8_t> body;
  std::map<Ticket, Result<HttpReply>> answers;
  size_t answer_count = 0;
};

std::string body_of(const Result<HttpReply>& reply) { return reply ? std::string(as_text(reply->body)) : "error: " + reply.error().reason; }

void a_get_brings_the_body(void**) {
  World world;
  world.start(7, "/announce?x=1");
  assert_true(world.answers.empty());
  assert_true(world.until_answers(1));
  assert_string_equal(body_of(world.answers.at(7)).c_str(), "hello");
  assert_int_equal(world.answers.at(7)->status, 200);
  assert_int_equal(world.client.under_way(), 0);
  assert_true(world.client.next_deadline().is_never());
}

void a_body_makes_it_a_post(void**) {
  World world;
  world.body.assign(20'000, 'x');
  world.reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  world.start(1, "/v1/op");
  assert_true(world.until_answers(1));
  assert_int_equal(world.answers.at(1)->status, 404);
}

void a_reply_may_end_with_the_connection(void**) {
  World world;
  world.reply = "HTTP/1.0 200 OK\r\n\r\nall of it";
  world.close_after = true;
  world.start(1, "/");
  assert_true(world.until_answers(1));
  assert_string_equal(body_of(world.answers.at(1)).c_str(), "all of it");
}

void a_reply_that_is_cut_off_is_an_error(void**) {
  World world;
  world.reply = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf";
  world.close_after = true;
  world.start(1, "/");
  assert_true(world.until_answers(1));
  assert_false(world.answers.at(1).has_value());
  assert_non_null(strstr(world.answers.at(1).error().reason.c_str(), world.listening.to_string().c_str()));
}

void an_endless_reply_ends_at_the_bound(void**) {
  World world;
  world.reply = "HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'x');
  world.start(1, "/");
  assert_true(world.until_answers(1));
  assert_int_equal(world.answers.at(1).error().code, Errc::no_room);
}

void garbage_is_an_error(void**) {
  World world;
  world.reply = "BitTorrent protocol says hello\r\n\r\n";
  world.start(1, "/");
  assert_true(world.until_answers(1));
  assert_int_equal(world.answers.at(1).error().code, Errc::protocol);
}

void a_silent_server_times_out(void**) {
  World world;
  world.reply.clear();
  world.start(1, "/", 60);
  assert_true(world.until_answers(1));
  assert_int_equal(world.answers.at(1).error().code, Errc::timed_out);
  assert_int_equal(world.client.under_way(), 0);
}

void a_closed_port_and_an_unknown_name_are_told(void**) {
  World world;
  world.start_url(1, "http://127.0.0.1:1/");
  world.start_url(2, "http://no-such-host.invalid/announce");
  world.start_url(3, "https://127.0.0.1/");
  assert_true(world.answers.empty());
  assert_true(world.until_answers(3));
  assert_int_equal(world.answers.at(1).error().code, Errc::unavailable);
  assert_false(world.answers.at(2).has_value());
  assert_non_null(strstr(world.answers.at(2).error().reason.c_str(), "no-such-host.invalid"));
  assert_int_equal(world.answers.at(3).error().code, Errc::unsupported);
}

void a_name_is_resolved(void**) {
  World world;
  world.start_url(1, "http://localhost:" + std::to_string(world.listening.port) + "/");
  assert_true(world.until_answers(1));
  assert_string_equal(body_of(world.answers.at(1)).c_str(), "hello");
}

void a_cancelled_exchange_is_not_answered(void**) {
  World world;
  world.reply.clear();
  world.start(1, "/");
  world.start_url(2, "nonsense");
  world.client.cancel(world.now(), 1);
  world.client.cancel(world.now(), 2);
  world.client.cancel(world.now(), 99);
  world.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  world.start(3, "/");
  assert_true(world.until_answers(1));
  assert_int_equal(world.answers.count(3), 1);
}

// A host that does not answer holds four places and no more; exchanges with another go on.
void a_dead_host_does_not_hold_up_another(void**) {
  World world;
  world.reply.clear();
  for (Ticket ticket = 1; ticket <= 100; ++ticket) world.start(ticket, "/", 300);
  assert_int_equal(world.client.under_way(), HttpClient::k_exchanges_per_host_max);
  assert_int_equal(world.client.waiting(), 100 - HttpClient::k_exchanges_per_host_max);
  world.start_url(200, "http://127.0.0.1:1/");
  assert_true(world.until_answers(1));
  assert_int_equal(world.answers.count(200), 1);
  for (Ticket ticket = 1; ticket <= 100; ++ticket) world.client.cancel(world.now(), ticket);
  assert_int_equal(world.client.under_way(), 0);
  assert_int_equal(world.client.waiting(), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_get_brings_the_body),
      cmocka_unit_test(a_body_makes_it_a_post),
      cmocka_unit_test(a_reply_may_end_with_the_connection),
      cmocka_unit_test(a_reply_that_is_cut_off_is_an_error),
      cmocka_unit_test(an_endless_reply_ends_at_the_bound),
      cmocka_unit_test(garbage_is_an_error),
      cmocka_unit_test(a_silent_server_times_out),
      cmocka_unit_test(a_closed_port_and_an_unknown_name_are_told),
      cmocka_unit_test(a_name_is_resolved),
      cmocka_unit_test(a_cancelled_exchange_is_not_answered),
      cmocka_unit_test(a_dead_host_does_not_hold_up_another),
  };
  return RUN_TESTS(tests);
}
