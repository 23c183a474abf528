// node/ledger_link against a ledger that the test plays: every answer is built with the ledger's own encoder and signed.
#include "node/ledger_link.h"

#include <deque>

#include "base/log.h"
#include "crypto/sign.h"
#include "unit/counting_random.h"
#include "unit/test.h"

using namespace millet;
using millet::testing::CountingRandom;

namespace {

SigningKey key_of(uint8_t byte) {
  std::array<uint8_t, SigningKey::k_seed_size> seed{};
  seed.fill(byte);
  return SigningKey::from_seed(seed);
}

constexpr LedgerTime k_time = LedgerTime::from_seconds(1'800'000'000);

// A link and what its outputs lead to. Signatures are done at once; what is posted waits for answer().
struct Bench {
  CountingRandom random;
  NullLog log;
  SigningKey own = key_of(1);
  SigningKey ledger_key = key_of(3);
  LedgerId ledger{};
  LedgerTime time = k_time;
  LedgerLink link;
  Instant now = Instant::from_us(1'000'000);
  std::deque<LedgerLink::Post> posts;
  std::vector<LedgerLink::Answer> answers;
  std::vector<LedgerLink::Introduced> introduced;

  Bench() : link({"http://127.0.0.1:7411/", key_of(3).public_key(), key_of(1).public_key(), std::nullopt}, random, log) {
    ledger.raw.fill(0x11);
  }

  void pump() {
    LedgerLink::Output out;
    while (link.poll(out)) {
      if (auto* sign = std::get_if<LedgerClient::SignBytes>(&out))
        link.on_signed(now, sign->ticket, own.sign(sign->message));
      else if (auto* check = std::get_if<LedgerClient::VerifyBytes>(&out))
        link.on_verified(now, check->ticket, verify(check->key, check->message, check->signature));
      else if (auto* post = std::get_if<LedgerLink::Post>(&out))
        posts.push_back(std::move(*post));
      else if (auto* answer = std::get_if<LedgerLink::Answer>(&out))
        answers.push_back(std::move(*answer));
      else if (auto* hello = std::get_if<LedgerLink::Introduced>(&out))
        introduced.push_back(std::move(*hello));
    }
  }
  std::vector<uint8_t> sealed(Reply reply, const RequestNonce& nonce, Bytes body, const SigningKey& signer) {
    reply.head.request_hash = blake2b_256(body);
    reply.head.nonce = nonce;
    reply.head.ledger = ledger;
    reply.head.key = ledger_key.public_key();
    reply.head.time = time;
    reply.head.count = static_cast<uint8_t>(reply.operations.size() + reply.queries.size());
    std::vector<uint8_t> out = encode_reply(reply);
    Signature signature = signer.sign(reply_preimage(out));
    out.insert(out.end(), signature.raw.begin(), signature.raw.end());
    return out;
  }
  // Answers the oldest post with query results.
  void answer_query(const QueryResult& result, const SigningKey* signer = nullptr) {
    LedgerLink::Post post = std::move(posts.front());
    posts.pop_front();
    Result<QueryRequest> request = decode_query_request(post.body);
    CHECK(request.has_value());
    Reply reply;
    reply.queries = {result};
    link.on_reply(now, post.ticket, sealed(reply, request->nonce, post.body, signer ? *signer : ledger_key));
    pump();
  }
  // Refuses the oldest post, a query, as a whole.
  void refuse(LedgerCode code) {
    LedgerLink::Post post = std::move(posts.front());
    posts.pop_front();
    Result<QueryRequest> request = decode_query_request(post.body);
    CHECK(request.has_value());
    Reply reply;
    reply.head.code = static_cast<uint16_t>(code);
    link.on_reply(now, post.ticket, sealed(reply, request->nonce, post.body, ledger_key));
    pump();
  }
  void answer_operation(LedgerCode code, Amount paid) {
    LedgerLink::Post post = std::move(posts.front());
    posts.pop_front();
    Result<OperationRequest> request = decode_operation_request(post.body);
    CHECK(request.has_value());
    Reply reply;
    OperationResult result;
    result.code = static_cast<uint16_t>(code);
    result.paid = paid;
    reply.operations = {result};
    link.on_reply(now, post.ticket, sealed(reply, request->nonce, post.body, ledger_key));
    pump();
  }
  void introduce() {
    link.start(now);
    pump();
    answer_query({LedgerParams::k_kind, LedgerCode::done, LedgerParams{}});
  }
};

void nothing_is_asked_before_the_ledger_has_introduced_itself(void**) {
  Bench bench;
  bench.link.start(bench.now);
  bench.link.call(bench.now, {7, speed::QueryFunds{}});
  bench.pump();
  assert_int_equal(bench.posts.size(), 1);
  assert_string_equal(bench.posts[0].url.c_str(), "http://127.0.0.1:7411/v1/query");
  assert_string_equal(bench.link.state().c_str(), "unknown");
  bench.answer_query({LedgerParams::k_kind, LedgerCode::done, LedgerParams{}});
  assert_int_equal(bench.introduced.size(), 1);
  assert_true(bench.introduced[0].ledger == bench.ledger && bench.introduced[0].time == k_time);
  assert_string_equal(bench.link.state().c_str(), "reachable");
  assert_int_equal(bench.posts.size(), 1);  // the call that waited
}

void a_balance_becomes_the_funds_of_the_engine(void**) {
  Bench bench;
  bench.introduce();
  bench.link.call(bench.now, {9, speed::QueryFunds{}});
  bench.pump();
  Result<QueryRequest> request = decode_query_request(bench.posts.front().body);
  assert_true(request.has_value() && request->key == bench.own.public_key());
  assert_true(request->valid_until > k_time && request->valid_until <= k_time.plus_seconds(k_valid_ahead_max_s));
  assert_true(verify(request->key, query_preimage(*request, bench.ledger), request->signature));
  Balance balance;
  balance.available = Amount::micro(5);
  bench.answer_query({Balance::k_kind, LedgerCode::done, balance});
  assert_int_equal(bench.answers.size(), 1);
  assert_true(bench.answers[0].ticket == 9 && bench.answers[0].reply.outcome == speed::LedgerOutcome::done);
  assert_true(bench.answers[0].reply.available == Amount::micro(5) && bench.answers[0].reply.time == k_time);
}

void refusals_keep_their_meaning(void**) {
  const std::pair<LedgerCode, speed::LedgerOutcome> table[] = {
      {LedgerCode::done, speed::LedgerOutcome::done},
      {LedgerCode::busy, speed::LedgerOutcome::unavailable},
      {LedgerCode::unavailable, speed::LedgerOutcome::unavailable},
      {LedgerCode::unknown_channel, speed::LedgerOutcome::unknown_channel},
      {LedgerCode::channel_closed, speed::LedgerOutcome::channel_ended},
      {LedgerCode::channel_expired, speed::LedgerOutcome::channel_ended},
      {LedgerCode::insufficient, speed::LedgerOutcome::insufficient},
      {LedgerCode::too_late, speed::LedgerOutcome::too_late},
      {LedgerCode::bad_signature, speed::LedgerOutcome::refused},
  };
  for (auto [code, outcome] : table) {
    Bench bench;
    bench.introduce();
    bench.link.call(bench.now, {3, speed::ClaimChannel{}});
    bench.pump();
    bench.answer_operation(code, Amount::micro(77));
    assert_int_equal(bench.answers.size(), 1);
    assert_true(bench.answers[0].reply.outcome == outcome);
    assert_true(bench.answers[0].reply.claimed == Amount::micro(77));
  }
}

// Found by the simulator: the ledger's clock was set, and a node asked with the time that it knew for ever.
void a_query_is_repeated_by_the_time_that_the_ledgers_clock_was_set_to(void**) {
  for (uint64_t set_to : {k_time.in_seconds() + 7000, k_time.in_seconds() - 7000}) {
    Bench bench;
    bench.introduce();
    bench.link.call(bench.now, {7, speed::QueryFunds{}});
    bench.pump();
    bench.time = LedgerTime::from_seconds(set_to);
    LedgerCode code = bench.time > k_time ? LedgerCode::too_late : LedgerCode::too_early;
    bench.refuse(code);
    assert_true(bench.answers.empty());
    assert_int_equal(bench.posts.size(), 1);
    Result<QueryRequest> again = decode_query_request(bench.posts[0].body);
    assert_true(again.has_value() && again->valid_until > bench.time && again->valid_until <= bench.time.plus_seconds(k_valid_ahead_max_s));
    // Once: a ledger that refuses its own time is not asked without end.
    bench.refuse(code);
    assert_true(bench.posts.empty());
    assert_int_equal(bench.answers.size(), 1);
    assert_true(bench.answers[0].reply.outcome == speed::LedgerOutcome::refused && bench.answers[0].reply.time == bench.time);
  }
}

void another_key_is_never_believed(void**) {
  Bench bench;
  bench.introduce();
  SigningKey other = key_of(9);
  bench.link.call(bench.now, {5, speed::QueryFunds{}});
  bench.pump();
  bench.answer_query({Balance::k_kind, LedgerCode::done, Balance{}}, &other);
  assert_int_equal(bench.answers.size(), 1);
  assert_true(bench.answers[0].reply.outcome == speed::LedgerOutcome::unavailable);
  assert_non_null(strstr(bench.link.state().c_str(), "wrong signature"));
}

void an_unreachable_ledger_is_asked_again_later_and_later(void**) {
  Bench bench;
  bench.link.start(bench.now);
  int64_t last = 0;
  for (int i = 0; i < 10; ++i) {
    bench.pump();
    assert_int_equal(bench.posts.size(), 1);
    bench.link.on_reply(bench.now, bench.posts.front().ticket, error(Errc::unavailable, "refused"));
    bench.posts.pop_front();
    bench.pump();
    int64_t wait = (bench.link.next_deadline() - bench.now).in_seconds();
    assert_true(wait >= last && wait <= 60);
    last = wait;
    bench.now = bench.link.next_deadline();
    bench.link.on_timer(bench.now);
  }
  assert_int_equal(last, 60);
  assert_non_null(strstr(bench.link.state().c_str(), "unreachable"));
}

void calls_at_once_are_bounded_and_keep_their_order(void**) {
  Bench bench;
  bench.introduce();
  for (speed::Ticket ticket = 1; ticket <= 20; ++ticket) bench.link.call(bench.now, {ticket, speed::QueryFunds{}});
  bench.pump();
  assert_int_equal(bench.posts.size(), LedgerLink::k_calls_max);
  for (int i = 0; i < 20; ++i) bench.answer_query({Balance::k_kind, LedgerCode::done, Balance{}});
  assert_int_equal(bench.answers.size(), 20);
  for (size_t i = 0; i < 20; ++i) assert_int_equal(bench.answers[i].ticket, i + 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_asked_before_the_ledger_has_introduced_itself),
      cmocka_unit_test(a_balance_becomes_the_funds_of_the_engine),
      cmocka_unit_test(refusals_keep_their_meaning),
      cmocka_unit_test(a_query_is_repeated_by_the_time_that_the_ledgers_clock_was_set_to),
      cmocka_unit_test(another_key_is_never_believed),
      cmocka_unit_test(an_unreachable_ledger_is_asked_again_later_and_later),
      cmocka_unit_test(calls_at_once_are_bounded_and_keep_their_order),
  };
  return RUN_TESTS(tests);
}
