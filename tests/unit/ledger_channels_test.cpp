// The ledger's rules about channels and time, one test each, on both stores.
#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

void open_locks_the_capacity_and_close_divides_it(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  LedgerRules rules = World::easy_rules();
  rules.channels_max = 3;
  World world(rules);
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
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 600);
  world.apply(open);
  world.apply(world.claim(open.statement, a, b, 300));
  OperationResult closed = world.apply(world.close(open.statement, a, b, 0));
  assert_int_equal(closed.paid.in_micro(), 300);
  assert_int_equal(closed.refunded.in_micro(), 300);
}

// Attacks 4 and 5: what was signed for another purpose, by another key, or in another form.
void redemption_needs_both_signatures_for_this_channel(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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

// Attack 11: a close in the very second of the expiry, and a clock that was set back.
void a_channel_has_exactly_one_end_whatever_the_clock_does(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
  world.tick();
  LedgerTime before = world.last.time;
  world.now_s -= 100'000;
  assert_true(world.restart().has_value());
  world.tick();
  assert_true(world.last.time == before);
}

void an_outage_extends_every_open_channel_by_its_length(void** state) {
  ON_STORE(state);
  World world;
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

// Also a restart of a few seconds, in which no heartbeat is missing.
void a_short_outage_counts_too(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 100, 600);
  world.apply(open);
  for (int i = 0; i < 3; ++i) {
    assert_true(world.restart(7).has_value());
    world.tick();
  }
  assert_true(world.channel(b, channel_id(open.statement)).effective_expiry == open.statement.expiry.plus_seconds(21));
}

void a_suspended_ledger_has_had_an_outage_too(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  LedgerRules rules = World::easy_rules();
  rules.channels_max = 5000;
  World world(rules);
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

// Attack 9.
void one_balance_opened_to_a_thousand_payees_at_once_opens_once(void** state) {
  ON_STORE(state);
  World world;
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

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(open_locks_the_capacity_and_close_divides_it),
      FOR_EVERY_STORE(open_is_refused_by_name_where_its_terms_are_wrong),
      FOR_EVERY_STORE(one_payer_has_a_limit_of_open_channels),
      FOR_EVERY_STORE(claims_pay_the_difference_and_leave_the_channel_open),
      FOR_EVERY_STORE(a_close_below_what_was_claimed_takes_nothing_back),
      FOR_EVERY_STORE(redemption_needs_both_signatures_for_this_channel),
      FOR_EVERY_STORE(every_operation_needs_its_signature),
      FOR_EVERY_STORE(expiry_refunds_what_was_not_claimed_in_order),
      FOR_EVERY_STORE(a_channel_has_exactly_one_end_whatever_the_clock_does),
      FOR_EVERY_STORE(ledger_time_survives_a_restart_with_the_clock_set_back),
      FOR_EVERY_STORE(an_outage_extends_every_open_channel_by_its_length),
      FOR_EVERY_STORE(a_short_outage_counts_too),
      FOR_EVERY_STORE(a_suspended_ledger_has_had_an_outage_too),
      FOR_EVERY_STORE(many_channels_that_expire_at_once_take_several_batches),
      FOR_EVERY_STORE(one_balance_opened_to_a_thousand_payees_at_once_opens_once),
  };
  return RUN_TESTS(tests);
}
