// SHA-1 by the processor's instructions and by mbedTLS must be the same function.
#include <vector>

#include "base/random.h"
#include "crypto/hash.h"
#include "hal/linux/cpu.h"
#include "unit/test.h"

using namespace millet;

namespace {

CpuFeatures none() { return {}; }

void expect_digest(Bytes message, const char* hex) {
  assert_string_equal(Sha1::of(message, none()).hex().c_str(), hex);
  assert_string_equal(Sha1::of(message, hal::detect_cpu()).hex().c_str(), hex);
}

// FIPS 180-4 example values.
void fips_vectors(void**) {
  expect_digest({}, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  expect_digest(as_bytes("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  expect_digest(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  expect_digest(
      as_bytes("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
      "a49b2446a02c645bf419f995b67091253a04a259");
  expect_digest(as_bytes(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

void every_length_gives_the_same_digest_both_ways(void**) {
  if (!hal::detect_cpu().sha1) skip();
  Random random(1);
  std::vector<uint8_t> data(1000);
  for (uint8_t& byte : data) byte = static_cast<uint8_t>(random.next());
  for (size_t size = 0; size < data.size(); ++size) {
    Bytes message = Bytes(data).first(size);
    assert_true(Sha1::of(message, none()) == Sha1::of(message, hal::detect_cpu()));
  }
}

// Odd offsets (unaligned loads) and odd cuts of one stream.
void cuts_and_alignment_do_not_matter(void**) {
  Random random(2);
  std::vector<uint8_t> data(70'000);
  for (uint8_t& byte : data) byte = static_cast<uint8_t>(random.next());
  for (int round = 0; round < 200; ++round) {
    size_t begin = static_cast<size_t>(random.below(64));
    Bytes message = Bytes(data).subspan(begin, static_cast<size_t>(random.below(data.size() - 64)));
    Sha1 hash(hal::detect_cpu());
    for (Bytes rest = message; !rest.empty();) {
      size_t take = static_cast<size_t>(1 + random.below(std::min<uint64_t>(rest.size(), 5000)));
      hash.update(rest.first(take));
      rest = rest.subspan(take);
    }
    assert_true(hash.finish() == Sha1::of(message, none()));
  }
}

// Two messages in step are each what they are alone, whatever their sizes and cuts.
void two_messages_in_step(void**) {
  Random random(3);
  std::vector<uint8_t> data(20'000);
  for (uint8_t& byte : data) byte = static_cast<uint8_t>(random.next());
  for (CpuFeatures cpu : {none(), hal::detect_cpu()}) {
    for (int round = 0; round < 200; ++round) {
      Bytes x = Bytes(data).subspan(static_cast<size_t>(random.below(64)), static_cast<size_t>(random.below(9'000)));
      Bytes y = Bytes(data).subspan(9'500 + static_cast<size_t>(random.below(64)), static_cast<size_t>(random.below(9'000)));
      Sha1 a(cpu);
      Sha1 b(cpu);
      for (Bytes x_rest = x, y_rest = y; !x_rest.empty() || !y_rest.empty();) {
        // Mostly whole blocks, as in pieces.
        size_t take = static_cast<size_t>(1 + random.below(40)) * 64 + (random.below(8) == 0 ? 1 : 0);
        Bytes x_part = x_rest.first(std::min(take, x_rest.size()));
        Bytes y_part = y_rest.first(std::min(take, y_rest.size()));
        Sha1::update_both(a, x_part, b, y_part);
        x_rest = x_rest.subspan(x_part.size());
        y_rest = y_rest.subspan(y_part.size());
      }
      assert_true(a.finish() == Sha1::of(x, none()));
      assert_true(b.finish() == Sha1::of(y, none()));
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(fips_vectors),
      cmocka_unit_test(every_length_gives_the_same_digest_both_ways),
      cmocka_unit_test(cuts_and_alignment_do_not_matter),
      cmocka_unit_test(two_messages_in_step),
  };
  return RUN_TESTS(tests);
}
