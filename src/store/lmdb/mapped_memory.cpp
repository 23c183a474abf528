#include "store/lmdb/mapped_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

namespace millet {
namespace {

// Of files that are mapped, the program's own included; 0 if the system does not say.
uint64_t resident_of_files() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  uint64_t size = 0, resident = 0, shared = 0;
  bool read = std::fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &size, &resident, &shared) == 3;
  std::fclose(file);
  return read ? shared * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

void MappedMemory::look(int fd) {
  if (resident_of_files() <= k_resident_max) return;
  struct stat info {};
  std::FILE* maps = ::fstat(fd, &info) == 0 ? std::fopen("/proc/self/maps", "re") : nullptr;
  if (maps == nullptr) return;
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    uintptr_t begin = 0, end = 0;
    unsigned device_major = 0, device_minor = 0;
    uint64_t inode = 0;
    int found = std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*x %x:%x %" SCNu64, &begin, &end, &device_major, &device_minor, &inode);
    if (found != 5 || inode != info.st_ino || device_major != major(info.st_dev) || device_minor != minor(info.st_dev)) continue;
    // The map is shared and only read, so that what is dropped here is read from the file again.
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  std::fclose(maps);
}

}  // namespace millet
