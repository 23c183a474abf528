// What only the PostgreSQL store has: several writers, a schema that grows, a server that goes away. The rules of store.h: store_test.
#include "unit/any_store.h"
#include "unit/ledger_world.h"
#include "unit/test.h"

#if defined(MILLET_POSTGRES_PROGRAMS)
#include "store/postgres/migrations.h"

using namespace millet;

namespace {

constexpr const char* k_table = "first";

Bytes b(const char* text) { return as_bytes(text); }

std::unique_ptr<PostgresStore> open_store(const std::string& conninfo, bool lock = true) {
  PostgresStore::Options options;
  options.writer_lock = lock;
  auto store = PostgresStore::open(conninfo, options);
  CHECK(store.has_value());
  return std::move(*store);
}

// Adds one to a number; a writer that comes too late does it again.
Status count_up(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> txn, store.begin_write());
  TRY_ASSIGN(std::optional<Bytes> value, txn->get(k_table, b("n")));
  uint64_t n = value ? load_be<uint64_t>(value->data()) : 0;
  std::array<uint8_t, 8> raw{};
  store_be<uint64_t>(raw.data(), n + 1);
  TRY(txn->put(k_table, b("n"), raw));
  return txn->commit();
}

uint64_t count_of(Store& store) {
  auto txn = store.begin_read();
  auto value = (*txn)->get(k_table, b("n"));
  return *value ? load_be<uint64_t>((*value)->data()) : 0;
}

void of_two_writers_that_meet_one_is_told_to_try_again(void**) {
  if (!has_postgres()) skip();
  std::string conninfo = fresh_postgres();
  auto one = open_store(conninfo, false), two = open_store(conninfo, false);
  assert_true(count_up(*one).has_value());
  auto late = two->begin_write();
  assert_true((*late)->get(k_table, b("n"))->has_value());
  assert_true(count_up(*one).has_value());
  assert_true((*late)->put(k_table, b("n"), b("12345678")).has_value());
  Status status = (*late)->commit();
  assert_false(status.has_value());
  assert_int_equal(status.error().code, Errc::conflict);
  late->reset();
  assert_int_equal(count_of(*two), 2);
  assert_true(count_up(*two).has_value());
  assert_int_equal(count_of(*one), 3);
}

// Each from a process of its own; with the lock there are no conflicts. Without it there are some if the processes run at the same time,
// which nobody promises.
void many_writers_lose_no_update(void**) {
  if (!has_postgres()) skip();
  constexpr int k_writers = 3, k_each = 40;
  for (bool lock : {true, false}) {
    std::string conninfo = fresh_postgres();
    open_store(conninfo);
    pid_t children[k_writers];
    for (pid_t& child : children) {
      child = fork();
      if (child != 0) continue;
      auto store = open_store(conninfo, lock);
      unsigned conflicts = 0;
      for (int done = 0; done < k_each;) {
        Status status = count_up(*store);
        if (!status && status.error().code != Errc::conflict) _exit(99);
        done += status ? 1 : 0;
        conflicts += status ? 0 : 1;
      }
      _exit(conflicts > 90 ? 90 : static_cast<int>(conflicts));
    }
    int conflicts = 0;
    bool good = true;
    for (pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      good = good && WIFEXITED(status) && WEXITSTATUS(status) <= 90;
      conflicts += WEXITSTATUS(status);
    }
    assert_true(good);
    auto store = open_store(conninfo);
    assert_int_equal(count_of(*store), k_writers * k_each);
    if (lock) assert_int_equal(conflicts, 0);
  }
}

// Two front ends in one thread, turn by turn: each believes the other's commits, and genesis happens once.
void two_ledgers_on_one_database_are_one(void**) {
  if (!has_postgres()) skip();
  std::string conninfo = fresh_postgres();
  auto one = open_store(conninfo, false), two = open_store(conninfo, false);
  SigningKey key = ledger_world::numbered_key(0);
  LedgerTime start = LedgerTime::from_seconds(1'700'000'000);
  auto first = LedgerState::open(*one, key, LedgerRules(), start), second = LedgerState::open(*two, key, LedgerRules(), start);
  assert_true(first.has_value() && second.has_value());
  assert_true((*first)->ledger() == (*second)->ledger());
  SigningKey pool = pool_key(key, 0), other = ledger_world::numbered_key(1);
  std::vector<OperationResult> results;
  LedgerBatch last;
  for (int i = 0; i < 20; ++i) {
    LedgerState& state = i % 2 == 0 ? **first : **second;
    TransferOperation op;
    op.statement = {state.ledger(), pool.public_key(), other.public_key(), Amount::micro(1), {}, start.plus_seconds(300), {}};
    op.statement.nonce[0] = static_cast<uint8_t>(i);
    last = LedgerBatch();
    last.items.emplace_back().operations.push_back({op, LedgerCode::done});
    BatchOutcome outcome = state.apply(last, start.plus_seconds(i % 2 == 0 ? 20 : 10));  // clocks that differ
    assert_true(outcome.status.has_value());
    assert_int_equal(outcome.time.in_seconds(), start.in_seconds() + 20);
    results.push_back(outcome.items[0].operations[0]);
    assert_int_equal(results.back().ledger_code(), LedgerCode::done);
    if (i > 0) assert_true(results[static_cast<size_t>(i)].record > results[static_cast<size_t>(i) - 1].record);
  }
  // What one has executed the other doesn't execute again.
  BatchOutcome again = (*first)->apply(last, start);
  assert_true(again.items[0].operations[0] == results.back());
  auto books = (*second)->check_books();
  assert_true(books.has_value());
}

void reading_in_order_sees_own_writes_and_everything_else_once(void**) {
  if (!has_postgres()) skip();
  auto store = open_store(fresh_postgres());
  auto key = [](uint32_t n) {
    std::vector<uint8_t> out(4);
    store_be<uint32_t>(out.data(), n);
    return out;
  };
  StoreBatch batch;
  for (uint32_t n = 0; n < 3000; n += 2) batch.push_back({k_table, key(n), key(n)});
  assert_true(commit_batch(*store, batch).has_value());
  auto txn = store->begin_write();
  for (uint32_t n = 0; n < 3000; n += 30) assert_true((*txn)->erase(k_table, key(n)).has_value());
  for (uint32_t n = 1; n < 3000; n += 100) assert_true((*txn)->put(k_table, key(n), key(n)).has_value());
  uint32_t seen = 0, expected = 0;
  bool good = true;
  std::vector<uint8_t> from;
  for (uint32_t n = 0; n < 3000; ++n) expected += (n % 2 == 0 && n % 30 != 0) || n % 100 == 1 ? 1 : 0;
  for (;;) {
    auto entry = (*txn)->seek(k_table, from);
    if (!*entry) break;
    uint32_t n = load_be<uint32_t>((*entry)->key.data());
    good = good && ((n % 2 == 0 && n % 30 != 0) || n % 100 == 1) && equal((*entry)->value, key(n));
    from.assign((*entry)->key.begin(), (*entry)->key.end());
    from.push_back(0);
    ++seen;
  }
  assert_true(good);
  assert_int_equal(seen, expected);
  // The end: what is there, what was written here, and what was erased here.
  assert_int_equal(load_be<uint32_t>((*(*txn)->last(k_table))->key.data()), 2998);
  assert_true((*txn)->erase(k_table, key(2998)).has_value());
  assert_int_equal(load_be<uint32_t>((*(*txn)->last(k_table))->key.data()), 2996);
  assert_true((*txn)->put(k_table, key(5000), key(0)).has_value());
  assert_int_equal(load_be<uint32_t>((*(*txn)->last(k_table))->key.data()), 5000);
}

void what_was_announced_is_read_as_any_other(void**) {
  if (!has_postgres()) skip();
  auto store = open_store(fresh_postgres());
  assert_true(
      commit_batch(*store, {{k_table, {'a'}, std::vector<uint8_t>{'1'}}, {"second", {'a'}, std::vector<uint8_t>{'2'}}}).has_value());
  auto txn = store->begin_write();
  assert_true((*txn)->put(k_table, b("c"), b("3")).has_value());
  assert_true((*txn)->prefetch({{k_table, {'a'}}, {"second", {'a'}}, {k_table, {'b'}}, {k_table, {'c'}}}).has_value());
  assert_true(as_text(**(*txn)->get(k_table, b("a"))) == "1");
  assert_true(as_text(**(*txn)->get("second", b("a"))) == "2");
  assert_true(as_text(**(*txn)->get(k_table, b("c"))) == "3");
  assert_false((*txn)->get(k_table, b("b"))->has_value());
  assert_true((*txn)->put(k_table, b("b"), b("4")).has_value());
  assert_true(as_text(**(*txn)->get(k_table, b("b"))) == "4");
}

void a_schema_is_brought_up_to_date_with_its_rows(void**) {
  if (!has_postgres()) skip();
  std::string conninfo = fresh_postgres();
  PostgresStore::Options old;
  old.schema = 1;
  {
    auto store = PostgresStore::open(conninfo, old);
    assert_true(store.has_value());
    assert_true(count_up(**store).has_value());
  }
  {
    auto store = open_store(conninfo);
    assert_int_equal(count_of(*store), 1);
    assert_true(count_up(*store).has_value());
  }
  auto refused = PostgresStore::open(conninfo, old);
  assert_false(refused.has_value());
  assert_int_equal(refused.error().code, Errc::unsupported);
  auto link = PgLink::connect(conninfo);
  assert_true(link.has_value());
  assert_int_equal(atoi((*link)->ask("SELECT version FROM millet_schema")->c_str()), newest_schema());
}

void a_server_that_restarts_is_found_again(void**) {
  if (!has_postgres()) skip();
  std::string conninfo = fresh_postgres();
  auto store = open_store(conninfo);
  assert_true(count_up(*store).has_value());
  auto cut = store->begin_write();
  assert_true((*cut)->put(k_table, b("n"), b("12345678")).has_value());
  postgres_server().kill_all();
  Status status = (*cut)->commit();
  assert_false(status.has_value());
  assert_int_equal(status.error().code, Errc::io);
  cut->reset();
  auto down = store->begin_write();
  assert_false(down.has_value());
  assert_int_equal(down.error().code, Errc::unavailable);
  postgres_server().start();
  assert_true(count_up(*store).has_value());
  assert_int_equal(count_of(*store), 2);
}

void a_server_that_loses_commits_is_refused(void**) {
  if (!has_postgres()) skip();
  std::string conninfo = fresh_postgres();
  postgres_server().set("fsync", "off");
  usleep(200'000);  // the reload is not at once
  auto refused = PostgresStore::open(conninfo);
  postgres_server().set("fsync", "on");
  usleep(200'000);
  assert_false(refused.has_value());
  assert_non_null(strstr(refused.error().reason.c_str(), "fsync"));
  assert_true(PostgresStore::open(conninfo).has_value());
  assert_false(PostgresStore::open("host=/nonexistent connect_timeout=2").has_value());
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(of_two_writers_that_meet_one_is_told_to_try_again),
      cmocka_unit_test(many_writers_lose_no_update),
      cmocka_unit_test(two_ledgers_on_one_database_are_one),
      cmocka_unit_test(reading_in_order_sees_own_writes_and_everything_else_once),
      cmocka_unit_test(what_was_announced_is_read_as_any_other),
      cmocka_unit_test(a_schema_is_brought_up_to_date_with_its_rows),
      cmocka_unit_test(a_server_that_restarts_is_found_again),
      cmocka_unit_test(a_server_that_loses_commits_is_refused),
  };
  return RUN_TESTS(tests);
}
#else
int main() {
  puts("built without PostgreSQL: skipped");
  return 0;
}
#endif
