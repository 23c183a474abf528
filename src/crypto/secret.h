// Text that must not stay in memory when nobody needs it any more: a passphrase, a seed as a line of a file.
#pragma once

#include <string>

#include "crypto/sign.h"

namespace millet {

// Wipes all the room that a text has, of which it may use less now than it once did. It is empty then.
inline void wipe_text(std::string& text) {
  text.resize(text.capacity());
  wipe(MutBytes(reinterpret_cast<uint8_t*>(text.data()), text.size()));
  text.clear();
}

// Wiped when it goes out of scope; never copied.
struct Secret {
  std::string text;

  Secret() = default;
  // A short text lies within the string itself, and would stay there.
  Secret(Secret&& other) noexcept : text(std::move(other.text)) { wipe_text(other.text); }
  Secret& operator=(Secret&&) = delete;
  ~Secret() { wipe_text(text); }
  Bytes bytes() const { return as_bytes(text); }
};

}  // namespace millet
