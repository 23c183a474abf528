// What a GET asks for, who may ask, and how much one sender may ask.
#include "ledger/server/get.h"

#include "codec/json_writer.h"
#include "ledger/common/address.h"
#include "ledger/server/request_limits.h"
#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;

namespace {

SigningKey key_of(uint8_t seed) {
  std::array<uint8_t, 32> bytes{};
  bytes[0] = seed;
  return SigningKey::from_seed(bytes);
}

const LedgerId k_ledger = LedgerId::from_bytes(std::vector<uint8_t>(32, 0x11));

std::string token_of(const SigningKey& key, uint64_t until = 1500) {
  return encode_read_token(make_read_token(key, k_ledger, LedgerTime::from_seconds(until)));
}

LedgerCode code_of(std::string_view target, std::optional<std::string_view> authorization = std::nullopt) {
  return parse_get(target, authorization).code;
}

void paths_and_parameters_are_read_exactly(void**) {
  ParsedGet page = parse_get("/v1/records?limit=7&from=3", std::nullopt);
  assert_true(page.code == LedgerCode::done && page.request.kind == GetKind::records);
  assert_int_equal(page.request.from, 3);
  assert_int_equal(page.request.to, 7);
  assert_string_equal(page.request.target.c_str(), "/v1/records?limit=7&from=3");
  for (const char* target : {"/", "/v1", "/v1/", "/v1/params/", "/v1/param", "/v1/accounts/", "/v1/accounts//closed",
                             "/v1/accounts/a/b/closed", "/v2/time", "/v1/tree/"}) {
    assert_true(code_of(target) == LedgerCode::unknown_path);
  }
  for (const char* target :
       {"/v1/records?from=", "/v1/records?from=-1", "/v1/records?from=1x", "/v1/records?from=1&from=1", "/v1/records?=1", "/v1/records?x",
        "/v1/records?to=1", "/v1/time?from=1", "/v1/records?from=18446744073709551616", "/v1/accounts/00", "/v1/channels/zz"}) {
    assert_true(code_of(target) == LedgerCode::malformed);
  }
}

void an_account_is_read_by_its_own_token_only(void**) {
  SigningKey own = key_of(1);
  SigningKey other = key_of(2);
  for (const std::string& name : {own.public_key().hex(), address_of(own.public_key())}) {
    for (const char* suffix : {"", "/closed"}) {
      std::string target = "/v1/accounts/" + name + suffix;
      assert_true(code_of(target) == LedgerCode::bad_signature);
      assert_true(code_of(target, "Bearer 00") == LedgerCode::bad_signature);
      assert_true(code_of(target, token_of(other)) == LedgerCode::not_a_party);
      assert_true(code_of(target, token_of(own)) == LedgerCode::done);
    }
  }
}

void a_token_is_for_one_key_one_ledger_and_a_while(void**) {
  CheckContext context;
  context.ledger = k_ledger;
  context.time = LedgerTime::from_seconds(1000);
  SigningKey own = key_of(1);
  auto checked = [&](const ReadToken& token) {
    GetRequest request;
    request.token = token;
    return check_get(context, request);
  };
  auto made = [&](uint64_t until) { return make_read_token(own, k_ledger, LedgerTime::from_seconds(until)); };
  assert_true(checked(made(1600)) == LedgerCode::done);
  assert_true(checked(made(1000)) == LedgerCode::too_late);
  assert_true(checked(made(1000 + k_valid_ahead_max_s + 60)) == LedgerCode::done);
  assert_true(checked(made(1000 + k_valid_ahead_max_s + 61)) == LedgerCode::too_early);
  ReadToken longer = made(1600);
  longer.valid_until = LedgerTime::from_seconds(1601);
  assert_true(checked(longer) == LedgerCode::bad_signature);
  ReadToken stolen = made(1600);
  stolen.key = key_of(2).public_key();
  assert_true(checked(stolen) == LedgerCode::bad_signature);
  assert_true(checked(make_read_token(own, LedgerId(), LedgerTime::from_seconds(1600))) == LedgerCode::bad_signature);
  ReadToken same = made(1600);
  assert_true(*parse_read_token(encode_read_token(same)) == same);
}

void json_is_written_with_its_commas_and_escapes(void**) {
  JsonWriter json;
  json.open('{').key("a").text("x\"\\\n\x80").key("b").open('[').number(1).null().boolean(true).open('{').close('}').close(']');
  json.amount("c", Amount::micro(1'500'000)).close('}');
  assert_string_equal(json.str().c_str(), R"({"a":"x\"\\\u000a\u0080","b":[1,null,true,{}],"c_btt":"1.5","c_micro":1500000})");
}

// As it goes through the ledger: read, checked, answered from the store, written.
HttpAnswer get(ledger_world::World& world, const std::string& target, const SigningKey& reader) {
  ParsedGet parsed = parse_get(target, encode_read_token(make_read_token(reader, world.id(), world.in(60))));
  GetAnswer answer;
  answer.code = parsed.code;
  if (parsed.code == LedgerCode::done) answer.code = check_get(world.state().check_context(world.now()), parsed.request);
  if (answer.code == LedgerCode::done) {
    LedgerBatch batch;
    batch.items.emplace_back().get = parsed.request;
    answer = std::move(*world.state().apply(batch, world.now()).items[0].got);
  }
  return write_get(world.ledger_key(), world.id(), parsed.request, answer);
}

void a_channel_is_shown_to_its_parties_only(void** state) {
  ON_STORE(state);
  ledger_world::World world;
  SigningKey payer = world.funded(1, 1'000'000);
  SigningKey payee = world.funded(2, 1'000'000);
  SigningKey stranger = world.funded(3, 1'000'000);
  OpenOperation open = world.open(payer, payee.public_key(), 400'000);
  assert_true(world.code(open) == LedgerCode::done);
  std::string target = "/v1/channels/" + channel_id(open.statement).hex();
  for (const SigningKey* party : {&payer, &payee}) {
    HttpAnswer shown = get(world, target, *party);
    assert_int_equal(shown.status, 200);
    assert_non_null(strstr(shown.body.c_str(), R"("capacity_btt":"0.4")"));
    assert_non_null(strstr(shown.body.c_str(), R"("status":"open")"));
  }
  assert_int_equal(get(world, target, stranger).status, 403);
  assert_true(world.code(world.close(open.statement, payer, payee, 1000)) == LedgerCode::done);
  HttpAnswer feed = get(world, "/v1/accounts/" + payer.public_key().hex() + "/closed", payer);
  assert_non_null(strstr(feed.body.c_str(), R"("status":"closed")"));
  assert_non_null(strstr(feed.body.c_str(), R"("next_after":null)"));
}

IpAddress address(const std::string& text) { return *IpAddress::parse(text); }

size_t taken(RequestLimits& limits, Instant now, const IpAddress& from, size_t count) {
  size_t good = 0;
  for (size_t i = 0; i < count; ++i) good += limits.take(now, from);
  return good;
}

void an_address_a_network_and_a_key_have_their_rates(void**) {
  Instant now = Instant::from_us(1'000'000);
  RequestLimits limits(10, 3);
  assert_int_equal(taken(limits, now, address("192.0.2.1"), 100), 20);
  assert_int_equal(taken(limits, now, address("192.0.2.2"), 5), 5);
  assert_int_equal(taken(limits, now + Duration::seconds(1), address("192.0.2.1"), 100), 10);
  size_t network = 0;
  for (int host = 1; host < 100; ++host) network += taken(limits, now, address("198.51.100." + std::to_string(host)), 20);
  assert_int_equal(network, 20 * RequestLimits::k_network_factor);
  // One customer's /64 is one sender.
  assert_int_equal(taken(limits, now, address("2001:db8::1"), 20), 20);
  assert_int_equal(taken(limits, now, address("2001:db8::ffff:2"), 20), 0);
  assert_int_equal(taken(limits, now, address("2001:db8:0:1::1"), 20), 20);
  size_t of_key = 0;
  for (int i = 0; i < 50; ++i) of_key += limits.take(now, key_of(1).public_key());
  assert_int_equal(of_key, 6);
  assert_true(limits.take(now, key_of(2).public_key()));
  assert_true(limits.refused() > 0);
  RequestLimits none(0, 0);
  assert_int_equal(taken(none, now, address("192.0.2.1"), 100'000), 100'000);
}

void the_tables_of_senders_are_bounded(void**) {
  RequestLimits limits(10, 10);
  Instant now = Instant::from_us(1);
  for (uint32_t i = 0; i < 3 * RequestLimits::k_addresses_max; ++i) {
    std::array<uint8_t, 4> raw;
    store_be<uint32_t>(raw.data(), 0x0a000000 + i * 256);
    limits.take(now, IpAddress::v4(raw));
    // Somebody who keeps asking is not forgotten in the crowd.
    if (i == 0) assert_int_equal(taken(limits, now, address("192.0.2.1"), 100), 20);
    if (i % 1000 == 0) assert_int_equal(taken(limits, now, address("192.0.2.1"), 1), 0);
  }
  assert_true(limits.size() <= 2 * RequestLimits::k_addresses_max);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(paths_and_parameters_are_read_exactly),
      cmocka_unit_test(an_account_is_read_by_its_own_token_only),
      cmocka_unit_test(a_token_is_for_one_key_one_ledger_and_a_while),
      FOR_EVERY_STORE(a_channel_is_shown_to_its_parties_only),
      cmocka_unit_test(json_is_written_with_its_commas_and_escapes),
      cmocka_unit_test(an_address_a_network_and_a_key_have_their_rates),
      cmocka_unit_test(the_tables_of_senders_are_bounded),
  };
  return RUN_TESTS(tests);
}
