// The witness file of the ledger: what it has seen is there, or the ledger is not served.
#include "driver/witness_file.h"

#include <filesystem>

#include "unit/ledger_world.h"
#include "unit/test.h"
#include "unit/text_file.h"

using namespace millet;
using namespace ledger_world;

namespace {

const Errc k_good = static_cast<Errc>(255);

WitnessFile witness_of(const World& world, const std::string& path) { return {path, world.id(), world.ledger_key().public_key()}; }
// The newest tree head, as batches give it.
SignedTreeHead head_of(World& world) {
  world.ask(PublicKey(), ParamsQuery{});
  return world.last.tree;
}
std::string bytes_of(const std::string& path) { return read_text_file(path); }

Errc checked(const World& world, Store& store, const std::string& path) {
  Status status = witness_of(world, path).check(store);
  return status ? k_good : status.error().code;
}

void a_log_that_has_grown_is_served(void**) {
  TempFolder folder;
  World world;
  std::string path = folder / "witness";
  assert_int_equal(checked(world, world.store(), path), Errc::not_found);  // nothing is known yet
  WitnessFile witness = witness_of(world, path);
  assert_true(witness.note(head_of(world), true).has_value());
  assert_int_equal(checked(world, world.store(), path), k_good);
  for (uint32_t i = 1; i < 40; ++i) {
    world.funded(i, 10);
    if (i % 3 == 0) assert_true(witness.note(head_of(world), i % 2 == 0).has_value());
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
  assert_true(witness_of(world, path).note(head_of(world), true).has_value());
  assert_int_equal(checked(world, copy, path), Errc::conflict);
  Status shorter = witness_of(world, path).check(copy);
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
  Status split = witness_of(world, path).check(copy);
  assert_false(split.has_value());
  assert_non_null(strstr(split.error().reason.c_str(), "other records"));
  assert_int_equal(checked(world, world.store(), path), k_good);
}

void a_witness_that_can_not_be_read_or_is_anothers_is_named(void**) {
  TempFolder folder;
  World world;
  std::string path = folder / "witness";
  HeadText good{world.id(), head_of(world)}, forged = good;
  forged.head.size = 77;
  for (const std::string& text : {std::string(), std::string("millet-ledger-head 1"), std::string("something else\n"),
                                  write_head_text(good).substr(0, 250), write_head_text(good) + " 1", write_head_text(forged)}) {
    write_text_file(path, text);
    assert_int_equal(checked(world, world.store(), path), Errc::bad_input);
  }
  write_text_file(path, write_head_text(good));  // as somebody kept it
  assert_int_equal(checked(world, world.store(), path), k_good);
  LedgerId other = world.id();
  other.raw[0] ^= 1;
  assert_true(WitnessFile(path, other, world.ledger_key().public_key()).note(good.head, true).has_value());
  assert_int_equal(checked(world, world.store(), path), Errc::conflict);
  assert_false(witness_of(world, folder / "none/witness").note(good.head, true).has_value());
}

// Every head is there at once; what was written before is still there when a sector is lost.
void each_head_is_written_at_once_and_one_sector_is_always_whole(void**) {
  TempFolder folder;
  World world;
  std::string path = folder / "witness", older;
  WitnessFile witness = witness_of(world, path);
  for (uint32_t i = 0; i < 6; ++i) {
    world.funded(i + 1, 10);
    SignedTreeHead head = head_of(world);
    assert_true(witness.note(head, false).has_value());
    std::string text = bytes_of(path);
    assert_int_equal(text.size(), 1024);
    // The newest one is in one of the sectors, the one before in the other.
    std::string newest = write_head_text({world.id(), head});
    assert_true(text.find(newest) != std::string::npos);
    assert_true(older.empty() || text.find(older) != std::string::npos);
    older = newest;
    for (size_t sector = 0; sector < 2 && i > 0; ++sector) {
      std::string torn = text;
      torn.replace(sector * 512, 512, std::string(512, '\xff'));
      std::string copy = folder / "copy";
      write_text_file(copy, torn);
      assert_int_equal(checked(world, world.store(), copy), k_good);
    }
  }
  // Somebody moves it away: the next one that goes to the disk makes it again.
  std::filesystem::remove(path);
  assert_true(witness.note(world.last.tree, true).has_value());
  assert_int_equal(checked(world, world.store(), path), k_good);
}

// A backup of the last record is the newest log, though the ledger has noted later times since.
void a_copy_that_lacks_only_time_is_served(void**) {
  TempFolder folder;
  World world;
  world.tick();
  SignedTreeHead later = world.last.tree;
  later.time = later.time.plus_seconds(7);
  later.signature = world.ledger_key().sign(preimage(later.statement(world.id())));
  std::string path = folder / "witness";
  assert_true(witness_of(world, path).note(later, true).has_value());
  assert_int_equal(checked(world, world.store(), path), k_good);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_log_that_has_grown_is_served),
      cmocka_unit_test(an_old_copy_is_refused_and_so_is_another_history),
      cmocka_unit_test(a_witness_that_can_not_be_read_or_is_anothers_is_named),
      cmocka_unit_test(each_head_is_written_at_once_and_one_sector_is_always_whole),
      cmocka_unit_test(a_copy_that_lacks_only_time_is_served),
  };
  return RUN_TESTS(tests);
}
