// Atomic operations for MIPS16e, whose instructions have none: GCC calls these, in the processor's other form. The names are GCC's.
#include <stdint.h>

#define NAMED(type, name, label, ...) \
  type name(__VA_ARGS__) __asm__(label); \
  type name(__VA_ARGS__)

#define BOTH(size, type, name) \
  NAMED(type, fetch_##name##_##size, "__sync_fetch_and_" #name "_" #size, volatile type* at, type value) { \
    return __atomic_fetch_##name(at, value, __ATOMIC_SEQ_CST); \
  } \
  NAMED(type, name##_fetch_##size, "__sync_" #name "_and_fetch_" #size, volatile type* at, type value) { \
    return __atomic_##name##_fetch(at, value, __ATOMIC_SEQ_CST); \
  }

#define OPERATIONS(size, type) \
  NAMED(type, val_cas_##size, "__sync_val_compare_and_swap_" #size, volatile type* at, type from, type to) { \
    __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    return from; \
  } \
  NAMED(int, bool_cas_##size, "__sync_bool_compare_and_swap_" #size, volatile type* at, type from, type to) { \
    return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  } \
  NAMED(type, exchange_##size, "__sync_lock_test_and_set_" #size, volatile type* at, type value) { \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); \
  } \
  BOTH(size, type, add) \
  BOTH(size, type, sub) \
  BOTH(size, type, and) \
  BOTH(size, type, or) \
  BOTH(size, type, xor)

OPERATIONS(1, uint8_t)
OPERATIONS(2, uint16_t)
OPERATIONS(4, uint32_t)

NAMED(void, synchronize, "__sync_synchronize", void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
