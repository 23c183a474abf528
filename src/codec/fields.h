// Binary messages of fixed big-endian fields, declared once: a struct lists its fields in order in k_fields, and that table drives its
// encoding, decoding, size and the names in logs. Signed messages also name an 8-byte domain tag; what is signed is tag and fields.
//
//   struct Example {
//     static constexpr std::string_view k_tag = "BTT1XMPL";   // only for what is signed
//     PublicKey key;
//     Amount amount;
//     static constexpr auto k_fields = std::make_tuple(field("key", &Example::key), field("amount", &Example::amount));
//   };
//
// Field types: uint8_t to uint64_t, Amount (at most the supply), Rate (at most its maximum), LedgerTime, FixedBytes, std::array of bytes,
// arrays of these, and other messages. Not for messages of variable size.
#pragma once

#include <tuple>
#include <type_traits>

#include "base/amount.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace millet {

template <typename Message, typename T>
struct Field {
  const char* name;
  T Message::*member;
};
template <typename Message, typename T>
constexpr Field<Message, T> field(const char* name, T Message::*member) {
  return {name, member};
}

// How one type of field looks on the wire. load() gives false for a value that is out of range.
template <typename T>
struct FieldCodec {
  static_assert(std::is_unsigned_v<T>, "no wire form for this type of field");
  static constexpr size_t k_size = sizeof(T);
  static void store(uint8_t* to, T value) { store_be<T>(to, value); }
  static bool load(const uint8_t* from, T& value) {
    value = load_be<T>(from);
    return true;
  }
};
template <>
struct FieldCodec<Amount> {
  static constexpr size_t k_size = 8;
  static void store(uint8_t* to, Amount value) { store_be<uint64_t>(to, value.in_micro()); }
  static bool load(const uint8_t* from, Amount& value) {
    uint64_t micro = load_be<uint64_t>(from);
    if (micro > k_supply_micro) return false;
    value = Amount::micro(micro);
    return true;
  }
};
template <>
struct FieldCodec<Rate> {
  static constexpr size_t k_size = 8;
  static void store(uint8_t* to, Rate value) { store_be<uint64_t>(to, value.in_pico_per_byte()); }
  static bool load(const uint8_t* from, Rate& value) {
    uint64_t pico = load_be<uint64_t>(from);
    if (pico > Rate::k_max) return false;
    value = Rate::pico_per_byte(pico);
    return true;
  }
};
template <>
struct FieldCodec<LedgerTime> {
  static constexpr size_t k_size = 8;
  static void store(uint8_t* to, LedgerTime value) { store_be<uint64_t>(to, value.in_seconds()); }
  static bool load(const uint8_t* from, LedgerTime& value) {
    value = LedgerTime::from_seconds(load_be<uint64_t>(from));
    return true;
  }
};
template <size_t N>
struct FieldCodec<std::array<uint8_t, N>> {
  static constexpr size_t k_size = N;
  static void store(uint8_t* to, const std::array<uint8_t, N>& value) { std::memcpy(to, value.data(), N); }
  static bool load(const uint8_t* from, std::array<uint8_t, N>& value) {
    std::memcpy(value.data(), from, N);
    return true;
  }
};
// An array of anything else: its elements in order.
template <typename T, size_t N>
struct FieldCodec<std::array<T, N>> {
  static constexpr size_t k_size = N * FieldCodec<T>::k_size;
  static void store(uint8_t* to, const std::array<T, N>& value) {
    for (size_t i = 0; i < N; ++i) FieldCodec<T>::store(to + i * FieldCodec<T>::k_size, value[i]);
  }
  static bool load(const uint8_t* from, std::array<T, N>& value) {
    bool good = true;
    for (size_t i = 0; i < N; ++i) good = FieldCodec<T>::load(from + i * FieldCodec<T>::k_size, value[i]) && good;
    return good;
  }
};
template <typename Tag, size_t N>
struct FieldCodec<FixedBytes<Tag, N>> {
  static constexpr size_t k_size = N;
  static void store(uint8_t* to, const FixedBytes<Tag, N>& value) { std::memcpy(to, value.raw.data(), N); }
  static bool load(const uint8_t* from, FixedBytes<Tag, N>& value) {
    std::memcpy(value.raw.data(), from, N);
    return true;
  }
};

template <typename Message, typename T>
constexpr size_t field_size(const Field<Message, T>&) {
  return FieldCodec<T>::k_size;
}
template <typename Message, typename T>
void store_field(const Field<Message, T>& f, const Message& message, uint8_t*& to) {
  FieldCodec<T>::store(to, message.*(f.member));
  to += FieldCodec<T>::k_size;
}
// `bad` becomes the name of the first field that is out of range.
template <typename Message, typename T>
void load_field(const Field<Message, T>& f, Message& message, const uint8_t*& from, const char*& bad) {
  if (!FieldCodec<T>::load(from, message.*(f.member)) && bad == nullptr) bad = f.name;
  from += FieldCodec<T>::k_size;
}

// A message: its fields in order; also as a field of another message.
template <typename T>
requires requires { T::k_fields; }
struct FieldCodec<T> {
  static constexpr size_t k_size = std::apply([](const auto&... fields) { return (size_t{0} + ... + field_size(fields)); }, T::k_fields);
  static void store(uint8_t* to, const T& value) {
    std::apply([&](const auto&... fields) { (store_field(fields, value, to), ...); }, T::k_fields);
  }
  // The name of the first field that is out of range; null if all are good.
  static const char* load_named(const uint8_t* from, T& value) {
    const char* bad = nullptr;
    std::apply([&](const auto&... fields) { (load_field(fields, value, from, bad), ...); }, T::k_fields);
    return bad;
  }
  static bool load(const uint8_t* from, T& value) { return load_named(from, value) == nullptr; }
};

// Bytes that the fields of a message take.
template <typename Message>
inline constexpr size_t k_fields_size = FieldCodec<Message>::k_size;

// Calls visit(name, value) for every field, in order.
template <typename Message, typename Visitor>
void visit_fields(const Message& message, Visitor&& visit) {
  std::apply([&](const auto&... fields) { (visit(fields.name, message.*(fields.member)), ...); }, Message::k_fields);
}

// Requires: out.size() == k_fields_size<Message>.
template <typename Message>
void store_fields(const Message& message, MutBytes out) {
  CHECK(out.size() == k_fields_size<Message>);
  FieldCodec<Message>::store(out.data(), message);
}

template <typename Message>
std::array<uint8_t, k_fields_size<Message>> encode_fields(const Message& message) {
  std::array<uint8_t, k_fields_size<Message>> out;
  FieldCodec<Message>::store(out.data(), message);
  return out;
}

// Errors: bad_input if the size is wrong or an amount or rate is out of range.
template <typename Message>
Result<Message> decode_fields(Bytes bytes) {
  if (bytes.size() != k_fields_size<Message>) {
    return error(Errc::bad_input,
                 "message of " + std::to_string(bytes.size()) + " bytes, expected " + std::to_string(k_fields_size<Message>));
  }
  Message message{};
  const char* bad = FieldCodec<Message>::load_named(bytes.data(), message);
  if (bad != nullptr) return error(Errc::bad_input, std::string("field ") + bad + " is out of range");
  return message;
}

// The message within a longer one of variable size.
template <typename Message>
void append_fields(std::vector<uint8_t>& out, const Message& message) {
  size_t at = out.size();
  out.resize(at + k_fields_size<Message>);
  FieldCodec<Message>::store(out.data() + at, message);
}
// Errors: bad_input if bytes are missing or a field is out of range.
template <typename Message>
Result<Message> take_fields(ByteReader& in) {
  return decode_fields<Message>(in.take(k_fields_size<Message>));
}

// What a signature of the message covers: the domain tag, then the fields.
template <typename Message>
std::array<uint8_t, 8 + k_fields_size<Message>> preimage(const Message& message) {
  static_assert(Message::k_tag.size() == 8, "a domain tag has 8 bytes");
  std::array<uint8_t, 8 + k_fields_size<Message>> out;
  std::memcpy(out.data(), Message::k_tag.data(), 8);
  FieldCodec<Message>::store(out.data() + 8, message);
  return out;
}

}  // namespace millet
