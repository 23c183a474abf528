#include "torrent/layout.h"

#include "base/random.h"
#include "unit/test.h"

using namespace millet;

namespace {

PieceLayout make(uint32_t piece_size, const std::vector<uint64_t>& sizes) {
  Result<PieceLayout> layout = PieceLayout::make(piece_size, sizes);
  assert_true(layout.has_value());
  return *layout;
}

std::vector<FileExtent> walk(const PieceLayout& layout, uint32_t piece, uint32_t begin, uint32_t length) {
  std::vector<FileExtent> out;
  ExtentWalk extents = layout.extents(piece, begin, length);
  FileExtent extent;
  while (extents.next(extent)) out.push_back(extent);
  return out;
}

void sizes_that_overflow_are_refused(void**) {
  assert_false(PieceLayout::make(0, {1}).has_value());
  assert_false(PieceLayout::make(16384, {UINT64_MAX}).has_value());
  assert_false(PieceLayout::make(16384, {UINT64_MAX, 2}).has_value());
  assert_false(PieceLayout::make(16384, {uint64_t{1} << 62, 1}).has_value());
  assert_false(PieceLayout::make(1, {uint64_t{1} << 33}).has_value());
  assert_true(PieceLayout::make(UINT32_MAX, {uint64_t{1} << 62}).has_value());
}

void the_last_piece_and_block_are_shorter(void**) {
  PieceLayout layout = make(65536, {100'000});
  assert_int_equal(layout.piece_count(), 2);
  assert_int_equal(layout.piece_size(0), 65536);
  assert_int_equal(layout.piece_size(1), 34464);
  assert_int_equal(layout.block_count(0), 4);
  assert_int_equal(layout.block_count(1), 3);
  assert_int_equal(layout.block_size(1, 0), 16384);
  assert_int_equal(layout.block_size(1, 2), 34464 - 2 * 16384);
  assert_int_equal(make(65536, {131072}).piece_count(), 2);
  assert_int_equal(make(65536, {131072}).piece_size(1), 65536);
}

void no_bytes_make_no_pieces(void**) {
  assert_int_equal(make(16384, {}).piece_count(), 0);
  PieceLayout empty = make(16384, {0, 0});
  assert_int_equal(empty.piece_count(), 0);
  assert_int_equal(empty.file_count(), 2);
  assert_true(empty.pieces_of_file(1).empty());
  assert_false(empty.contains(0, 0, 0));
}

void a_range_beyond_the_piece_is_not_contained(void**) {
  PieceLayout layout = make(32768, {40'000});
  assert_true(layout.contains(0, 16384, 16384));
  assert_false(layout.contains(0, 16385, 16384));
  assert_false(layout.contains(1, 0, 7233));
  assert_true(layout.contains(1, 0, 7232));
  assert_false(layout.contains(2, 0, 1));
  assert_false(layout.contains(0, UINT32_MAX, UINT32_MAX));
  assert_false(layout.contains(0, 16384, UINT32_MAX - 16384 + 1));
}

void extents_cross_files_and_skip_empty_ones(void**) {
  PieceLayout layout = make(100, {30, 0, 50, 0, 0, 170});
  std::vector<FileExtent> whole = walk(layout, 0, 0, 100);
  std::vector<FileExtent> expected = {{0, 0, 30}, {2, 0, 50}, {5, 0, 20}};
  assert_true(whole == expected);
  expected = {{2, 49, 1}, {5, 0, 1}};
  assert_true(walk(layout, 0, 79, 2) == expected);
  expected = {{2, 0, 1}};
  assert_true(walk(layout, 0, 30, 1) == expected);
  expected = {{5, 120, 50}};
  assert_true(walk(layout, 2, 0, 50) == expected);
  assert_true(walk(layout, 1, 100, 0).empty());
}

// Every byte of random layouts is mapped exactly once and in order; pieces_of_file agrees with the extents.
void every_byte_is_mapped_once_and_in_order(void**) {
  Random random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<uint64_t> sizes(1 + random.below(12));
    for (uint64_t& size : sizes) size = random.below(3) == 0 ? 0 : random.below(400);
    PieceLayout layout = make(static_cast<uint32_t>(1 + random.below(200)), sizes);
    std::vector<uint64_t> seen(sizes.size());
    for (uint32_t piece = 0; piece < layout.piece_count(); ++piece) {
      uint32_t begin = 0;
      while (begin < layout.piece_size(piece)) {
        uint32_t length = static_cast<uint32_t>(1 + random.below(layout.piece_size(piece) - begin));
        uint32_t sum = 0;
        for (const FileExtent& extent : walk(layout, piece, begin, length)) {
          assert_int_equal(seen[extent.file], extent.offset);
          assert_true(extent.length > 0);
          seen[extent.file] += extent.length;
          sum += extent.length;
          PieceLayout::PieceRange range = layout.pieces_of_file(extent.file);
          assert_true(range.first <= piece && piece <= range.last);
        }
        assert_int_equal(sum, length);
        begin += length;
      }
    }
    for (size_t i = 0; i < sizes.size(); ++i) assert_int_equal(seen[i], sizes[i]);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(sizes_that_overflow_are_refused),
      cmocka_unit_test(the_last_piece_and_block_are_shorter),
      cmocka_unit_test(no_bytes_make_no_pieces),
      cmocka_unit_test(a_range_beyond_the_piece_is_not_contained),
      cmocka_unit_test(extents_cross_files_and_skip_empty_ones),
      cmocka_unit_test(every_byte_is_mapped_once_and_in_order),
  };
  return RUN_TESTS(tests);
}
