#include "store/lmdb/place.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace millet {

bool can_map_files_of(const std::string& folder) {
  constexpr size_t k_size = 4096;
  const std::string path = folder + "/.map-" + std::to_string(getpid());
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return true;
  bool refused = false;
  if (ftruncate(fd, k_size) == 0) {
    void* map = mmap(nullptr, k_size, PROT_READ, MAP_SHARED, fd, 0);
    refused = map == MAP_FAILED && (errno == EINVAL || errno == ENODEV);
    if (map != MAP_FAILED) munmap(map, k_size);
  }
  close(fd);
  unlink(path.c_str());
  return !refused;
}

}  // namespace millet
