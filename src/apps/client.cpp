#include "apps/client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "crypto/secret.h"

namespace millet {
namespace {

constexpr size_t k_reply_bytes_max = 256 * 1024 * 1024;  // 100,000 torrents at 2 KiB and more; a reply beyond it is not from milletd

Errc code_named(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(Errc::unsupported); ++code) {
    if (name == errc_name(static_cast<Errc>(code))) return static_cast<Errc>(code);
  }
  return Errc::io;
}

}  // namespace

Client::~Client() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Client> Client::connect(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) {
    return error(Errc::bad_input, "the path of the control socket is longer than " + std::to_string(sizeof address.sun_path - 1) +
                                      " bytes: " + socket +
                                      "; give milletd a shorter --set control.socket=PATH and use --socket PATH here");
  }
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return error(Errc::io, std::string("can't make a socket: ") + std::strerror(errno));
  Client client(fd);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return client;
  if (errno == EACCES)
    return error(Errc::denied, "no permission for the control socket " + socket + ": run millet as the user that milletd runs as");
  return error(Errc::unavailable, "no milletd answers at " + socket + " (" + std::strerror(errno) +
                                      "): start milletd, or name its state folder with --state DIR or its socket with --socket PATH");
}

Result<Json> Client::call(const char* method, Json params) {
  Json request = Json::object();
  request.set("method", method).set("params", std::move(params));
  std::string text = request.dump() + "\n";
  Status sent = send_line(text);
  wipe_text(text);  // it may hold a passphrase
  TRY(sent);
  TRY_ASSIGN(std::string line, receive_line());
  TRY_ASSIGN(Json reply, Json::parse_object(line));
  if (const json_t* failure = reply.get("error")) {
    return error(code_named(json_text(failure, "code")), std::string(json_text(failure, "message", "milletd refused without a reason")));
  }
  json_t* result = reply.get("result");
  if (!json_is_object(result))
    return error(Errc::protocol,
                 "milletd's reply to " + std::string(method) + " has no result; do millet and milletd have the same version?");
  Json out = Json::object();
  json_object_update(out.raw(), result);
  return out;
}

Status Client::send_line(const std::string& line) {
  size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t n = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return error(Errc::unavailable, std::string("milletd closed the control socket: ") + std::strerror(errno) + "; its log says why");
    sent += static_cast<size_t>(n);
  }
  return ok;
}

Result<std::string> Client::receive_line() {
  size_t searched = 0;
  while (true) {
    const size_t end = pending_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    searched = pending_.size();
    if (searched > k_reply_bytes_max) return error(Errc::protocol, "the reply on the control socket has no end");
    char buffer[64 * 1024];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error(Errc::unavailable, "milletd ended, or closed the control socket, before it answered; its log says why");
    pending_.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace millet
