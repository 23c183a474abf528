// Pools with terms: what has vested can be drawn with their keys, never more, by nobody else, and an audit finds every cheat about it.
#include <algorithm>

#include "ledger/common/address.h"
#include "ledger/server/genesis_file.h"
#include "unit/ledger_audited.h"
#include "unit/ledger_cheat.h"
#include "unit/test.h"
#include "unit/text_file.h"

using namespace millet;
using namespace ledger_world;

namespace {

constexpr size_t k_tron_airdrop = 3;
constexpr uint32_t k_month_s = 2'629'800;
constexpr uint64_t k_airdrop = 99'990'000'000'000'000;  // micro-BTT

SigningKey pool_signer(uint32_t number) { return numbered_key(7000 + number); }

// The white paper's pools: the key of each signs alone, the ecosystem's two of three; the airdrop vests in 72 months.
std::vector<PoolTerms> white_paper_pools(LedgerTime begin) {
  std::vector<PoolTerms> pools;
  for (uint8_t i = 0; i < k_onchain_pool; ++i) {
    PoolTerms terms;
    terms.index = i;
    terms.issued = issued_to(k_genesis_pools[i]);
    terms.vesting.begin = begin;
    if (i == k_tron_airdrop) terms.vesting = {Amount(), begin, k_month_s, 72};
    terms.keys.threshold = i == k_ecosystem_pool ? 2 : i == k_faucet_pool ? 0 : 1;
    size_t keys = i == k_ecosystem_pool ? 3 : i == k_faucet_pool ? 0 : 1;
    for (uint32_t k = 0; k < keys; ++k) terms.keys.keys[k] = pool_signer(i * 10u + k).public_key();
    make_keyless(terms);
    pools.push_back(terms);
  }
  return pools;
}

struct Pools {
  std::vector<PoolTerms> terms = white_paper_pools(LedgerTime::from_seconds(World::k_start));
  World world;
  SigningKey user = numbered_key(1);
  explicit Pools(StoreKind kind, const LedgerRules& rules = World::easy_rules()) : world(kind, rules, terms) {}

  const PoolTerms& airdrop() const { return terms[k_tron_airdrop]; }
  DrawOperation draw(size_t pool, uint64_t amount, std::vector<uint32_t> signers = {0}) {
    std::vector<SigningKey> keys;
    std::vector<const SigningKey*> named;
    for (uint32_t k : signers) keys.push_back(pool_signer(static_cast<uint32_t>(pool) * 10u + k));
    for (const SigningKey& key : keys) named.push_back(&key);
    return world.draw(terms[pool], named, user.public_key(), amount);
  }
  // The ledger runs meanwhile, but for the length of the step: no outage matters to a pool.
  void pass_s(uint64_t seconds) {
    world.now_s += seconds;
    world.tick();
  }
};

// By hand: 99,990,000,000 BTT / 72 = 1,388,750,000 BTT a month.
void the_airdrop_vests_in_seventy_two_months(void**) {
  Vesting vesting{Amount(), LedgerTime::from_seconds(1000), k_month_s, 72};
  auto at = [&](uint64_t seconds) {
    return vested(Amount::micro(k_airdrop), vesting, LedgerTime::from_seconds(1000 + seconds)).in_micro();
  };
  assert_true(at(0) == 0);
  assert_true(at(k_month_s - 1) == 0);
  assert_true(at(k_month_s) == 1'388'750'000'000'000);
  assert_true(at(2 * k_month_s - 1) == 1'388'750'000'000'000);
  assert_true(at(36ull * k_month_s) == 49'995'000'000'000'000);
  assert_true(at(71ull * k_month_s) == 98'601'250'000'000'000);
  assert_true(at(72ull * k_month_s - 1) == 98'601'250'000'000'000);
  assert_true(at(72ull * k_month_s) == k_airdrop);
  assert_true(at(uint64_t{1} << 60) == k_airdrop);
  assert_int_equal(72ull * k_month_s, 6ull * (365 * 4 + 1) * 86400 / 4);  // six years
}

void vesting_rounds_down_and_ends_with_all(void**) {
  Vesting vesting{Amount::micro(1), LedgerTime::from_seconds(100), 10, 3};
  auto at = [&](uint64_t issued, uint64_t seconds) {
    return vested(Amount::micro(issued), vesting, LedgerTime::from_seconds(seconds)).in_micro();
  };
  const uint64_t expected[][3] = {{11, 99, 0},  {11, 100, 1}, {11, 109, 1},  {11, 110, 4},
                                  {11, 120, 7}, {11, 129, 7}, {11, 130, 11}, {11, 140, 11}};
  for (const auto& row : expected) assert_int_equal(at(row[0], row[1]), row[2]);
  vesting.periods = 0;
  assert_int_equal(at(11, 99), 0);
  assert_int_equal(at(11, 100), 11);
  // The largest numbers that there are.
  vesting = {Amount(), LedgerTime(), 1, UINT32_MAX};
  assert_true(at(k_supply_micro, UINT32_MAX - 1) < k_supply_micro);
  assert_true(at(k_supply_micro, UINT32_MAX) == k_supply_micro);
}

// Any schedule: never less than before, never more than issued, and exact, as a count with carried remainders says.
void vesting_is_monotone_and_exact(void**) {
  Random random(11);
  for (int round = 0; round < 500; ++round) {
    uint64_t issued = random.below(round % 2 == 0 ? 1000 : k_supply_micro) + 1;
    uint32_t period = static_cast<uint32_t>(random.below(100)) + 1, periods = static_cast<uint32_t>(random.below(300)) + 1;
    uint64_t start = random.below(issued + 1), begin = random.below(10'000);
    Vesting vesting{Amount::micro(start), LedgerTime::from_seconds(begin), period, periods};
    uint64_t whole = start, carried = 0, last = 0;
    for (uint32_t step = 0; step <= periods; ++step) {
      for (uint64_t second : {uint64_t{0}, random.below(period), uint64_t{period - 1}}) {
        uint64_t now =
            vested(Amount::micro(issued), vesting, LedgerTime::from_seconds(begin + uint64_t{step} * period + second)).in_micro();
        assert_true(now == whole && now >= last && now <= issued);
        last = now;
      }
      carried += (issued - start) % periods;
      whole += (issued - start) / periods + carried / periods;
      carried %= periods;
    }
    assert_true(last == issued);
    if (begin > 0) assert_true(vested(Amount::micro(issued), vesting, LedgerTime::from_seconds(begin - 1)).is_zero());
  }
}

void what_has_vested_is_drawn_and_never_more(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Pools pools(kind_of(state));
  World& world = pools.world;
  constexpr uint64_t k_monthly = 1'388'750'000'000'000;
  assert_true(world.code(pools.draw(k_tron_airdrop, 1)) == LedgerCode::not_vested);
  pools.pass_s(k_month_s - 1);
  assert_true(world.code(pools.draw(k_tron_airdrop, 1)) == LedgerCode::not_vested);
  pools.pass_s(1);
  assert_true(world.code(pools.draw(k_tron_airdrop, k_monthly + 1)) == LedgerCode::not_vested);
  DrawOperation first = pools.draw(k_tron_airdrop, k_monthly - 5);
  OperationResult done = world.apply(first);
  assert_true(done.ledger_code() == LedgerCode::done && done.paid.in_micro() == k_monthly - 5);
  assert_true(world.apply(first) == done);  // sent again: executed once
  assert_true(world.restart().has_value());
  assert_true(world.apply(first) == done);
  assert_true(world.code(pools.draw(k_tron_airdrop, 6)) == LedgerCode::not_vested);
  assert_true(world.code(pools.draw(k_tron_airdrop, 5)) == LedgerCode::done);
  assert_true(world.available(pools.user) == k_monthly);
  pools.pass_s(100ull * k_month_s);
  assert_true(world.code(pools.draw(k_tron_airdrop, k_airdrop - k_monthly + 1)) == LedgerCode::not_vested);
  assert_true(world.code(pools.draw(k_tron_airdrop, k_airdrop - k_monthly)) == LedgerCode::done);
  assert_true(world.code(pools.draw(k_tron_airdrop, 1)) == LedgerCode::not_vested);
  assert_true(world.state().check_books().has_value());
  PoolState shown = std::get<PoolState>(world.ask({}, PoolQuery{k_tron_airdrop}).body);
  assert_true(shown.available.is_zero() && shown.vested == shown.issued && shown.has_terms == 1);
  assert_true(world.ask({}, PoolQuery{200}).code == LedgerCode::unknown_pool);
  Audited audited = audit(world);
  assert_true(audited.status.has_value() && audited.totals.has_value());
}

// Amounts and times at random, against the rule said in one line.
void random_draws_never_pass_what_has_vested(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Random random(5);
  Pools pools(kind_of(state));
  World& world = pools.world;
  uint64_t drawn = 0;
  for (int i = 0; i < 150; ++i) {
    pools.pass_s(random.below(k_month_s));
    uint64_t limit = k_airdrop / 72 * std::min<uint64_t>((world.now_s - World::k_start) / k_month_s, 72);
    uint64_t most = limit - drawn + 2;
    uint64_t amount = random.below(3) == 0 ? most - random.below(std::min<uint64_t>(most, 4)) : random.below(most) + 1;
    bool allowed = amount > 0 && drawn + amount <= limit;
    LedgerCode code = world.code(pools.draw(k_tron_airdrop, amount));
    assert_int_equal(code, allowed ? LedgerCode::done : amount == 0 ? LedgerCode::bad_amount : LedgerCode::not_vested);
    if (allowed) drawn += amount;
    if (i % 50 == 49) assert_true(world.restart(random.below(100)).has_value());
    assert_true(world.available(pools.user) == drawn);
  }
  assert_true(drawn > 0);
  assert_true(audit(world).status.has_value());
}

void only_the_keys_of_a_pool_draw_from_it(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  Pools pools(kind_of(state));
  World& world = pools.world;
  constexpr size_t k_sale = 0;
  // Two of three.
  assert_true(world.code(pools.draw(k_ecosystem_pool, 10, {0})) == LedgerCode::bad_signature);
  assert_true(world.code(pools.draw(k_ecosystem_pool, 10, {})) == LedgerCode::bad_signature);
  assert_true(world.code(pools.draw(k_ecosystem_pool, 10, {0, 2})) == LedgerCode::done);
  assert_true(world.code(pools.draw(k_ecosystem_pool, 10, {0, 1, 2})) == LedgerCode::done);
  DrawOperation spoiled = pools.draw(k_ecosystem_pool, 10, {0, 1});
  spoiled.signatures[2].raw[5] = 1;
  assert_true(world.code(spoiled) == LedgerCode::bad_signature);
  spoiled = pools.draw(k_ecosystem_pool, 10, {0, 1});
  spoiled.statement.amount = Amount::micro(11);
  assert_true(world.code(spoiled) == LedgerCode::bad_signature);
  // Somebody's own keys, or a lower threshold, in the place of the pool's.
  SigningKey thief = numbered_key(66);
  PoolTerms own = pools.terms[k_sale];
  own.keys.keys[0] = thief.public_key();
  DrawOperation theft = world.draw(own, {&thief}, thief.public_key(), 10);
  theft.statement.pool = pool_account(pools.terms[k_sale]);
  theft.signatures = World::pool_signatures(own, {&thief}, theft.statement);
  assert_true(world.code(theft) == LedgerCode::unknown_pool);
  DrawOperation eased = pools.draw(k_ecosystem_pool, 10, {0});
  eased.keys.threshold = 1;
  assert_true(world.code(eased) == LedgerCode::unknown_pool);
  eased.keys.threshold = 0;
  assert_true(world.code(eased) == LedgerCode::bad_signature);
  // Nothing goes into a pool, and no key is a pool's account.
  PublicKey pool = pool_account(pools.terms[k_sale]);
  assert_false(is_public_key(pool));
  assert_true(world.code(pools.draw(k_sale, 1000)) == LedgerCode::done);
  assert_true(world.code(world.transfer(pools.user, pool, 5)) == LedgerCode::bad_account);
  assert_true(world.code(world.open(pools.user, pool, 500)) == LedgerCode::bad_account);
  assert_true(world.code(world.draw(pools.terms[1], {}, pool, 5)) == LedgerCode::bad_account);
  assert_true(world.code(pools.draw(k_sale, 0)) == LedgerCode::bad_amount);
  DrawOperation late = pools.draw(k_sale, 10);
  pools.pass_s(301);
  assert_true(world.code(late) == LedgerCode::too_late);
  // A ledger for tests has no pool with terms.
  World plain(kind_of(state));
  PoolTerms none = pools.terms[k_sale];
  SigningKey signer = pool_signer(0);
  assert_true(plain.code(plain.draw(none, {&signer}, pools.user.public_key(), 1)) == LedgerCode::unknown_pool);
}

void initial_balances_vest_too(void** state) {
  SKIP_WITHOUT_POSTGRES(state);
  LedgerRules rules = World::easy_rules();
  std::vector<PoolTerms> terms = white_paper_pools(LedgerTime::from_seconds(World::k_start));
  terms[k_faucet_pool].vesting = {rules.faucet_grant, LedgerTime::from_seconds(World::k_start), 1000, 10};
  make_keyless(terms[k_faucet_pool]);
  World world(kind_of(state), rules, terms);
  assert_true(world.code(world.faucet(numbered_key(1))) == LedgerCode::done);
  assert_true(world.code(world.faucet(numbered_key(2))) == LedgerCode::faucet_empty);
  world.now_s += 1000;
  assert_true(world.code(world.faucet(numbered_key(2))) == LedgerCode::done);
  assert_true(world.state().check_books().has_value());
  assert_true(audit(world).status.has_value());
}

// ---- cheats ----

template <typename Change>
void doctor_pool(World& world, const PoolTerms& terms, Change change) {
  auto store = world.store().begin_write();
  auto row = read_row<PoolRow>(**store, k_table_pools, pool_account(terms).bytes());
  change(**row);
  CHECK((*store)->put(k_table_pools, pool_account(terms).bytes(), encode_fields(**row)).has_value());
  CHECK((*store)->commit().has_value());
}

// The operator lets a pool have what has not vested: the keys' owner and the ledger agree, and the log is signed and complete.
void an_over_draw_is_named(void**) {
  Pools pools(StoreKind::memory);
  pools.pass_s(k_month_s);
  assert_true(pools.world.code(pools.draw(k_tron_airdrop, 1000)) == LedgerCode::done);
  doctor_pool(pools.world, pools.airdrop(), [](PoolRow& row) { row.terms.vesting.begin = LedgerTime(); });
  OperationResult over = pools.world.apply(pools.draw(k_tron_airdrop, 1'388'750'000'000'000));
  assert_true(over.ledger_code() == LedgerCode::done);
  assert_true(pools.world.code(pools.draw(0, 10)) == LedgerCode::done);
  Audited audited = audit(pools.world);
  assert_true(names(audited, over.record));
  assert_non_null(strstr(audited.status.error().reason.c_str(), "1388749999.999 BTT had vested and were not drawn"));
}

// What was drawn is forgotten, so that it can be drawn again.
void a_forgotten_draw_is_named(void**) {
  Pools pools(StoreKind::memory);
  pools.pass_s(k_month_s);
  assert_true(pools.world.code(pools.draw(k_tron_airdrop, 1'388'750'000'000'000)) == LedgerCode::done);
  doctor_pool(pools.world, pools.airdrop(), [](PoolRow& row) { row.drawn = Amount(); });
  OperationResult again = pools.world.apply(pools.draw(k_tron_airdrop, 1));
  assert_true(again.ledger_code() == LedgerCode::done);
  assert_false(pools.world.state().check_books().has_value());
  assert_true(names(audit(pools.world), again.record));
}

void a_grant_beyond_what_has_vested_is_named(void**) {
  std::vector<PoolTerms> terms = white_paper_pools(LedgerTime::from_seconds(World::k_start));
  terms[k_faucet_pool].vesting = {Amount(), LedgerTime::from_seconds(World::k_start), 1000, 10};
  make_keyless(terms[k_faucet_pool]);
  World world(StoreKind::memory, World::easy_rules(), terms);
  doctor_pool(world, terms[k_faucet_pool], [](PoolRow& row) { row.terms.vesting.periods = 0; });
  OperationResult over = world.apply(world.faucet(numbered_key(1)));
  assert_true(over.ledger_code() == LedgerCode::done);
  assert_true(names(audit(world), over.record));
}

// Terms that are not those that the ledger id promises, that come twice, or later.
void other_terms_of_a_pool_are_named(void**) {
  auto change_terms = [](World& world, uint64_t record, auto change) {
    doctor(world, record, [&](LogRecord& changed) {
      auto op = *decode_fields<PoolOperation>(Bytes(changed.operation).subspan(1));
      change(op.terms);
      changed.operation.clear();
      append_operation(changed.operation, op);
      changed.head.operation = statement_id(op);
    });
  };
  for (int which = 0; which < 4; ++which) {
    Pools pools(StoreKind::memory);
    change_terms(pools.world, 1 + k_tron_airdrop, [&](PoolTerms& terms) {
      if (which == 0) terms.vesting.periods = 1;
      if (which == 1) terms.keys.keys[0] = pool_signer(99).public_key();
      if (which == 2) terms.issued = Amount::micro(1);
      if (which == 3) terms = pools.terms[k_tron_airdrop - 1];
    });
    assert_true(names(audit(pools.world), 1 + k_tron_airdrop));
  }
  Pools pools(StoreKind::memory);
  OperationResult last = pools.world.apply(pools.draw(0, 10));
  doctor(pools.world, last.record, [&](LogRecord& record) {
    PoolOperation op{pools.world.id(), pools.terms[5]};
    record.operation.clear();
    append_operation(record.operation, op);
    record.head.operation = statement_id(op);
    record.head.paid = Amount();
    record.touched.clear();
  });
  assert_true(names(audit(pools.world), last.record));
}

void a_draw_without_enough_signatures_is_named(void**) {
  Pools pools(StoreKind::memory);
  LedgerBatch batch;
  batch.items.emplace_back().operations.push_back({pools.draw(k_ecosystem_pool, 10, {1}), LedgerCode::done});
  OperationResult forged = pools.world.state().apply(batch, pools.world.now()).items[0].operations[0];
  assert_true(forged.ledger_code() == LedgerCode::done);
  assert_true(names(audit(pools.world), forged.record));
}

// ---- the file ----

std::string default_file() { return read_text_file(MILLET_SOURCE_DIR "/config/genesis.conf"); }
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}
std::string with_keys(std::string text) {
  const std::string hole = "#\tlist key 'ADDRESS'";
  for (uint32_t i = 0; text.find(hole) != std::string::npos; ++i) {
    text = replaced(text, hole, "\tlist key '" + address_of(numbered_key(i).public_key()) + "'");
  }
  return text;
}

void the_default_file_is_the_white_paper(void**) {
  LedgerTime now = LedgerTime::from_seconds(World::k_start);
  auto pools = parse_genesis_file(with_keys(default_file()), now);
  assert_true(pools.has_value());
  assert_int_equal(pools->size(), 9);
  uint64_t sum = 0;
  const uint64_t btt[] = {59'400'000'000,  19'800'000'000,  89'100'000'000,  99'990'000'000, 99'000'000'000,
                          188'100'000'000, 198'000'000'000, 197'010'000'000, 39'600'000'000};
  for (size_t i = 0; i < 9; ++i) {
    const PoolTerms& terms = (*pools)[i];
    assert_true(terms.index == i && terms.issued.in_micro() == btt[i] * 1'000'000);
    assert_false(is_public_key(pool_account(terms)));
    assert_int_equal(terms.keys.threshold, i == k_faucet_pool ? 0 : 1);
    bool spread_out = i == k_tron_airdrop;
    assert_int_equal(terms.vesting.periods, spread_out ? 72 : 0);
    assert_true(vested(terms.issued, terms.vesting, now) == (spread_out ? Amount() : terms.issued));
    sum += terms.issued.in_micro();
  }
  assert_true(sum == k_supply_micro);
  // The same file makes another ledger at another time, and the same one at the same time.
  SigningKey key = numbered_key(3);
  assert_true(ledger_id(new_ledger(key, now, *pools).genesis) == ledger_id(new_ledger(key, now, *pools).genesis));
  auto other = *pools;
  other[k_tron_airdrop].vesting.periods = 71;
  assert_false(ledger_id(new_ledger(key, now, other).genesis) == ledger_id(new_ledger(key, now, *pools).genesis));
}

// Every fault is told with its line, its reason and a way out.
void faults_of_the_file_are_named(void**) {
  const std::string good = with_keys(default_file());
  const std::string key = address_of(numbered_key(0).public_key());
  auto line_of = [](const std::string& text, const std::string& word) {
    size_t at = text.find(word);
    CHECK(at != std::string::npos);
    return "line " + std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n')) + ": ";
  };
  struct Fault {
    std::string from, to, at, says;  // `at`: a word of the line that is to blame; empty: no line is
  };
  const Fault faults[] = {
      {"'59400000000'", "'59400000000.000001'", "59400000000.000001", "the white paper"},
      {"'39600000000'", "'39599999999.999999'", "39599999999.999999",
       "gives it 39600000000 BTT, or the pools are not the supply of 990000000000 BTT"},
      {"'39600000000'", "'39600000000.000001'", "39600000000.000001", "gives it 39600000000 BTT"},
      {"'59400000000'", "'-1'", "'-1'", "amount"},
      {"'59400000000'", "'990000000001'", "990000000001", "amount"},
      {"config pool 'seed_sale'", "config pool 'seeds'", "89100000000", "there is no pool 'seeds'; the white paper has public_sale, "},
      {"config pool 'seed_sale'", "config pool", "89100000000", "there is no pool ''"},
      {"config pool 'seed_sale'", "config pools 'seed_sale'", "89100000000", "config pool 'NAME'"},
      {"\toption amount '39600000000'\n", "", "", "pool partnership is missing, or has no amount"},
      {"option period '2629800'", "option periode '2629800'", "periode", "a pool has no option 'periode'; it has amount, "},
      {"\toption period '2629800'\n", "", "option periods", "needs both period and periods"},
      {"option period '2629800'", "option period '0'", "option period '0'", "both above zero, or both zero"},
      {"option periods '72'", "option periods '72.5'", "72.5", "is no whole number from 0 to 100000"},
      {"option periods '72'", "option periods '72'\n\toption periods '73'", "'73'", "was given in line"},
      {"option periods '72'", "list periods '72'", "list periods", "write option periods 'VALUE'"},
      {"option periods '72'", "option periods '72'\n\toption at_start '99990000000.000001'", "at_start '9", "has less than that"},
      {"option periods '72'", "option periods '72'\n\toption begin 'now'", "'now'", "is no whole number"},
      {key, key.substr(0, 71) + (key[71] == '0' ? "1" : "0"), key.substr(0, 71), "is no account"},
      {key, std::string(64, '0'), std::string(64, '0'), "is no account"},
      {"\tlist key '" + key + "'\n", "", "59400000000'", "has no key, so nobody could ever draw from it"},
      {"\tlist key '" + key + "'\n", "\tlist key '" + key + "'\n\tlist key '" + key.substr(0, 64) + "'\n", key.substr(0, 64) + "'",
       "twice"},
      {"\tlist key '" + key + "'\n", "\toption key '" + key + "'\n", "option key", "write list key 'ADDRESS'"},
      {"\tlist key '" + key + "'\n", "\tlist key '" + key + "'\n\toption threshold '2'\n", "threshold '2'", "which has 1 keys"},
      {"\tlist key '" + key + "'\n", "\tlist key '" + key + "'\n\toption threshold '0'\n", "threshold '0'", "must sign"},
      {"option periods '72'", "option periods '72", "option periods '72", "quote"},
  };
  for (const Fault& fault : faults) {
    std::string text = replaced(good, fault.from, fault.to);
    auto parsed = parse_genesis_file(text, LedgerTime::from_seconds(5));
    assert_false(parsed.has_value());
    const std::string& reason = parsed.error().reason;
    bool told = reason.find(fault.says) != std::string::npos && (fault.at.empty() || reason.starts_with(line_of(text, fault.at)));
    if (!told) fprintf(stderr, "%s -> %s: %s\n", fault.from.c_str(), fault.to.c_str(), reason.c_str());
    assert_true(told);
  }
  std::string four = good;
  for (uint32_t i = 0; i < 3; ++i) {
    four = replaced(four, "\tlist key '" + key + "'\n",
                    "\tlist key '" + address_of(numbered_key(90 + i).public_key()) + "'\n\tlist key '" + key + "'\n");
  }
  assert_non_null(strstr(parse_genesis_file(four, LedgerTime()).error().reason.c_str(), "more than 3 keys"));
  // As it is delivered: the first thing that is missing.
  assert_non_null(strstr(parse_genesis_file(default_file(), LedgerTime()).error().reason.c_str(), "pool public_sale has no key"));
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_airdrop_vests_in_seventy_two_months),
      cmocka_unit_test(vesting_rounds_down_and_ends_with_all),
      cmocka_unit_test(vesting_is_monotone_and_exact),
      FOR_EVERY_STORE(what_has_vested_is_drawn_and_never_more),
      FOR_EVERY_STORE(random_draws_never_pass_what_has_vested),
      FOR_EVERY_STORE(only_the_keys_of_a_pool_draw_from_it),
      FOR_EVERY_STORE(initial_balances_vest_too),
      cmocka_unit_test(an_over_draw_is_named),
      cmocka_unit_test(a_forgotten_draw_is_named),
      cmocka_unit_test(a_grant_beyond_what_has_vested_is_named),
      cmocka_unit_test(other_terms_of_a_pool_are_named),
      cmocka_unit_test(a_draw_without_enough_signatures_is_named),
      cmocka_unit_test(the_default_file_is_the_white_paper),
      cmocka_unit_test(faults_of_the_file_are_named),
  };
  return RUN_TESTS(tests);
}
