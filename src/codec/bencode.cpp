#include "codec/bencode.h"

#include <charconv>

namespace millet::bencode {
namespace {

constexpr size_t k_number_digits_max = 20;  // 2^64 has 20; a longer number is an attack on whoever converts it

struct Token {
  Kind kind = Kind::none;  // none: the 'e' that ends a list or dictionary
  size_t size = 0;         // bytes of the token; 1 for the 'l' or 'd' that begins one
  Bytes content;           // digits of an integer, bytes of a string
};

// Digits of a number without sign; no leading zero. Returns their count, 0 if malformed.
size_t digits_at(Bytes in) {
  size_t count = 0;
  while (count < in.size() && count <= k_number_digits_max && in[count] >= '0' && in[count] <= '9') ++count;
  if (count > k_number_digits_max || (count > 1 && in[0] == '0')) return 0;
  return count;
}

const char* read_integer(Bytes in, Token& out) {
  size_t sign = in.size() > 1 && in[1] == '-' ? 1 : 0;
  if (in.size() < 2 + sign) return "ends inside an integer";
  size_t digits = digits_at(in.subspan(1 + sign));
  size_t end = 1 + sign + digits;
  if (digits == 0 && end < in.size()) return "is no proper integer";
  if (end >= in.size()) return "ends inside an integer";
  if (in[end] != 'e' || (sign == 1 && in[2] == '0')) return "is no proper integer";
  out = {Kind::integer, end + 1, in.subspan(1, end - 1)};
  return nullptr;
}

const char* read_string(Bytes in, Token& out) {
  size_t digits = digits_at(in);
  if (digits == 0) return "is no proper string length";
  if (digits >= in.size()) return "ends inside a string";
  if (in[digits] != ':') return "is no proper string length";
  uint64_t size = 0;
  const char* text = reinterpret_cast<const char*>(in.data());
  if (std::from_chars(text, text + digits, size).ec != std::errc()) return "is no proper string length";
  if (size > in.size() - digits - 1) return "ends inside a string";
  out = {Kind::string, digits + 1 + static_cast<size_t>(size), in.subspan(digits + 1, static_cast<size_t>(size))};
  return nullptr;
}

// Reads one token; returns what is wrong, or null.
const char* read_token(Bytes in, Token& out) {
  if (in.empty()) return "ends early";
  switch (in[0]) {
    case 'i': return read_integer(in, out);
    case 'l': out = {Kind::list, 1, {}}; return nullptr;
    case 'd': out = {Kind::dict, 1, {}}; return nullptr;
    case 'e': out = {Kind::none, 1, {}}; return nullptr;
    default:
      if (in[0] < '0' || in[0] > '9') return "is no bencode";
      return read_string(in, out);
  }
}

// Takes one value off the front of bytes that parse() has checked; empty at the end of the container.
Bytes take_value(Bytes& rest) {
  size_t at = 0;
  size_t depth = 0;
  do {
    Token token;
    const char* wrong = read_token(rest.subspan(at), token);
    CHECK(wrong == nullptr);
    if (token.kind == Kind::none) {
      if (depth == 0) return {};
      --depth;
    } else if (token.kind == Kind::list || token.kind == Kind::dict) {
      ++depth;
    }
    at += token.size;
  } while (depth > 0);
  Bytes out = rest.first(at);
  rest = rest.subspan(at);
  return out;
}

Bytes string_of(Bytes encoded) {
  Token token;
  CHECK(read_token(encoded, token) == nullptr && token.kind == Kind::string);
  return token.content;
}

// The state of parse(): where it is and what surrounds it.
class Checker {
 public:
  Checker(Bytes input, const Limits& limits) : input_(input), limits_(limits) { CHECK(limits.depth_max <= k_depth_max); }

  // The size of the value at the front.
  Result<size_t> run() {
    do {
      Token token;
      if (const char* wrong = read_token(input_.subspan(at_), token)) return refuse(wrong);
      if (++values_ > limits_.values_max) return no_room("more than " + std::to_string(limits_.values_max) + " values");
      TRY(accept(token));
      at_ += token.size;
    } while (depth_ > 0);
    return at_;
  }

 private:
  struct Level {
    bool dict;
    bool wants_value;  // of a dictionary: the key has been read
    bool has_last_key;
    Bytes last_key;
  };
  Error refuse(const char* wrong) { return error(Errc::bad_input, "bencode " + std::string(wrong) + " at byte " + std::to_string(at_)); }
  Error no_room(const std::string& what) { return error(Errc::no_room, "bencode has " + what); }

  Status accept(const Token& token) {
    Level* level = depth_ > 0 ? &levels_[depth_ - 1] : nullptr;
    if (token.kind == Kind::none) {
      if (level == nullptr) return refuse("has an end without a beginning");
      if (level->dict && level->wants_value) return refuse("has a key without a value");
      --depth_;
      return ok;
    }
    if (level != nullptr && level->dict) {
      if (!level->wants_value) return accept_key(*level, token);
      level->wants_value = false;
    }
    if (token.kind == Kind::list || token.kind == Kind::dict) {
      if (depth_ >= limits_.depth_max) return no_room("lists nested deeper than " + std::to_string(limits_.depth_max));
      levels_[depth_++] = {token.kind == Kind::dict, false, false, {}};
    }
    return ok;
  }

  Status accept_key(Level& level, const Token& token) {
    if (token.kind != Kind::string) return refuse("has a key that is no string");
    if (limits_.strict && level.has_last_key && as_text(level.last_key) >= as_text(token.content)) return refuse("has keys out of order");
    level.wants_value = true;
    level.has_last_key = true;
    level.last_key = token.content;
    return ok;
  }

  Bytes input_;
  const Limits& limits_;
  size_t at_ = 0;
  uint32_t values_ = 0;
  uint32_t depth_ = 0;
  Level levels_[k_depth_max];
};

}  // namespace

Result<Value> parse(Bytes input, const Limits& limits) {
  if (input.size() > limits.size_max) {
    return error(Errc::no_room, "bencode has " + std::to_string(input.size()) + " bytes, more than " + std::to_string(limits.size_max));
  }
  Checker checker(input, limits);
  TRY_ASSIGN(size_t size, checker.run());
  if (limits.strict && size != input.size()) {
    return error(Errc::bad_input, "bencode ends at byte " + std::to_string(size) + ", but more follows");
  }
  return Value(input.first(size));
}

Kind Value::kind() const {
  if (encoded_.empty()) return Kind::none;
  switch (encoded_[0]) {
    case 'i': return Kind::integer;
    case 'l': return Kind::list;
    case 'd': return Kind::dict;
    default: return Kind::string;
  }
}

std::optional<int64_t> Value::integer() const {
  if (kind() != Kind::integer) return std::nullopt;
  const char* text = reinterpret_cast<const char*>(encoded_.data());
  int64_t value = 0;
  if (std::from_chars(text + 1, text + encoded_.size() - 1, value).ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<Bytes> Value::string() const {
  if (kind() != Kind::string) return std::nullopt;
  return string_of(encoded_);
}

Value Value::find(std::string_view key) const {
  DictCursor cursor(*this);
  Bytes name;
  Value value;
  while (cursor.next(name, value)) {
    if (as_text(name) == key) return value;
  }
  return {};
}

ListCursor::ListCursor(const Value& list) {
  if (list.is_list()) rest_ = list.encoded().subspan(1);
}

bool ListCursor::next(Value& out) {
  if (rest_.empty()) return false;
  out = Value(take_value(rest_));
  return out.kind() != Kind::none;
}

DictCursor::DictCursor(const Value& dict) {
  if (dict.is_dict()) rest_ = dict.encoded().subspan(1);
}

bool DictCursor::next(Bytes& key, Value& out) {
  if (rest_.empty()) return false;
  Bytes encoded_key = take_value(rest_);
  if (encoded_key.empty()) return false;
  key = string_of(encoded_key);
  out = Value(take_value(rest_));
  return true;
}

void Writer::put_number(int64_t value) {
  char text[24];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out_.insert(out_.end(), text, end);
}

void Writer::put_string(Bytes value) {
  put_number(static_cast<int64_t>(value.size()));
  out_.push_back(':');
  out_.insert(out_.end(), value.begin(), value.end());
}

void Writer::before_value() {
  if (depth_ == 0) return;
  Level& level = levels_[depth_ - 1];
  CHECK(!level.dict || level.has_key);
  level.has_key = false;
}

Writer& Writer::begin(char kind) {
  before_value();
  CHECK(depth_ < k_nesting_max);
  levels_[depth_++] = {kind == 'd', false, 0, 0};
  out_.push_back(static_cast<uint8_t>(kind));
  return *this;
}

Writer& Writer::end() {
  CHECK(depth_ > 0 && !levels_[depth_ - 1].has_key);
  --depth_;
  out_.push_back('e');
  return *this;
}

Writer& Writer::key(std::string_view key) {
  CHECK(depth_ > 0);
  Level& level = levels_[depth_ - 1];
  CHECK(level.dict && !level.has_key);
  if (level.last_key_at != 0) CHECK(as_text(Bytes(out_).subspan(level.last_key_at, level.last_key_size)) < key);
  put_string(as_bytes(key));
  level.has_key = true;
  level.last_key_at = out_.size() - key.size();
  level.last_key_size = key.size();
  return *this;
}

Writer& Writer::integer(int64_t value) {
  before_value();
  out_.push_back('i');
  put_number(value);
  out_.push_back('e');
  return *this;
}

Writer& Writer::string(Bytes value) {
  before_value();
  put_string(value);
  return *this;
}

Writer& Writer::raw(Bytes encoded) {
  before_value();
  out_.insert(out_.end(), encoded.begin(), encoded.end());
  return *this;
}

namespace detail {
namespace {

bool is_required(Slot slot) { return slot == Slot::integer || slot == Slot::string; }

bool store(Target& target, const Value& value) {
  switch (target.slot) {
    case Slot::integer:
    case Slot::optional_integer: {
      std::optional<int64_t> number = value.integer();
      if (!number) return false;
      if (target.slot == Slot::integer)
        *static_cast<int64_t*>(target.at) = *number;
      else
        *static_cast<std::optional<int64_t>*>(target.at) = number;
      return true;
    }
    case Slot::string:
    case Slot::optional_string: {
      std::optional<Bytes> text = value.string();
      if (!text) return false;
      if (target.slot == Slot::string)
        *static_cast<Bytes*>(target.at) = *text;
      else
        *static_cast<std::optional<Bytes>*>(target.at) = text;
      return true;
    }
    case Slot::value: *static_cast<Value*>(target.at) = value; return true;
  }
  return false;
}

Error refuse(std::string_view key, const char* wrong) { return error(Errc::bad_input, "'" + std::string(key) + "' " + wrong); }

}  // namespace

Status decode(const Value& dict, std::span<Target> targets) {
  if (!dict.is_dict()) return error(Errc::bad_input, "is no dictionary");
  DictCursor cursor(dict);
  Bytes key;
  Value value;
  while (cursor.next(key, value)) {
    for (Target& target : targets) {
      if (as_text(key) != target.key) continue;
      if (target.seen) return refuse(target.key, "is there twice");
      target.seen = true;
      if (!store(target, value)) return refuse(target.key, "is of the wrong type or out of range");
      break;
    }
  }
  for (const Target& target : targets) {
    if (!target.seen && is_required(target.slot)) return refuse(target.key, "is missing");
  }
  return ok;
}

void encode(std::span<const Source> sources, Writer& out) {
  for (const Source& source : sources) {
    switch (source.slot) {
      case Slot::integer: out.key(source.key).integer(*static_cast<const int64_t*>(source.at)); break;
      case Slot::optional_integer: {
        const auto& number = *static_cast<const std::optional<int64_t>*>(source.at);
        if (number) out.key(source.key).integer(*number);
        break;
      }
      case Slot::string: out.key(source.key).string(*static_cast<const Bytes*>(source.at)); break;
      case Slot::optional_string: {
        const auto& text = *static_cast<const std::optional<Bytes>*>(source.at);
        if (text) out.key(source.key).string(*text);
        break;
      }
      case Slot::value: {
        const Value& value = *static_cast<const Value*>(source.at);
        if (value.kind() != Kind::none) out.key(source.key).raw(value.encoded());
        break;
      }
    }
  }
}

}  // namespace detail
}  // namespace millet::bencode
