// How much nonsense and chatter one connection may produce. Two budgets, because clients differ: glitches break a rule in a way that hurts
// nobody (a message twice, an unknown id), chatter is allowed but costs us work without moving data (state changes, requests beyond the
// queue). A budget that runs out ends the connection.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "base/token_bucket.h"

namespace millet {

class FloodMeter {
 public:
  // A client with a bug that shows on every piece stays connected at one glitch a second; garbage at line rate does not.
  static constexpr uint64_t k_glitches_per_second = 1;
  static constexpr uint64_t k_glitches_burst = 64;
  // The burst covers a client that sends 2000 requests at once without reading our reqq, several times over.
  static constexpr uint64_t k_chatter_per_second = 100;
  static constexpr uint64_t k_chatter_burst = 8192;

  // Errors: protocol when the budget is used up; `what` says what the last one was.
  Status glitch(Instant now, const char* what) { return count(glitches_, now, what, "too many protocol errors, the last: "); }
  Status chatter(Instant now, const char* what) { return count(chatter_, now, what, "flood of messages, the last: "); }

 private:
  static Status count(TokenBucket& bucket, Instant now, const char* what, const char* rule) {
    if (bucket.take(now, 1)) return ok;
    return error(Errc::protocol, std::string(rule) + what);
  }
  TokenBucket glitches_{k_glitches_per_second, k_glitches_burst};
  TokenBucket chatter_{k_chatter_per_second, k_chatter_burst};
};

}  // namespace millet
