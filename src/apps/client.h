// Talks to a running milletd over its control socket: one JSON line out, one back. Blocking; for `millet` only.
#pragma once

#include <string>

#include "control/json.h"

namespace millet {

class Client {
 public:
  Client() = default;
  Client(const Client&) = delete;
  Client(Client&& other) noexcept : fd_(other.fd_), pending_(std::move(other.pending_)) { other.fd_ = -1; }
  Client& operator=(Client&&) = delete;
  ~Client();

  // Errors: unavailable (no milletd there), denied (of another user), bad_input (path too long); each with the way out.
  static Result<Client> connect(const std::string& socket);
  // The result of a method. Errors: the daemon's, with its code; unavailable when it goes away.
  Result<Json> call(const char* method, Json params);

 private:
  explicit Client(int fd) : fd_(fd) {}
  Status send_line(const std::string& line);
  Result<std::string> receive_line();

  int fd_ = -1;
  std::string pending_;
};

}  // namespace millet
