#include "base/result.h"

namespace millet {

Error::Error() = default;
Error::Error(Errc c, std::string r) : code(c), reason(std::move(r)) {}
Error::Error(const Error& other) = default;
Error::Error(Error&& other) noexcept = default;
Error& Error::operator=(const Error& other) = default;
Error& Error::operator=(Error&& other) noexcept = default;
Error::~Error() = default;

Error Error::in(std::string_view context) && { return {code, std::string(context) + ": " + reason}; }

Error error(Errc code, std::string reason) { return {code, std::move(reason)}; }
Error error(Errc code, const char* reason) { return {code, reason}; }

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
