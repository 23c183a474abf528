// Binary messages of fixed big-endian fields, declared once: a struct lists its fields in order in k_fields, and that table drives its
// encoding, decoding, size and the names in logs. Signed messages also name an 8-byte domain tag; what is signed is tag and fields.
//
//   struct Example {
//     static constexpr std::string_view k_tag = "BTT1XMPL";   // only for what is signed
//     PublicKey key;
//     Amount amount;
//     static constexpr auto k_fields = field_list(field("key", &Example::key), field("amount", &Example::amount));
//   };
//
// Field types: uint8_t to uint64_t, Amount (at most the supply), Rate (at most its maximum), LedgerTime, FixedBytes, std::array of bytes,
// arrays of these, and other messages. Not for messages of variable size.
#pragma once

#include <type_traits>
#include <utility>

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

// The fields of a message, each of its own type. A std::tuple would be that, too; compilers take three times as long over one.
template <size_t I, typename F>
struct FieldAt {
  F field;
};
template <typename Indexes, typename... Fields>
struct FieldList;
template <size_t... I, typename... Fields>
struct FieldList<std::index_sequence<I...>, Fields...> : FieldAt<I, Fields>... {};

template <typename... Fields>
constexpr FieldList<std::index_sequence_for<Fields...>, Fields...> field_list(Fields... fields) {
  return {{fields}...};
}
// Calls visit(field...) with all of them.
template <typename Visitor, size_t... I, typename... Fields>
constexpr decltype(auto) apply_fields(Visitor&& visit, const FieldList<std::index_sequence<I...>, Fields...>& list) {
  return visit(static_cast<const FieldAt<I, Fields>&>(list).field...);
}

// What reads and writes fields, whatever their message: small calls instead of copies of the same code for each of them.
class FieldWriter {
 public:
  explicit FieldWriter(uint8_t* to) : to_(to) {}
  void number(uint64_t value, size_t size);
  void bytes(const void* from, size_t size);

 private:
  uint8_t* to_;
};
// Notes the name of the first field that is out of range.
class FieldReader {
 public:
  explicit FieldReader(const uint8_t* from) : from_(from) {}
  uint64_t number(size_t size);
  void amount(const char* name, Amount& value);
  void rate(const char* name, Rate& value);
  void bytes(void* to, size_t size);
  // Null if all were good.
  const char* bad() const { return bad_; }

 private:
  const uint8_t* from_;
  const char* bad_ = nullptr;
};

// How one type of field looks on the wire.
template <typename T>
struct FieldCodec {
  static_assert(std::is_unsigned_v<T>, "no wire form for this type of field");
  static constexpr size_t k_size = sizeof(T);
  static void store(FieldWriter& to, T value) { to.number(value, sizeof(T)); }
  static void load(FieldReader& from, const char*, T& value) { value = static_cast<T>(from.number(sizeof(T))); }
};
template <>
struct FieldCodec<Amount> {
  static constexpr size_t k_size = 8;
  static void store(FieldWriter& to, Amount value) { to.number(value.in_micro(), 8); }
  static void load(FieldReader& from, const char* name, Amount& value) { from.amount(name, value); }
};
template <>
struct FieldCodec<Rate> {
  static constexpr size_t k_size = 8;
  static void store(FieldWriter& to, Rate value) { to.number(value.in_pico_per_byte(), 8); }
  static void load(FieldReader& from, const char* name, Rate& value) { from.rate(name, value); }
};
template <>
struct FieldCodec<LedgerTime> {
  static constexpr size_t k_size = 8;
  static void store(FieldWriter& to, LedgerTime value) { to.number(value.in_seconds(), 8); }
  static void load(FieldReader& from, const char*, LedgerTime& value) { value = LedgerTime::from_seconds(from.number(8)); }
};
template <size_t N>
struct FieldCodec<std::array<uint8_t, N>> {
  static constexpr size_t k_size = N;
  static void store(FieldWriter& to, const std::array<uint8_t, N>& value) { to.bytes(value.data(), N); }
  static void load(FieldReader& from, const char*, std::array<uint8_t, N>& value) { from.bytes(value.data(), N); }
};
// An array of anything else: its elements in order.
template <typename T, size_t N>
struct FieldCodec<std::array<T, N>> {
  static constexpr size_t k_size = N * FieldCodec<T>::k_size;
  static void store(FieldWriter& to, const std::array<T, N>& value) {
    for (const T& element : value) FieldCodec<T>::store(to, element);
  }
  static void load(FieldReader& from, const char* name, std::array<T, N>& value) {
    for (T& element : value) FieldCodec<T>::load(from, name, element);
  }
};
template <typename Tag, size_t N>
struct FieldCodec<FixedBytes<Tag, N>> {
  static constexpr size_t k_size = N;
  static void store(FieldWriter& to, const FixedBytes<Tag, N>& value) { to.bytes(value.raw.data(), N); }
  static void load(FieldReader& from, const char*, FixedBytes<Tag, N>& value) { from.bytes(value.raw.data(), N); }
};

template <typename Message, typename T>
constexpr size_t field_size(const Field<Message, T>&) {
  return FieldCodec<T>::k_size;
}
template <typename Message, typename T>
void store_field(const Field<Message, T>& f, const Message& message, FieldWriter& to) {
  FieldCodec<T>::store(to, message.*(f.member));
}
template <typename Message, typename T>
void load_field(const Field<Message, T>& f, Message& message, FieldReader& from) {
  FieldCodec<T>::load(from, f.name, message.*(f.member));
}

// A message: its fields in order; also as a field of another message.
template <typename T>
requires requires { T::k_fields; }
struct FieldCodec<T> {
  static constexpr size_t k_size = apply_fields([](const auto&... fields) { return (size_t{0} + ... + field_size(fields)); }, T::k_fields);
  static void store(FieldWriter& to, const T& value) {
    apply_fields([&](const auto&... fields) { (store_field(fields, value, to), ...); }, T::k_fields);
  }
  static void load(FieldReader& from, const char*, T& value) {
    apply_fields([&](const auto&... fields) { (load_field(fields, value, from), ...); }, T::k_fields);
  }
};

// Bytes that the fields of a message take.
template <typename Message>
inline constexpr size_t k_fields_size = FieldCodec<Message>::k_size;

// Calls visit(name, value) for every field, in order.
template <typename Message, typename Visitor>
void visit_fields(const Message& message, Visitor&& visit) {
  apply_fields([&](const auto&... fields) { (visit(fields.name, message.*(fields.member)), ...); }, Message::k_fields);
}

template <typename Message>
void store_fields_at(uint8_t* to, const Message& message) {
  FieldWriter writer(to);
  FieldCodec<Message>::store(writer, message);
}
// Requires: out.size() == k_fields_size<Message>.
template <typename Message>
void store_fields(const Message& message, MutBytes out) {
  CHECK(out.size() == k_fields_size<Message>);
  store_fields_at(out.data(), message);
}

template <typename Message>
std::array<uint8_t, k_fields_size<Message>> encode_fields(const Message& message) {
  std::array<uint8_t, k_fields_size<Message>> out;
  store_fields_at(out.data(), message);
  return out;
}

MILLET_RARE Error wrong_fields_size(size_t size, size_t expected);
MILLET_RARE Error field_out_of_range(const char* name);

// Into a message that is there already.
// Errors: bad_input if the size is wrong or an amount or rate is out of range; the message may have changed then.
template <typename Message>
Status decode_fields_into(Bytes bytes, Message& message) {
  if (bytes.size() != k_fields_size<Message>) return wrong_fields_size(bytes.size(), k_fields_size<Message>);
  FieldReader reader(bytes.data());
  FieldCodec<Message>::load(reader, nullptr, message);
  if (reader.bad() != nullptr) return field_out_of_range(reader.bad());
  return ok;
}
// Errors: as decode_fields_into.
template <typename Message>
Result<Message> decode_fields(Bytes bytes) {
  Message message{};
  TRY(decode_fields_into(bytes, message));
  return message;
}

// The message within a longer one of variable size.
template <typename Message>
void append_fields(std::vector<uint8_t>& out, const Message& message) {
  size_t at = out.size();
  out.resize(at + k_fields_size<Message>);
  store_fields_at(out.data() + at, message);
}
// Errors: bad_input if bytes are missing or a field is out of range.
template <typename Message>
Result<Message> take_fields(ByteReader& in) {
  return decode_fields<Message>(in.take(k_fields_size<Message>));
}
template <typename Message>
Status take_fields_into(ByteReader& in, Message& message) {
  return decode_fields_into(in.take(k_fields_size<Message>), message);
}

// What a signature of the message covers: the domain tag, then the fields.
template <typename Message>
std::array<uint8_t, 8 + k_fields_size<Message>> preimage(const Message& message) {
  static_assert(Message::k_tag.size() == 8, "a domain tag has 8 bytes");
  std::array<uint8_t, 8 + k_fields_size<Message>> out;
  std::memcpy(out.data(), Message::k_tag.data(), 8);
  store_fields_at(out.data() + 8, message);
  return out;
}

}  // namespace millet
