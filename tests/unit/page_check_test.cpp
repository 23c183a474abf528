// What LMDB would die of is found before LMDB sees it.
#include "store/lmdb/page_check.h"

#include "store/lmdb/lmdb_store.h"
#include "unit/temp_folder.h"
#include "unit/test.h"
#include "unit/text_file.h"

using namespace millet;

namespace {

constexpr size_t k_page = 4096;

// A store with what a state has: several tables, long values, pages that were freed.
struct Fixture {
  Fixture() {
    Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(folder.path());
    assert_true(store.has_value());
    for (uint8_t round = 0; round < 20; ++round) {
      StoreBatch batch;
      for (uint8_t i = 0; i < 120; ++i) batch.push_back({i % 2 == 0 ? "even" : "odd", {i, round}, std::vector<uint8_t>(60, i)});
      batch.push_back({"long", {round}, std::vector<uint8_t>(9'000 + round, round)});
      if (round > 5) batch.push_back({"even", {4, static_cast<uint8_t>(round - 5)}, std::nullopt});
      assert_true(commit_batch(**store, batch).has_value());
    }
    store->reset();
    bytes = read_text_file(file);
  }
  bool is_good(const std::string& changed) {
    write_text_file(file, changed);
    return check_lmdb_pages(file).has_value();
  }
  TempFolder folder{TempFolder::memory_base()};
  std::string file = folder / "data.mdb";
  std::string bytes;
};

void what_lmdb_has_written_is_good(void**) {
  Fixture f;
  assert_true(f.is_good(f.bytes));
  // It is the way in for every store, also for one without a table.
  TempFolder empty(TempFolder::memory_base());
  assert_true(LmdbStore::open(empty.path()).has_value());
  assert_true(check_lmdb_pages(empty / "data.mdb").has_value());
}

void pages_that_are_not_what_they_should_be_are_found(void**) {
  Fixture f;
  const size_t pages = f.bytes.size() / k_page;
  size_t zeros = 0, exchanged = 0;
  for (size_t page = 2; page < pages; ++page) {
    std::string changed = f.bytes;
    changed.replace(page * k_page, k_page, k_page, '\0');
    zeros += f.is_good(changed) ? 0 : 1;
    changed = f.bytes;
    changed.replace(page * k_page, k_page, f.bytes.substr((page == 2 ? 3 : 2) * k_page, k_page));
    exchanged += f.is_good(changed) ? 0 : 1;
  }
  // All but those that are free and those in the middle of long values.
  assert_in_range(zeros, 20, pages);
  assert_in_range(exchanged, 20, pages);
}

void what_is_cut_off_is_found(void**) {
  Fixture f;
  for (size_t size : {size_t{1}, k_page - 1, k_page, 2 * k_page, f.bytes.size() / 2, f.bytes.size() - k_page}) {
    assert_false(f.is_good(f.bytes.substr(0, size)));
  }
  Result<std::unique_ptr<LmdbStore>> refused = LmdbStore::open(f.folder.path());
  assert_false(refused.has_value());
  assert_non_null(strstr(refused.error().reason.c_str(), "is damaged"));
  assert_non_null(strstr(refused.error().reason.c_str(), "millet state import"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(what_lmdb_has_written_is_good),
      cmocka_unit_test(pages_that_are_not_what_they_should_be_are_found),
      cmocka_unit_test(what_is_cut_off_is_found),
  };
  return RUN_TESTS(tests);
}
