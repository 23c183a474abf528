// Result<T>: a value or an Error that a person can act on. The project has no exceptions.
//
// Three kinds of failure, never mixed: bad input is a Result; no room is a Result with Errc::no_room and the node stays up; our own bug
// is a CHECK (check.h).
#pragma once

#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/check.h"

// For functions that hardly ever run: the compiler makes calls of them small, and never copies them into their callers.
#define MILLET_RARE [[gnu::cold, gnu::noinline]]

namespace millet {

enum class Errc : unsigned char {
  bad_input,    // what an outsider or a user gave us breaks a rule
  not_found,    // no such torrent, file, account, option
  no_room,      // a bound is reached: connections, memory, disk, budget
  denied,       // permission, signature, ban
  unavailable,  // a peer, a tracker or the ledger can't be reached now
  conflict,     // it exists already, or has changed meanwhile
  io,           // the operating system reported an error
  protocol,     // a peer broke the protocol
  timed_out,
  unsupported,  // known by name, not built
};

// snake_case name of a code, stable: it appears in logs and JSON.
const char* errc_name(Errc code);

// What it does is never inlined: a thousand places hold a Result, and hardly one of them ever an error.
struct Error {
  Errc code = Errc::bad_input;
  std::string reason;  // one line: the thing, what is wrong, the way out

  MILLET_RARE Error();
  MILLET_RARE Error(Errc code, std::string reason);
  MILLET_RARE Error(const Error& other);
  MILLET_RARE Error(Error&& other) noexcept;
  MILLET_RARE Error& operator=(const Error& other);
  MILLET_RARE Error& operator=(Error&& other) noexcept;
  MILLET_RARE ~Error();

  // The same failure, seen from further out: "context: reason".
  MILLET_RARE Error in(std::string_view context) &&;
};

// Tag for a Result that carries no value.
struct Ok {};
inline constexpr Ok ok{};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : has_value_(true) { new (&value_) T(std::move(value)); }
  Result(Error error) : has_value_(false) { new (&error_) Error(std::move(error)); }
  Result(const Result& other) : has_value_(other.has_value_) {
    if (has_value_)
      new (&value_) T(other.value_);
    else
      new (&error_) Error(other.error_);
  }
  Result(Result&& other) noexcept : has_value_(other.has_value_) {
    if (has_value_)
      new (&value_) T(std::move(other.value_));
    else
      new (&error_) Error(std::move(other.error_));
  }
  Result& operator=(Result other) noexcept {
    destroy();
    has_value_ = other.has_value_;
    if (has_value_)
      new (&value_) T(std::move(other.value_));
    else
      new (&error_) Error(std::move(other.error_));
    return *this;
  }
  ~Result() { destroy(); }

  explicit operator bool() const { return has_value_; }
  bool has_value() const { return has_value_; }

  // Requires: has_value().
  T& value() & {
    CHECK(has_value_);
    return value_;
  }
  const T& value() const& {
    CHECK(has_value_);
    return value_;
  }
  T&& value() && {
    CHECK(has_value_);
    return std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Requires: !has_value().
  Error& error() & {
    CHECK(!has_value_);
    return error_;
  }
  const Error& error() const& {
    CHECK(!has_value_);
    return error_;
  }
  Error&& error() && {
    CHECK(!has_value_);
    return std::move(error_);
  }

 private:
  void destroy() {
    if (has_value_)
      value_.~T();
    else
      error_.~Error();
  }
  bool has_value_;
  union {
    T value_;
    Error error_;
  };
};

using Status = Result<Ok>;

MILLET_RARE Error error(Errc code, std::string reason);
MILLET_RARE Error error(Errc code, const char* reason);

}  // namespace millet

#define MILLET_JOIN2(a, b) a##b
#define MILLET_JOIN(a, b) MILLET_JOIN2(a, b)
// TRY(expression): ends the function with the error if there is one; the value is dropped.
#define TRY(expression)                                    \
  do {                                                     \
    auto try_result = (expression);                        \
    if (!try_result) return std::move(try_result).error(); \
  } while (0)
// TRY_ASSIGN(declaration, expression): the same, and the value goes to the declaration.
#define TRY_ASSIGN(declaration, expression) TRY_ASSIGN_AS(MILLET_JOIN(try_result_, __LINE__), declaration, expression)
#define TRY_ASSIGN_AS(name, declaration, expression) \
  auto name = (expression);                          \
  if (!name) return std::move(name).error();         \
  declaration = std::move(name).value()
