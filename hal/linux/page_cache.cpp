#include "hal/linux/page_cache.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace millet::hal {
namespace {

// The C library's headers are older than the call. Its number is the same on all processors but MIPS, which counts from a base of its own.
#if defined(SYS_cachestat)
constexpr long k_cachestat = SYS_cachestat;
#elif defined(__mips__)
constexpr long k_cachestat = (SYS_getpid / 1000) * 1000 + 451;
#else
constexpr long k_cachestat = 451;
#endif

struct CachestatRange {
  uint64_t offset;
  uint64_t length;
};
struct Cachestat {
  uint64_t cached;
  uint64_t dirty;
  uint64_t writeback;
  uint64_t evicted;
  uint64_t recently_evicted;
};

}  // namespace

std::optional<bool> is_in_page_cache(int fd, uint64_t offset, uint64_t length) {
  if (length == 0) return true;
  CachestatRange range = {offset, length};
  Cachestat found = {};
  if (::syscall(k_cachestat, fd, &range, &found, 0) != 0) return std::nullopt;
  uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  uint64_t pages = (offset + length - 1) / page - offset / page + 1;
  return found.cached >= pages;
}

}  // namespace millet::hal
