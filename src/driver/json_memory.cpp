#include "driver/json_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>

#include "crypto/sign.h"

namespace millet {
namespace {

void wipe_and_free(void* block) {
  if (block == nullptr) return;
  wipe(MutBytes(static_cast<uint8_t*>(block), malloc_usable_size(block)));
  free(block);
}

}  // namespace

void wipe_json_memory() { json_set_alloc_funcs(malloc, wipe_and_free); }

}  // namespace millet
