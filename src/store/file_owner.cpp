#include "store/file_owner.h"

#include <sys/stat.h>
#include <unistd.h>

namespace millet {

void give_to_owner_of(const std::string& path, int fd) {
  struct stat like {};
  if (geteuid() != 0) return;
  if (stat(path.c_str(), &like) != 0 && stat(path.substr(0, path.rfind('/') + 1).append(".").c_str(), &like) != 0) return;
  // What can't be given stays root's, as on a file system without owners.
  int ignored = fchown(fd, like.st_uid, like.st_gid);
  static_cast<void>(ignored);
}

}  // namespace millet
