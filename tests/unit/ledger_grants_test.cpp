// Grants from a pool by a policy that its keys signed: within its limits, to whom it names, each once, and an audit finds every cheat.
#include "apps/policy_file.h"
#include "ledger/common/address.h"
#include "unit/ledger_audited.h"
#include "unit/ledger_cheat.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

constexpr uint64_t k_period_s = 1000;

// The ecosystem's pool with two keys of which both sign; everything in it has vested.
PoolTerms ecosystem() {
  PoolTerms terms;
  terms.index = k_ecosystem_pool;
  terms.issued = issued_to(k_genesis_pools[k_ecosystem_pool]);
  terms.keys.threshold = 2;
  terms.keys.keys[0] = numbered_key(71).public_key();
  terms.keys.keys[1] = numbered_key(72).public_key();
  make_keyless(terms);
  return terms;
}

struct Grants {
  PoolTerms pool;
  World world;
  SigningKey one = numbered_key(71), other = numbered_key(72);
  SigningKey granter = numbered_key(73), developer = numbered_key(1), stranger = numbered_key(2);

  explicit Grants(StoreKind kind, const PoolTerms& terms = ecosystem()) : pool(terms), world(kind, World::easy_rules(), {terms}) {}

  // At most 100 in one grant, 250 in 1000 s, for 10,000 s.
  PolicyOperation policy() {
    PolicyOperation op;
    op.statement.ledger = world.id();
    op.statement.pool = pool_account(pool);
    op.statement.begin = world.now();
    op.statement.until = world.in(10'000);
    op.statement.period_s = k_period_s;
    op.statement.per_grant = Amount::micro(100);
    op.statement.per_period = Amount::micro(250);
    op.statement.granter = granter.public_key();
    op.statement.valid_until = world.in(300);
    op.keys = pool.keys;
    sign(op);
    return op;
  }
  void sign(PolicyOperation& op) { op.signatures = World::pool_signatures(pool, {&one, &other}, op.statement); }
  GrantOperation grant(const PolicyOperation& by, uint64_t number, uint64_t amount) {
    return grant(by, number, amount, developer.public_key());
  }
  GrantOperation grant(const PolicyOperation& by, uint64_t number, uint64_t amount, const PublicKey& to) {
    GrantOperation op;
    op.statement = {world.id(), statement_id(by.statement), number, to, Amount::micro(amount), {}, world.in(300)};
    op.granter = granter.public_key();
    op.signature = granter.sign(preimage(op.statement));
    return op;
  }
  PolicyState shown(const PolicyOperation& by) {
    return std::get<PolicyState>(world.ask({}, PolicyQuery{statement_id(by.statement)}).body);
  }
};

void grants_keep_to_their_policy(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Grants g(kind_of(state));
  World& world = g.world;
  PolicyOperation policy = g.policy();
  assert_true(world.code(g.grant(policy, 1, 10)) == LedgerCode::unknown_policy);
  OperationResult published = world.apply(policy);
  assert_true(published.ledger_code() == LedgerCode::done && published.paid.is_zero());
  assert_true(world.apply(policy) == published);
  assert_true(world.code(g.grant(policy, 1, 0)) == LedgerCode::bad_amount);
  assert_true(world.code(g.grant(policy, 1, 101)) == LedgerCode::grant_too_large);
  assert_true(world.code(g.grant(policy, 2, 10)) == LedgerCode::grant_number);
  assert_true(world.code(g.grant(policy, 0, 10)) == LedgerCode::grant_number);
  GrantOperation first = g.grant(policy, 1, 100);
  OperationResult done = world.apply(first);
  assert_true(done.ledger_code() == LedgerCode::done && done.paid.in_micro() == 100);
  assert_int_equal(world.available(g.developer), 100);
  // The same again is the first one; another one with its number is none.
  assert_true(world.apply(first) == done);
  assert_true(world.code(g.grant(policy, 1, 99)) == LedgerCode::grant_number);
  assert_true(world.restart().has_value());
  assert_true(world.apply(first) == done);
  assert_true(world.code(g.grant(policy, 2, 100, g.stranger.public_key())) == LedgerCode::done);  // it names nobody: anybody
  assert_true(world.code(g.grant(policy, 3, 51)) == LedgerCode::grant_period);
  assert_int_equal(g.shown(policy).left.in_micro(), 50);
  assert_true(world.code(g.grant(policy, 3, 50)) == LedgerCode::done);
  assert_true(world.code(g.grant(policy, 4, 1)) == LedgerCode::grant_period);
  world.now_s += k_period_s - 1;
  assert_true(world.code(g.grant(policy, 4, 1)) == LedgerCode::grant_period);
  world.now_s += 1;  // the next period begins, with all of its budget and no more
  world.tick();
  assert_int_equal(g.shown(policy).left.in_micro(), 250);
  assert_true(world.code(g.grant(policy, 4, 100)) == LedgerCode::done);
  assert_true(world.code(first) == LedgerCode::too_late || world.apply(first) == done);  // paid once, whatever is told
  assert_int_equal(world.available(g.developer), 250);
  world.now_s = policy.statement.until.in_seconds() - 1;
  assert_true(world.code(g.grant(policy, 5, 1)) == LedgerCode::done);
  world.now_s += 1;
  assert_true(world.code(g.grant(policy, 6, 1)) == LedgerCode::policy_ended);
  world.now_s += 2 * 86400;  // nothing is remembered of it but its number
  world.tick();
  assert_true(world.code(first) == LedgerCode::too_late);
  GrantOperation renewed = first;
  renewed.statement.valid_until = world.in(300);
  renewed.signature = g.granter.sign(preimage(renewed.statement));
  assert_true(world.code(renewed) == LedgerCode::grant_number);
  assert_int_equal(g.shown(policy).grants, 5);
  assert_true(world.state().check_books().has_value());
  Audited audited = audit(world);
  assert_true(audited.status.has_value() && audited.totals.has_value());
}

void a_policy_needs_the_keys_of_its_pool_and_sense(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Grants g(kind_of(state));
  World& world = g.world;
  auto changed = [&](auto change) {
    PolicyOperation op = g.policy();
    change(op);
    g.sign(op);
    return world.code(op);
  };
  assert_true(changed([](PolicyOperation& op) { op.statement.until = op.statement.begin; }) == LedgerCode::bad_policy);
  assert_true(changed([](PolicyOperation& op) { op.statement.period_s = 0; }) == LedgerCode::bad_policy);
  assert_true(changed([](PolicyOperation& op) { op.statement.per_grant = Amount::micro(251); }) == LedgerCode::bad_policy);
  assert_true(changed([](PolicyOperation& op) { op.statement.replaces.raw[0] = 1; }) == LedgerCode::unknown_policy);
  assert_true(changed([](PolicyOperation& op) { op.statement.granter = PublicKey(); }) == LedgerCode::bad_account);
  assert_true(changed([](PolicyOperation& op) { op.statement.recipients[3] = op.statement.pool; }) == LedgerCode::bad_account);
  assert_true(changed([](PolicyOperation& op) { op.statement.pool = numbered_key(5).public_key(); }) == LedgerCode::unknown_pool);
  assert_true(changed([](PolicyOperation& op) { op.keys.threshold = 1; }) == LedgerCode::unknown_pool);
  assert_true(changed([](PolicyOperation& op) { op.statement.valid_until = op.statement.begin; }) == LedgerCode::too_late);
  PolicyOperation half = g.policy();
  half.signatures[1] = {};
  assert_true(world.code(half) == LedgerCode::bad_signature);
  PolicyOperation policy = g.policy();
  policy.statement.per_grant = Amount::micro(250);
  assert_true(world.code(policy) == LedgerCode::bad_signature);
  assert_true(world.code(g.policy()) == LedgerCode::done);
}

void a_grant_is_for_whom_and_by_whom_its_policy_says(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Grants g(kind_of(state));
  World& world = g.world;
  PolicyOperation policy = g.policy();
  policy.statement.recipients[5] = g.developer.public_key();
  policy.statement.begin = world.in(100);
  g.sign(policy);
  assert_true(world.code(policy) == LedgerCode::done);
  assert_true(world.code(g.grant(policy, 1, 1)) == LedgerCode::policy_ended);  // not begun
  world.now_s += 100;
  assert_true(world.code(g.grant(policy, 1, 1, g.stranger.public_key())) == LedgerCode::grant_recipient);
  assert_true(world.code(g.grant(policy, 1, 1, pool_account(g.pool))) == LedgerCode::bad_account);
  GrantOperation forged = g.grant(policy, 1, 1);
  forged.signature = g.stranger.sign(preimage(forged.statement));
  assert_true(world.code(forged) == LedgerCode::bad_signature);
  forged.granter = g.stranger.public_key();
  assert_true(world.code(forged) == LedgerCode::not_a_party);
  assert_true(world.code(g.grant(policy, 1, 1)) == LedgerCode::done);
  // Another granter, by a policy in the place of this one.
  SigningKey next = numbered_key(74);
  PolicyOperation successor = g.policy();
  successor.statement.granter = next.public_key();
  successor.statement.replaces = OperationId{statement_id(policy.statement)};
  g.sign(successor);
  assert_true(world.code(successor) == LedgerCode::done);
  assert_true(world.code(g.grant(policy, 2, 1)) == LedgerCode::policy_ended);
  assert_int_equal(g.shown(policy).ended, 1);
  g.granter = std::move(next);
  assert_true(world.code(g.grant(successor, 1, 1)) == LedgerCode::done);
  assert_int_equal(world.available(g.developer), 2);
  assert_true(audit(world).status.has_value());
}

void a_grant_takes_nothing_that_has_not_vested(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  PoolTerms terms = ecosystem();
  terms.vesting = {Amount::micro(60), LedgerTime::from_seconds(World::k_start), 1'000'000, 3};
  make_keyless(terms);
  Grants g(kind_of(state), terms);
  PolicyOperation policy = g.policy();
  assert_true(g.world.code(policy) == LedgerCode::done);
  assert_true(g.world.code(g.grant(policy, 1, 61)) == LedgerCode::not_vested);
  assert_true(g.world.code(g.grant(policy, 1, 40)) == LedgerCode::done);
  assert_true(g.world.code(g.world.draw(g.pool, {&g.one, &g.other}, g.developer.public_key(), 21)) == LedgerCode::not_vested);
  assert_true(g.world.code(g.grant(policy, 2, 20)) == LedgerCode::done);
  assert_true(g.world.code(g.grant(policy, 3, 1)) == LedgerCode::not_vested);
  assert_true(audit(g.world).status.has_value());
}

// Random grants against the limits, said a second time.
void random_grants_keep_to_their_limits(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Random random(17);
  Grants g(kind_of(state));
  PolicyOperation policy = g.policy();
  assert_true(g.world.code(policy) == LedgerCode::done);
  uint64_t next = 1, given = 0, period = 0, spent = 0;
  for (int i = 0; i < 200; ++i) {
    g.world.now_s += random.below(90);
    uint64_t since = g.world.now_s - World::k_start;
    if (since / k_period_s != period) period = since / k_period_s, spent = 0;
    uint64_t number = random.below(8) == 0 ? random.below(next + 3) : next, amount = random.below(110);
    bool allowed = number == next && since < 10'000 && amount > 0 && amount <= 100 && spent + amount <= 250;
    LedgerCode code = g.world.code(g.grant(policy, number, amount));
    assert_int_equal(code == LedgerCode::done, allowed);
    if (allowed) ++next, given += amount, spent += amount;
    assert_int_equal(g.world.available(g.developer), given);
  }
  assert_true(next > 20);
  assert_true(g.world.state().check_books().has_value() && audit(g.world).status.has_value());
}

// ---- cheats ----

// The ledger executes what its policy does not allow; the log is signed and complete.
template <typename Change>
void doctor_policy(Grants& g, const PolicyOperation& policy, Change change) {
  OperationId id = statement_id(policy.statement);
  auto store = g.world.store().begin_write();
  auto row = read_row<PolicyRow>(**store, k_table_policies, id.bytes());
  change(**row);
  CHECK((*store)->put(k_table_policies, id.bytes(), encode_fields(**row)).has_value());
  CHECK((*store)->commit().has_value());
}

void a_grant_beyond_its_policy_is_named(void**) {
  struct Cheat {
    void (*change)(PolicyRow&);
    uint64_t number, amount;
  };
  const Cheat cheats[] = {
      {[](PolicyRow& row) { row.terms.per_grant = Amount::micro(200); }, 2, 101},
      {[](PolicyRow& row) {
         row.spent = Amount();
         row.terms.per_grant = row.terms.per_period = Amount::micro(1000);
       },
       2, 300},
      {[](PolicyRow& row) { row.grants = 0; }, 1, 7},
      {[](PolicyRow& row) { row.grants = 8; }, 9, 7},
  };
  for (const Cheat& cheat : cheats) {
    Grants g(StoreKind::memory);
    PolicyOperation policy = g.policy();
    assert_true(g.world.code(policy) == LedgerCode::done);
    assert_true(g.world.code(g.grant(policy, 1, 100)) == LedgerCode::done);
    doctor_policy(g, policy, cheat.change);
    OperationResult wrong = g.world.apply(g.grant(policy, cheat.number, cheat.amount));
    assert_true(wrong.ledger_code() == LedgerCode::done);
    assert_true(names(audit(g.world), wrong.record));
  }
  for (int period_of_all = 0; period_of_all < 2; ++period_of_all) {
    Grants g(StoreKind::memory);
    PolicyOperation policy = g.policy(), successor = g.policy();
    if (period_of_all == 1) policy.statement.recipients[0] = g.stranger.public_key();
    g.sign(policy);
    assert_true(g.world.code(policy) == LedgerCode::done);
    successor.statement.replaces = statement_id(policy.statement);
    g.sign(successor);
    if (period_of_all == 0) assert_true(g.world.code(successor) == LedgerCode::done);
    doctor_policy(g, policy, [](PolicyRow& row) {
      row.ended = 0;
      row.terms.recipients = {};
    });
    OperationResult wrong = g.world.apply(g.grant(policy, 1, 5));
    assert_true(wrong.ledger_code() == LedgerCode::done);
    assert_true(names(audit(g.world), wrong.record));
  }
}

void a_policy_or_grant_without_its_signature_is_named(void**) {
  Grants g(StoreKind::memory);
  PolicyOperation policy = g.policy(), forged = g.policy();
  forged.statement.per_grant = Amount::micro(1);
  assert_true(g.world.code(policy) == LedgerCode::done);
  GrantOperation grant = g.grant(policy, 1, 5);
  grant.signature = g.stranger.sign(preimage(grant.statement));
  for (const Operation& op : {Operation(forged), Operation(grant)}) {
    Grants other(StoreKind::memory);
    assert_true(other.world.code(policy) == LedgerCode::done);
    LedgerBatch batch;
    batch.items.emplace_back().operations.push_back({op, LedgerCode::done});
    OperationResult result = other.world.state().apply(batch, other.world.now()).items[0].operations[0];
    assert_true(result.ledger_code() == LedgerCode::done);
    assert_true(names(audit(other.world), result.record));
  }
}

// ---- the document ----

void a_policy_document_is_read_and_its_faults_named(void**) {
  LedgerTime now = LedgerTime::from_seconds(1'700'000'000);
  std::string account = address_of(numbered_key(1).public_key());
  const std::string good =
      "config policy\n option pool 'ecosystem'\n option until '1700001000'\n option period '60'\n option per_grant '1.5'\n"
      " option per_period '2'\n option granter '" +
      account + "'\n list recipient '" + account + "'\n";
  auto read = parse_policy_file(good, now);
  assert_true(read.has_value());
  const PolicyStatement& s = read->statement;
  assert_true(read->pool == k_ecosystem_pool && s.begin == now && s.until.in_seconds() == 1'700'001'000 && s.period_s == 60);
  assert_true(s.per_grant.in_micro() == 1'500'000 && s.per_period.in_micro() == 2'000'000 && s.makes_sense());
  assert_true(s.granter == numbered_key(1).public_key() && s.recipients[0] == s.granter && s.recipients[1].is_zero());
  const struct {
    const char* from;
    const char* to;
    const char* says;
  } faults[] = {
      {"'ecosystem'", "'echo'", "line 2: there is no pool 'echo'"},
      {"option until '1700001000'", "option until 'soon'", "line 3: until 'soon' is no whole number"},
      {"option until '1700001000'", "option until '1700000000'", "`until` is past"},
      {" option period '60'\n", "", "the policy has no period"},
      {"option period '60'", "option period '0'", "has no seconds"},
      {"'1.5'", "'2.5'", "more for one grant"},
      {"'1.5'", "'1.5000001'", "line 5: per_grant"},
      {"option granter '", "option granter 'x", "line 7: granter"},
      {"list recipient", "option recipient", "line 8: there may be several recipients"},
      {"option per_period '2'", "option per_period '2'\n option per_period '3'", "line 7: per_period is given twice"},
      {"option per_period '2'", "option per_period '2'\n option per_person '3'", "line 7: a policy has no option 'per_person'"},
      {"option per_period '2'", "option per_period '2'\n option replaces '3'", "line 7: replaces '3' is no policy"},
      {"config policy", "config politics", "line 2: a policy is one section"},
  };
  for (const auto& fault : faults) {
    std::string text = good;
    size_t at = text.find(fault.from);
    assert_true(at != std::string::npos);
    text.replace(at, strlen(fault.from), fault.to);
    auto parsed = parse_policy_file(text, now);
    assert_false(parsed.has_value());
    if (parsed.error().reason.find(fault.says) == std::string::npos) fprintf(stderr, "%s: %s\n", fault.to, parsed.error().reason.c_str());
    assert_non_null(strstr(parsed.error().reason.c_str(), fault.says));
  }
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(grants_keep_to_their_policy),
      FOR_EVERY_STORE(a_policy_needs_the_keys_of_its_pool_and_sense),
      FOR_EVERY_STORE(a_grant_is_for_whom_and_by_whom_its_policy_says),
      FOR_EVERY_STORE(a_grant_takes_nothing_that_has_not_vested),
      FOR_EVERY_STORE(random_grants_keep_to_their_limits),
      cmocka_unit_test(a_grant_beyond_its_policy_is_named),
      cmocka_unit_test(a_policy_or_grant_without_its_signature_is_named),
      cmocka_unit_test(a_policy_document_is_read_and_its_faults_named),
  };
  return RUN_TESTS(tests);
}
