// LinuxStreams: payload from files.
#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "hal/linux/payload_way.h"
#include "hal/linux/stream_state.h"

namespace millet::hal {

PayloadWay LinuxStreams::payload_way() {
  if (!payload_way_) payload_way_ = cheapest_payload_way();
  return *payload_way_;
}

size_t LinuxStreams::send_file(StreamId id, Bytes head, int descriptor, uint64_t offset, size_t length, bool& ended) {
  ended = false;
  Stream* stream = find(id);
  if (stream == nullptr || stream->failing || stream->connecting) return 0;
  size_t taken = 0;
  ssize_t sent = 0;
  if (!head.empty()) {
    do {
      sent = ::send(stream->fd.get(), head.data(), head.size(), MSG_NOSIGNAL | MSG_MORE);
    } while (sent < 0 && errno == EINTR);
    if (sent > 0) taken = static_cast<size_t>(sent);
  }
  while (sent >= 0 && taken >= head.size() && taken < head.size() + length) {
    off_t at = static_cast<off_t>(offset + (taken - head.size()));
    // SIGPIPE is ignored by the process (system.h): this call has no flag for it.
    sent = ::sendfile(stream->fd.get(), descriptor, &at, head.size() + length - taken);
    if (sent < 0 && errno == EINTR)
      sent = 0;
    else if (sent == 0)
      ended = true;
    if (ended) return taken;
    if (sent > 0) taken += static_cast<size_t>(sent);
  }
  if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
    fail_later(*stream, os_error(errno, "the connection broke"));
    return taken;
  }
  if (taken < head.size() + length) {
    stream->blocked = true;
    watch(*stream);
  }
  return taken;
}

}  // namespace millet::hal
