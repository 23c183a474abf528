#include "hal/linux/cpu.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) || defined(__arm__)
#include <sys/auxv.h>
#endif

namespace millet::hal {

CpuFeatures detect_cpu() {
  CpuFeatures cpu;
#if defined(__x86_64__) || defined(__i386__)
  constexpr unsigned k_leaf1_ecx = bit_SSSE3 | bit_SSE4_1;  // byte shuffle and extract, which the code uses beside the SHA instructions
  constexpr unsigned k_leaf7_ebx_sha = 1u << 29;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  bool sse = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & k_leaf1_ecx) == k_leaf1_ecx;
  cpu.sha1 = sse && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & k_leaf7_ebx_sha) != 0;
#elif defined(__aarch64__)
  constexpr unsigned long k_hwcap_sha1 = 1ul << 5;
  cpu.sha1 = (getauxval(AT_HWCAP) & k_hwcap_sha1) != 0;
#elif defined(__arm__)
  constexpr unsigned long k_hwcap2_sha1 = 1ul << 2;
  cpu.sha1 = (getauxval(AT_HWCAP2) & k_hwcap2_sha1) != 0;
#endif
  return cpu;
}

}  // namespace millet::hal
