// A ledger made again from its exported log: through stores of every kind and files in between it stays the same to the byte.
#include "apps/import_file.h"

#include <filesystem>

#include "apps/audit_command.h"
#include "apps/log_source.h"
#include "ledger/server/import.h"
#include "unit/ledger_cheat.h"
#include "unit/test.h"
#include "unit/text_file.h"

using namespace millet;
using namespace ledger_world;

namespace {

// Some of everything that a log can hold, with times between its records at which only time was noted.
void live(World& world, int rounds = 40) {
  SigningKey a = world.funded(1, 1'000'000), b = world.funded(2, 1'000);
  for (int round = 0; round < rounds; ++round) {
    OpenOperation one = world.open(a, b.public_key(), 100, 700), other = world.open(b, a.public_key(), 50, 700);
    std::vector<Operation> together = {one, other, world.claim(one.statement, a, b, 30)};
    world.apply(together);
    world.apply(world.claim(one.statement, a, b, 60));
    if (round % 2 == 0) world.apply(world.close(one.statement, a, b, 40));
    world.apply(world.transfer(a, b.public_key(), 5));
    SigningKey granted = numbered_key(static_cast<uint32_t>(50 + round));
    world.apply(world.faucet(granted));
    if (round % 3 == 0) world.apply(world.open(granted, b.public_key(), 700'000, 900));
    if (round < rounds - 3) pass(world, 800);  // channels expire, but for those of the last rounds
    if (round == 3 || round == 20) CHECK(world.restart(300).has_value());
  }
  world.now_s += 40;
  world.tick();
}

bool write_log(Store& store, const SigningKey& key, const std::string& path) {
  auto transaction = store.begin_read();
  auto row = read_row<LedgerRow>(**transaction, k_table_ledger, as_bytes(k_ledger_row_key));
  StoreLogSource log(**transaction, (*row)->records);
  auto genesis = decode_record(**(*transaction)->get(k_table_log, log_key(0)));
  SignedTreeHead head{(*row)->records, (*row)->root, (*row)->time, {}};
  head.signature = key.sign(preimage(head.statement(LedgerId{genesis->head.operation.raw})));
  return write_log_file(path, key.public_key(), head, log).has_value();
}

// All rows but those of operations that are being forgotten: when that happens is no part of what the ledger says.
std::string rows_of(Store& store) {
  std::string out;
  auto transaction = store.begin_read();
  for (const char* table :
       {k_table_ledger, k_table_accounts, k_table_channels, k_table_expiry, k_table_closed, k_table_pools, k_table_log, k_table_tree}) {
    out += std::string("\n") + table;
    std::vector<uint8_t> from;
    for (;;) {
      auto entry = (*transaction)->seek(table, from);
      if (!*entry) break;
      from.assign((*entry)->key.begin(), (*entry)->key.end());
      out += "\n" + to_hex((*entry)->key) + " " + to_hex((*entry)->value);
      from.push_back(0);
    }
  }
  return out;
}

std::string file_of(const std::string& path) { return read_text_file(path); }

// LMDB, a file, PostgreSQL, a file, LMDB again (memory where PostgreSQL is not installed).
void a_ledger_goes_through_files_and_stores_and_stays_the_same(void**) {
  TempFolder folder(TempFolder::memory_base());
  std::string first = folder / "first", second = folder / "second", third = folder / "third";
  LedgerRules rules = World::easy_rules();
  rules.faucet_spend_only_s = 20'000;
  World world(StoreKind::lmdb, rules);
  live(world);
  const std::string rows = rows_of(world.store());
  assert_true(write_log(world.store(), world.ledger_key(), first));
  AnyStore server(has_postgres() ? StoreKind::postgres : StoreKind::memory), again(StoreKind::lmdb, TempFolder::memory_base());
  assert_true(audit_log_file(first).has_value());
  assert_true(import_log_file(first, server.store(), rules).has_value());
  assert_true(rows_of(server.store()) == rows);
  assert_true(write_log(server.store(), world.ledger_key(), second));
  assert_true(import_log_file(second, again.store(), rules).has_value());
  again.restart();
  assert_true(rows_of(again.store()) == rows);
  assert_true(write_log(again.store(), world.ledger_key(), third));
  assert_true(file_of(first) == file_of(second) && file_of(second) == file_of(third));
  // It is served: same head, same balances, a repetition is one, and it goes on.
  auto state = LedgerState::open(again.store(), world.ledger_key(), rules, world.now());
  assert_true(state.has_value());
  assert_true((*state)->opened_tree() == world.last.tree);
  auto books = (*state)->check_books(), before = world.state().check_books();
  assert_true(books->available == before->available && books->in_channels == before->in_channels);
  assert_true(books->open_channels == before->open_channels && books->open_channels > 2);
}

// What was executed may still be repeated, and is recognised by the imported ledger, too.
void a_repetition_is_recognised_after_an_import(void**) {
  TempFolder folder(TempFolder::memory_base());
  World world;
  SigningKey a = world.funded(1, 1000);
  TransferOperation transfer = world.transfer(a, numbered_key(2).public_key(), 10);
  OperationResult done = world.apply(transfer);
  std::string path = folder / "log";
  assert_true(write_log(world.store(), world.ledger_key(), path));
  MemoryStore store;
  assert_true(import_log_file(path, store, World::easy_rules()).has_value());
  auto state = LedgerState::open(store, world.ledger_key(), World::easy_rules(), world.now());
  LedgerBatch batch;
  batch.items.emplace_back().operations.push_back({transfer, LedgerCode::done});
  BatchOutcome again = (*state)->apply(batch, world.now());
  assert_true(again.items[0].operations[0] == done);
}

// Limits that the operator has changed since do not matter.
void a_log_of_other_limits_is_imported(void**) {
  TempFolder folder(TempFolder::memory_base());
  World world;
  live(world);
  std::string path = folder / "log";
  assert_true(write_log(world.store(), world.ledger_key(), path));
  LedgerRules strict = World::easy_rules();
  strict.capacity_min = Amount::micro(1'000'000);
  strict.channels_max = 1;
  strict.faucet_grant = Amount();
  strict.faucet_spend_only_s = 1'000'000;
  MemoryStore store;
  assert_true(import_log_file(path, store, strict).has_value());
  auto state = LedgerState::open(store, world.ledger_key(), strict, world.now());
  assert_true(state.has_value() && (*state)->check_books().has_value());
}

// Whatever bit of the file is turned, and wherever it ends: the audit before the import says so, and names the file or the record.
void a_damaged_or_foreign_file_is_refused(void**) {
  TempFolder folder(TempFolder::memory_base());
  std::string path = folder / "log", changed = folder / "changed";
  World world;
  world.funded(1, 1000);
  for (int i = 0; i < 20; ++i) world.apply(world.transfer(numbered_key(1), numbered_key(2).public_key(), 1));
  assert_true(write_log(world.store(), world.ledger_key(), path));
  const std::string good = file_of(path);
  Random random(4);
  bool refused = true;
  auto is_refused = [&](const std::string& bytes) {
    write_text_file(changed, bytes);
    auto audited = audit_log_file(changed);
    return !audited && !audited.error().reason.empty();
  };
  for (int round = 0; round < 150; ++round) {
    std::string bytes = good;
    size_t at = random.below(bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
    refused = refused && is_refused(bytes) && is_refused(good.substr(0, random.below(good.size())));
  }
  assert_true(refused);
  assert_true(is_refused(good + "x") && is_refused("") && is_refused(std::string(5000, 'x')));
  // Another ledger signed it all: its own audit passes, whoever imports it compares the key.
  assert_true(audit_log_file(path)->key == world.ledger_key().public_key());
}

// Without the audit before it the import still takes no record that its rules would not make.
void a_record_that_the_rules_do_not_make_is_refused(void**) {
  TempFolder folder(TempFolder::memory_base());
  for (int kind = 0; kind < 3; ++kind) {
    World world;
    SigningKey a = world.funded(1, 1000), b = world.funded(2, 10);
    uint64_t record = world.apply(world.transfer(a, b.public_key(), 50)).record;
    world.apply(world.transfer(a, b.public_key(), 1));
    doctor(world, record, [&](LogRecord& doctored) {
      if (kind == 0) doctored.touched[1].balance = Amount::micro(61);
      if (kind == 1) doctored.head.paid = Amount::micro(51);
      if (kind == 2) doctored.head.time = LedgerTime::from_seconds(doctored.head.time.in_seconds() - 1);
    });
    std::string path = folder / ("log" + std::to_string(kind));
    assert_true(write_log(world.store(), world.ledger_key(), path));
    MemoryStore store;
    Status imported = import_log_file(path, store, World::easy_rules());
    assert_false(imported.has_value());
    assert_int_equal(imported.error().code, Errc::conflict);
    assert_non_null(strstr(imported.error().reason.c_str(), ("record " + std::to_string(record)).c_str()));
    auto row = (*store.begin_read())->get(k_table_ledger, as_bytes(k_ledger_row_key));
    assert_true(row.has_value() && !row->has_value());  // no ledger
  }
}

void an_import_goes_into_an_empty_store_only(void**) {
  TempFolder folder(TempFolder::memory_base());
  World world;
  live(world, 80);
  std::string path = folder / "log";
  assert_true(write_log(world.store(), world.ledger_key(), path));
  Status over = import_log_file(path, world.store(), World::easy_rules());
  assert_false(over.has_value());
  assert_int_equal(over.error().code, Errc::conflict);
  // Power is cut in the middle: what is there is no ledger, and no new one is made over it.
  MemoryStore store;
  {
    auto log = FileLogSource::open(path);
    LogImport import(store, World::easy_rules());
    std::vector<uint8_t> record;
    for (int i = 0; i < 540; ++i) assert_true((*log)->next(record).value() && import.add(record).has_value());
  }
  assert_true(store.commit_count() > 0);
  auto opened = LedgerState::open(store, world.ledger_key(), World::easy_rules(), world.now());
  assert_false(opened.has_value());
  assert_non_null(strstr(opened.error().reason.c_str(), "not finished"));
  assert_int_equal(import_log_file(path, store, World::easy_rules()).error().code, Errc::conflict);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_ledger_goes_through_files_and_stores_and_stays_the_same),
      cmocka_unit_test(a_repetition_is_recognised_after_an_import),
      cmocka_unit_test(a_log_of_other_limits_is_imported),
      cmocka_unit_test(a_damaged_or_foreign_file_is_refused),
      cmocka_unit_test(a_record_that_the_rules_do_not_make_is_refused),
      cmocka_unit_test(an_import_goes_into_an_empty_store_only),
  };
  return crypto_init() ? RUN_TESTS(tests) : 1;
}
