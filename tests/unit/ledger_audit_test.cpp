// The audit of the whole log: right logs pass, of any history; every planted cheat is found, and the first wrong record is named.
#include <unistd.h>

#include "unit/ledger_audited.h"
#include "unit/ledger_cheat.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

// A world with some of everything; more than one batch of the audit.
struct History {
  World world;
  SigningKey a = numbered_key(1), b = numbered_key(2);
  std::vector<uint64_t> transfers, opens, claims, closes, faucets;
  uint64_t expiry = 0;

  explicit History(int rounds = 8) {
    world.funded(1, 1'000'000);
    world.funded(2, 1'000);
    for (int round = 0; round < rounds; ++round) {
      OpenOperation one = world.open(a, b.public_key(), 100, 700), other = world.open(b, a.public_key(), 50, 700);
      opens.push_back(world.apply(one).record);
      opens.push_back(world.apply(other).record);
      claims.push_back(world.apply(world.claim(one.statement, a, b, 30)).record);
      claims.push_back(world.apply(world.claim(one.statement, a, b, 60)).record);
      if (round % 2 == 0) closes.push_back(world.apply(world.close(one.statement, a, b, 40)).record);
      transfers.push_back(world.apply(world.transfer(a, b.public_key(), 5)).record);
      faucets.push_back(world.apply(world.faucet(numbered_key(static_cast<uint32_t>(50 + round)))).record);
      pass(world, 800);
      expiry = world.last.tree.size - 1;
      if (round == 3) CHECK(world.restart(300).has_value());
    }
  }
};

void a_right_log_passes(void** state) {
  ON_STORE(state);
  History history(80);
  Audited audited = audit(history.world);
  assert_true(audited.status.has_value());
  assert_true(audited.totals.has_value());
  history.world.tick();
  assert_true(audited.totals->root == history.world.last.tree.root);
  assert_true(audited.totals->records == history.world.last.tree.size && audited.totals->records > 512);
  auto books = history.world.state().check_books();
  assert_true(books->available == audited.totals->available && books->in_channels == audited.totals->in_channels);
  assert_int_equal(books->open_channels, audited.totals->open_channels);
}

// Else the pool would be the operator's own.
void initial_balances_have_a_limit_that_no_operator_sets(void** state) {
  ON_STORE(state);
  for (uint64_t btt : {1'000, 1'001}) {
    LedgerRules rules = World::easy_rules();
    rules.faucet_grant = Amount::micro(btt * 1'000'000);
    rules.faucet_daily_budget = Amount::supply();
    World world(rules);
    assert_int_equal(world.code(world.faucet(numbered_key(1))), LedgerCode::done);
    Audited audited = audit(world);
    assert_int_equal(audited.status.has_value(), btt == 1'000);
    if (!audited.status) assert_non_null(strstr(audited.status.error().reason.c_str(), "initial balance is larger"));
  }
}

// Whatever bit of a record is turned, also with a new tree over it, the record is named.
void a_changed_record_is_named(void** state) {
  ON_STORE(state);
  Random random(9);
  for (int round = 0; round < (world_store() == StoreKind::memory ? 150 : 8); ++round) {
    History history(2);
    uint64_t index = random.below(history.world.last.tree.size);
    auto store = history.world.store().begin_write();
    auto old = (*store)->get(k_table_log, log_key(index));
    std::vector<uint8_t> bytes((*old)->begin(), (*old)->end());
    bytes[random.below(bytes.size())] ^= static_cast<uint8_t>(1u << random.below(8));
    assert_true((*store)->put(k_table_log, log_key(index), bytes).has_value());
    assert_true((*store)->commit().has_value());
    store->reset();
    Audited audited = audit(history.world);
    // A later time, an owner of a pool or a grant's size is the operator's choice until something after it disagrees; the root tells.
    if (audited.status) {
      assert_true(audited.totals->root != history.world.last.tree.root);
      continue;
    }
    std::string reason = audited.status.error().reason;
    assert_true(reason.starts_with("record "));
    assert_true(std::stoull(reason.substr(7)) >= index);
  }
}

void minted_tokens_are_named(void** state) {
  ON_STORE(state);
  {
    History history;
    doctor(history.world, history.transfers[2],
           [](LogRecord& record) { record.touched[1].balance = *record.touched[1].balance.plus(Amount::micro(1000)); });
    assert_true(names(audit(history.world), history.transfers[2]));
  }
  {
    History history;  // the sender keeps what the receiver got
    doctor(history.world, history.transfers[1],
           [](LogRecord& record) { record.touched[0].balance = *record.touched[0].balance.plus(Amount::micro(5)); });
    assert_true(names(audit(history.world), history.transfers[1]));
  }
  {
    History history;  // more comes out of a channel than went in
    doctor(history.world, history.closes[1], [](LogRecord& record) { record.head.refunded = Amount::micro(1000); });
    assert_true(names(audit(history.world), history.closes[1]));
  }
  {
    History history;  // at the start
    doctor(history.world, 0, [](LogRecord& record) {
      auto genesis = *decode_fields<GenesisOperation>(Bytes(record.operation).subspan(1));
      genesis.accounts[9].amount = Amount::micro(1);
      record.operation.clear();
      append_operation(record.operation, genesis);
      record.head.operation = statement_id(genesis);
    });
    assert_true(names(audit(history.world), 0));
  }
}

void a_withheld_credit_is_named(void** state) {
  ON_STORE(state);
  auto withhold = [](size_t touched) {
    return [touched](LogRecord& record) { record.touched[touched].balance = *record.touched[touched].balance.minus(Amount::micro(1)); };
  };
  {
    History history;
    doctor(history.world, history.claims[3], withhold(0));
    assert_true(names(audit(history.world), history.claims[3]));
  }
  {
    History history;
    doctor(history.world, history.closes[0], withhold(1));
    assert_true(names(audit(history.world), history.closes[0]));
  }
  {
    History history;
    doctor(history.world, history.expiry, withhold(0));
    assert_true(names(audit(history.world), history.expiry));
  }
}

void an_operation_without_its_signature_is_named(void** state) {
  ON_STORE(state);
  History history;
  TransferOperation forged = history.world.transfer(history.a, history.b.public_key(), 500);
  forged.signature = history.b.sign(preimage(forged.statement));
  CloseOperation close;
  OpenOperation open = history.world.open(history.a, history.b.public_key(), 100, 700);
  history.world.apply(open);
  close = history.world.close(open.statement, history.a, history.b, 100);
  close.payer_signature = history.b.sign(preimage(PayStatement{close.statement.ledger, close.statement.channel, 1, close.statement.cum}));
  for (const Operation& op : {Operation(close), Operation(forged)}) {
    LedgerBatch batch;
    batch.items.emplace_back().operations.push_back({op, LedgerCode::done});
    assert_int_equal(history.world.state().apply(batch, history.world.now()).items[0].operations[0].code, LedgerCode::done);
  }
  assert_true(names(audit(history.world), history.world.last.tree.size));  // the close comes first
}

// Records in memory.
class Records final : public LogSource {
 public:
  explicit Records(std::vector<std::vector<uint8_t>> records) : records_(std::move(records)) {}
  uint64_t size() const override { return records_.size(); }
  Result<bool> next(std::vector<uint8_t>& record) override {
    if (next_ == records_.size()) return false;
    record = records_[next_++];
    return true;
  }

 private:
  std::vector<std::vector<uint8_t>> records_;
  uint64_t next_ = 0;
};

// Threads find wrong signatures in any order, and the replay finds other faults before them: the first one is named all the same.
void of_many_wrong_records_the_first_is_named_whatever_the_threads(void**) {
  History history(150);
  std::vector<std::vector<uint8_t>> records;
  {
    auto store = history.world.store().begin_read();
    auto row = read_row<LedgerRow>(**store, k_table_ledger, as_bytes(k_ledger_row_key));
    StoreLogSource log(**store, (*row)->records);
    for (std::vector<uint8_t> record; *log.next(record);) records.push_back(record);
  }
  assert_true(records.size() > 2 * 512);
  auto break_signature = [&](uint64_t index) {
    auto decoded = decode_record(records[index]);
    assert_true(decoded.has_value());
    decoded->operation.back() ^= 1;  // of a TRANSFER: in its signature, so that only that check sees it
    records[index] = encode_record(*decoded);
  };
  Random random(11);
  for (int round = 0; round < 40; ++round) {
    auto good = records;
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < 4; ++i) {
      uint64_t index = history.transfers[random.below(history.transfers.size())];
      if (records[index] == good[index]) break_signature(index);
      first = std::min(first, index);
    }
    uint64_t minted = random.below(records.size() - 1) + 1;  // a balance, which the replay sees at once
    records[minted].back() ^= 1;
    first = std::min(first, minted);
    Records log(records);
    LogAudit replay;
    AuditOptions options;
    options.threads = 1 + static_cast<unsigned>(round % 5);
    Audited audited;
    audited.status = run_audit(log, options, replay);
    assert_true(names(audited, first));
    records = good;
  }
}

// The operator writes an operation a second time.
void an_operation_that_is_executed_twice_is_named(void** state) {
  ON_STORE(state);
  World world;
  SigningKey a = world.funded(1, 1000), b = numbered_key(2);
  Operation op = world.transfer(a, b.public_key(), 10);
  world.apply(op);
  {
    auto store = world.store().begin_write();
    for (auto entry = (*store)->last(k_table_executed); *entry; entry = (*store)->last(k_table_executed)) {
      std::vector<uint8_t> key((*entry)->key.begin(), (*entry)->key.end());
      assert_true((*store)->erase(k_table_executed, key).has_value());
    }
    assert_true((*store)->commit().has_value());
  }
  uint64_t second = world.apply(op).record;
  assert_true(names(audit(world), second));
}

// What export writes.
void a_log_file_is_the_log_and_a_cut_one_is_refused(void** state) {
  ON_STORE(state);
  History history;
  TempFolder folder(TempFolder::memory_base());
  std::string path = folder / "log";
  auto store = history.world.store().begin_read();
  StoreLogSource source(**store, history.world.last.tree.size);
  assert_true(write_log_file(path, history.world.ledger_key().public_key(), history.world.last.tree, source).has_value());
  auto file = FileLogSource::open(path);
  assert_true(file.has_value() && (*file)->head() == history.world.last.tree);
  LogAudit replay;
  assert_true(run_audit(**file, {}, replay).has_value());
  assert_true(replay.totals()->root == history.world.last.tree.root);
  assert_int_equal(truncate(path.c_str(), 1000), 0);
  file = FileLogSource::open(path);
  LogAudit cut;
  assert_int_equal(run_audit(**file, {}, cut).error().code, Errc::bad_input);
  assert_int_equal(truncate(path.c_str(), 20), 0);
  assert_int_equal(FileLogSource::open(path).error().code, Errc::bad_input);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(a_right_log_passes),
      FOR_EVERY_STORE(initial_balances_have_a_limit_that_no_operator_sets),
      FOR_EVERY_STORE(a_changed_record_is_named),
      FOR_EVERY_STORE(minted_tokens_are_named),
      FOR_EVERY_STORE(a_withheld_credit_is_named),
      FOR_EVERY_STORE(an_operation_without_its_signature_is_named),
      cmocka_unit_test(of_many_wrong_records_the_first_is_named_whatever_the_threads),
      FOR_EVERY_STORE(an_operation_that_is_executed_twice_is_named),
      FOR_EVERY_STORE(a_log_file_is_the_log_and_a_cut_one_is_refused),
  };
  return crypto_init() ? RUN_TESTS(tests) : 1;
}
