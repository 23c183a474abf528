// What a client finds out about its ledger by itself: nothing about an honest one, and every planted cheat, with evidence that convinces a
// third party. The ledger is the real one; the cheats are in ledger_cheat.h.
#include "unit/ledger_cheat.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

// Every kind of operation, seen from both sides, over many pages and restarts: no alarm, and nothing stays unchecked.
void an_honest_ledger_raises_no_alarm(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1'000'000), b = world.funded(2, 1'000);
  Watcher payer(world, numbered_key(1)), payee(world, numbered_key(2));
  for (int round = 0; round < 12; ++round) {
    std::vector<OpenOperation> opens;
    for (int i = 0; i < 6; ++i) {
      opens.push_back(world.open(a, b.public_key(), 500, 700));
      payer.submit(world, opens.back());
    }
    payee.submit(world, world.claim(opens[0].statement, a, b, 100));
    payee.submit(world, world.claim(opens[0].statement, a, b, 300));
    payee.submit(world, world.claim(opens[0].statement, a, b, 200));  // below: the answer is the operation before
    payee.submit(world, world.close(opens[0].statement, a, b, 100));  // pays what was claimed
    payee.submit(world, world.close(opens[1].statement, a, b, 0));
    payee.submit(world, world.close(opens[2].statement, a, b, 500));
    payee.submit(world, world.claim(opens[3].statement, a, b, 50));  // then it expires
    payer.submit(world, world.transfer(a, b.public_key(), 7));
    payee.submit(world, world.transfer(b, a.public_key(), 3));
    if (round % 3 == 0) payee.submit(world, world.faucet(numbered_key(static_cast<uint32_t>(100 + round))));
    pass(world, 800);
    if (round == 5) {
      world.now_s += 500;  // an outage
      world.tick();
    }
    if (round % 2 == 0) continue;
    for (Watcher* watcher : {&payer, &payee}) {
      watcher->now = watcher->now + Duration::minutes(11);
      if (round % 4 == 1) watcher->restart();
      watcher->watch->on_told(watcher->now, world.state().opened_tree());
      watcher->run(world);
      assert_true(watcher->watch->alarm().empty());
      assert_true(watcher->watch->head()->size == world.last.tree.size);
      assert_int_equal(watcher->rows.size(), 2);  // head and mark: every receipt was found
    }
  }
  // A client that comes late reads all of it, page by page.
  Watcher late(world, numbered_key(2));
  late.run(world);
  assert_true(late.watch->alarm().empty());
  assert_true(late.asked > 3);
  // Heads that each shows the other agree.
  for (const SignedTreeHead& head : payer.heads) {
    payee.watch->on_gossip(payee.now, head);
    payee.run(world);
  }
  assert_true(payee.watch->alarm().empty());
}

// What an honest ledger signs is never evidence, in any combination.
void honest_statements_prove_nothing(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1'000'000), b = world.funded(2, 1'000);
  Random random(3);
  std::vector<SignedTreeHead> heads = {world.state().opened_tree()};
  std::vector<HeldReceipt> receipts;
  std::vector<QueryExchange> exchanges;
  for (int round = 0; round < 300; ++round) {
    Operation op = world.transfer(a, b.public_key(), 1 + random.below(9));
    OperationResult result = with_receipt(world, world.apply(op));
    HeldReceipt held{{result.operation, result.record, result.record_hash, result.time, result.receipt}, {}};
    append_operation(held.operation, op);
    receipts.push_back(held);
    heads.push_back(world.last.tree);
    world.now_s += random.below(3);
    uint64_t size = world.last.tree.size, from = random.below(size + 3), to = random.below(size + 3), newest = k_no_record;
    if (random.below(2) == 0) newest = random.below(size);
    exchanges.push_back(exchange_with(
        world, random.below(2) == 0 ? a : b,
        {ConsistencyQuery{from, to}, InclusionQuery{random.below(size), from}, BalanceQuery{}, RecordsQuery{newest, random.below(size)}}));
    Evidence evidence{world.id(), world.ledger_key().public_key(), {}, {}, {}};
    for (int i = 0; i < 4; ++i) evidence.heads.push_back(heads[random.below(heads.size())]);
    evidence.receipt = receipts[random.below(receipts.size())];
    for (int i = 0; i < 2; ++i) evidence.exchanges.push_back(exchanges[random.below(exchanges.size())]);
    auto judged = judge_evidence(evidence);
    assert_false(judged.has_value());
    assert_int_equal(judged.error().code, Errc::not_found);
    auto again = decode_evidence(encode_evidence(evidence));
    assert_true(again.has_value() && *again == evidence);
  }
}

// Two real ledgers with one key: the same until they part.
struct Fork {
  World one, other;
  SigningKey a = numbered_key(1), b = numbered_key(2);
  Fork() {
    both([&](World& world) { world.apply(world.transfer(pool_key(world.ledger_key(), 0), a.public_key(), 1000)); });
  }
  template <typename Do>
  void both(Do run) {
    run(one);
    run(other);
  }
};

void two_heads_of_one_size_are_found_by_gossip(void** state) {
  ON_STORE(state);
  Fork fork;
  Watcher watcher(fork.one, numbered_key(1));
  fork.one.apply(fork.one.transfer(fork.a, fork.b.public_key(), 1));
  fork.other.apply(fork.other.transfer(fork.a, fork.b.public_key(), 2));
  watcher.run(fork.one);
  SignedTreeHead forged = fork.other.last.tree;
  forged.root[0] ^= 1;
  watcher.watch->on_gossip(watcher.now, forged);  // not signed: nothing
  watcher.run(fork.one);
  assert_true(watcher.watch->alarm().empty());
  watcher.watch->on_gossip(watcher.now, fork.other.last.tree);
  watcher.run(fork.one);
  assert_false(watcher.watch->alarm().empty());
  assert_true(watcher.is_proven());
  watcher.restart();  // it is not forgotten
  assert_false(watcher.watch->alarm().empty());
}

// The other log is longer, or shorter: only a proof tells.
void a_head_of_another_log_is_found_by_its_failing_proof(void** state) {
  ON_STORE(state);
  for (int longer = 0; longer < 2; ++longer) {
    Fork fork;
    Watcher watcher(fork.one, numbered_key(1));
    World& more = longer ? fork.other : fork.one;
    fork.both([](World& world) { world.apply(world.transfer(pool_key(world.ledger_key(), 1), numbered_key(9).public_key(), 5)); });
    fork.one.apply(fork.one.transfer(fork.a, fork.b.public_key(), 1));
    fork.other.apply(fork.other.transfer(fork.a, fork.b.public_key(), 2));
    more.apply(more.transfer(fork.a, fork.b.public_key(), 3));
    SignedTreeHead foreign = fork.other.last.tree;
    watcher.run(fork.one);
    watcher.watch->on_gossip(watcher.now, foreign);
    fork.one.now_s += 5;
    for (int i = 0; i < 3; ++i) fork.one.apply(fork.one.transfer(fork.a, fork.b.public_key(), 1));
    watcher.run(fork.one);
    assert_true(watcher.is_proven());
  }
}

// The two logs go on in different ways; the client sees the one, and after a restart the other.
void watch_one_then_the_other(Fork& fork, Watcher& watcher) {
  fork.one.apply(fork.one.transfer(fork.a, fork.b.public_key(), 1));
  watcher.run(fork.one);
  fork.other.apply(fork.other.transfer(fork.a, fork.b.public_key(), 2));
  fork.other.apply(fork.other.transfer(fork.a, fork.b.public_key(), 2));
  watcher.restart();
  watcher.run(fork.other);
}

// The client moves from one log to the other: its own head is enough.
void a_log_that_is_not_the_one_before_is_found(void** state) {
  ON_STORE(state);
  Fork fork;
  Watcher watcher(fork.one, numbered_key(1));
  watch_one_then_the_other(fork, watcher);
  assert_true(watcher.is_proven());
}

// Restored from an old copy, and time went on.
void a_shorter_log_is_found(void** state) {
  ON_STORE(state);
  Fork fork;
  Watcher watcher(fork.one, numbered_key(1));
  for (int i = 0; i < 5; ++i) fork.one.apply(fork.one.transfer(fork.a, fork.b.public_key(), 1));
  watcher.run(fork.one);
  fork.other.now_s += 100;
  fork.other.apply(fork.other.transfer(fork.a, fork.b.public_key(), 2));
  watcher.restart();
  watcher.run(fork.other);
  assert_true(watcher.is_proven());
}

// The ledger gave a receipt and forgot the operation.
void a_dropped_receipt_is_found(void** state) {
  ON_STORE(state);
  for (int same_size = 0; same_size < 2; ++same_size) {
    Fork fork;
    Watcher watcher(fork.one, numbered_key(1));
    watcher.run(fork.one);
    watcher.submit(fork.one, fork.one.transfer(fork.a, fork.b.public_key(), 1));
    fork.other.now_s += 60;
    for (int i = same_size; i < 2; ++i) fork.other.apply(fork.other.transfer(pool_key(fork.other.ledger_key(), 1), fork.b.public_key(), 2));
    watcher.restart();
    watcher.run(fork.other);
    assert_true(watcher.is_proven());
  }
}

// A record of the log was changed under the tree: what is shown is not what was signed.
void a_changed_record_is_found(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000);
  OperationResult result = world.apply(world.transfer(a, numbered_key(2).public_key(), 1));
  Watcher watcher(world, numbered_key(1));
  doctor(
      world, result.record, [](LogRecord& record) { record.touched[0].balance = Amount::micro(998); }, false);
  watcher.run(world);
  assert_true(watcher.is_proven());
}

// The operator writes a record that says less than the operation, and signs a tree over it.
void a_withheld_credit_is_found(void** state) {
  ON_STORE(state);
  enum { transfer, close, claim, refund, expiry, only_the_row, kinds };
  for (int kind = 0; kind < kinds; ++kind) {
    World world;
    SigningKey a = world.funded(1, 1000), b = world.funded(2, 10);
    OpenOperation open = world.open(a, b.public_key(), 400, 700);
    uint64_t record = world.apply(open).record;
    if (kind == claim || kind == close) world.apply(world.claim(open.statement, a, b, 100));
    if (kind == transfer || kind == only_the_row) record = world.apply(world.transfer(a, b.public_key(), 50)).record;
    if (kind == close || kind == refund) record = world.apply(world.close(open.statement, a, b, 300)).record;
    if (kind == claim) record = world.apply(world.claim(open.statement, a, b, 300)).record;
    if (kind == expiry) {
      pass(world, 800);
      record = world.last.tree.size - 1;
    }
    PublicKey victim = kind == refund || kind == expiry ? a.public_key() : b.public_key();
    Watcher honest(world, victim == a.public_key() ? numbered_key(1) : numbered_key(2));
    honest.run(world);
    assert_true(honest.watch->alarm().empty());
    Watcher watcher(world, victim == a.public_key() ? numbered_key(1) : numbered_key(2));
    auto less = [](Amount amount) { return *amount.minus(Amount::micro(5)); };
    if (kind != only_the_row) {
      doctor(world, record, [&](LogRecord& doctored) {
        for (TouchedAccount& touched : doctored.touched) {
          if (touched.account == victim) touched.balance = less(touched.balance);
        }
      });
    }
    doctor_account(world, victim, [&](AccountRow& row) { row.available = less(row.available); });
    watcher.run(world);
    assert_true(watcher.is_proven());
  }
}

// A later record says that the account's record before was an earlier one: the credit between never was.
void a_record_left_out_of_the_accounts_chain_is_found(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = world.funded(2, 10);
  uint64_t before = read_record(world, world.last.tree.size - 1).head.index;
  world.apply(world.transfer(a, b.public_key(), 50));
  Watcher watcher(world, numbered_key(2));
  watcher.run(world);
  uint64_t last = world.apply(world.transfer(a, b.public_key(), 1)).record;
  doctor(world, last, [&](LogRecord& record) {
    record.touched[1].previous = before;
    record.touched[1].balance = Amount::micro(11);
  });
  doctor_account(world, b.public_key(), [](AccountRow& row) { row.available = Amount::micro(11); });
  watcher.restart();
  watcher.run(world);
  assert_true(watcher.is_proven());
}

// The same, before the client has seen the record: it has only its receipt.
void a_receipt_left_out_of_the_accounts_chain_is_found(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = world.funded(2, 10);
  uint64_t before = world.last.tree.size - 1;
  OpenOperation open = world.open(a, b.public_key(), 400, 700);
  world.apply(open);
  Watcher watcher(world, numbered_key(2));
  watcher.run(world);
  OperationResult closed = watcher.submit(world, world.close(open.statement, a, b, 300));
  doctor_account(world, b.public_key(), [&](AccountRow& row) {
    row.available = Amount::micro(10);
    row.last_record = before;
  });
  assert_true(closed.record > before);
  watcher.run(world);
  assert_true(watcher.is_proven());
}

// A transfer that the account never signed.
void an_invented_debit_is_found(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = world.funded(2, 10);
  TransferOperation forged = world.transfer(a, b.public_key(), 500);
  forged.signature = b.sign(preimage(forged.statement));
  LedgerBatch batch;
  batch.items.emplace_back().operations.push_back({forged, LedgerCode::done});  // as if it had been checked
  assert_int_equal(world.state().apply(batch, world.now()).items[0].operations[0].code, LedgerCode::done);
  Watcher watcher(world, numbered_key(1));
  watcher.run(world);
  assert_true(watcher.is_proven());
}

// A channel paid more than its payer ever signed: the last operation says so by itself, or with a CLAIM that nobody signed before it.
void a_payment_that_the_payer_never_signed_is_found(void** state) {
  ON_STORE(state);
  enum { close_says_so, expiry_says_so, forged_claim_then_close, forged_claim_then_expiry, kinds };
  for (int kind = 0; kind < kinds; ++kind) {
    World world;
    SigningKey a = world.funded(1, 1000), b = world.funded(2, 10);
    OpenOperation open = world.open(a, b.public_key(), 400, 700);
    world.apply(open);
    if (kind == forged_claim_then_close || kind == forged_claim_then_expiry) {
      ClaimOperation forged = world.claim(open.statement, b, b, 300);  // with the payee's signature where the payer's should be
      LedgerBatch batch;
      batch.items.emplace_back().operations.push_back({forged, LedgerCode::done});
      assert_int_equal(world.state().apply(batch, world.now()).items[0].operations[0].code, LedgerCode::done);
    }
    if (kind == close_says_so || kind == forged_claim_then_close) {
      world.apply(world.close(open.statement, a, b, 100));
    } else {
      pass(world, 800);
    }
    if (kind == close_says_so || kind == expiry_says_so) {
      world.tick();
      auto less = [](Amount amount) { return *amount.minus(Amount::micro(200)); };
      doctor(world, world.last.tree.size - 1, [&](LogRecord& record) {
        record.head.paid = *record.head.paid.plus(Amount::micro(200));
        record.head.refunded = less(record.head.refunded);
        for (TouchedAccount& touched : record.touched) {
          if (touched.account == a.public_key()) touched.balance = less(touched.balance);
        }
      });
      doctor_account(world, a.public_key(), [&](AccountRow& row) { row.available = less(row.available); });
    }
    Watcher watcher(world, numbered_key(1));
    watcher.run(world);
    assert_true(watcher.is_proven());
  }
}

// Bits turned in evidence: it proves nothing any more, or it is the same statement.
void changed_evidence_proves_nothing(void** state) {
  ON_STORE(state);
  Fork fork;
  Watcher watcher(fork.one, numbered_key(1));
  watch_one_then_the_other(fork, watcher);
  assert_true(watcher.is_proven());
  Random random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes = watcher.alarm->evidence;
    bytes[8 + random.below(bytes.size() - 8)] ^= static_cast<uint8_t>(1u << random.below(8));
    auto evidence = decode_evidence(bytes);
    if (evidence) assert_false(judge_evidence(*evidence).has_value());
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(an_honest_ledger_raises_no_alarm),
      FOR_EVERY_STORE(honest_statements_prove_nothing),
      FOR_EVERY_STORE(two_heads_of_one_size_are_found_by_gossip),
      FOR_EVERY_STORE(a_head_of_another_log_is_found_by_its_failing_proof),
      FOR_EVERY_STORE(a_log_that_is_not_the_one_before_is_found),
      FOR_EVERY_STORE(a_shorter_log_is_found),
      FOR_EVERY_STORE(a_dropped_receipt_is_found),
      FOR_EVERY_STORE(a_changed_record_is_found),
      FOR_EVERY_STORE(a_withheld_credit_is_found),
      FOR_EVERY_STORE(a_record_left_out_of_the_accounts_chain_is_found),
      FOR_EVERY_STORE(a_receipt_left_out_of_the_accounts_chain_is_found),
      FOR_EVERY_STORE(an_invented_debit_is_found),
      FOR_EVERY_STORE(a_payment_that_the_payer_never_signed_is_found),
      FOR_EVERY_STORE(changed_evidence_proves_nothing),
  };
  return crypto_init() ? RUN_TESTS(tests) : 1;
}
