// What LinuxStreams keeps of one connection and of one listener. Not for use outside streams*.cpp.
#pragma once

#include "hal/linux/streams.h"

namespace millet::hal {

inline constexpr int k_accepts_per_turn = 64;  // then the other connections get their turn

struct LinuxStreams::Stream {
  LinuxStreams* owner = nullptr;
  StreamId id = 0;
  Fd fd;
  uv_poll_t poll;
  Error failure;
  int watched = 0;  // UV_READABLE | UV_WRITABLE that the loop watches
  bool has_poll = false;
  bool connecting = false;
  bool reading = true;
  bool blocked = false;  // a send took less than it was given
  bool failing = false;  // on_closed(failure) follows
  bool is_local = false;
};

struct LinuxStreams::Listener {
  LinuxStreams* owner = nullptr;
  ListenerId id = 0;
  Fd fd;
  uv_poll_t poll;
  bool accepting = true;
  bool is_local = false;
  bool watched = false;
  std::string path;  // of a local socket
};

}  // namespace millet::hal
