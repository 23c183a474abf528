#include "hal/linux/random.h"

#include <errno.h>
#include <sys/random.h>

namespace millet::hal {

void LinuxRandom::fill(MutBytes out) {
  while (!out.empty()) {
    ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    CHECK(got > 0);  // without randomness no key, nonce or token may be made
    out = out.subspan(static_cast<size_t>(got));
  }
}

}  // namespace millet::hal
