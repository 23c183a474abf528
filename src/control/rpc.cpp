#include "control/rpc.h"

#include <initializer_list>

#include "control/base64.h"
#include "control/rows.h"
#include "node/memory_use.h"

namespace millet {
namespace {

constexpr size_t k_hash_digits_min = 4;  // fewer name a torrent by accident

struct Method {
  const char* name;
  Result<Json> (Rpc::*run)(Instant, const Json&);
  std::initializer_list<const char*> params;  // all that it takes
  bool changes = false;                       // what is durable
};
const Method k_methods[] = {
    {"add", &Rpc::add, {"torrent", "root", "peers", "budget", "max_rate", "paused"}, true},
    {"list", &Rpc::list, {}},
    {"show", &Rpc::show, {"hash"}},
    {"peers", &Rpc::peers, {"hash"}},
    {"bids", &Rpc::bids, {}},
    {"channels", &Rpc::channels, {}},
    {"history", &Rpc::history, {}},
    {"stats", &Rpc::stats, {}},
    {"options", &Rpc::options, {}},
    {"remove", &Rpc::remove, {"hash", "delete_data"}, true},
    {"verify", &Rpc::verify, {"hash"}, true},
    {"pause", &Rpc::pause, {"hash"}, true},
    {"resume", &Rpc::resume, {"hash"}, true},
    {"set", &Rpc::set, {"hash", "options"}, true},
    {"unlock", &Rpc::unlock, {"passphrase"}},
};

Status check_params(const Method& method, const Json& params) {
  const char* key;
  json_t* value;
  json_object_foreach(params.raw(), key, value) {
    bool known = false;
    for (const char* name : method.params) known = known || std::string_view(name) == key;
    if (!known) return error(Errc::bad_input, std::string(method.name) + " takes no parameter '" + printable(std::string_view(key)) + "'");
  }
  return ok;
}

// An optional text parameter; empty if it is missing. Errors: bad_input if it is something else.
Result<std::string> text_param(const Json& params, const char* key) {
  const json_t* value = params.get(key);
  if (value == nullptr) return std::string();
  if (!json_is_string(value)) return error(Errc::bad_input, std::string("parameter ") + key + " must be text");
  return std::string(json_text(params.raw(), key));
}

Result<bool> flag_param(const Json& params, const char* key) {
  const json_t* value = params.get(key);
  if (value == nullptr) return false;
  if (!json_is_boolean(value)) return error(Errc::bad_input, std::string("parameter ") + key + " must be true or false");
  return static_cast<bool>(json_is_true(value));
}

// Amounts and rates go by the same rules as the options of the same meaning.
Result<NodeConfig> bidding_params(const Json& params) {
  Settings settings;
  for (const auto& [key, option] : {std::pair("budget", "speed.budget"), std::pair("max_rate", "speed.max_rate")}) {
    TRY_ASSIGN(std::string text, text_param(params, key));
    if (params.get(key) != nullptr) TRY(set_option(settings, option, text));
  }
  return settings.node;
}

Result<std::vector<Endpoint>> peers_param(const Json& params) {
  std::vector<Endpoint> peers;
  json_t* list = params.get("peers");
  if (list == nullptr) return peers;
  if (!json_is_array(list) || json_array_size(list) > k_rpc_peers_max) {
    return error(Errc::bad_input, "parameter peers must be a list of at most " + std::to_string(k_rpc_peers_max) + " addresses");
  }
  size_t index;
  json_t* entry;
  json_array_foreach(list, index, entry) {
    if (!json_is_string(entry)) return error(Errc::bad_input, "parameter peers must be a list of ADDRESS:PORT");
    const std::string_view text(json_string_value(entry), json_string_length(entry));
    Result<Endpoint> peer = Endpoint::parse(text);
    if (!peer || peer->port == 0) return error(Errc::bad_input, "peer '" + printable(text) + "' is not ADDRESS:PORT, as in 192.0.2.1:6881");
    peers.push_back(*peer);
  }
  return peers;
}

Error unsaved(const Error& reason) {
  return error(reason.code, "done, but not saved: " + reason.reason + "; saving is tried again, and until then a restart undoes it");
}

}  // namespace

std::string Rpc::handle(Instant now, std::string_view request) {
  awaited_ = 0;
  awaits_unlock_ = false;
  Json reply = Json::object();
  Result<Json> parsed =
      request.size() > k_rpc_request_bytes_max ? error(Errc::no_room, "the request is longer than 12 MiB") : Json::parse_object(request);
  Result<Json> result = parsed ? dispatch(now, *parsed) : std::move(parsed).error();
  if (parsed) {
    if (json_t* id = parsed->get("id")) json_object_set(reply.raw(), "id", id);
  }
  if (!result) awaited_ = 0;
  if (result) return reply.set("result", std::move(result).value()).dump();
  Json failure = Json::object();
  failure.set("code", errc_name(result.error().code)).set("message", result.error().reason);
  return reply.set("error", std::move(failure)).dump();
}

std::string Rpc::not_saved(std::string_view reply, const Error& reason) { return failed(reply, unsaved(reason)); }

std::string Rpc::failed(std::string_view reply, const Error& reason) {
  Json out = Json::object();
  Result<Json> parsed = Json::parse_object(reply);
  if (parsed) {
    if (json_t* id = parsed->get("id")) json_object_set(out.raw(), "id", id);
  }
  Json failure = Json::object();
  failure.set("code", errc_name(reason.code)).set("message", reason.reason);
  return out.set("error", std::move(failure)).dump();
}

Result<Json> Rpc::dispatch(Instant now, const Json& request) {
  const std::string_view name = json_text(request.raw(), "method");
  if (name.empty()) return error(Errc::bad_input, "the request has no method");
  json_t* given = request.get("params");
  if (given != nullptr && !json_is_object(given)) return error(Errc::bad_input, "params must be an object");
  Json params = Json::object();
  if (given != nullptr) json_object_update(params.raw(), given);
  for (const Method& method : k_methods) {
    if (method.name != name) continue;
    TRY(check_params(method, params));
    Result<Json> result = (this->*method.run)(now, params);
    if (result && method.changes && node_.commands_commit() > node_.durable_commit()) awaited_ = node_.commands_commit();
    return result;
  }
  return error(Errc::not_found, "there is no method '" + printable(name) + "'");
}

Result<TorrentStatus> Rpc::find(Instant now, std::string_view text) const {
  bool hex = text.size() >= k_hash_digits_min && text.size() <= 2 * InfoHash::k_size;
  std::string digits;
  for (char c : text) {
    digits += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    hex = hex && ((digits.back() >= '0' && digits.back() <= '9') || (digits.back() >= 'a' && digits.back() <= 'f'));
  }
  if (!hex)
    return error(Errc::bad_input,
                 "'" + printable(text) + "' is not an info hash: 40 hexadecimal digits, or the first of them (at least 4)");
  std::optional<TorrentStatus> found;
  for (TorrentStatus& torrent : node_.torrents(now)) {
    if (!torrent.info_hash.hex().starts_with(digits)) continue;
    if (found) return error(Errc::conflict, "more than one torrent begins with " + digits + ": give more digits");
    found = std::move(torrent);
  }
  if (!found) return error(Errc::not_found, "there is no torrent " + digits + ": `millet list` shows them");
  return std::move(*found);
}

Result<TorrentStatus> Rpc::find_param(Instant now, const Json& params) const {
  TRY_ASSIGN(std::string hash, text_param(params, "hash"));
  return find(now, hash);
}

Result<Json> Rpc::show_again(Instant now, const InfoHash& hash) const {
  TRY_ASSIGN(TorrentStatus torrent, find(now, hash.hex()));
  return row_of(torrent);
}

Result<Json> Rpc::add(Instant now, const Json& params) {
  TRY_ASSIGN(std::string encoded, text_param(params, "torrent"));
  if (encoded.empty()) return error(Errc::bad_input, "add needs the parameter torrent: the .torrent file in base64");
  TRY_ASSIGN(std::vector<uint8_t> metainfo, from_base64(encoded));
  TRY_ASSIGN(NodeConfig bidding, bidding_params(params));
  AddTorrent request;
  request.metainfo = metainfo;
  TRY_ASSIGN(request.root, text_param(params, "root"));
  TRY_ASSIGN(request.peers, peers_param(params));
  TRY_ASSIGN(request.paused, flag_param(params, "paused"));
  if (params.get("budget") != nullptr) request.budget = bidding.budget;
  if (params.get("max_rate") != nullptr) request.max_rate = bidding.max_rate;
  TRY_ASSIGN(InfoHash hash, node_.add_torrent(now, request));
  return show_again(now, hash);
}

Result<Json> Rpc::list(Instant now, const Json&) {
  Json torrents = Json::array();
  for (const TorrentStatus& torrent : node_.torrents(now)) torrents.append(row_of(torrent));
  Json out = Json::object();
  out.set("torrents", std::move(torrents));
  return out;
}

Result<Json> Rpc::show(Instant now, const Json& params) {
  TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
  return row_of(torrent);
}

Result<Json> Rpc::peers(Instant now, const Json& params) {
  std::optional<InfoHash> hash;
  if (params.get("hash") != nullptr) {
    TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
    hash = torrent.info_hash;
  }
  Json rows = Json::array();
  for (const PeerStatus& peer : node_.peers(now, hash)) rows.append(row_of(peer));
  Json out = Json::object();
  out.set("peers", std::move(rows));
  return out;
}

Result<Json> Rpc::bids(Instant, const Json&) {
  Json auctions = Json::array();
  for (const AuctionRound& round : node_.auctions()) auctions.append(row_of(round));
  Json own = Json::array();
  for (const OwnBid& bid : node_.own_bids()) own.append(row_of(bid));
  Json none = Json::array();
  for (const NoBid& torrent : node_.no_bids()) {
    Json row = Json::object();
    none.append(std::move(row.set("info_hash", torrent.info_hash.hex()).set("reason", torrent.reason)));
  }
  Json out = Json::object();
  out.set("auctions", std::move(auctions)).set("own_bids", std::move(own)).set("no_bids", std::move(none));
  return out;
}

Result<Json> Rpc::channels(Instant, const Json&) {
  Json rows = Json::array();
  for (const ChannelStatus& channel : node_.channels()) rows.append(row_of(channel));
  Json out = Json::object();
  out.set("channels", std::move(rows));
  return out;
}

Result<Json> Rpc::history(Instant, const Json&) {
  Json rows = Json::array();
  for (const HistoryDay& day : node_.history()) rows.append(row_of(day));
  Json out = Json::object();
  out.set("history", std::move(rows));
  return out;
}

Result<Json> Rpc::stats(Instant now, const Json&) {
  NodeStats stats = node_.stats(now);
  if (transport_ != nullptr) transport_->add_memory(stats.memory);
  if (stats.device.memory) add_rest(stats.memory, stats.device.memory->own_kib * 1024);
  Json row = row_of(stats);
  if (transport_ != nullptr) row.set("state_written", transport_->state_written());
  if (transport_ != nullptr) row.set("transport", row_of(transport_->transport_status()));
  return row;
}

Result<Json> Rpc::options(Instant, const Json&) {
  Json values = Json::object();
  for (std::string_view name : option_names(Program::milletd)) values.set(std::string(name).c_str(), option_value(settings_, name));
  Json out = Json::object();
  out.set("options", std::move(values));
  return out;
}

Result<Json> Rpc::remove(Instant now, const Json& params) {
  TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
  TRY_ASSIGN(bool delete_data, flag_param(params, "delete_data"));
  TRY(node_.remove_torrent(now, torrent.info_hash, delete_data));
  Json out = Json::object();
  out.set("info_hash", torrent.info_hash.hex()).set("name", torrent.name);
  return out;
}

Result<Json> Rpc::verify(Instant now, const Json& params) {
  TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
  TRY(node_.verify_torrent(now, torrent.info_hash));
  return show_again(now, torrent.info_hash);
}

Result<Json> Rpc::pause(Instant now, const Json& params) {
  TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
  TRY(node_.pause_torrent(now, torrent.info_hash));
  return show_again(now, torrent.info_hash);
}

Result<Json> Rpc::resume(Instant now, const Json& params) {
  if (params.get("hash") == nullptr) {
    // All that are not paused: after the machine got another address, or a disk.
    for (const TorrentStatus& torrent : node_.torrents(now)) {
      if (!torrent.paused) TRY(node_.resume_torrent(now, torrent.info_hash));
    }
    return list(now, params);
  }
  TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
  TRY(node_.resume_torrent(now, torrent.info_hash));
  return show_again(now, torrent.info_hash);
}

Result<Json> Rpc::set(Instant now, const Json& params) {
  json_t* given = params.get("options");
  if (!json_is_object(given) || json_object_size(given) == 0)
    return error(Errc::bad_input, "set needs the parameter options: {SECTION.OPTION: VALUE}");
  // All of them or none: a copy is changed, checked, and then taken over.
  Settings changed = settings_;
  TorrentSettings of_torrent;
  const bool one_torrent = params.get("hash") != nullptr;
  const char* key;
  json_t* value;
  json_object_foreach(given, key, value) {
    const std::string name(key);
    if (!json_is_string(value)) return error(Errc::bad_input, "the value of option " + printable(std::string_view(name)) + " must be text");
    TRY(set_option(changed, name, std::string_view(json_string_value(value), json_string_length(value))));
    TRY_ASSIGN(bool live, option_is_live(name));
    if (!live)
      return error(Errc::unsupported,
                   "option " + name + " takes effect at start only: write it into the configuration file and start milletd again");
    if (name == "speed.budget")
      of_torrent.budget = changed.node.budget;
    else if (name == "speed.max_rate")
      of_torrent.max_rate = changed.node.max_rate;
    else if (name == "speed.reserve")
      of_torrent.reserve = changed.node.reserve;
    else if (name == "speed.enabled")
      of_torrent.speed_enabled = changed.node.speed_enabled;
    else if (one_torrent)
      return error(Errc::bad_input,
                   "option " + name + " is the whole node's; of one torrent: speed.budget, speed.max_rate, speed.reserve, speed.enabled");
  }
  if (one_torrent) {
    TRY_ASSIGN(TorrentStatus torrent, find_param(now, params));
    TRY(node_.set_torrent(now, torrent.info_hash, of_torrent));
    return show_again(now, torrent.info_hash);
  }
  TRY(check_settings(changed, Program::milletd));
  TRY(node_.set_config(now, changed.node));
  settings_ = std::move(changed);
  return options(now, params);
}

Result<Json> Rpc::unlock(Instant, const Json& params) {
  // In base64: a passphrase is bytes, of which JSON carries those of UTF-8 only.
  const std::string_view text = json_text(params.raw(), "passphrase");
  if (text.empty()) return error(Errc::bad_input, "unlock needs the parameter passphrase, in base64");
  TRY_ASSIGN(std::vector<uint8_t> bytes, from_base64(text));
  Secret passphrase;
  passphrase.text = as_text(bytes);
  wipe(bytes);
  if (wallet_ == nullptr) return error(Errc::conflict, k_not_locked);
  TRY(wallet_->unlock(std::move(passphrase)));
  awaits_unlock_ = true;
  Json out = Json::object();
  out.set("wallet_locked", false);
  return out;
}

}  // namespace millet
