// The witness file of the ledger: what it has seen is there, or the ledger is not served.
#include "driver/witness_file.h"

#include <filesystem>
#include <fstream>

#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

const Errc k_good = static_cast<Errc>(255);

Errc checked(const World& world, Store& store, const std::string& path) {
  Status status = WitnessFile(path, world.id()).check(store);
  return status ? k_good : status.error().code;
}

void a_log_that_has_grown_is_served(void**) {
  TempFolder folder;
  World world;
  std::string path = folder / "witness";
  assert_int_equal(checked(world, world.store(), path), k_good);  // nothing is known yet
  WitnessFile witness(path, world.id());
  assert_true(witness.note(world.store()).has_value());
  assert_int_equal(checked(world, world.store(), path), k_good);
  for (uint32_t i = 1; i < 40; ++i) {
    world.funded(i, 10);
    if (i % 7 == 0) assert_true(witness.note(world.store()).has_value());
    assert_int_equal(checked(world, world.store(), path), k_good);
  }
  assert_false(std::filesystem::exists(path + ".new"));
}

void an_old_copy_is_refused_and_so_is_another_history(void**) {
  TempFolder folder;
  World world;
  world.funded(1, 10);
  // An old copy: the same ledger on a store that has stopped here.
  MemoryStore copy;
  {
    StoreBatch rows;
    auto txn = world.store().begin_read();
    for (const char* table : {k_table_ledger, k_table_accounts, k_table_channels, k_table_expiry, k_table_closed, k_table_executed,
                              k_table_log, k_table_tree}) {
      std::vector<uint8_t> from;
      for (;;) {
        auto entry = (*txn)->seek(table, from);
        if (!*entry) break;
        from.assign((*entry)->key.begin(), (*entry)->key.end());
        rows.push_back({table, from, std::vector<uint8_t>((*entry)->value.begin(), (*entry)->value.end())});
        from.push_back(0);
      }
    }
    txn->reset();
    assert_true(commit_batch(copy, rows).has_value());
  }
  std::string path = folder / "witness";
  world.funded(2, 10);
  world.funded(3, 10);
  assert_true(WitnessFile(path, world.id()).note(world.store()).has_value());
  assert_int_equal(checked(world, copy, path), Errc::conflict);
  Status shorter = WitnessFile(path, world.id()).check(copy);
  assert_non_null(strstr(shorter.error().reason.c_str(), path.c_str()));
  assert_non_null(strstr(shorter.error().reason.c_str(), "old copy"));
  // It goes on, until it is longer.
  auto other = LedgerState::open(copy, world.ledger_key(), World::easy_rules(), world.now());
  assert_true(other.has_value());
  for (uint8_t i = 0; i < 6; ++i) {
    TransferOperation op = world.transfer(pool_key(world.ledger_key(), 0), numbered_key(50).public_key(), 5);
    LedgerBatch batch;
    batch.items.emplace_back().operations.push_back({op, LedgerCode::done});
    assert_true((*other)->apply(batch, world.now()).status.has_value());
  }
  Status split = WitnessFile(path, world.id()).check(copy);
  assert_false(split.has_value());
  assert_non_null(strstr(split.error().reason.c_str(), "other records"));
  assert_int_equal(checked(world, world.store(), path), k_good);
}

void a_witness_that_can_not_be_read_or_is_anothers_is_named(void**) {
  TempFolder folder;
  World world;
  std::string path = folder / "witness";
  for (const char* text : {"", "millet-ledger-witness 1", "millet-ledger-witness 1 00 7 00\n", "something else\n"}) {
    std::ofstream(path, std::ios::trunc) << text;
    assert_int_equal(checked(world, world.store(), path), Errc::bad_input);
  }
  LedgerId other = world.id();
  other.raw[0] ^= 1;
  assert_true(WitnessFile(path, other).note(world.store()).has_value());
  assert_int_equal(checked(world, world.store(), path), Errc::conflict);
  assert_false(WitnessFile(folder / "none/witness", world.id()).note(world.store()).has_value());
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_log_that_has_grown_is_served),
      cmocka_unit_test(an_old_copy_is_refused_and_so_is_another_history),
      cmocka_unit_test(a_witness_that_can_not_be_read_or_is_anothers_is_named),
  };
  return RUN_TESTS(tests);
}
