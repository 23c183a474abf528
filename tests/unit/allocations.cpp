#include "unit/allocations.h"

#include <malloc.h>
#include <stdlib.h>

#include <new>

namespace {

size_t g_bytes = 0;
size_t g_count = 0;

void* take(size_t size) {
  void* out = malloc(size == 0 ? 1 : size);
  if (out == nullptr) abort();
  g_bytes += malloc_usable_size(out);
  ++g_count;
  return out;
}
void give(void* memory) {
  if (memory == nullptr) return;
  g_bytes -= malloc_usable_size(memory);
  free(memory);
}

}  // namespace

void* operator new(size_t size) { return take(size); }
void* operator new[](size_t size) { return take(size); }
void operator delete(void* memory) noexcept { give(memory); }
void operator delete[](void* memory) noexcept { give(memory); }
void operator delete(void* memory, size_t) noexcept { give(memory); }
void operator delete[](void* memory, size_t) noexcept { give(memory); }

namespace millet::testing {

size_t allocated_bytes() { return g_bytes; }
size_t allocation_count() { return g_count; }

}  // namespace millet::testing
