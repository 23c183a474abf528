#include "crypto/sha1_blocks.h"

// SHA-1 (FIPS 180-4, section 6.1.2) four rounds at a time. Both instruction sets cut it the same way: group g of 20 uses message words
// 4g .. 4g+3; from group 4 on they come from the four vectors before. The loops over groups are templates, because the round function is
// an immediate operand, and so that everything stays in registers.

#if defined(__x86_64__) || defined(__i386__)

#include <immintrin.h>

#include <utility>

#define MILLET_SHA1_TARGET __attribute__((target("sha,sse4.1"), always_inline)) inline

namespace millet {
namespace {

struct State {
  __m128i abcd;
  __m128i e;
  __m128i w[4];
};

template <int Group>
MILLET_SHA1_TARGET void four_rounds(State& s, const uint8_t* block, __m128i byte_order) {
  __m128i& w = s.w[Group % 4];
  if constexpr (Group < 4) {
    w = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * Group)), byte_order);
  } else {
    __m128i mixed = _mm_xor_si128(_mm_sha1msg1_epu32(w, s.w[(Group + 1) % 4]), s.w[(Group + 2) % 4]);
    w = _mm_sha1msg2_epu32(mixed, s.w[(Group + 3) % 4]);
  }
  __m128i e = Group == 0 ? _mm_add_epi32(s.e, w) : _mm_sha1nexte_epu32(s.e, w);
  s.e = s.abcd;
  s.abcd = _mm_sha1rnds4_epu32(s.abcd, e, Group / 5);
}

template <int... Group>
MILLET_SHA1_TARGET void all_rounds(State& s, const uint8_t* block, __m128i byte_order, std::integer_sequence<int, Group...>) {
  (four_rounds<Group>(s, block, byte_order), ...);
}

// The instructions keep a in the highest word.
MILLET_SHA1_TARGET State load(const uint32_t state[5]) {
  State s;
  s.abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0x1b);
  s.e = _mm_set_epi32(static_cast<int>(state[4]), 0, 0, 0);
  return s;
}

MILLET_SHA1_TARGET void add(State& s, const State& before) {
  s.e = _mm_sha1nexte_epu32(s.e, before.e);
  s.abcd = _mm_add_epi32(s.abcd, before.abcd);
}

MILLET_SHA1_TARGET void store(const State& s, uint32_t state[5]) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_shuffle_epi32(s.abcd, 0x1b));
  state[4] = static_cast<uint32_t>(_mm_extract_epi32(s.e, 3));
}

__attribute__((target("sha,sse4.1"))) void compress(uint32_t state[5], const uint8_t* data, size_t count) {
  const __m128i byte_order = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  State s = load(state);
  for (; count != 0; --count, data += 64) {
    State before = s;
    all_rounds(s, data, byte_order, std::make_integer_sequence<int, 20>());
    add(s, before);
  }
  store(s, state);
}

template <int... Group>
MILLET_SHA1_TARGET void all_rounds(State& s, const uint8_t* s_block, State& t, const uint8_t* t_block, __m128i byte_order,
                                   std::integer_sequence<int, Group...>) {
  ((four_rounds<Group>(s, s_block, byte_order), four_rounds<Group>(t, t_block, byte_order)), ...);
}

__attribute__((target("sha,sse4.1"))) void compress(uint32_t first[5], const uint8_t* first_data, uint32_t second[5],
                                                    const uint8_t* second_data, size_t count) {
  const __m128i byte_order = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  State s = load(first);
  State t = load(second);
  for (; count != 0; --count, first_data += 64, second_data += 64) {
    State s_before = s;
    State t_before = t;
    all_rounds(s, first_data, t, second_data, byte_order, std::make_integer_sequence<int, 20>());
    add(s, s_before);
    add(t, t_before);
  }
  store(s, first);
  store(t, second);
}

}  // namespace

bool sha1_blocks_by_instructions(uint32_t state[5], const uint8_t* data, size_t count) {
  compress(state, data, count);
  return true;
}

bool sha1_blocks_by_instructions(uint32_t first[5], const uint8_t* first_data, uint32_t second[5], const uint8_t* second_data,
                                 size_t count) {
  compress(first, first_data, second, second_data, count);
  return true;
}

}  // namespace millet

// GCC can switch the instructions on for single functions; clang's arm_neon.h hides them unless the whole build is for them.
#elif (defined(__aarch64__) || (defined(__arm__) && !defined(__SOFTFP__))) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && \
    (!defined(__clang__) || defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO))

#if defined(__arm__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=armv8-a+crypto,fpu=crypto-neon-fp-armv8")
#endif

#include <arm_neon.h>

#include <utility>

#if defined(__aarch64__) && !defined(__clang__)
#define MILLET_SHA1_ATTRIBUTE __attribute__((target("+crypto")))
#else
#define MILLET_SHA1_ATTRIBUTE
#endif
#define MILLET_SHA1_TARGET MILLET_SHA1_ATTRIBUTE __attribute__((always_inline)) inline

namespace millet {
namespace {

struct State {
  uint32x4_t abcd;
  uint32_t e;
  uint32x4_t w[4];
};

template <int Group>
MILLET_SHA1_TARGET void four_rounds(State& s, const uint8_t* block) {
  constexpr uint32_t k_round[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  uint32x4_t& w = s.w[Group % 4];
  if constexpr (Group < 4) {
    w = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(block + 16 * Group)));
  } else {
    w = vsha1su1q_u32(vsha1su0q_u32(w, s.w[(Group + 1) % 4], s.w[(Group + 2) % 4]), s.w[(Group + 3) % 4]);
  }
  uint32x4_t words = vaddq_u32(w, vdupq_n_u32(k_round[Group / 5]));
  uint32_t e = vsha1h_u32(vgetq_lane_u32(s.abcd, 0));
  if constexpr (Group / 5 == 0) {
    s.abcd = vsha1cq_u32(s.abcd, s.e, words);
  } else if constexpr (Group / 5 == 2) {
    s.abcd = vsha1mq_u32(s.abcd, s.e, words);
  } else {
    s.abcd = vsha1pq_u32(s.abcd, s.e, words);
  }
  s.e = e;
}

template <int... Group>
MILLET_SHA1_TARGET void all_rounds(State& s, const uint8_t* block, std::integer_sequence<int, Group...>) {
  (four_rounds<Group>(s, block), ...);
}

MILLET_SHA1_TARGET State load(const uint32_t state[5]) {
  State s;
  s.abcd = vld1q_u32(state);
  s.e = state[4];
  return s;
}

MILLET_SHA1_TARGET void add(State& s, const State& before) {
  s.abcd = vaddq_u32(s.abcd, before.abcd);
  s.e += before.e;
}

MILLET_SHA1_TARGET void store(const State& s, uint32_t state[5]) {
  vst1q_u32(state, s.abcd);
  state[4] = s.e;
}

MILLET_SHA1_ATTRIBUTE void compress(uint32_t state[5], const uint8_t* data, size_t count) {
  State s = load(state);
  for (; count != 0; --count, data += 64) {
    State before = s;
    all_rounds(s, data, std::make_integer_sequence<int, 20>());
    add(s, before);
  }
  store(s, state);
}

template <int... Group>
MILLET_SHA1_TARGET void all_rounds(State& s, const uint8_t* s_block, State& t, const uint8_t* t_block,
                                   std::integer_sequence<int, Group...>) {
  ((four_rounds<Group>(s, s_block), four_rounds<Group>(t, t_block)), ...);
}

MILLET_SHA1_ATTRIBUTE void compress(uint32_t first[5], const uint8_t* first_data, uint32_t second[5], const uint8_t* second_data,
                                    size_t count) {
  State s = load(first);
  State t = load(second);
  for (; count != 0; --count, first_data += 64, second_data += 64) {
    State s_before = s;
    State t_before = t;
    all_rounds(s, first_data, t, second_data, std::make_integer_sequence<int, 20>());
    add(s, s_before);
    add(t, t_before);
  }
  store(s, first);
  store(t, second);
}

}  // namespace

bool sha1_blocks_by_instructions(uint32_t state[5], const uint8_t* data, size_t count) {
  compress(state, data, count);
  return true;
}

bool sha1_blocks_by_instructions(uint32_t first[5], const uint8_t* first_data, uint32_t second[5], const uint8_t* second_data,
                                 size_t count) {
  compress(first, first_data, second, second_data, count);
  return true;
}

}  // namespace millet

#if defined(__arm__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#else

namespace millet {

bool sha1_blocks_by_instructions(uint32_t*, const uint8_t*, size_t) { return false; }
bool sha1_blocks_by_instructions(uint32_t*, const uint8_t*, uint32_t*, const uint8_t*, size_t) { return false; }

}  // namespace millet

#endif
