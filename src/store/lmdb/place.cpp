#include "store/lmdb/place.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace millet {

const char* lacks_for_state(const std::string& folder) {
  constexpr size_t k_size = 4096;
  const std::string path = folder + "/.map-" + std::to_string(getpid());
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return nullptr;
  const char* lacks = nullptr;
  if (ftruncate(fd, k_size) == 0) {
    void* map = mmap(nullptr, k_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED && (errno == EINVAL || errno == ENODEV)) lacks = "shared memory maps (JFFS2 has none), which LMDB needs";
    if (map != MAP_FAILED) munmap(map, k_size);
  }
  close(fd);
  const std::string other = path + "-link";
  if (link(path.c_str(), other.c_str()) == 0) {
    unlink(other.c_str());
  } else if (errno == EPERM || errno == EOPNOTSUPP) {
    lacks = "hard links, owners and modes (vfat and exFAT have none), which keep keys private";
  }
  unlink(path.c_str());
  return lacks;
}

}  // namespace millet
