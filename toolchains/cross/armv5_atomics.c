// Atomic operations for ARM before v6, which has no instructions for them: the kernel's helpers do it, at fixed addresses (Linux,
// Documentation/arch/arm/kernel_user_helpers.rst; CONFIG_KUSER_HELPERS, version 5 for 8 bytes: Linux 3.1). The names are those that clang and GCC call.
#include <stdint.h>

typedef int Cmpxchg(uint32_t from, uint32_t to, volatile uint32_t* at);
typedef int Cmpxchg64(const uint64_t* from, const uint64_t* to, volatile uint64_t* at);
typedef void Barrier(void);
#define KUSER_CMPXCHG ((Cmpxchg*)0xffff0fc0)
#define KUSER_CMPXCHG64 ((Cmpxchg64*)0xffff0f60)
#define KUSER_BARRIER ((Barrier*)0xffff0fa0)

#define NAMED(type, name, label, ...) \
  type name(__VA_ARGS__) __asm__(label); \
  type name(__VA_ARGS__)

NAMED(void, synchronize, "__sync_synchronize", void) { KUSER_BARRIER(); }

static int cas_4(volatile uint32_t* at, uint32_t from, uint32_t to) { return KUSER_CMPXCHG(from, to, at) == 0; }
static int cas_8(volatile uint64_t* at, uint64_t from, uint64_t to) { return KUSER_CMPXCHG64(&from, &to, at) == 0; }

// A part of a word changes with its word.
static int cas_part(volatile void* at, uint32_t from, uint32_t to, uint32_t mask) {
  volatile uint32_t* word = (volatile uint32_t*)((uintptr_t)at & ~(uintptr_t)3);
  unsigned shift = ((uintptr_t)at & 3) * 8;
  for (;;) {
    uint32_t before = *word;
    if (((before >> shift) & mask) != (from & mask)) return 0;
    if (cas_4(word, before, (before & ~(mask << shift)) | ((to & mask) << shift))) return 1;
  }
}
static int cas_1(volatile uint8_t* at, uint8_t from, uint8_t to) { return cas_part(at, from, to, 0xff); }
static int cas_2(volatile uint16_t* at, uint16_t from, uint16_t to) { return cas_part(at, from, to, 0xffff); }

// Reads 8 bytes as one: what was there is put there again.
static uint64_t load_8(volatile uint64_t* at) {
  for (;;) {
    uint64_t seen = *at;
    if (cas_8(at, seen, seen)) return seen;
  }
}
static uint32_t load_4(volatile uint32_t* at) { return *at; }
static uint16_t load_2(volatile uint16_t* at) { return *at; }
static uint8_t load_1(volatile uint8_t* at) { return *at; }

#define FETCH(size, type, name, expression) \
  NAMED(type, fetch_##name##_##size, "__sync_fetch_and_" #name "_" #size, volatile type* at, type value) { \
    for (;;) { \
      type before = load_##size(at); \
      if (cas_##size(at, before, (type)(expression))) return before; \
    } \
  } \
  NAMED(type, name##_fetch_##size, "__sync_" #name "_and_fetch_" #size, volatile type* at, type value) { \
    for (;;) { \
      type before = load_##size(at); \
      if (cas_##size(at, before, (type)(expression))) return (type)(expression); \
    } \
  }

#define OPERATIONS(size, type) \
  NAMED(type, compare_and_swap_##size, "__sync_val_compare_and_swap_" #size, volatile type* at, type from, type to) { \
    for (;;) { \
      type before = load_##size(at); \
      if (before != from || cas_##size(at, from, to)) return before; \
    } \
  } \
  NAMED(type, test_and_set_##size, "__sync_lock_test_and_set_" #size, volatile type* at, type value) { \
    for (;;) { \
      type before = load_##size(at); \
      if (cas_##size(at, before, value)) return before; \
    } \
  } \
  FETCH(size, type, add, before + value) \
  FETCH(size, type, sub, before - value) \
  FETCH(size, type, and, before & value) \
  FETCH(size, type, or, before | value) \
  FETCH(size, type, xor, before ^ value)

OPERATIONS(1, uint8_t)
OPERATIONS(2, uint16_t)
OPERATIONS(4, uint32_t)
OPERATIONS(8, uint64_t)
