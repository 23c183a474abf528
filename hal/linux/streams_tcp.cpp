// LinuxStreams: giving way on the uplink.
#include <sys/socket.h>

#include "hal/linux/address.h"
#include "hal/linux/stream_state.h"
#include "hal/linux/tcp_control.h"

namespace millet::hal {
namespace {

// TCP Low Priority, the one congestion control of Linux that is made to leave a link to others.
constexpr std::string_view k_background = "lp";

}  // namespace

bool LinuxStreams::is_over_uplink(StreamId id) {
  Stream* stream = find(id);
  SocketAddress remote;
  if (stream == nullptr || ::getpeername(stream->fd.get(), remote.raw(), &remote.size) != 0) return false;
  if (remote.family() != AF_INET && remote.family() != AF_INET6) return false;
  return !neighbours_.contains(from_system(remote).address, uv_now(loop_));
}

bool LinuxStreams::set_background(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr) return false;
  bool taken = background_ != Background::missing && set_congestion_control(stream->fd.get(), k_background);
  if (background_ == Background::unknown) {
    background_ = taken ? Background::there : Background::missing;
    LogLine(log_, LogLevel::info, "tcp_background").add("way", background_way());
  }
  return taken;
}

std::string_view LinuxStreams::background_way() const {
  if (background_ == Background::unknown) return {};
  return background_ == Background::there ? k_background : std::string_view("rate");
}

std::optional<StreamProgress> LinuxStreams::progress(StreamId id) {
  Stream* stream = find(id);
  return stream == nullptr ? std::nullopt : tcp_progress(stream->fd.get());
}

}  // namespace millet::hal
