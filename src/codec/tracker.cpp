#include "codec/tracker.h"

#include <algorithm>

#include "codec/bencode.h"
#include "codec/url.h"

namespace millet {
namespace {

// 256 KiB of the shortest dictionary peers ("d2:ip1:14:porti1ee") have 14,000 peers of six values each.
constexpr bencode::Limits k_reply_limits{k_tracker_reply_size_max, 8, 100'000, false};
constexpr size_t k_text_size_max = 200;  // of a failure or warning: for one log line

struct ReplyFields {
  std::optional<int64_t> complete;
  std::optional<Bytes> failure;
  std::optional<int64_t> incomplete;
  std::optional<int64_t> interval;
  std::optional<int64_t> min_interval;
  bencode::Value peers;
  std::optional<Bytes> peers6;
  std::optional<Bytes> tracker_id;
  std::optional<Bytes> warning;
};
constexpr bencode::Field<ReplyFields> k_reply[] = {
    {"complete", &ReplyFields::complete}, {"failure reason", &ReplyFields::failure},    {"incomplete", &ReplyFields::incomplete},
    {"interval", &ReplyFields::interval}, {"min interval", &ReplyFields::min_interval}, {"peers", &ReplyFields::peers},
    {"peers6", &ReplyFields::peers6},     {"tracker id", &ReplyFields::tracker_id},     {"warning message", &ReplyFields::warning},
};
static_assert(bencode::sorted(k_reply));

struct PeerFields {
  Bytes ip;
  int64_t port = 0;
};
constexpr bencode::Field<PeerFields> k_peer[] = {{"ip", &PeerFields::ip}, {"port", &PeerFields::port}};
static_assert(bencode::sorted(k_peer));

std::optional<uint32_t> clamped(const std::optional<int64_t>& value, uint32_t max) {
  if (!value || *value < 0) return std::nullopt;
  return static_cast<uint32_t>(std::min<int64_t>(*value, max));
}

void add_peer(const IpAddress& address, int64_t port, std::vector<Endpoint>& peers) {
  if (port < 1 || port > 65535 || address.is_unusable() || peers.size() == k_tracker_peers_max) return;
  peers.push_back({address, static_cast<uint16_t>(port)});
}

// BEP 23 (4 bytes of address) and BEP 7 (16 bytes), each with 2 of port.
template <size_t AddressSize>
Status add_compact(Bytes raw, const char* key, std::vector<Endpoint>& peers) {
  constexpr size_t k_entry = AddressSize + 2;
  if (raw.size() % k_entry != 0) {
    std::string wrong = "' has " + std::to_string(raw.size()) + " bytes, no multiple of " + std::to_string(k_entry);
    return error(Errc::bad_input, "'" + std::string(key) + wrong);
  }
  ByteReader in(raw);
  while (in.left() > 0) {
    std::array<uint8_t, AddressSize> address = in.array<AddressSize>();
    uint16_t port = in.u16();
    if constexpr (AddressSize == 4)
      add_peer(IpAddress::v4(address), port, peers);
    else
      add_peer(IpAddress::v6(address), port, peers);
  }
  return ok;
}

Status add_dictionaries(const bencode::Value& list, std::vector<Endpoint>& peers) {
  bencode::ListCursor cursor(list);
  bencode::Value item;
  while (cursor.next(item)) {
    Result<PeerFields> fields = bencode::decode(item, k_peer);
    if (!fields) return std::move(fields).error().in("'peers'");
    Result<IpAddress> address = IpAddress::parse(as_text(fields->ip));
    if (address) add_peer(*address, fields->port, peers);  // BEP 3 allows names; we do not look up what strangers give us
  }
  return ok;
}

const char* name_of(AnnounceEvent event) {
  switch (event) {
    case AnnounceEvent::none: return "";
    case AnnounceEvent::started: return "started";
    case AnnounceEvent::completed: return "completed";
    case AnnounceEvent::stopped: return "stopped";
  }
  return "";
}

std::string hex_of(uint32_t value) {
  uint8_t raw[4];
  store_be<uint32_t>(raw, value);
  return to_hex(raw);
}

}  // namespace

Result<std::string> announce_url(std::string_view tracker, const AnnounceRequest& request) {
  TRY_ASSIGN(Url url, Url::parse(tracker));
  std::string& out = url.target;
  size_t query = out.find('?');
  if (query == std::string::npos)
    out += '?';
  else if (out.back() != '?' && out.back() != '&')
    out += '&';
  out += "info_hash=";
  append_percent_encoded(as_text(request.info_hash.raw), out);
  out += "&peer_id=";
  append_percent_encoded(as_text(request.peer_id.raw), out);
  out += "&port=" + std::to_string(request.port) + "&uploaded=" + std::to_string(request.uploaded);
  out += "&downloaded=" + std::to_string(request.downloaded) + "&left=" + std::to_string(request.left);
  out += "&compact=1&numwant=" + std::to_string(request.peers_wanted) + "&key=" + hex_of(request.key);
  if (request.event != AnnounceEvent::none) out += std::string("&event=") + name_of(request.event);
  if (!request.tracker_id.empty()) {
    out += "&trackerid=";
    append_percent_encoded(request.tracker_id, out);
  }
  std::string text = url.to_string();
  if (text.size() > k_url_size_max) return error(Errc::bad_input, "tracker URL '" + printable(tracker, 128) + "' is too long");
  return text;
}

Result<AnnounceReply> parse_announce_reply(Bytes body) {
  TRY_ASSIGN(bencode::Value root, bencode::parse(body, k_reply_limits));
  TRY_ASSIGN(ReplyFields fields, bencode::decode(root, k_reply));
  AnnounceReply out;
  if (fields.failure) {
    out.failure = printable(*fields.failure, k_text_size_max);
    return out;
  }
  if (fields.warning) out.warning = printable(*fields.warning, k_text_size_max);
  out.interval_s = clamped(fields.interval, k_tracker_interval_max_s);
  out.min_interval_s = clamped(fields.min_interval, k_tracker_interval_max_s);
  out.complete = clamped(fields.complete, UINT32_MAX);
  out.incomplete = clamped(fields.incomplete, UINT32_MAX);
  if (fields.tracker_id && fields.tracker_id->size() <= k_tracker_id_size_max) out.tracker_id = std::string(as_text(*fields.tracker_id));
  switch (fields.peers.kind()) {
    case bencode::Kind::none: break;
    case bencode::Kind::string: TRY(add_compact<4>(*fields.peers.string(), "peers", out.peers)); break;
    case bencode::Kind::list: TRY(add_dictionaries(fields.peers, out.peers)); break;
    default: return error(Errc::bad_input, "'peers' is neither a string nor a list");
  }
  if (fields.peers6) TRY(add_compact<16>(*fields.peers6, "peers6", out.peers));
  return out;
}

}  // namespace millet
