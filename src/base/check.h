// CHECK: what must hold if our own code is right. It stays on in release builds: a wrong payment is worse than a restart.
// Never for input: a peer's or a user's mistake is a Result (result.h).
#pragma once

namespace millet {

// Called once with the failed condition; writes one line to standard error and aborts. Tests may replace the handler.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

using CheckHandler = void (*)(const char* condition, const char* file, int line);
// Called before the process ends, so that the platform can write a crash record. Process-wide: there is one way to die.
void set_check_handler(CheckHandler handler);

}  // namespace millet

#define CHECK(condition) \
  (__builtin_expect(static_cast<bool>(condition), 1) ? static_cast<void>(0) : ::millet::check_failed(#condition, __FILE__, __LINE__))
