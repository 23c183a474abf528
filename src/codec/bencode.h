// Bencode (BEP 3): integers "i42e", strings "4:spam", lists "l...e", dictionaries "d<key><value>...e".
//
// Reading: parse() checks the whole input once, without recursion and within the caller's limits; a Value is then a view of one value's
// bytes, and cursors walk lists and dictionaries. Nothing is copied, so the input must outlive the views.
//
//     d 4:info d 6:length i7e 4:name 1:a e e        Value of the whole: [0, n)
//              ^.....................^              Value of "info":    exactly these bytes, which is what BEP 3 hashes
//
// Messages are declared once: a struct and a table of Fields give decode() and encode().
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace millet::bencode {

inline constexpr uint32_t k_depth_max = 64;  // what parse() can check: a hybrid torrent's file tree nests 32 folders, two levels each

struct Limits {
  size_t size_max;      // bytes
  uint32_t depth_max;   // lists and dictionaries inside each other; at most k_depth_max
  uint32_t values_max;  // values and keys in all, so that work is bounded too
  // What we sign or define ourselves has keys in order and nothing after the value. What others send often has not.
  bool strict;
};

enum class Kind : uint8_t { none, integer, string, list, dict };

class Value {
 public:
  Value() = default;
  Kind kind() const;
  bool is_list() const { return kind() == Kind::list; }
  bool is_dict() const { return kind() == Kind::dict; }
  bool is_string() const { return kind() == Kind::string; }
  // The value as it stands in the input, for hashing.
  Bytes encoded() const { return encoded_; }
  // Nothing if it is no integer, or one outside the range.
  std::optional<int64_t> integer() const;
  // Nothing if it is no string.
  std::optional<Bytes> string() const;
  // The value of a key of a dictionary; Kind::none if there is none or this is no dictionary. The first of equal keys.
  Value find(std::string_view key) const;

 private:
  friend Result<Value> parse(Bytes input, const Limits& limits);
  friend class ListCursor;
  friend class DictCursor;
  explicit Value(Bytes checked) : encoded_(checked) {}
  Bytes encoded_;
};

// Checks that the input starts with (strict: is exactly) one value. Numbers have no leading zeros and no "-0".
// Errors: bad_input with the byte where it breaks; no_room beyond a limit. Requires: limits.depth_max <= k_depth_max.
Result<Value> parse(Bytes input, const Limits& limits);

// The values of a list in order; none if the value is no list.
class ListCursor {
 public:
  explicit ListCursor(const Value& list);
  bool next(Value& out);

 private:
  Bytes rest_;
};

// The entries of a dictionary as they stand there; none if the value is no dictionary.
class DictCursor {
 public:
  explicit DictCursor(const Value& dict);
  bool next(Bytes& key, Value& out);

 private:
  Bytes rest_;
};

// Appends bencode to a vector. Wrong nesting, keys out of order and values without a key are our bug (CHECK).
class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& out) : out_(out) {}
  Writer& begin_dict() { return begin('d'); }
  Writer& begin_list() { return begin('l'); }
  Writer& end();
  Writer& key(std::string_view key);
  Writer& integer(int64_t value);
  Writer& string(Bytes value);
  Writer& string(std::string_view value) { return string(as_bytes(value)); }
  // One value that is bencode already.
  Writer& raw(Bytes encoded);

 private:
  static constexpr uint32_t k_nesting_max = 8;  // a torrent's path list is the fifth level, KRPC needs three
  struct Level {
    bool dict = false;
    bool has_key = false;
    size_t last_key_at = 0;
    size_t last_key_size = 0;
  };
  Writer& begin(char kind);
  void before_value();
  void put_number(int64_t value);
  void put_string(Bytes value);
  std::vector<uint8_t>& out_;
  Level levels_[k_nesting_max];
  uint32_t depth_ = 0;
};

// One key of a message: the type of the member says what it must be. int64_t and Bytes are required, the rest may be absent; a Value
// takes anything (a list, a dictionary, or a key that has two forms).
template <typename T>
class Field;

namespace detail {
enum class Slot : uint8_t { integer, optional_integer, string, optional_string, value };
struct Target {
  std::string_view key;
  Slot slot;
  void* at;
  bool seen = false;
};
struct Source {
  std::string_view key;
  Slot slot;
  const void* at;
};
Status decode(const Value& dict, std::span<Target> targets);
void encode(std::span<const Source> sources, Writer& out);
}  // namespace detail

template <typename T>
class Field {
 public:
  constexpr Field(std::string_view key, int64_t T::*member) : key_(key), slot_(detail::Slot::integer), integer_(member) {}
  constexpr Field(std::string_view key, std::optional<int64_t> T::*member)
      : key_(key), slot_(detail::Slot::optional_integer), optional_integer_(member) {}
  constexpr Field(std::string_view key, Bytes T::*member) : key_(key), slot_(detail::Slot::string), string_(member) {}
  constexpr Field(std::string_view key, std::optional<Bytes> T::*member)
      : key_(key), slot_(detail::Slot::optional_string), optional_string_(member) {}
  constexpr Field(std::string_view key, Value T::*member) : key_(key), slot_(detail::Slot::value), value_(member) {}

  constexpr std::string_view key() const { return key_; }
  detail::Slot slot() const { return slot_; }
  template <typename Message>  // T or const T
  auto at(Message& message) const -> std::conditional_t<std::is_const_v<Message>, const void*, void*> {
    switch (slot_) {
      case detail::Slot::integer: return &(message.*integer_);
      case detail::Slot::optional_integer: return &(message.*optional_integer_);
      case detail::Slot::string: return &(message.*string_);
      case detail::Slot::optional_string: return &(message.*optional_string_);
      case detail::Slot::value: return &(message.*value_);
    }
    return nullptr;
  }

 private:
  std::string_view key_;
  detail::Slot slot_;
  union {
    int64_t T::*integer_;
    std::optional<int64_t> T::*optional_integer_;
    Bytes T::*string_;
    std::optional<Bytes> T::*optional_string_;
    Value T::*value_;
  };
};

// For a static_assert beside each table: encode() writes in the table's order, and bencode wants keys sorted.
template <typename T, size_t N>
constexpr bool sorted(const Field<T> (&fields)[N]) {
  for (size_t i = 1; i < N; ++i) {
    if (fields[i - 1].key() >= fields[i].key()) return false;
  }
  return true;
}

// Fills a message from a dictionary; keys that the table lacks are ignored. The message's Bytes and Values are views of the input.
// Errors: bad_input if it is no dictionary, or a key is missing, there twice, or of another type.
template <typename T, size_t N>
Result<T> decode(const Value& dict, const Field<T> (&fields)[N]) {
  T message{};
  detail::Target targets[N];
  for (size_t i = 0; i < N; ++i) targets[i] = {fields[i].key(), fields[i].slot(), fields[i].at(message)};
  TRY(detail::decode(dict, targets));
  return message;
}

// The keys of a message into a dictionary that the caller has begun: for messages with dictionaries inside.
template <typename T, size_t N>
void encode_fields(const T& message, const Field<T> (&fields)[N], Writer& out) {
  detail::Source sources[N];
  for (size_t i = 0; i < N; ++i) sources[i] = {fields[i].key(), fields[i].slot(), fields[i].at(message)};
  detail::encode(sources, out);
}

template <typename T, size_t N>
void encode(const T& message, const Field<T> (&fields)[N], Writer& out) {
  out.begin_dict();
  encode_fields(message, fields, out);
  out.end();
}

}  // namespace millet::bencode
