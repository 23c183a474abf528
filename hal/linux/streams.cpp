#include "hal/linux/streams.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include "hal/linux/address.h"
#include "hal/linux/stream_state.h"

namespace millet::hal {
namespace {

constexpr size_t k_send_parts_max = 64;
// Bytes that the kernel may hold for a connection beyond what is on its way: what is decided now goes out soon, and a reader that does not
// read costs little. Two gathered sends, so that the next is ready when one is gone.
constexpr int k_unsent_max = 256 * 1024;
constexpr uint64_t k_retry_ms = 1000;

void tune_tcp(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, k_unsent_max);
}

int pending_error(int fd) {
  int number = 0;
  socklen_t size = sizeof number;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) == 0 ? number : errno;
}

StreamId id_of(uint32_t use, size_t place) { return (StreamId{use} << 32) | place; }

}  // namespace

LinuxStreams::LinuxStreams(uv_loop_t* loop, LogSink& log) : loop_(loop), log_(log), received_(new uint8_t[k_receive_bytes_max]) {
  CHECK(uv_timer_init(loop_, &retry_) == 0);
  CHECK(uv_idle_init(loop_, &idle_) == 0);
  retry_.data = idle_.data = this;
}

LinuxStreams::~LinuxStreams() { CHECK(closed_); }

LinuxStreams::Stream* LinuxStreams::find(StreamId id) {
  size_t place = static_cast<uint32_t>(id);
  if (place >= streams_.size() || streams_[place] == nullptr || streams_[place]->id != id) return nullptr;
  return streams_[place].get();
}

LinuxStreams::Stream& LinuxStreams::add(Fd fd) {
  size_t place = streams_.size();
  if (free_.empty()) {
    streams_.emplace_back();
    uses_.push_back(0);
  } else {
    place = free_.back();
    free_.pop_back();
  }
  streams_[place] = std::make_unique<Stream>();
  Stream& stream = *streams_[place];
  stream.owner = this;
  stream.id = id_of(++uses_[place], place);
  stream.fd = std::move(fd);
  stream.poll.data = &stream;
  if (stream.fd.is_open()) stream.has_poll = uv_poll_init(loop_, &stream.poll, stream.fd.get()) == 0;
  return stream;
}

void LinuxStreams::watch(Stream& stream) {
  int events = 0;
  if (stream.connecting || stream.blocked) events |= UV_WRITABLE;
  if (!stream.connecting && stream.reading) events |= UV_READABLE;
  if (stream.failing || !stream.has_poll) events = 0;
  if (events == stream.watched) return;
  stream.watched = events;
  if (events == 0) {
    uv_poll_stop(&stream.poll);
  } else {
    CHECK(uv_poll_start(&stream.poll, events, on_stream_ready) == 0);
  }
}

StreamId LinuxStreams::connect(const Endpoint& remote, const std::optional<IpAddress>& local) {
  SocketAddress to = to_system(remote);
  Stream& stream = add(Fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
  stream.connecting = true;
  StreamId id = stream.id;
  std::string doing = "can't connect to " + remote.to_string();
  if (!stream.fd.is_open() || !stream.has_poll) {
    fail_later(stream, os_error(stream.fd.is_open() ? ENOMEM : errno, doing));
    return id;
  }
  tune_tcp(stream.fd.get());
  if (local) {
    set_option(stream.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    SocketAddress from = to_system({*local, 0});
    if (::bind(stream.fd.get(), from.raw(), from.size) != 0) {
      fail_later(stream, os_error(errno, doing + " from " + local->to_string()));
      return id;
    }
  }
  if (::connect(stream.fd.get(), to.raw(), to.size) != 0 && errno != EINPROGRESS) {
    fail_later(stream, os_error(errno, doing));
    return id;
  }
  watch(stream);
  return id;
}

size_t LinuxStreams::send(StreamId id, std::span<const Bytes> parts) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->failing || stream->connecting) return 0;
  CHECK(parts.size() <= k_send_parts_max);
  iovec vectors[k_send_parts_max];
  size_t size = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    vectors[i] = {const_cast<uint8_t*>(parts[i].data()), parts[i].size()};
    size += parts[i].size();
  }
  msghdr message = {};
  message.msg_iov = vectors;
  message.msg_iovlen = parts.size();
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(stream->fd.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
    fail_later(*stream, os_error(errno, "the connection broke"));
    return 0;
  }
  size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
  if (taken < size) {
    stream->blocked = true;
    watch(*stream);
  }
  return taken;
}

void LinuxStreams::set_reading(StreamId id, bool reading) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->reading = reading;
  watch(*stream);
}

void LinuxStreams::close(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  size_t place = static_cast<uint32_t>(id);
  streams_[place].release();
  free_.push_back(static_cast<uint32_t>(place));
  auto dispose = [](uv_handle_t* handle) { delete static_cast<Stream*>(handle->data); };
  if (stream->has_poll) {
    // Unread bytes would make the end a reset, and what was sent last might be lost with it: they are dropped (tcp(7), MSG_TRUNC).
    constexpr size_t k_all = size_t{64} << 20;
    ssize_t dropped = ::recv(stream->fd.get(), nullptr, k_all, MSG_TRUNC | MSG_DONTWAIT);
    static_cast<void>(dropped);
    uv_close(reinterpret_cast<uv_handle_t*>(&stream->poll), dispose);
    stream->fd.reset();
  } else {
    delete stream;
  }
  resume_accepting();
}

Endpoint LinuxStreams::local_endpoint(StreamId id) {
  Stream* stream = find(id);
  SocketAddress address;
  if (stream == nullptr || ::getsockname(stream->fd.get(), address.raw(), &address.size) != 0) return {};
  return from_system(address);
}

void LinuxStreams::fail_later(Stream& stream, Error reason) {
  if (stream.failing) return;
  stream.failing = true;
  stream.failure = std::move(reason);
  watch(stream);
  failing_.push_back(stream.id);
  uv_idle_start(&idle_, on_idle);
}

void LinuxStreams::on_idle(uv_idle_t* idle) {
  LinuxStreams& self = *static_cast<LinuxStreams*>(idle->data);
  uv_idle_stop(idle);
  std::vector<StreamId> failing = std::move(self.failing_);
  self.failing_.clear();
  for (StreamId id : failing) {
    if (Stream* stream = self.find(id)) self.broken(*stream, std::move(stream->failure));
  }
}

void LinuxStreams::closed(Stream& stream, Error reason) {
  StreamId id = stream.id;
  close(id);
  events_->on_closed(id, reason);
}

// The other side's last words came before its reset, and are read before that is told.
void LinuxStreams::broken(Stream& stream, Error reason) {
  StreamId id = stream.id;
  ssize_t got = 0;
  do {
    got = stream.reading ? ::recv(stream.fd.get(), received_.get(), k_receive_bytes_max, 0) : 0;
    if (got > 0) hand_over(stream, static_cast<size_t>(got));
    if (find(id) == nullptr) return;  // the receiver has closed it
  } while (got > 0 || (got < 0 && errno == EINTR));
  closed(stream, std::move(reason));
}

void LinuxStreams::on_stream_ready(uv_poll_t* poll, int status, int events) {
  Stream& stream = *static_cast<Stream*>(poll->data);
  LinuxStreams& self = *stream.owner;
  StreamId id = stream.id;
  if (stream.connecting) return self.connected(stream);
  if (status < 0) {
    int number = pending_error(stream.fd.get());
    return self.broken(stream, os_error(number == 0 ? ECONNRESET : number, "the connection broke"));
  }
  if ((events & UV_READABLE) != 0 && stream.reading) self.receive(stream);
  // The receiver may have closed it.
  if ((events & UV_WRITABLE) == 0 || self.find(id) == nullptr || !stream.blocked) return;
  stream.blocked = false;
  self.watch(stream);
  self.events_->on_writable(id);
}

void LinuxStreams::connected(Stream& stream) {
  int number = pending_error(stream.fd.get());
  if (number != 0) return closed(stream, os_error(number, "can't connect"));
  stream.connecting = false;
  watch(stream);
  events_->on_connected(stream.id);
}

void LinuxStreams::receive(Stream& stream) {
  ssize_t got = 0;
  do {
    got = ::recv(stream.fd.get(), received_.get(), k_receive_bytes_max, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (got < 0) return closed(stream, os_error(errno, "the connection broke"));
  if (got == 0) return closed(stream, error(Errc::unavailable, "closed by the peer"));
  hand_over(stream, static_cast<size_t>(got));
}

// What came over a local socket may be a passphrase, and nothing of the size of a peer's data.
void LinuxStreams::hand_over(const Stream& stream, size_t size) {
  const bool is_local = stream.is_local;  // the receiver may close it
  events_->on_received(stream.id, Bytes(received_.get(), size));
  if (is_local) ::explicit_bzero(received_.get(), size);
}

void LinuxStreams::accept_some(Listener& listener) {
  for (int i = 0; i < k_accepts_per_turn && listener.accepting; ++i) {
    SocketAddress from;
    Fd fd(::accept4(listener.fd.get(), from.raw(), &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.is_open()) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return out_of_descriptors(errno);
      continue;  // errors of the connection that would have been accepted, not of the listener
    }
    if (!listener.is_local) tune_tcp(fd.get());
    Stream& stream = add(std::move(fd));
    if (!stream.has_poll) {
      close(stream.id);
      return out_of_descriptors(ENOMEM);
    }
    stream.is_local = listener.is_local;
    watch(stream);
    events_->on_accepted(listener.id, stream.id, listener.is_local ? Endpoint{} : from_system(from));
  }
}

void LinuxStreams::out_of_descriptors(int number) {
  starved_ = true;
  for (std::unique_ptr<Listener>& listener : listeners_) watch(*listener);
  uv_timer_start(&retry_, on_retry, k_retry_ms, 0);
  uint64_t now_ms = uv_now(loop_);
  if (now_ms < next_warning_ms_) return;
  constexpr uint64_t k_warning_interval_ms = 60'000;
  next_warning_ms_ = now_ms + k_warning_interval_ms;
  LogLine(log_, LogLevel::warn, "accepting_paused")
      .add("reason", os_error(number, "can't accept a connection").reason)
      .add("advice", "raise the limit of open files (ulimit -n) or lower node.peers_max");
}

void LinuxStreams::on_retry(uv_timer_t* timer) { static_cast<LinuxStreams*>(timer->data)->resume_accepting(); }

void LinuxStreams::resume_accepting() {
  if (!starved_ || closed_) return;
  starved_ = false;
  uv_timer_stop(&retry_);
  for (std::unique_ptr<Listener>& listener : listeners_) watch(*listener);
}

void LinuxStreams::close_all() {
  if (closed_) return;
  closed_ = true;
  for (size_t place = 0; place < streams_.size(); ++place) {
    if (streams_[place] != nullptr) close(streams_[place]->id);
  }
  close_listeners();
  uv_close(reinterpret_cast<uv_handle_t*>(&retry_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), nullptr);
}

}  // namespace millet::hal
