// The ledger's rules, one test each, on both stores.
#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

constexpr uint64_t k_btt = 1'000'000;

// payments.md B2.1
void genesis_is_the_issuance_table_and_exactly_the_supply(void** state) {
  World world(*state != nullptr);
  const uint64_t btt[] = {59'400'000'000, 19'800'000'000, 89'100'000'000, 99'990'000'000, 99'000'000'000,
                          188'100'000'000, 198'000'000'000, 197'010'000'000, 39'600'000'000, 0};
  uint64_t sum = 0;
  for (size_t i = 0; i < k_genesis_accounts; ++i) {
    assert_true(world.available(pool_key(world.ledger_key(), i)) == btt[i] * k_btt);
    sum += btt[i] * k_btt;
  }
  assert_true(sum == k_supply_micro);
}

void the_ledger_is_the_same_after_a_restart_and_only_for_its_key(void** state) {
  World world(*state != nullptr);
  LedgerId id = world.id();
  world.funded(1, 5);
  assert_true(world.restart().has_value());
  assert_true(world.id() == id);
  auto other = LedgerState::open(world.store(), numbered_key(99), World::easy_rules(), world.now());
  assert_false(other.has_value());
  assert_int_equal(other.error().code, Errc::conflict);
}

void transfer_moves_exactly_the_amount(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 100), b = numbered_key(2);
  OperationResult result = world.apply(world.transfer(a, b.public_key(), 40));
  assert_int_equal(result.code, LedgerCode::done);
  assert_int_equal(result.paid.in_micro(), 40);
  assert_int_equal(world.available(a), 60);
  assert_int_equal(world.available(b), 40);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 61)), LedgerCode::insufficient);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 0)), LedgerCode::bad_amount);
  assert_int_equal(world.code(world.transfer(a, a.public_key(), 1)), LedgerCode::bad_account);
  assert_int_equal(world.code(world.transfer(a, PublicKey(), 1)), LedgerCode::bad_account);
  assert_int_equal(world.code(world.transfer(numbered_key(3), b.public_key(), 1)), LedgerCode::insufficient);
  assert_int_equal(world.available(a), 60);
}

// payments.md B7 row 12: one execution, the same result.
void repeated_operations_execute_once_and_give_the_first_result(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = world.funded(2, 1000);
  OpenOperation open = world.open(a, b.public_key(), 500);
  CloseOperation close = world.close(open.statement, a, b, 200);
  std::vector<Operation> all = {world.transfer(a, b.public_key(), 40), open, world.claim(open.statement, a, b, 100), close};
  std::vector<OperationResult> first = world.apply(all);
  for (const OperationResult& result : first) assert_int_equal(result.code, LedgerCode::done);
  for (int round = 0; round < 3; ++round) {
    world.now_s += 200;  // past their valid_until
    if (round == 1) assert_true(world.restart().has_value());
    std::vector<OperationResult> again = world.apply(all);
    assert_true(again[0] == first[0]);
    assert_true(again[1] == first[1]);
    assert_int_equal(again[2].code, LedgerCode::done);  // a later record about the channel: the current state
    assert_true(again[3] == first[3]);
  }
  assert_int_equal(world.available(a), 1000 - 40 - 200);
  assert_int_equal(world.available(b), 1000 + 40 + 200);
}

void operations_are_forgotten_only_when_time_refuses_them(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  TransferOperation transfer = world.transfer(a, b.public_key(), 40);
  OperationResult first = world.apply(transfer);
  world.now_s += 86'000;
  assert_true(world.apply(transfer) == first);
  world.now_s += 2'000;
  assert_int_equal(world.code(transfer), LedgerCode::too_late);
  assert_int_equal(world.available(b), 40);
}

void valid_until_is_at_most_ten_minutes_ahead_and_not_past(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000);
  auto valid_until = [&](uint64_t s) {
    TransferOperation op = world.transfer(a, numbered_key(2).public_key(), 1);
    op.statement.valid_until = LedgerTime::from_seconds(s);
    op.signature = a.sign(preimage(op.statement));
    return op;
  };
  assert_int_equal(world.code(valid_until(world.now_s)), LedgerCode::too_late);
  assert_int_equal(world.code(valid_until(world.now_s + 1)), LedgerCode::done);
  assert_int_equal(world.code(valid_until(world.now_s + 600)), LedgerCode::done);
  assert_int_equal(world.code(valid_until(world.now_s + 601)), LedgerCode::too_early);
  assert_int_equal(world.code(valid_until(UINT64_MAX)), LedgerCode::too_early);
}

void open_locks_the_capacity_and_close_divides_it(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 600);
  assert_int_equal(world.code(open), LedgerCode::done);
  assert_int_equal(world.available(a), 400);
  assert_int_equal(world.balance(a.public_key()).in_channels.in_micro(), 600);
  assert_int_equal(world.balance(a.public_key()).open_channels, 1);
  ChannelState channel = world.channel(b, channel_id(open.statement));
  assert_true(channel.terms == open.statement);
  assert_int_equal(channel.status, ChannelStatusCode::open);
  assert_true(channel.effective_expiry == open.statement.expiry);
  OperationResult closed = world.apply(world.close(open.statement, a, b, 250));
  assert_int_equal(closed.code, LedgerCode::done);
  assert_int_equal(closed.paid.in_micro(), 250);
  assert_int_equal(closed.refunded.in_micro(), 350);
  assert_int_equal(world.available(a), 750);
  assert_int_equal(world.available(b), 250);
  channel = world.channel(a, channel_id(open.statement));
  assert_int_equal(channel.status, ChannelStatusCode::closed);
  assert_int_equal(channel.claimed.in_micro(), 250);
  assert_int_equal(world.balance(a.public_key()).open_channels, 0);
  assert_true(world.state().check_books().has_value());
}

void open_is_refused_by_name_where_its_terms_are_wrong(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  assert_int_equal(world.code(world.open(a, b.public_key(), 9)), LedgerCode::bad_amount);
  assert_int_equal(world.code(world.open(a, b.public_key(), 1001)), LedgerCode::insufficient);
  assert_int_equal(world.code(world.open(a, a.public_key(), 100)), LedgerCode::bad_account);
  assert_int_equal(world.code(world.open(a, PublicKey(), 100)), LedgerCode::bad_account);
  assert_int_equal(world.code(world.open(a, b.public_key(), 100, 599)), LedgerCode::bad_expiry);
  assert_int_equal(world.code(world.open(a, b.public_key(), 100, 30 * 86400 + 1)), LedgerCode::bad_expiry);
  assert_int_equal(world.code(world.open(a, b.public_key(), 100, UINT64_MAX)), LedgerCode::bad_expiry);
  assert_int_equal(world.code(world.open(numbered_key(3), b.public_key(), 100)), LedgerCode::insufficient);
  assert_int_equal(world.available(a), 1000);
}

void one_payer_has_a_limit_of_open_channels(void** state) {
  LedgerRules rules = World::easy_rules();
  rules.channels_max = 3;
  World world(*state != nullptr, rules);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation first = world.open(a, b.public_key(), 10);
  assert_int_equal(world.code(first), LedgerCode::done);
  for (int i = 0; i < 2; ++i) assert_int_equal(world.code(world.open(a, b.public_key(), 10)), LedgerCode::done);
  OpenOperation more = world.open(a, b.public_key(), 10);
  assert_int_equal(world.code(more), LedgerCode::too_many_channels);
  assert_int_equal(world.code(world.close(first.statement, a, b, 0)), LedgerCode::done);
  assert_int_equal(world.code(more), LedgerCode::done);  // a refusal is not remembered
}

void claims_pay_the_difference_and_leave_the_channel_open(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 600);
  world.apply(open);
  ClaimOperation first = world.claim(open.statement, a, b, 100);
  assert_int_equal(world.apply(first).paid.in_micro(), 100);
  assert_int_equal(world.available(b), 100);
  OperationResult second = world.apply(world.claim(open.statement, a, b, 300));
  assert_int_equal(second.paid.in_micro(), 300);
  assert_int_equal(world.available(b), 300);
  assert_true(world.apply(first) == second);  // a lower claim: the current state
  assert_int_equal(world.available(b), 300);
  assert_int_equal(world.balance(a.public_key()).in_channels.in_micro(), 300);
  assert_int_equal(world.code(world.claim(open.statement, a, b, 601)), LedgerCode::above_capacity);
  OperationResult closed = world.apply(world.close(open.statement, a, b, 350));
  assert_int_equal(closed.paid.in_micro(), 350);
  assert_int_equal(closed.refunded.in_micro(), 250);
  assert_int_equal(world.code(first), LedgerCode::done);  // paid before: also after the end
  assert_int_equal(world.code(world.claim(open.statement, a, b, 351)), LedgerCode::channel_closed);
  assert_int_equal(world.available(a), 650);
  assert_int_equal(world.available(b), 350);
}

void a_close_below_what_was_claimed_takes_nothing_back(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 600);
  world.apply(open);
  world.apply(world.claim(open.statement, a, b, 300));
  OperationResult closed = world.apply(world.close(open.statement, a, b, 0));
  assert_int_equal(closed.paid.in_micro(), 300);
  assert_int_equal(closed.refunded.in_micro(), 300);
}

// payments.md B7 rows 4, 5: what was signed for another purpose, by another key, or in another form.
void redemption_needs_both_signatures_for_this_channel(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2), c = world.funded(3, 1000);
  OpenOperation open = world.open(a, b.public_key(), 600);
  OpenOperation other = world.open(c, b.public_key(), 600);
  world.apply({open, other});
  CloseOperation good = world.close(open.statement, a, b, 100);
  CloseOperation bad = good;
  bad.payer_signature = Signature();
  assert_int_equal(world.code(bad), LedgerCode::bad_signature);
  bad = good;
  bad.payer_signature = a.sign(preimage(good.statement));  // a signature, but of a CLOSE
  assert_int_equal(world.code(bad), LedgerCode::bad_signature);
  bad = good;
  bad.statement.cum = Amount::micro(101);
  assert_int_equal(world.code(bad), LedgerCode::bad_signature);
  bad = good;
  bad.signature.raw[40] ^= 1;
  assert_int_equal(world.code(bad), LedgerCode::bad_signature);
  assert_int_equal(world.code(world.close(open.statement, c, b, 100)), LedgerCode::bad_signature);
  // The parties that it names are not the channel's: its own signatures are good, the channel is another's.
  bad = world.close(open.statement, c, b, 100);
  bad.payer = c.public_key();
  assert_int_equal(world.code(bad), LedgerCode::not_a_party);
  bad = world.close(open.statement, a, c, 100);
  bad.payee = c.public_key();
  assert_int_equal(world.code(bad), LedgerCode::not_a_party);
  bad = good;
  bad.statement.ledger.raw[0] ^= 1;
  assert_int_equal(world.code(bad), LedgerCode::wrong_ledger);
  OpenOperation never = world.open(a, b.public_key(), 10);
  assert_int_equal(world.code(world.close(never.statement, a, b, 5)), LedgerCode::unknown_channel);
  assert_int_equal(world.code(good), LedgerCode::done);
  assert_int_equal(world.available(c), 400);
}

void every_operation_needs_its_signature(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  TransferOperation transfer = world.transfer(a, b.public_key(), 10);
  transfer.signature = b.sign(preimage(transfer.statement));
  assert_int_equal(world.code(transfer), LedgerCode::bad_signature);
  OpenOperation open = world.open(a, b.public_key(), 100);
  open.statement.capacity = Amount::micro(50);
  assert_int_equal(world.code(open), LedgerCode::bad_signature);
  FaucetOperation faucet = world.faucet(b);
  faucet.signature = a.sign(preimage(faucet.statement));
  assert_int_equal(world.code(faucet), LedgerCode::bad_signature);
  assert_int_equal(world.available(b), 0);
}

void expiry_refunds_what_was_not_claimed_in_order(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation later = world.open(a, b.public_key(), 100, 3601), first = world.open(a, b.public_key(), 200, 3600),
                second = world.open(a, b.public_key(), 300, 3600);
  world.apply({later, first, second});
  world.apply(world.claim(first.statement, a, b, 50));
  for (int i = 0; i < 120; ++i) {
    world.now_s += 30;
    world.tick();
  }
  assert_true(world.now() == first.statement.expiry);
  assert_int_equal(world.channel(a, channel_id(later.statement)).status, ChannelStatusCode::open);
  ChannelState ended = world.channel(a, channel_id(first.statement));
  assert_int_equal(ended.status, ChannelStatusCode::expired);
  assert_int_equal(ended.claimed.in_micro(), 50);
  assert_true(ended.ended == world.now());
  assert_int_equal(world.available(a), 1000 - 100 - 50);
  // Equal expiry: by id.
  bool first_is_lower = channel_id(first.statement) < channel_id(second.statement);
  bool first_came_first = ended.record < world.channel(a, channel_id(second.statement)).record;
  assert_true(first_is_lower == first_came_first);
  assert_int_equal(world.code(world.claim(first.statement, a, b, 60)), LedgerCode::channel_expired);
  assert_int_equal(world.code(world.close(first.statement, a, b, 60)), LedgerCode::channel_expired);
  assert_int_equal(world.code(world.claim(first.statement, a, b, 50)), LedgerCode::done);
}

// payments.md B7 row 11: a close in the very second of the expiry, and a clock that was set back.
void a_channel_has_exactly_one_end_whatever_the_clock_does(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation just = world.open(a, b.public_key(), 100, 600), late = world.open(a, b.public_key(), 100, 600);
  world.apply({just, late});
  auto advance = [&](uint64_t to) {
    for (; world.now_s < to; world.now_s += 1) {
      if (world.now_s % 20 == 0) world.tick();
    }
  };
  advance(World::k_start + 599);
  assert_int_equal(world.code(world.close(just.statement, a, b, 70)), LedgerCode::done);
  advance(World::k_start + 600);
  assert_int_equal(world.code(world.close(late.statement, a, b, 70)), LedgerCode::channel_expired);
  world.now_s -= 500;
  assert_int_equal(world.code(world.close(late.statement, a, b, 70)), LedgerCode::channel_expired);
  assert_int_equal(world.last.time.in_seconds(), World::k_start + 600);
  world.tick();
  assert_int_equal(world.last.time.in_seconds(), World::k_start + 600);
  assert_int_equal(world.channel(a, channel_id(just.statement)).status, ChannelStatusCode::closed);
  assert_int_equal(world.channel(a, channel_id(late.statement)).status, ChannelStatusCode::expired);
  assert_int_equal(world.available(a), 1000 - 70);
  assert_int_equal(world.available(b), 70);
}

void ledger_time_survives_a_restart_with_the_clock_set_back(void** state) {
  World world(*state != nullptr);
  world.tick();
  LedgerTime before = world.last.time;
  world.now_s -= 100'000;
  assert_true(world.restart().has_value());
  world.tick();
  assert_true(world.last.time == before);
}

void an_outage_extends_every_open_channel_by_its_length(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation old = world.open(a, b.public_key(), 100, 3600), closed = world.open(a, b.public_key(), 100, 3600);
  world.apply({old, closed});
  world.apply(world.close(closed.statement, a, b, 10));
  assert_true(world.restart(5000).has_value());  // down beyond the expiry
  world.tick();
  assert_int_equal(world.channel(b, channel_id(old.statement)).status, ChannelStatusCode::open);
  assert_true(world.channel(b, channel_id(old.statement)).effective_expiry == old.statement.expiry.plus_seconds(5000));
  assert_true(world.channel(b, channel_id(closed.statement)).effective_expiry == closed.statement.expiry);
  OpenOperation young = world.open(a, b.public_key(), 100, 3600);
  world.apply(young);
  assert_true(world.channel(b, channel_id(young.statement)).effective_expiry == young.statement.expiry);
  assert_true(world.restart(1000).has_value());
  world.tick();
  assert_true(world.channel(b, channel_id(old.statement)).effective_expiry == old.statement.expiry.plus_seconds(6000));
  assert_true(world.channel(b, channel_id(young.statement)).effective_expiry == young.statement.expiry.plus_seconds(1000));
  for (int i = 0; i < 100; ++i) {  // both expire in their order, at their times
    world.now_s += 30;
    world.tick();
    for (const OpenOperation* open : {&old, &young}) {
      ChannelState channel = world.channel(a, channel_id(open->statement));
      assert_true((channel.status == static_cast<uint8_t>(ChannelStatusCode::open)) == (world.now() < channel.effective_expiry));
    }
  }
  assert_true(world.state().check_books().has_value());
}

void a_suspended_ledger_has_had_an_outage_too(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 100, 3600);
  world.apply(open);
  world.now_s += LedgerState::k_outage_min_s;  // heartbeats may be late
  world.tick();
  assert_true(world.channel(b, channel_id(open.statement)).effective_expiry == open.statement.expiry);
  world.now_s += 4000;
  world.tick();
  assert_true(world.channel(b, channel_id(open.statement)).effective_expiry == open.statement.expiry.plus_seconds(4000));
}

void many_channels_that_expire_at_once_take_several_batches(void** state) {
  LedgerRules rules = World::easy_rules();
  rules.channels_max = 5000;
  World world(*state != nullptr, rules);
  SigningKey a = world.funded(1, 100'000), b = numbered_key(2);
  LedgerBatch batch;
  BatchItem& item = batch.items.emplace_back();
  std::map<ChannelId, ChannelTerms> terms;
  for (int i = 0; i < 2200; ++i) {
    OpenOperation open = world.open(a, b.public_key(), 10, 600);
    terms[channel_id(open.statement)] = open.statement;
    item.operations.push_back({open, LedgerCode::done});
  }
  world.state().apply(batch, world.now());
  for (uint64_t t = 0; t < 600; t += 60) {
    world.now_s += 60;
    world.tick();
  }
  assert_true(world.last.more_to_expire);
  assert_int_equal(world.available(a), 100'000 - 10 * (2200 - 1024));
  // The last one is still there, but its time is up.
  const ChannelTerms& last = terms.rbegin()->second;
  assert_int_equal(world.channel(a, channel_id(last)).status, ChannelStatusCode::open);
  LedgerBatch closing;
  closing.items.emplace_back().operations.push_back({world.close(last, a, b, 10), LedgerCode::done});
  assert_int_equal(world.state().apply(closing, world.now()).items[0].operations[0].code, LedgerCode::channel_expired);
  world.tick();
  assert_false(world.last.more_to_expire);
  assert_int_equal(world.available(a), 100'000);
  assert_true(world.state().check_books().has_value());
}

// payments.md B7 row 9.
void one_balance_opened_to_a_thousand_payees_at_once_opens_once(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000);
  LedgerBatch batch;
  for (uint32_t i = 0; i < 1000; ++i) {
    BatchItem& item = batch.items.emplace_back();
    item.operations.push_back({world.open(a, numbered_key(100 + i).public_key(), 600), LedgerCode::done});
  }
  BatchOutcome outcome = world.state().apply(batch, world.now());
  int opened = 0, insufficient = 0;
  for (const ItemOutcome& item : outcome.items) {
    opened += item.operations[0].ledger_code() == LedgerCode::done;
    insufficient += item.operations[0].ledger_code() == LedgerCode::insufficient;
  }
  assert_int_equal(opened, 1);
  assert_int_equal(insufficient, 999);
  assert_int_equal(world.available(a), 400);
  assert_true(world.state().check_books().has_value());
}

// payments.md B7 row 24.
void the_largest_amounts_neither_wrap_nor_pass_the_supply(void** state) {
  World world(*state != nullptr);
  SigningKey pool = pool_key(world.ledger_key(), 6), a = numbered_key(1);
  uint64_t all = world.available(pool);
  assert_int_equal(world.code(world.transfer(pool, a.public_key(), k_supply_micro)), LedgerCode::insufficient);
  assert_int_equal(world.code(world.transfer(pool, a.public_key(), all + 1)), LedgerCode::insufficient);
  assert_int_equal(world.code(world.transfer(pool, a.public_key(), all)), LedgerCode::done);
  OpenOperation open = world.open(a, numbered_key(2).public_key(), all);
  assert_int_equal(world.code(open), LedgerCode::done);
  assert_int_equal(world.code(world.claim(open.statement, a, numbered_key(2), k_supply_micro)), LedgerCode::above_capacity);
  assert_int_equal(world.code(world.claim(open.statement, a, numbered_key(2), all)), LedgerCode::done);
  assert_int_equal(world.code(world.close(open.statement, a, numbered_key(2), all)), LedgerCode::done);
  assert_true(world.available(numbered_key(2)) == all);
  assert_true(world.state().check_books().has_value());
}

void the_faucet_pays_each_key_once_for_work(void** state) {
  World world(*state != nullptr);
  SigningKey a = numbered_key(1);
  FaucetOperation op = world.faucet(a);
  OperationResult result = world.apply(op);
  assert_int_equal(result.code, LedgerCode::done);
  assert_int_equal(result.paid.in_micro(), 10 * k_btt);
  assert_int_equal(world.available(a), 10 * k_btt);
  assert_int_equal(world.balance(a.public_key()).granted, 1);
  assert_true(world.apply(op) == result);
  assert_int_equal(world.ask(a.public_key(), ChallengeQuery{}).code, LedgerCode::faucet_granted);
  FaucetOperation again = op;
  again.statement.valid_until = world.in(299);
  again.signature = a.sign(preimage(again.statement));
  assert_int_equal(world.code(again), LedgerCode::faucet_granted);
  assert_int_equal(world.available(a), 10 * k_btt);
}

void faucet_work_is_for_one_key_and_time(void** state) {
  World world(*state != nullptr);
  SigningKey a = numbered_key(1), b = numbered_key(2);
  // With one bit each a wrong solution passes in one of four cases: try many.
  int refused_key = 0, refused_nonce = 0;
  for (uint32_t i = 0; i < 40; ++i) {
    SigningKey other = numbered_key(100 + i);
    FaucetOperation stolen = world.faucet(a);
    stolen.statement.key = other.public_key();
    stolen.signature = other.sign(preimage(stolen.statement));
    refused_key += world.code(stolen) == LedgerCode::faucet_work;
    FaucetOperation guessed = world.faucet(b);
    guessed.statement.hashcash_nonce = 1'000'000 + i;
    guessed.signature = b.sign(preimage(guessed.statement));
    refused_nonce += check_operation(world.state().check_context(world.now()), guessed) == LedgerCode::faucet_work;
  }
  assert_true(refused_key > 15);
  assert_true(refused_nonce > 8);
  FaucetOperation old = world.faucet(b);
  world.now_s += 2 * k_faucet_epoch_s;
  old.statement.valid_until = world.in(100);
  old.signature = b.sign(preimage(old.statement));
  assert_int_equal(world.code(old), LedgerCode::faucet_stale);
  old.statement.epoch = UINT64_MAX;
  old.signature = b.sign(preimage(old.statement));
  assert_int_equal(world.code(old), LedgerCode::faucet_stale);
}

void the_faucet_keeps_its_daily_budget(void** state) {
  LedgerRules rules = World::easy_rules();
  rules.faucet_daily_budget = Amount::micro(25 * k_btt);
  World world(*state != nullptr, rules);
  for (uint32_t i = 1; i <= 2; ++i) assert_int_equal(world.code(world.faucet(numbered_key(i))), LedgerCode::done);
  assert_int_equal(world.code(world.faucet(numbered_key(3))), LedgerCode::faucet_empty);
  assert_int_equal(world.ask(numbered_key(3).public_key(), ChallengeQuery{}).code, LedgerCode::faucet_empty);
  assert_true(world.restart().has_value());
  assert_int_equal(world.code(world.faucet(numbered_key(3))), LedgerCode::faucet_empty);
  world.now_s += 86'400;
  world.tick();
  assert_int_equal(world.code(world.faucet(numbered_key(3))), LedgerCode::done);
}

void without_a_grant_there_is_no_faucet(void** state) {
  LedgerRules rules = World::easy_rules();
  rules.faucet_grant = Amount();
  World world(*state != nullptr, rules);
  assert_int_equal(world.ask(numbered_key(1).public_key(), ChallengeQuery{}).code, LedgerCode::faucet_off);
  assert_int_equal(world.code(world.faucet(numbered_key(1))), LedgerCode::faucet_off);
}

void only_a_party_reads_a_channel(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2), c = numbered_key(3);
  OpenOperation open = world.open(a, b.public_key(), 600);
  world.apply(open);
  ChannelId id = channel_id(open.statement);
  assert_int_equal(world.ask(a.public_key(), ChannelQuery{id}).code, LedgerCode::done);
  assert_int_equal(world.ask(b.public_key(), ChannelQuery{id}).code, LedgerCode::done);
  assert_int_equal(world.ask(c.public_key(), ChannelQuery{id}).code, LedgerCode::not_a_party);
  assert_int_equal(world.ask(PublicKey(), ChannelQuery{id}).code, LedgerCode::not_a_party);
  assert_int_equal(world.ask(PublicKey(), BalanceQuery{}).code, LedgerCode::not_a_party);
  assert_int_equal(world.ask(PublicKey(), ClosedQuery{}).code, LedgerCode::not_a_party);
  assert_int_equal(world.ask(PublicKey(), ChallengeQuery{}).code, LedgerCode::not_a_party);
  assert_int_equal(world.ask(PublicKey(), ParamsQuery{}).code, LedgerCode::done);
  assert_int_equal(world.ask(a.public_key(), ChannelQuery{ChannelId()}).code, LedgerCode::unknown_channel);
}

void the_closed_feed_gives_every_end_once_to_both_parties(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 100'000), b = numbered_key(2), c = numbered_key(3);
  std::vector<ChannelId> ended;
  for (int i = 0; i < 70; ++i) {
    OpenOperation open = world.open(a, (i % 2 ? b : c).public_key(), 100);
    world.apply({open, world.close(open.statement, a, i % 2 ? b : c, 10)});
    ended.push_back(channel_id(open.statement));
  }
  auto read_all = [&](const SigningKey& key) {
    std::vector<ChannelId> seen;
    uint64_t after = 0;
    for (bool more = true; more;) {
      ClosedPage page = std::get<ClosedPage>(world.ask(key.public_key(), ClosedQuery{after}).body);
      for (const ChannelState& channel : page.channels) {
        seen.push_back(channel_id(channel.terms));
        after = channel.record;
      }
      more = page.more;
    }
    return seen;
  };
  assert_true(read_all(a) == ended);
  assert_int_equal(read_all(b).size(), 35);
  assert_int_equal(read_all(c).size(), 35);
  assert_int_equal(read_all(numbered_key(4)).size(), 0);
}

// Every record names the one before, and per account the record that touched it before.
void the_log_is_a_chain_over_all_and_per_account(void** state) {
  World world(*state != nullptr);
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 100);
  std::vector<OperationResult> results =
      world.apply({open, world.transfer(a, b.public_key(), 5), world.close(open.statement, a, b, 30), world.transfer(b, a.public_key(), 1)});
  auto store = world.store().begin_read();
  Hash32 expected{};
  std::map<PublicKey, std::pair<uint64_t, uint64_t>> accounts;  // record, balance
  for (uint64_t i = 0;; ++i) {
    auto bytes = (*store)->get(k_table_log, log_key(i));
    if (!*bytes) break;
    auto record = decode_record(**bytes);
    assert_true(record.has_value());
    assert_true(record->head.previous == expected);
    assert_int_equal(record->head.index, i);
    expected = record_hash(**bytes);
    for (const TouchedAccount& touched : record->touched) {
      auto known = accounts.find(touched.account);
      assert_true(touched.previous == (known == accounts.end() ? k_no_record : known->second.first));
      accounts[touched.account] = {i, touched.balance.in_micro()};
    }
    for (const OperationResult& result : results) {
      if (result.record == i) assert_true(result.record_hash == expected);
    }
  }
  store->reset();
  assert_int_equal(accounts[a.public_key()].second, world.available(a));
  assert_int_equal(accounts[b.public_key()].second, world.available(b));
}

void changed_books_are_not_opened(void** state) {
  const struct {
    const char* table;
    std::vector<uint8_t> key;
    size_t at;
  } changes[] = {
      {k_table_accounts, {}, 7},   // a balance
      {k_table_channels, {}, 103}, // a capacity
      {k_table_log, {0, 0, 0, 0, 0, 0, 0, 2}, 50},
      {k_table_expiry, {}, SIZE_MAX},
  };
  for (const auto& change : changes) {
    World world(*state != nullptr);
    SigningKey a = world.funded(1, 1000);
    world.apply(world.open(a, numbered_key(2).public_key(), 100));
    assert_true(world.state().check_books().has_value());
    {
      auto store = world.store().begin_write();
      auto entry = (*store)->seek(change.table, change.key);
      std::vector<uint8_t> key((*entry)->key.begin(), (*entry)->key.end()), value((*entry)->value.begin(), (*entry)->value.end());
      if (change.at == SIZE_MAX) {
        assert_true((*store)->erase(change.table, key).has_value());
      } else {
        value[change.at] ^= 1;
        assert_true((*store)->put(change.table, key, value).has_value());
      }
      assert_true((*store)->commit().has_value());
    }
    Status opened = world.restart();
    assert_false(opened.has_value());
    assert_int_equal(opened.error().code, Errc::io);
  }
}

// Only the memory store can be told to fail.
void a_store_that_fails_refuses_operations_answers_queries_and_loses_nothing(void**) {
  World world;
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 600);
  world.apply(open);
  TransferOperation transfer = world.transfer(a, b.public_key(), 10);
  for (StoreFault fault : {StoreFault::full, StoreFault::read_only}) {
    world.memory.set_fault(fault);
    assert_int_equal(world.code(transfer), LedgerCode::unavailable);
    assert_false(world.last.status.has_value());
    assert_int_equal(world.available(a), 400);
  }
  world.memory.set_fault(StoreFault::broken);
  assert_int_equal(world.ask(a.public_key(), BalanceQuery{}).code, LedgerCode::unavailable);
  world.now_s += 200;
  world.memory.set_fault(StoreFault::none);
  assert_int_equal(world.code(transfer), LedgerCode::done);
  assert_int_equal(world.available(b), 10);
  // The time in which nobody could close counts as an outage.
  assert_true(world.channel(a, channel_id(open.statement)).effective_expiry == open.statement.expiry.plus_seconds(200));
}

void what_was_not_durable_never_happened(void**) {
  World world;
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  world.memory.set_durable_at_commit(false);
  TransferOperation transfer = world.transfer(a, b.public_key(), 10);
  assert_int_equal(world.code(transfer), LedgerCode::done);
  assert_true(world.restart().has_value());
  assert_int_equal(world.available(b), 0);
  assert_int_equal(world.code(transfer), LedgerCode::done);
  assert_int_equal(world.available(b), 10);
}

void times_in_replies_are_durable_and_at_most_seconds_old(void** state) {
  World world(*state != nullptr);
  world.tick();
  LedgerTime base = world.last.time;
  world.now_s += LedgerState::k_time_lag_max_s - 1;
  world.ask(PublicKey(), ParamsQuery{});
  assert_true(world.last.time == base);
  world.now_s += 1;
  world.ask(PublicKey(), ParamsQuery{});
  assert_true(world.last.time == world.now());
  assert_true(world.restart().has_value());
  assert_true(world.state().opened_at() == world.now());
}

}  // namespace

#define FOR_BOTH(test) {"memory: " #test, test, nullptr, nullptr, nullptr}, {"lmdb: " #test, test, nullptr, nullptr, &lmdb}

int main() {
  if (!crypto_init()) return 1;
  static int lmdb = 1;
  const CMUnitTest tests[] = {
      FOR_BOTH(genesis_is_the_issuance_table_and_exactly_the_supply),
      FOR_BOTH(the_ledger_is_the_same_after_a_restart_and_only_for_its_key),
      FOR_BOTH(transfer_moves_exactly_the_amount),
      FOR_BOTH(repeated_operations_execute_once_and_give_the_first_result),
      FOR_BOTH(operations_are_forgotten_only_when_time_refuses_them),
      FOR_BOTH(valid_until_is_at_most_ten_minutes_ahead_and_not_past),
      FOR_BOTH(open_locks_the_capacity_and_close_divides_it),
      FOR_BOTH(open_is_refused_by_name_where_its_terms_are_wrong),
      FOR_BOTH(one_payer_has_a_limit_of_open_channels),
      FOR_BOTH(claims_pay_the_difference_and_leave_the_channel_open),
      FOR_BOTH(a_close_below_what_was_claimed_takes_nothing_back),
      FOR_BOTH(redemption_needs_both_signatures_for_this_channel),
      FOR_BOTH(every_operation_needs_its_signature),
      FOR_BOTH(expiry_refunds_what_was_not_claimed_in_order),
      FOR_BOTH(a_channel_has_exactly_one_end_whatever_the_clock_does),
      FOR_BOTH(ledger_time_survives_a_restart_with_the_clock_set_back),
      FOR_BOTH(an_outage_extends_every_open_channel_by_its_length),
      FOR_BOTH(a_suspended_ledger_has_had_an_outage_too),
      FOR_BOTH(many_channels_that_expire_at_once_take_several_batches),
      FOR_BOTH(one_balance_opened_to_a_thousand_payees_at_once_opens_once),
      FOR_BOTH(the_largest_amounts_neither_wrap_nor_pass_the_supply),
      FOR_BOTH(the_faucet_pays_each_key_once_for_work),
      FOR_BOTH(faucet_work_is_for_one_key_and_time),
      FOR_BOTH(the_faucet_keeps_its_daily_budget),
      FOR_BOTH(without_a_grant_there_is_no_faucet),
      FOR_BOTH(only_a_party_reads_a_channel),
      FOR_BOTH(the_closed_feed_gives_every_end_once_to_both_parties),
      FOR_BOTH(the_log_is_a_chain_over_all_and_per_account),
      FOR_BOTH(changed_books_are_not_opened),
      FOR_BOTH(times_in_replies_are_durable_and_at_most_seconds_old),
      cmocka_unit_test(a_store_that_fails_refuses_operations_answers_queries_and_loses_nothing),
      cmocka_unit_test(what_was_not_durable_never_happened),
  };
  return RUN_TESTS(tests);
}
