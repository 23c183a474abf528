// What a uTP stream was offered can be had again, any range of it, until it is trimmed.
#include "driver/utp_journal.h"

#include "base/random.h"
#include "unit/test.h"

using namespace millet;

namespace {

uint8_t block_byte(uint32_t piece, uint32_t at) { return static_cast<uint8_t>(piece * 131 + at * 7 + (at >> 8)); }

// The stream as it is on the wire, beside the journal.
struct Stream {
  UtpJournal journal;
  std::vector<uint8_t> bytes;
  uint32_t items = 0;

  void add(Bytes head, uint32_t block_length) {
    ++items;
    std::optional<BlockRef> block;
    bytes.insert(bytes.end(), head.begin(), head.end());
    if (block_length != 0) {
      block = BlockRef{1, items, items * 16, block_length};
      for (uint32_t i = 0; i < block_length; ++i) bytes.push_back(block_byte(items, items * 16 + i));
    }
    journal.add(head, block);
  }
  bool same(uint64_t offset, size_t size, size_t* reads = nullptr) const {
    std::vector<uint8_t> out(size);
    std::vector<BlockRef> blocks;
    std::vector<MutBytes> places;
    journal.gather(offset, out, blocks, places);
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (places[i].size() != blocks[i].length) return false;
      for (uint32_t j = 0; j < blocks[i].length; ++j) places[i][j] = block_byte(blocks[i].piece, blocks[i].begin + j);
    }
    if (reads != nullptr) *reads = blocks.size();
    return equal(out, Bytes(bytes).subspan(static_cast<size_t>(offset), size));
  }
};

void every_range_is_what_was_offered(void**) {
  Random random(1);
  Stream stream;
  uint64_t trimmed = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint8_t> head(random.below(3) == 0 ? 0 : 1 + random.below(40));
    for (uint8_t& byte : head) byte = static_cast<uint8_t>(random.next());
    uint32_t block = head.empty() || random.below(2) == 0 ? 1 + static_cast<uint32_t>(random.below(200)) : 0;
    stream.add(head, block);
    assert_int_equal(stream.journal.end(), stream.bytes.size());
    uint64_t left = stream.bytes.size() - trimmed;
    uint64_t offset = trimmed + random.below(left);
    assert_true(stream.same(offset, 1 + static_cast<size_t>(random.below(stream.bytes.size() - offset))));
    if (random.below(3) != 0) continue;
    trimmed += random.below(std::min<uint64_t>(left, 600) + 1);
    stream.journal.trim(trimmed);
  }
  stream.journal.trim(stream.bytes.size());
  assert_false(stream.journal.has_blocks());
}

void a_packet_within_a_block_is_one_read(void**) {
  Stream stream;
  std::vector<uint8_t> head(13, 1);
  stream.add(head, 16384);
  stream.add(head, 16384);
  size_t reads = 0;
  assert_true(stream.same(2000, 1400, &reads));
  assert_int_equal(reads, 1);
  assert_true(stream.same(16000, 1400, &reads));
  assert_int_equal(reads, 2);
  assert_true(stream.same(0, 13, &reads));
  assert_int_equal(reads, 0);
}

void blocks_count_until_they_are_acknowledged(void**) {
  Stream stream;
  std::vector<uint8_t> head(5, 1);
  stream.add(head, 0);
  assert_false(stream.journal.has_blocks());
  stream.add(head, 100);
  stream.add(head, 0);
  assert_true(stream.journal.has_blocks());
  stream.journal.trim(109);
  assert_true(stream.journal.has_blocks());
  assert_true(stream.same(109, 6));
  stream.journal.trim(110);
  assert_false(stream.journal.has_blocks());
  assert_true(stream.same(110, 5));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(every_range_is_what_was_offered),
      cmocka_unit_test(a_packet_within_a_block_is_one_read),
      cmocka_unit_test(blocks_count_until_they_are_acknowledged),
  };
  return RUN_TESTS(tests);
}
