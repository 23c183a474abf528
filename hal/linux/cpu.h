// What the processor can do, asked from the processor (x86) or the kernel (ARM).
#pragma once

#include "crypto/hash.h"

namespace millet::hal {

CpuFeatures detect_cpu();

}  // namespace millet::hal
