// An owned file descriptor, and the text of system errors.
#pragma once

#include <string>

#include "base/result.h"

namespace millet::hal {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  ~Fd() { reset(); }

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();

 private:
  int fd_ = -1;
};

// "doing: text of the error number", with the code that fits it: ENOENT not_found, EACCES denied, ENOSPC and EMFILE no_room, the
// errors of a connection unavailable, EADDRINUSE conflict, everything else io.
Error os_error(int number, std::string doing);

// An option that is no loss where the kernel lacks it.
void set_option(int fd, int level, int option, int value);

}  // namespace millet::hal
