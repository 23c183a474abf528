// The ledger's rules, one test each, on both stores.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

constexpr uint64_t k_btt = 1'000'000;

// The issuance table of the white paper.
void genesis_is_the_issuance_table_and_exactly_the_supply(void** state) {
  ON_STORE(state);
  World world;
  const uint64_t btt[] = {59'400'000'000,  19'800'000'000,  89'100'000'000,  99'990'000'000, 99'000'000'000,
                          188'100'000'000, 198'000'000'000, 197'010'000'000, 39'600'000'000, 0};
  uint64_t sum = 0;
  for (size_t i = 0; i < k_genesis_accounts; ++i) {
    assert_true(world.available(pool_key(world.ledger_key(), i)) == btt[i] * k_btt);
    sum += btt[i] * k_btt;
  }
  assert_true(sum == k_supply_micro);
}

void the_ledger_is_the_same_after_a_restart_and_only_for_its_key(void** state) {
  ON_STORE(state);
  World world;
  LedgerId id = world.id();
  world.funded(1, 5);
  assert_true(world.restart().has_value());
  assert_true(world.id() == id);
  auto other = LedgerState::open(world.store(), numbered_key(99), World::easy_rules(), world.now());
  assert_false(other.has_value());
  assert_int_equal(other.error().code, Errc::conflict);
}

void transfer_moves_exactly_the_amount(void** state) {
  ON_STORE(state);
  World world;
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

// Attack 12: one execution, the same result.
void repeated_operations_execute_once_and_give_the_first_result(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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

// Attack 24.
void the_largest_amounts_neither_wrap_nor_pass_the_supply(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  LedgerRules rules = World::easy_rules();
  rules.faucet_daily_budget = Amount::micro(25 * k_btt);
  World world(rules);
  for (uint32_t i = 1; i <= 2; ++i) assert_int_equal(world.code(world.faucet(numbered_key(i))), LedgerCode::done);
  assert_int_equal(world.code(world.faucet(numbered_key(3))), LedgerCode::faucet_empty);
  assert_int_equal(world.ask(numbered_key(3).public_key(), ChallengeQuery{}).code, LedgerCode::faucet_empty);
  assert_true(world.restart().has_value());
  assert_int_equal(world.code(world.faucet(numbered_key(3))), LedgerCode::faucet_empty);
  world.now_s += 86'400;
  world.tick();
  assert_int_equal(world.code(world.faucet(numbered_key(3))), LedgerCode::done);
}

// A grant pays peers over channels, at once and before other money; it can be transferred after spend_only_until.
void a_grant_only_pays_for_service_at_first(void** state) {
  ON_STORE(state);
  LedgerRules rules = World::easy_rules();
  rules.faucet_spend_only_s = 100'000;
  World world(rules);
  SigningKey a = numbered_key(1), b = numbered_key(2);
  assert_int_equal(world.code(world.faucet(a)), LedgerCode::done);
  LedgerTime until = world.in(100'000);
  assert_true(world.balance(a.public_key()).spend_only_until == until);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 1)), LedgerCode::spend_only);
  assert_int_equal(world.code(world.transfer(pool_key(world.ledger_key(), 0), a.public_key(), 500)), LedgerCode::done);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 501)), LedgerCode::spend_only);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 10 * k_btt + 501)), LedgerCode::insufficient);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 400)), LedgerCode::done);

  // Escrow is still the account's; what comes back of it is held back again.
  OpenOperation open = world.open(a, b.public_key(), 10 * k_btt);
  assert_int_equal(world.code(open), LedgerCode::done);
  assert_int_equal(world.code(world.claim(open.statement, a, b, 3 * k_btt)), LedgerCode::done);
  assert_int_equal(world.balance(a.public_key()).spend_only.in_micro(), 7 * k_btt);
  assert_int_equal(world.code(world.close(open.statement, a, b, 4 * k_btt)), LedgerCode::done);
  assert_int_equal(world.balance(a.public_key()).spend_only.in_micro(), 6 * k_btt);
  assert_int_equal(world.available(a), 6 * k_btt + 100);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 101)), LedgerCode::spend_only);
  assert_int_equal(world.code(world.transfer(b, a.public_key(), 4 * k_btt)), LedgerCode::done);  // earned money is free
  assert_true(world.state().check_books().has_value());

  world.now_s = until.in_seconds() - 1;
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 5 * k_btt)), LedgerCode::spend_only);
  assert_int_equal(world.restart().has_value(), true);
  ++world.now_s;
  assert_int_equal(world.balance(a.public_key()).spend_only.in_micro(), 0);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 10 * k_btt)), LedgerCode::done);
  assert_true(world.state().check_books().has_value());
}

void without_a_grant_there_is_no_faucet(void** state) {
  ON_STORE(state);
  LedgerRules rules = World::easy_rules();
  rules.faucet_grant = Amount();
  World world(rules);
  assert_int_equal(world.ask(numbered_key(1).public_key(), ChallengeQuery{}).code, LedgerCode::faucet_off);
  assert_int_equal(world.code(world.faucet(numbered_key(1))), LedgerCode::faucet_off);
}

void only_a_party_reads_a_channel(void** state) {
  ON_STORE(state);
  World world;
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
  ON_STORE(state);
  World world;
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

// The tree is the naive one over all records after every commit, a record names for each account the record that touched it before, and
// for a channel the record before about it.
void the_log_is_a_tree_over_all_and_a_chain_per_account(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  OpenOperation open = world.open(a, b.public_key(), 100);
  std::vector<OperationResult> results = world.apply(
      {open, world.transfer(a, b.public_key(), 5), world.close(open.statement, a, b, 30), world.transfer(b, a.public_key(), 1)});
  auto store = world.store().begin_read();
  MerkleEdge edge;
  std::map<PublicKey, std::pair<uint64_t, uint64_t>> accounts;  // record, balance
  for (uint64_t i = 0;; ++i) {
    auto bytes = (*store)->get(k_table_log, log_key(i));
    if (!*bytes) break;
    auto record = decode_record(**bytes);
    assert_true(record.has_value());
    assert_int_equal(record->head.index, i);
    Hash32 expected = merkle_leaf(**bytes);
    edge.append(expected);
    auto operation = decode_logged_operation(record->operation);
    assert_true(operation.has_value() && logged_operation_id(*operation) == record->head.operation);
    bool closes = std::holds_alternative<CloseOperation>(*operation);
    assert_true(record->head.channel_previous == (closes ? results[0].record : k_no_record));
    for (const TouchedAccount& touched : record->touched) {
      auto known = accounts.find(touched.account);
      assert_true(touched.previous == (known == accounts.end() ? k_no_record : known->second.first));
      accounts[touched.account] = {i, touched.balance.in_micro()};
    }
    for (const OperationResult& result : results) {
      if (result.record == i) assert_true(result.record_hash == expected);
    }
  }
  auto row = read_row<LedgerRow>(**store, k_table_ledger, as_bytes(k_ledger_row_key));
  assert_true((*row)->records == edge.size() && (*row)->root == edge.root());
  store->reset();
  assert_int_equal(accounts[a.public_key()].second, world.available(a));
  assert_int_equal(accounts[b.public_key()].second, world.available(b));
}

void changed_books_are_not_opened(void** state) {
  ON_STORE(state);
  const struct {
    const char* table;
    std::vector<uint8_t> key;
    size_t at;
  } changes[] = {
      {k_table_accounts, {}, 7},    // a balance
      {k_table_channels, {}, 103},  // a capacity
      {k_table_log, {0, 0, 0, 0, 0, 0, 0, 2}, 50},
      {k_table_tree, {}, 70},  // a hash
      {k_table_expiry, {}, SIZE_MAX},
  };
  for (const auto& change : changes) {
    World world;
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

// What the batch does to the rows is summed up beside the rules: a rule that makes or loses money ends the program before the commit.
void a_batch_that_makes_or_loses_money_ends_the_program(void**) {
  for (int wrong = 0; wrong < 4; ++wrong) {
    pid_t child = fork();
    if (child == 0) {
      close(STDERR_FILENO);
      World world(StoreKind::memory);
      SigningKey a = world.funded(1, 1000);
      OpenOperation open = world.open(a, numbered_key(2).public_key(), 100);
      world.apply(open);
      auto store = world.store().begin_write();
      auto row = read_row<LedgerRow>(**store, k_table_ledger, as_bytes(k_ledger_row_key));
      LedgerTransaction transaction(**store, world.id(), **row, world.now());
      AccountRow* account = *transaction.account(a.public_key());
      ChannelRow* channel = *transaction.channel(channel_id(open.statement));
      if (wrong == 1) account->available = Amount::micro(901);
      if (wrong == 2) channel->claimed = Amount::micro(1);
      if (wrong == 3) account->in_channels = Amount::micro(99);
      _exit(transaction.flush() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (wrong == 0) {
      assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    } else {
      assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
  }
}

// Only the memory store can be told to fail.
void a_store_that_fails_refuses_operations_answers_queries_and_loses_nothing(void**) {
  World world(StoreKind::memory);
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
  World world(StoreKind::memory);
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
  ON_STORE(state);
  World world;
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

// A lagging copy that takes the store's place, or a dump that is restored, while a front end serves it.
void a_store_that_is_set_back_is_not_served_on(void**) {
  World world(StoreKind::memory);
  SigningKey a = world.funded(1, 100), b = numbered_key(2);
  LedgerBatch batch;
  auto transfer = [&](uint64_t amount) {
    Operation op = world.transfer(a, b.public_key(), amount);
    batch.items = {BatchItem()};
    batch.items[0].operations.push_back({op, LedgerCode::done});
  };
  // Two front ends on one store follow each other.
  auto second = LedgerState::open(world.store(), world.ledger_key(), World::easy_rules(), world.now());
  transfer(1);
  assert_true((*second)->apply(batch, world.now()).status.has_value());
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 1)), LedgerCode::done);
  transfer(1);
  assert_true((*second)->apply(batch, world.now()).status.has_value());
  second->reset();

  world.memory.set_durable_at_commit(false);
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 40)), LedgerCode::done);
  world.memory.crash();
  for (int records_since = 0; records_since < 3; ++records_since) {
    assert_int_equal(world.code(world.transfer(a, b.public_key(), 1)), LedgerCode::unavailable);
    assert_false(world.last.status.has_value());
    assert_int_equal(world.last.tree.size, 0);  // nothing is signed
    assert_int_equal(world.ask(a.public_key(), BalanceQuery{}).code, LedgerCode::unavailable);
    // Another one goes on from the old copy: first to as many records, then beyond.
    auto other = LedgerState::open(world.store(), world.ledger_key(), World::easy_rules(), world.now());
    transfer(2);
    assert_true((*other)->apply(batch, world.now()).status.has_value());
  }
}

// What a wrong clock lets vest and expire can't be taken back.
void a_clock_that_leaps_is_not_believed(void**) {
  LedgerRules rules = World::easy_rules();
  rules.clock_leap_max_s = 86'400;
  World world(StoreKind::memory, rules);
  SigningKey a = world.funded(1, 100), b = numbered_key(2);
  LedgerTime before = world.last.time;
  world.now_s += 86'400 + 60;
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 40)), LedgerCode::unavailable);
  assert_int_equal(world.last.status.error().code, Errc::denied);
  assert_int_equal(world.available(a), 100);
  assert_true(world.last.time == before);
  world.now_s -= 86'400;
  assert_int_equal(world.code(world.transfer(a, b.public_key(), 40)), LedgerCode::done);
  // A day at a time it may stand still for as long as it wants.
  for (int day = 0; day < 3; ++day) {
    world.now_s += 86'400;
    world.tick();
    assert_true(world.last.status.has_value());
  }
}

void an_initial_balance_is_repeated_also_when_its_work_is_old(void** state) {
  ON_STORE(state);
  World world;
  FaucetOperation op = world.faucet(numbered_key(1)), late = world.faucet(numbered_key(2));
  OperationResult first = world.apply(op);
  assert_int_equal(first.code, LedgerCode::done);
  world.now_s += 3 * k_faucet_epoch_s;
  assert_true(world.restart().has_value());
  assert_true(world.apply(op) == first);
  assert_int_equal(world.code(late), LedgerCode::faucet_stale);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(genesis_is_the_issuance_table_and_exactly_the_supply),
      FOR_EVERY_STORE(the_ledger_is_the_same_after_a_restart_and_only_for_its_key),
      FOR_EVERY_STORE(transfer_moves_exactly_the_amount),
      FOR_EVERY_STORE(repeated_operations_execute_once_and_give_the_first_result),
      FOR_EVERY_STORE(operations_are_forgotten_only_when_time_refuses_them),
      FOR_EVERY_STORE(valid_until_is_at_most_ten_minutes_ahead_and_not_past),
      FOR_EVERY_STORE(the_largest_amounts_neither_wrap_nor_pass_the_supply),
      FOR_EVERY_STORE(the_faucet_pays_each_key_once_for_work),
      FOR_EVERY_STORE(faucet_work_is_for_one_key_and_time),
      FOR_EVERY_STORE(the_faucet_keeps_its_daily_budget),
      FOR_EVERY_STORE(a_grant_only_pays_for_service_at_first),
      FOR_EVERY_STORE(without_a_grant_there_is_no_faucet),
      FOR_EVERY_STORE(only_a_party_reads_a_channel),
      FOR_EVERY_STORE(the_closed_feed_gives_every_end_once_to_both_parties),
      FOR_EVERY_STORE(the_log_is_a_tree_over_all_and_a_chain_per_account),
      FOR_EVERY_STORE(changed_books_are_not_opened),
      FOR_EVERY_STORE(times_in_replies_are_durable_and_at_most_seconds_old),
      FOR_EVERY_STORE(an_initial_balance_is_repeated_also_when_its_work_is_old),
      cmocka_unit_test(a_store_that_is_set_back_is_not_served_on),
      cmocka_unit_test(a_clock_that_leaps_is_not_believed),
      cmocka_unit_test(a_batch_that_makes_or_loses_money_ends_the_program),
      cmocka_unit_test(a_store_that_fails_refuses_operations_answers_queries_and_loses_nothing),
      cmocka_unit_test(what_was_not_durable_never_happened),
  };
  return RUN_TESTS(tests);
}
