#include "codec/extension.h"

#include <algorithm>
#include <limits>

#include "codec/bencode.h"
#include "codec/peer_wire.h"

namespace millet::wire {
namespace {

// The longest list of extensions seen in the field has a dozen names; nothing in it nests but "m".
constexpr bencode::Limits k_message_limits{k_extended_size_max, 4, 256, false};

struct Extensions {
  std::optional<int64_t> btt_speed;
};
constexpr bencode::Field<Extensions> k_extensions[] = {{"btt_speed", &Extensions::btt_speed}};
static_assert(bencode::sorted(k_extensions));

struct Fields {
  bencode::Value m;
  std::optional<int64_t> p;
  std::optional<int64_t> reqq;
  std::optional<int64_t> upload_only;
  std::optional<Bytes> v;
  std::optional<Bytes> yourip;
};
constexpr bencode::Field<Fields> k_fields[] = {
    {"m", &Fields::m}, {"p", &Fields::p},           {"reqq", &Fields::reqq}, {"upload_only", &Fields::upload_only},
    {"v", &Fields::v}, {"yourip", &Fields::yourip},
};
static_assert(bencode::sorted(k_fields));

template <typename T>
std::optional<T> in_range(const std::optional<int64_t>& value, int64_t min) {
  if (!value || *value < min || *value > static_cast<int64_t>(std::numeric_limits<T>::max())) return std::nullopt;
  return static_cast<T>(*value);
}

std::optional<IpAddress> address_of(const std::optional<Bytes>& raw) {
  if (!raw || (raw->size() != 4 && raw->size() != 16)) return std::nullopt;
  ByteReader in(*raw);
  return raw->size() == 4 ? IpAddress::v4(in.array<4>()) : IpAddress::v6(in.array<16>());
}

}  // namespace

Result<ExtensionHandshake> decode_extension_handshake(Bytes payload) {
  TRY_ASSIGN(bencode::Value root, bencode::parse(payload, k_message_limits));
  TRY_ASSIGN(Fields fields, bencode::decode(root, k_fields));
  ExtensionHandshake out;
  if (fields.m.kind() != bencode::Kind::none) {
    TRY_ASSIGN(Extensions extensions, bencode::decode(fields.m, k_extensions));
    out.btt_speed = in_range<uint8_t>(extensions.btt_speed, 0);
  }
  out.listen_port = in_range<uint16_t>(fields.p, 1);
  out.request_count_max = in_range<uint32_t>(fields.reqq, 1);
  if (fields.upload_only) out.upload_only = *fields.upload_only != 0;
  out.your_address = address_of(fields.yourip);
  if (fields.v) out.client = printable(fields.v->first(std::min(fields.v->size(), k_client_size_max)), k_client_size_max);
  return out;
}

void encode(const ExtensionHandshake& handshake, std::vector<uint8_t>& out) {
  bencode::Writer writer(out);
  writer.begin_dict().key("m");
  bencode::encode(Extensions{handshake.btt_speed}, k_extensions, writer);
  Fields fields;
  fields.p = handshake.listen_port;
  fields.reqq = handshake.request_count_max;
  if (handshake.upload_only) fields.upload_only = *handshake.upload_only ? 1 : 0;
  if (!handshake.client.empty()) fields.v = as_bytes(handshake.client);
  if (handshake.your_address) fields.yourip = handshake.your_address->raw();
  bencode::encode_fields(fields, k_fields, writer);
  writer.end();
}

}  // namespace millet::wire
