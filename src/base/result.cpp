#include "base/result.h"

namespace millet {

const char* errc_name(Errc code) {
  switch (code) {
    case Errc::bad_input: return "bad_input";
    case Errc::not_found: return "not_found";
    case Errc::no_room: return "no_room";
    case Errc::denied: return "denied";
    case Errc::unavailable: return "unavailable";
    case Errc::conflict: return "conflict";
    case Errc::io: return "io";
    case Errc::protocol: return "protocol";
    case Errc::timed_out: return "timed_out";
    case Errc::unsupported: return "unsupported";
  }
  return "unknown";
}

}  // namespace millet
