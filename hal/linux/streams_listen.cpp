#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hal/linux/address.h"
#include "hal/linux/stream_state.h"

namespace millet::hal {
namespace {

// The kernel cuts it to net.core.somaxconn. Long enough for a burst between two turns of the loop.
constexpr int k_backlog = 1024;

Result<Fd> bound_tcp(const Endpoint& local) {
  std::string doing = "can't listen on " + local.to_string();
  SocketAddress address = to_system(local);
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return os_error(errno, doing);
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // a restart must not wait for old connections to fade
  int v6_only = local.address.is_any() ? 0 : 1;
  if (!local.address.is_v4()) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
  if (::bind(fd.get(), address.raw(), address.size) != 0 || ::listen(fd.get(), k_backlog) != 0) {
    int number = errno;
    if (number == EADDRINUSE) doing += ": another program listens there; stop it or choose another port (0 picks a free one)";
    if (number == EADDRNOTAVAIL) doing += ": this machine does not have the address";
    return os_error(number, doing);
  }
  return fd;
}

bool somebody_listens(const sockaddr_un& address) {
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.is_open()) return true;
  int failed = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return failed == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) return ok;
  if (!S_ISSOCK(status.st_mode))
    return error(Errc::conflict, "can't listen on '" + path + "': a file that is not a socket is there; remove it");
  if (somebody_listens(address)) return error(Errc::conflict, "can't listen on '" + path + "': another program listens there");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return os_error(errno, "can't remove the stale socket '" + path + "'");
  return ok;
}

}  // namespace

LinuxStreams::Listener& LinuxStreams::add_listener(ListenerId id, Fd fd) {
  listeners_.push_back(std::make_unique<Listener>());
  Listener& listener = *listeners_.back();
  listener.owner = this;
  listener.id = id;
  listener.fd = std::move(fd);
  CHECK(uv_poll_init(loop_, &listener.poll, listener.fd.get()) == 0);
  listener.poll.data = &listener;
  return listener;
}

Result<Endpoint> LinuxStreams::listen(ListenerId id, const Endpoint& local) {
  Result<Fd> fd = bound_tcp(local);
  bool any_v6 = !local.address.is_v4() && local.address.is_any();
  // A kernel without IPv6: the default, [::], means every address that there is.
  if (!fd && any_v6 && fd.error().code != Errc::conflict && fd.error().code != Errc::denied) {
    Result<Fd> v4 = bound_tcp({IpAddress(), local.port});
    if (v4) fd = std::move(v4);
  }
  if (!fd) return std::move(fd).error();
  SocketAddress address;
  if (::getsockname(fd->get(), address.raw(), &address.size) != 0) return os_error(errno, "can't listen on " + local.to_string());
  watch(add_listener(id, std::move(fd).value()));
  return from_system(address);
}

Status LinuxStreams::listen_local(ListenerId id, const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return error(Errc::bad_input, "the path of a local socket has 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes: '" +
                                      printable(path, 200) + "'");
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  TRY(remove_stale(path, address));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // On Linux the mode of the socket file is the one of the socket before bind(): there is no moment in which others may connect.
  if (!fd.is_open() || ::fchmod(fd.get(), 0600) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), k_backlog) != 0) {
    return os_error(errno, "can't listen on '" + path + "'");
  }
  Listener& listener = add_listener(id, std::move(fd));
  listener.is_local = true;
  listener.path = path;
  watch(listener);
  return ok;
}

void LinuxStreams::watch(Listener& listener) {
  bool wanted = listener.accepting && !starved_;
  if (wanted == listener.watched) return;
  listener.watched = wanted;
  if (wanted) {
    CHECK(uv_poll_start(&listener.poll, UV_READABLE, on_listener_ready) == 0);
  } else {
    uv_poll_stop(&listener.poll);
  }
}

void LinuxStreams::on_listener_ready(uv_poll_t* poll, int, int) {
  Listener& listener = *static_cast<Listener*>(poll->data);
  // The loop stops watching a handle that reported an error.
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(poll)) == 0) {
    listener.watched = false;
    listener.owner->watch(listener);
  }
  listener.owner->accept_some(listener);
}

void LinuxStreams::set_accepting(ListenerId id, bool accepting) {
  for (std::unique_ptr<Listener>& listener : listeners_) {
    if (listener->id != id) continue;
    listener->accepting = accepting;
    watch(*listener);
  }
}

void LinuxStreams::close_listeners() {
  for (std::unique_ptr<Listener>& listener : listeners_) {
    if (listener->is_local) ::unlink(listener->path.c_str());
    uv_close(reinterpret_cast<uv_handle_t*>(&listener->poll), [](uv_handle_t* handle) { delete static_cast<Listener*>(handle->data); });
    listener->fd.reset();
    static_cast<void>(listener.release());
  }
  listeners_.clear();
}

}  // namespace millet::hal
