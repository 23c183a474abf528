// torrent: the resume record, its bookkeeping, and what a restart hashes again.
#include "base/random.h"
#include "torrent/resume_record.h"
#include "torrent/resume_state.h"
#include "torrent/verify_plan.h"
#include "unit/test.h"

using namespace millet;

namespace {

// Files of 2.5, 0, 1.5 and 4 pieces: piece 2 lies in files 0 and 2.
constexpr uint32_t k_piece = 100;
PieceLayout layout() { return *PieceLayout::make(k_piece, {250, 0, 150, 400}); }

FileStates good_files() { return {FileState{250, 1}, FileState{0, 2}, FileState{150, 3}, FileState{400, 4}}; }

ResumeRecord complete_record() {
  ResumeRecord record;
  record.have = Bitfield(8);
  record.have.set_all();
  return record;
}

}  // namespace

static void resume_records_round_trip(void**) {
  ResumeRecord record;
  record.have = Bitfield(20);
  for (uint32_t piece : {1u, 7u, 19u}) record.have.set(piece);
  record.leased = {0, 5, 18};
  record.seed = true;
  record.counters = {1, 2, 3, 4, 5, 6, UINT64_MAX};
  std::vector<uint8_t> bytes = encode_resume(record);
  Result<ResumeRecord> back = decode_resume(bytes, 20);
  assert_true(back.has_value());
  assert_true(equal(back->have.wire(), record.have.wire()) && back->leased == record.leased && back->seed);
  assert_true(back->counters == record.counters);
  assert_false(decode_resume(bytes, 21).has_value());
  for (size_t size = 0; size < bytes.size(); ++size) assert_false(decode_resume(Bytes(bytes).first(size), 20).has_value());
}

static void resume_record_of_a_complete_torrent_is_small(void**) {
  ResumeRecord record;
  record.have = Bitfield(1'000'000);
  record.have.set_all();
  std::vector<uint8_t> bytes = encode_resume(record);
  assert_true(bytes.size() < 100);
  assert_true(decode_resume(bytes, 1'000'000)->have.all());
}

static void resume_record_refuses_what_contradicts_itself(void**) {
  ResumeRecord record;
  record.have = Bitfield(20);
  record.have.set(3);
  record.leased = {4, 5};
  std::vector<uint8_t> good = encode_resume(record);
  size_t lease = good.size() - 4;
  for (uint8_t bad : {3, 4, 20, 255}) {  // in have; not ascending; beyond the end
    std::vector<uint8_t> bytes = good;
    bytes[lease + 3] = bad;
    assert_false(decode_resume(bytes, 20).has_value());
  }
  std::vector<uint8_t> version = good;
  version[0] = 2;
  assert_false(decode_resume(version, 20).has_value());
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> bytes = good;
    bytes[random.below(bytes.size())] = static_cast<uint8_t>(random.below(256));
    (void)decode_resume(bytes, 20);
  }
}

static void file_records_round_trip_in_groups(void**) {
  FileStates files(300);
  for (size_t i = 0; i < files.size(); ++i) {
    if (i % 3 != 0) files[i] = FileState{i * 7, -static_cast<int64_t>(i)};
  }
  assert_int_equal(file_record_count(files.size()), 3);
  FileStates back(300);
  for (uint32_t i = 0; i < 3; ++i) assert_true(decode_files(encode_files(files, i), i, back).has_value());
  assert_true(back == files);
  assert_false(decode_files(encode_files(files, 0), 2, back).has_value());
}

static void only_synced_pieces_reach_the_record(void**) {
  ResumeState state(Bitfield(8));
  ResumeRecord record;
  state.lease(1);
  state.lease(2);
  state.verified(1);
  state.fill(record);
  assert_true(record.have.none() && record.leased == std::vector<uint32_t>({1, 2}));
  state.begin_sync();
  state.verified(2);  // after the sync began: not part of it
  state.on_synced();
  state.fill(record);
  assert_true(record.have.count() == 1 && record.have.test(1) && record.leased == std::vector<uint32_t>({2}));
  assert_true(state.needs_sync());
  state.begin_sync();
  state.on_sync_failed();
  state.fill(record);
  assert_true(record.leased == std::vector<uint32_t>({2}) && state.needs_sync());
}

static void a_clean_stop_leaves_no_lease(void**) {
  ResumeState state(Bitfield(8));
  for (uint32_t piece : {1u, 2u, 3u}) state.lease(piece);
  state.verified(1);
  state.begin_sync();
  state.on_synced();
  state.drop_idle_leases();
  ResumeRecord record;
  state.fill(record);
  assert_true(record.leased.empty() && record.have.count() == 1);
}

static void a_new_torrent_checks_what_exists(void**) {
  ResumePlan plan = plan_resume(layout(), nullptr, {}, good_files());
  assert_true(plan.have.none() && plan.check.all());
  FileStates files = good_files();
  files[2].reset();      // pieces 2 and 3
  files[3]->size = 250;  // pieces 4 and 5 are whole, 6 and 7 are not
  plan = plan_resume(layout(), nullptr, {}, files);
  for (uint32_t piece = 0; piece < 8; ++piece) assert_int_equal(plan.check.test(piece), piece < 2 || piece == 4 || piece == 5);
}

static void an_unchanged_torrent_checks_nothing(void**) {
  ResumeRecord record = complete_record();
  ResumePlan plan = plan_resume(layout(), &record, good_files(), good_files());
  assert_true(plan.have.all() && plan.check.none() && plan.changed_files.empty());
}

static void a_changed_file_is_checked_and_no_other(void**) {
  ResumeRecord record = complete_record();
  FileStates files = good_files();
  files[2]->modified_ns = 99;
  ResumePlan plan = plan_resume(layout(), &record, good_files(), files);
  for (uint32_t piece = 0; piece < 8; ++piece) {
    assert_int_equal(plan.check.test(piece), piece == 2 || piece == 3);
    assert_int_equal(plan.have.test(piece), piece != 2 && piece != 3);
  }
  assert_true(plan.changed_files == std::vector<uint32_t>({2}));
}

static void a_missing_or_short_file_is_neither_served_nor_checked(void**) {
  ResumeRecord record = complete_record();
  FileStates files = good_files();
  files[3].reset();
  ResumePlan plan = plan_resume(layout(), &record, good_files(), files);
  assert_true(plan.check.none() && plan.have.count() == 4 && plan.changed_files == std::vector<uint32_t>({3}));
  files = good_files();
  files[0]->size = 150;
  plan = plan_resume(layout(), &record, good_files(), files);
  assert_true(plan.check.count() == 1 && plan.check.test(0));
  assert_true(!plan.have.test(1) && !plan.have.test(2) && plan.have.test(3));
}

static void after_a_crash_only_leased_pieces_are_checked(void**) {
  ResumeRecord record = complete_record();
  record.have.clear(5);
  record.leased = {5};
  FileStates files = good_files();
  files[3] = FileState{350, 77};  // the download was writing into it
  ResumePlan plan = plan_resume(layout(), &record, good_files(), files);
  assert_true(plan.have.count() == 7 && plan.changed_files.empty());
  assert_true(plan.check.count() == 1 && plan.check.test(5));
  // Another file changed too, and that was not us.
  files[0]->modified_ns = 5;
  plan = plan_resume(layout(), &record, good_files(), files);
  assert_true(plan.check.count() == 4 && plan.changed_files == std::vector<uint32_t>({0}));
  // The file that was being written is gone.
  files = good_files();
  files[3].reset();
  plan = plan_resume(layout(), &record, good_files(), files);
  assert_true(plan.have.count() == 4 && plan.check.none());
}

static void verify_walk_hands_out_each_piece_once(void**) {
  Bitfield check(10);
  for (uint32_t piece : {0u, 4u, 9u}) check.set(piece);
  VerifyWalk walk(check);
  uint32_t piece = 0;
  std::vector<uint32_t> got;
  while (walk.next(piece)) got.push_back(piece);
  assert_true(got == std::vector<uint32_t>({0, 4, 9}));
  for (int i = 0; i < 3; ++i) {
    assert_false(walk.done());
    walk.on_checked();
  }
  assert_true(walk.done());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(resume_records_round_trip),
      cmocka_unit_test(resume_record_of_a_complete_torrent_is_small),
      cmocka_unit_test(resume_record_refuses_what_contradicts_itself),
      cmocka_unit_test(file_records_round_trip_in_groups),
      cmocka_unit_test(only_synced_pieces_reach_the_record),
      cmocka_unit_test(a_clean_stop_leaves_no_lease),
      cmocka_unit_test(a_new_torrent_checks_what_exists),
      cmocka_unit_test(an_unchanged_torrent_checks_nothing),
      cmocka_unit_test(a_changed_file_is_checked_and_no_other),
      cmocka_unit_test(a_missing_or_short_file_is_neither_served_nor_checked),
      cmocka_unit_test(after_a_crash_only_leased_pieces_are_checked),
      cmocka_unit_test(verify_walk_hands_out_each_piece_once),
  };
  return RUN_TESTS(tests);
}
