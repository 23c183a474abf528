// Initial balances for the addresses of one network: counted for each day, over restarts, and forgotten with the day.
#include "ledger/server/faucet_networks.h"
#include "unit/ledger_world.h"
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

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(a_network_has_so_many_grants_a_day),
      FOR_EVERY_STORE(only_grants_are_counted),
      FOR_EVERY_STORE(without_a_limit_or_an_address_nothing_is_counted),
  };
  return RUN_TESTS(tests);
}
