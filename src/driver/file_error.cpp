#include "driver/file_error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

namespace millet {

Error file_error(const std::string& doing) {
  int number = errno;
  Errc code = number == ENOENT                                         ? Errc::not_found
              : number == EACCES || number == EPERM || number == EROFS ? Errc::denied
              : number == ENOSPC || number == EDQUOT                   ? Errc::no_room
                                                                       : Errc::io;
  return error(code, doing + ": " + strerror(number));
}

Status sync_folder_of(const std::string& path, const std::string& what) {
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool good = fd >= 0 && fsync(fd) == 0;
  Status status = good ? Status(ok) : Status(file_error("can't make " + what + " durable"));
  if (fd >= 0) close(fd);
  return status;
}

}  // namespace millet
