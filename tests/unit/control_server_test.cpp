// The control socket's replies: what a command has changed is durable before its reply goes out, or the reply says that it is not.
#include "driver/control_server.h"

#include "unit/fake_streams.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr hal::StreamId k_client = 7;
constexpr hal::StreamId k_other = 8;

// "N": a command that is durable with commit N; 0 is a question, 9 begins what has an outcome later.
struct Commands final : RequestHandler {
  std::string handle(Instant, std::string_view request) override {
    commit = static_cast<uint64_t>(request[0] - '0');
    if (commit == 9) commit = k_awaits_outcome;
    return "done " + std::string(request);
  }
  uint64_t awaited() const override { return commit; }
  std::string not_saved(std::string_view reply, const Error& reason) override {
    return "not saved: " + std::string(reply) + ": " + reason.reason;
  }
  std::string failed(std::string_view reply, const Error& reason) override {
    return "failed: " + std::string(reply) + ": " + reason.reason;
  }
  uint64_t commit = 0;
};

struct Fixture {
  Fixture() {
    server.on_accepted(now, k_client);
    server.on_accepted(now, k_other);
  }
  void say(hal::StreamId stream, const std::string& text) { assert_true(server.on_received(now, stream, as_bytes(text))); }
  bool sent(hal::StreamId stream, const std::string& text) { return streams.sent[stream] == text; }
  Instant now = Instant::from_us(1'000'000);
  FakeStreams streams;
  Commands commands;
  ControlServer server{streams, commands, {1000, 10'000}};
};

void a_reply_waits_for_its_commit(void**) {
  Fixture f;
  f.say(k_client, "2 a\n0 b\n3 c\n");
  f.say(k_other, "0 d\n");
  // Questions of others are answered meanwhile; the client's own wait in line.
  assert_true(f.sent(k_client, "") && f.sent(k_other, "done 0 d\n"));
  assert_false(f.streams.reading[k_client]);
  f.server.on_durable(f.now, 1);
  assert_true(f.server.on_writable(f.now, k_client));  // says nothing about durability
  assert_true(f.sent(k_client, ""));
  f.server.on_durable(f.now, 2);
  assert_true(f.sent(k_client, "done 2 a\ndone 0 b\n"));
  f.server.on_durable(f.now, 5);
  assert_true(f.sent(k_client, "done 2 a\ndone 0 b\ndone 3 c\n"));
  assert_true(f.streams.reading[k_client]);
}

void a_commit_that_fails_is_a_reply_that_says_so(void**) {
  Fixture f;
  f.say(k_client, "2 a\n0 b\n");
  f.server.on_commit_failed(f.now, error(Errc::no_room, "full"));
  assert_true(f.sent(k_client, "not saved: done 2 a: full\ndone 0 b\n"));
  f.server.on_durable(f.now, 2);
  assert_true(f.sent(k_client, "not saved: done 2 a: full\ndone 0 b\n"));
}

void a_client_that_leaves_while_it_waits_leaves_nothing(void**) {
  Fixture f;
  f.say(k_client, "2 a\n");
  f.say(k_other, "2 b\n");
  assert_true(f.server.on_closed(k_client));
  f.streams.room = 3;
  f.server.on_durable(f.now, 2);
  assert_true(f.sent(k_client, "") && f.sent(k_other, "don"));
  f.streams.room = SIZE_MAX;
  assert_true(f.server.on_writable(f.now, k_other));
  assert_true(f.sent(k_other, "done 2 b\n"));
}

// Commits are no answer to it, nor is time; who asked may be gone.
void a_reply_waits_for_an_outcome(void**) {
  Fixture f;
  f.say(k_client, "9 a\n0 b\n");
  f.say(k_other, "2 c\n");
  assert_true(f.server.is_waiting());
  f.server.on_durable(f.now, 2);
  f.server.on_commit_failed(f.now, error(Errc::no_room, "full"));
  assert_false(f.server.is_waiting());  // for a commit
  f.now = f.now + Duration::minutes(10);
  f.server.on_timer(f.now);
  assert_true(f.sent(k_client, "") && f.sent(k_other, "done 2 c\n") && !f.streams.is_closed(k_client));
  assert_false(f.streams.reading[k_client]);
  f.server.on_outcome(f.now, error(Errc::denied, "wrong"));
  assert_true(f.sent(k_client, "failed: done 9 a: wrong\ndone 0 b\n") && f.streams.reading[k_client]);
  f.say(k_client, "9 d\n");
  f.server.on_outcome(f.now, ok);
  assert_true(f.sent(k_client, "failed: done 9 a: wrong\ndone 0 b\ndone 9 d\n"));
  f.say(k_client, "9 e\n");
  assert_true(f.server.on_closed(k_client));
  f.server.on_outcome(f.now, ok);
  f.server.on_outcome(f.now, ok);
  assert_true(f.server.next_deadline().is_never() || f.streams.is_closed(k_other));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_reply_waits_for_its_commit),
      cmocka_unit_test(a_commit_that_fails_is_a_reply_that_says_so),
      cmocka_unit_test(a_client_that_leaves_while_it_waits_leaves_nothing),
      cmocka_unit_test(a_reply_waits_for_an_outcome),
  };
  return RUN_TESTS(tests);
}
