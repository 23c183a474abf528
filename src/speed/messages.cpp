#include "speed/messages.h"

namespace millet::speed {
namespace {

// Checks beyond the range of a field's type.
template <typename M>
const char* fault(const M&) {
  return nullptr;
}
const char* fault(const BidMessage& m) { return (m.flags & ~BidMessage::k_flag_withdraw) != 0 ? "flags" : nullptr; }
const char* fault(const RateMessage& m) {
  if (m.kind > static_cast<uint8_t>(RateKind::reserve)) return "kind";
  return m.kind == static_cast<uint8_t>(RateKind::free) && !m.rate.is_zero() ? "rate" : nullptr;
}
const char* fault(const ChannelMessage& m) { return m.slot >= k_slots_max ? "slot" : nullptr; }
const char* fault(const PayMessage& m) { return m.slot >= k_slots_max ? "slot" : nullptr; }
const char* fault(const ResumeMessage& m) { return m.slot >= k_slots_max && m.slot != k_slot_unknown ? "slot" : nullptr; }
const char* fault(const AckMessage& m) {
  if (m.slot >= k_slots_max) return "slot";
  if (m.status > static_cast<uint8_t>(AckStatus::closed)) return "status";
  return m.durable > m.counted ? "durable" : nullptr;
}

Error refused(const char* name, std::string_view reason) { return error(Errc::protocol, std::string(name) + ": " + std::string(reason)); }

template <typename M>
Status decode_as(Bytes body, Message& out) {
  M& message = out.emplace<M>();
  if (Status decoded = decode_fields_into(body, message); !decoded) return refused(M::k_name, decoded.error().reason);
  if (const char* bad = fault(message)) return refused(M::k_name, std::string("field ") + bad + " is out of range");
  return ok;
}

// One entry per message type of the variant, in its order.
struct Kind {
  uint8_t type;
  size_t body_size;
  Status (*decode)(Bytes, Message&);
};
template <typename M>
constexpr Kind kind_of() {
  return {M::k_type, k_fields_size<M>, decode_as<M>};
}
template <typename... Ms>
constexpr auto kinds_of(const std::variant<std::monostate, Ms...>*) {
  return std::array<Kind, sizeof...(Ms)>{kind_of<Ms>()...};
}
constexpr auto k_kinds = kinds_of(static_cast<const Message*>(nullptr));

struct Describer {
  std::string& out;
  void operator()(const char* name, uint64_t value) const { add(name, std::to_string(value)); }
  void operator()(const char* name, Amount value) const { add(name, std::to_string(value.in_micro())); }
  void operator()(const char* name, Rate value) const { add(name, std::to_string(value.in_pico_per_byte())); }
  void operator()(const char* name, LedgerTime value) const { add(name, std::to_string(value.in_seconds())); }
  template <size_t N>
  void operator()(const char* name, const std::array<uint8_t, N>& value) const {
    add(name, to_hex(Bytes(value).first(4)));
  }
  template <typename Tag, size_t N>
  void operator()(const char* name, const FixedBytes<Tag, N>& value) const {
    add(name, to_hex(value.bytes().first(4)));
  }
  void add(const char* name, const std::string& value) const { out.append(" ").append(name).append("=").append(value); }
};

}  // namespace

Result<Message> decode(Bytes payload) {
  if (payload.empty()) return error(Errc::protocol, "btt_speed message without a subtype");
  if (payload.size() > k_payload_size_max) return error(Errc::protocol, "btt_speed message of more than 4096 bytes");
  uint8_t type = payload[0];
  Bytes body = payload.subspan(1);
  for (const Kind& kind : k_kinds) {
    if (kind.type != type) continue;
    bool with_tree_head = type == HelloMessage::k_type && body.size() == kind.body_size + k_tree_head_size;
    Message message;
    TRY(kind.decode(with_tree_head ? body.first(kind.body_size) : body, message));
    if (with_tree_head) std::get<HelloMessage>(message).tree_head = ByteReader(body.subspan(kind.body_size)).array<k_tree_head_size>();
    return message;
  }
  return Message(std::monostate{});
}

std::vector<uint8_t> encode(const Message& message) {
  std::vector<uint8_t> out;
  std::visit(
      [&]<typename M>(const M& m) {
        if constexpr (std::is_same_v<M, std::monostate>) {
          CHECK(!"a message to encode has a type");
        } else {
          out.push_back(M::k_type);
          append_fields(out, m);
          if constexpr (std::is_same_v<M, HelloMessage>) {
            if (m.tree_head) ByteWriter(out).bytes(*m.tree_head);
          }
        }
      },
      message);
  return out;
}

std::string describe(const Message& message) {
  std::string out;
  std::visit(
      [&]<typename M>(const M& m) {
        if constexpr (std::is_same_v<M, std::monostate>) {
          out = "unknown";
        } else {
          out = M::k_name;
          Describer add{out};
          apply_fields([&](const auto&... fields) { (add(fields.name, m.*(fields.member)), ...); }, M::k_fields);
        }
      },
      message);
  return out;
}

}  // namespace millet::speed
