// Initial balances for the addresses of one network: counted for each day, over restarts, and forgotten with the day. Tickets for solved
// CAPTCHAs.
#include "driver/captcha_hook.h"
#include "ledger/server/faucet_networks.h"
#include "unit/ledger_audited.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

constexpr uint64_t k_day_s = 86400;

LedgerRules three_a_day() {
  LedgerRules rules = World::easy_rules();
  rules.faucet_per_network = 3;
  return rules;
}

// One new key after another, from one address or another.
struct Claims {
  World world;
  uint32_t next = 1;
  explicit Claims(StoreKind kind, const LedgerRules& rules = three_a_day()) : world(kind, rules) {}
  LedgerCode claim(const char* from) {
    world.sender = *IpAddress::parse(from);
    return world.code(world.faucet(numbered_key(next++)));
  }
  size_t rows() {
    auto store = world.store().begin_read();
    size_t count = 0;
    std::vector<uint8_t> at;
    while (auto entry = *(*store)->seek(k_table_networks, at)) {
      ++count;
      at.assign(entry->key.begin(), entry->key.end());
      at.push_back(0);
    }
    return count;
  }
};

void a_network_has_so_many_grants_a_day(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Claims c(kind_of(state));
  for (const char* from : {"192.0.2.1", "192.0.2.1", "192.0.2.200"}) assert_true(c.claim(from) == LedgerCode::done);
  assert_true(c.claim("192.0.2.77") == LedgerCode::faucet_network);
  assert_true(c.claim("192.0.3.1") == LedgerCode::done);  // the next /24
  for (const char* from : {"2001:db8:1::1", "2001:db8:1:ffff::1", "2001:db8:1:2:3::"}) assert_true(c.claim(from) == LedgerCode::done);
  assert_true(c.claim("2001:db8:1:4::1") == LedgerCode::faucet_network);
  assert_true(c.claim("2001:db8:2::1") == LedgerCode::done);  // the next /48
  assert_int_equal(c.rows(), 4);
  assert_true(c.world.restart().has_value());  // nothing is forgotten
  assert_true(c.claim("192.0.2.5") == LedgerCode::faucet_network);
  assert_true(c.claim("192.0.3.5") == LedgerCode::done);
  c.world.now_s += k_day_s;
  assert_true(c.claim("192.0.2.5") == LedgerCode::done);
  assert_int_equal(c.rows(), 1);  // of today
}

// What is refused for another reason, or was executed before, takes nothing from the neighbours.
void only_grants_are_counted(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  LedgerRules rules = three_a_day();
  rules.faucet_daily_budget = *rules.faucet_grant.plus(rules.faucet_grant);
  Claims c(kind_of(state), rules);
  World& world = c.world;
  world.sender = *IpAddress::parse("192.0.2.1");
  FaucetOperation first = world.faucet(numbered_key(1));
  OperationResult granted = world.apply(first);
  assert_true(granted.ledger_code() == LedgerCode::done);
  for (int i = 0; i < 5; ++i) assert_true(world.apply(first) == granted);
  for (int i = 0; i < 5; ++i) {
    FaucetOperation again = world.faucet(numbered_key(1));
    again.statement.valid_until = world.in(200);
    again.signature = numbered_key(1).sign(preimage(again.statement));
    assert_true(world.code(again) == LedgerCode::faucet_granted);
  }
  c.next = 2;
  assert_true(c.claim("192.0.2.2") == LedgerCode::done);
  for (int i = 0; i < 5; ++i) assert_true(c.claim("192.0.2.3") == LedgerCode::faucet_empty);
  assert_int_equal(c.rows(), 1);
  world.now_s += k_day_s;  // the budget is there again
  for (int i = 0; i < 2; ++i) assert_true(c.claim("192.0.2.4") == LedgerCode::done);
}

void without_a_limit_or_an_address_nothing_is_counted(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Claims none(kind_of(state), World::easy_rules());
  for (int i = 0; i < 10; ++i) assert_true(none.claim("192.0.2.1") == LedgerCode::done);
  assert_int_equal(none.rows(), 0);
  Claims nobody(kind_of(state));
  for (uint32_t i = 1; i <= 10; ++i) assert_true(nobody.world.code(nobody.world.faucet(numbered_key(i))) == LedgerCode::done);
  assert_int_equal(nobody.rows(), 0);
}

// ---- tickets for solved CAPTCHAs ----

LedgerRules with_captchas(CaptchaUse use) {
  LedgerRules rules = World::easy_rules();
  rules.captcha = use;
  return rules;
}

struct Captchas {
  World world;
  explicit Captchas(StoreKind kind, CaptchaUse use = CaptchaUse::instead_of_work) : world(kind, with_captchas(use)) {
    world.sender = *IpAddress::parse("192.0.2.1");
  }
  // As the service has it after the CAPTCHA was judged.
  QueryResult ask(const SigningKey& key, LedgerCode judged = LedgerCode::done) {
    LedgerBatch batch;
    BatchItem& item = batch.items.emplace_back();
    item.key = key.public_key();
    item.from = world.sender;
    item.captcha = judged;
    item.queries.push_back(CaptchaQuery{{1, 2, 3}});
    return world.state().apply(batch, world.now()).items[0].queries[0];
  }
  CaptchaTicket ticket(const SigningKey& key) { return std::get<CaptchaAnswer>(ask(key).body).ticket; }
  TicketFaucetOperation claim(const SigningKey& key, const CaptchaTicket& ticket) {
    TicketFaucetOperation op;
    op.statement.ledger = world.id();
    op.statement.key = key.public_key();
    op.statement.ticket = ticket;
    op.statement.valid_until = world.in(300);
    op.signature = key.sign(preimage(op.statement));
    return op;
  }
};

void a_ticket_stands_for_the_work_for_its_key_and_network(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Captchas c(kind_of(state));
  World& world = c.world;
  SigningKey a = numbered_key(1), b = numbered_key(2);
  CaptchaTicket ticket = c.ticket(a);
  assert_true(world.code(c.claim(b, ticket)) == LedgerCode::faucet_ticket);  // another key
  world.sender = *IpAddress::parse("192.0.3.1");
  assert_true(world.code(c.claim(a, ticket)) == LedgerCode::faucet_ticket);  // another network
  world.sender = std::nullopt;
  assert_true(world.code(c.claim(a, ticket)) == LedgerCode::faucet_ticket);
  world.sender = *IpAddress::parse("192.0.2.200");  // another address of the network
  CaptchaTicket longer = ticket;
  longer.valid_until = longer.valid_until.plus_seconds(1);
  assert_true(world.code(c.claim(a, longer)) == LedgerCode::faucet_ticket);
  CaptchaTicket changed = ticket;
  changed.mac[31] ^= 1;
  assert_true(world.code(c.claim(a, changed)) == LedgerCode::faucet_ticket);
  assert_true(world.code(c.claim(a, {})) == LedgerCode::faucet_ticket);
  TicketFaucetOperation forged = c.claim(a, ticket);
  forged.signature = b.sign(preimage(forged.statement));
  assert_true(world.code(forged) == LedgerCode::bad_signature);
  assert_true(world.restart().has_value());  // the ticket is good over a restart
  TicketFaucetOperation claim = c.claim(a, ticket);
  OperationResult done = world.apply(claim);
  assert_true(done.ledger_code() == LedgerCode::done && done.paid == LedgerRules().faucet_grant);
  assert_true(world.apply(claim) == done);
  TicketFaucetOperation again = c.claim(a, ticket);
  again.statement.valid_until = world.in(200);
  again.signature = a.sign(preimage(again.statement));
  assert_true(world.code(again) == LedgerCode::faucet_granted);
  assert_true(c.ask(a).code == LedgerCode::faucet_granted);
  CaptchaTicket old = c.ticket(b);
  world.now_s += k_captcha_ticket_s;
  world.tick();
  assert_true(world.code(c.claim(b, old)) == LedgerCode::faucet_ticket);
  assert_true(world.code(world.faucet(b)) == LedgerCode::done);  // the work is good, too
  assert_true(audit(world).status.has_value());
}

void without_a_clear_yes_there_is_no_ticket(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Captchas c(kind_of(state));
  SigningKey a = numbered_key(1);
  assert_true(c.ask(a, LedgerCode::captcha_failed).code == LedgerCode::captcha_failed);
  assert_true(c.ask(a, LedgerCode::captcha_unavailable).code == LedgerCode::captcha_unavailable);
  assert_true(c.ask(a, LedgerCode::captcha_off).code == LedgerCode::captcha_off);
  Captchas off(kind_of(state), CaptchaUse::off);
  assert_true(off.world.code(off.claim(a, c.ticket(a))) == LedgerCode::captcha_off);
}

void a_ledger_may_want_the_work_beside_it(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Captchas c(kind_of(state), CaptchaUse::with_work);
  World& world = c.world;
  SigningKey a = numbered_key(1);
  QueryResult answer = c.ask(a);
  assert_int_equal(std::get<CaptchaAnswer>(answer.body).work_too, 1);
  FaucetOperation work = world.faucet(a);
  assert_true(world.code(work) == LedgerCode::faucet_ticket);
  TicketFaucetOperation claim = c.claim(a, std::get<CaptchaAnswer>(answer.body).ticket);
  assert_true(world.code(claim) == LedgerCode::faucet_stale);
  claim.statement.epoch = work.statement.epoch;
  claim.statement.memory_nonce = work.statement.memory_nonce;
  claim.statement.hashcash_nonce = work.statement.hashcash_nonce;
  claim.signature = a.sign(preimage(claim.statement));
  assert_true(world.code(claim) == LedgerCode::done);
}

// What siteverify may say, and what it must not be taken for.
void an_answer_is_yes_no_or_nothing(void**) {
  auto judged = [](int status, const char* body) {
    std::string why;
    Bytes bytes = as_bytes(std::string_view(body));
    LedgerCode code = judge_captcha_reply(HttpReply{status, {bytes.begin(), bytes.end()}}, why);
    CHECK((code == LedgerCode::captcha_unavailable) == !why.empty());
    return code;
  };
  assert_true(judged(200, R"({"success":true,"hostname":"x"})") == LedgerCode::done);
  assert_true(judged(200, R"({"success":false,"error-codes":["timeout-or-duplicate"]})") == LedgerCode::captcha_failed);
  for (const char* body : {"", "true", "[true]", "{}", R"({"success":"true"})", R"({"success":1})", R"({"success":null})",
                           R"({"success":true)", R"({"Success":true})", "<html>success</html>"}) {
    assert_true(judged(200, body) == LedgerCode::captcha_unavailable);
  }
  for (int status : {201, 302, 400, 404, 500}) assert_true(judged(status, R"({"success":true})") == LedgerCode::captcha_unavailable);
  std::string why;
  assert_true(judge_captcha_reply(error(Errc::timed_out, "no answer"), why) == LedgerCode::captcha_unavailable);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(a_network_has_so_many_grants_a_day),
      FOR_EVERY_STORE(only_grants_are_counted),
      FOR_EVERY_STORE(a_ticket_stands_for_the_work_for_its_key_and_network),
      FOR_EVERY_STORE(without_a_clear_yes_there_is_no_ticket),
      FOR_EVERY_STORE(a_ledger_may_want_the_work_beside_it),
      cmocka_unit_test(an_answer_is_yes_no_or_nothing),
      FOR_EVERY_STORE(without_a_limit_or_an_address_nothing_is_counted),
  };
  return RUN_TESTS(tests);
}
