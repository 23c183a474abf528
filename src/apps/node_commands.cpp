#include "apps/node_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "apps/client.h"
#include "apps/terminal.h"
#include "apps/views.h"
#include "base/endpoint.h"
#include "base/utf8.h"
#include "codec/metainfo.h"
#include "control/base64.h"
#include "control/rpc.h"
#include "driver/json_memory.h"

namespace millet {
namespace {

Result<Json> call(const CommandContext& context, const char* method, Json params) {
  TRY_ASSIGN(Client client, Client::connect(context.socket));
  return client.call(method, std::move(params));
}

// Prints a reply in one of its two forms, or the error.
int finish(const CommandContext& context, const Result<Json>& reply, std::string (*view)(const Json&)) {
  if (!reply) return report_error(context, reply.error());
  if (context.json)
    print_json(*reply);
  else
    std::fputs(view(*reply).c_str(), stdout);
  return k_exit_done;
}

std::string show_torrent(const Json& reply) { return torrent_view(reply.raw()); }

// Arguments of a command that takes at most one info hash and nothing else. Errors: bad_input.
Result<Json> hash_argument(CommandArguments arguments, bool required) {
  ArgumentReader reader(arguments);
  Json params = Json::object();
  while (reader.next()) {
    if (reader.is_option() || params.get("hash") != nullptr) return reader.unknown();
    params.set("hash", reader.name());
  }
  if (required && params.get("hash") == nullptr) return error(Errc::bad_input, "the info hash is missing: `millet list` shows them");
  return params;
}

int listing(const CommandContext& context, CommandArguments arguments, const char* method, std::string (*view)(const Json&)) {
  if (!arguments.empty())
    return report_error(context, error(Errc::bad_input, std::string(method) + " takes no arguments; --state and --socket stand before it"),
                        true);
  return finish(context, call(context, method, Json::object()), view);
}

int for_torrent(const CommandContext& context, CommandArguments arguments, const char* method) {
  Result<Json> params = hash_argument(arguments, true);
  if (!params) return report_error(context, params.error(), true);
  return finish(context, call(context, method, std::move(params).value()), show_torrent);
}

// A path as milletd can use it, which runs in another folder.
std::string absolute(const std::string& path) {
  if (path.starts_with("/")) return path;
  char* here = ::getcwd(nullptr, 0);
  if (here == nullptr) return path;
  std::string out = std::string(here) + "/" + path;
  ::free(here);
  return out;
}

Result<std::vector<uint8_t>> read_torrent_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return error(errno == EACCES ? Errc::denied : Errc::not_found, "can't read " + path + ": " + std::strerror(errno));
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat info;
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return error(Errc::bad_input, path + " is not a file: give the .torrent file itself");
  Status fits = check_metainfo_size(static_cast<uint64_t>(info.st_size));
  if (!fits) return std::move(fits).error().in(path);
  std::vector<uint8_t> bytes(static_cast<size_t>(info.st_size));
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::read(fd, bytes.data() + have, bytes.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error(Errc::io, "can't read " + path + ": " + std::strerror(errno));
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

// HOST:PORT, with names resolved here: milletd connects to addresses.
Result<std::string> resolve_peer(const std::string& text) {
  if (Endpoint::parse(text)) return text;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return error(Errc::bad_input, "peer '" + text + "' is not HOST:PORT");
  // getaddrinfo() takes 70000 as well, and means another port.
  if (!Endpoint::parse("0.0.0.0" + text.substr(colon)))
    return error(Errc::bad_input, "peer '" + text + "' is not HOST:PORT with a port up to 65535");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(text.substr(0, colon).c_str(), text.substr(colon + 1).c_str(), &hints, &found);
  if (failure != 0) return error(Errc::not_found, "peer '" + text + "': " + ::gai_strerror(failure));
  char host[NI_MAXHOST], port[NI_MAXSERV];
  const int shown_failure =
      ::getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  const bool v6 = found->ai_family == AF_INET6;
  ::freeaddrinfo(found);
  if (shown_failure != 0) return error(Errc::not_found, "peer '" + text + "': " + ::gai_strerror(shown_failure));
  return v6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

// Asks until the torrent stands still, with a progress bar. `until_seeding`: a download is waited for too.
Result<Json> wait_for(const CommandContext& context, const std::string& hash, bool until_seeding) {
  constexpr useconds_t k_poll_us = 200'000;  // five times a second looks alive and costs nothing
  TRY_ASSIGN(Client client, Client::connect(context.socket));
  Progress progress(hash.substr(0, 8));
  while (true) {
    Json params = Json::object();
    params.set("hash", hash);
    TRY_ASSIGN(Json torrent, client.call("show", std::move(params)));
    const std::string_view state = json_text(torrent.raw(), "state");
    if (state == "error" || state == "missing")
      return error(Errc::io, std::string(json_text(torrent.raw(), "error", "the torrent stands still")));
    const bool checking = state == "checking";
    if (!checking && !(until_seeding && state == "downloading")) return torrent;
    if (checking)
      progress.update(json_number(torrent.raw(), "pieces_checked"), json_number(torrent.raw(), "pieces"), "checking");
    else
      progress.update(json_number(torrent.raw(), "done"), json_number(torrent.raw(), "size"),
                      human_rate(json_number(torrent.raw(), "download_rate")));
    ::usleep(k_poll_us);
  }
}

struct AddArguments {
  std::string file;
  Json params;
  bool wait = false;
};

Result<AddArguments> add_arguments(CommandArguments arguments) {
  ArgumentReader reader(arguments);
  AddArguments out{.file = "", .params = Json::object(), .wait = false};
  Json peers = Json::array();
  std::string value;
  while (reader.next()) {
    if (reader.is("--paused")) {
      out.params.set("paused", true);
    } else if (reader.is("--wait")) {
      out.wait = true;
    } else if (reader.is("--data")) {
      TRY(reader.value_into(value));
      // JSON carries UTF-8 only: another folder would be used.
      if (!is_utf8(absolute(value)))
        return error(Errc::bad_input, "--data: the path is not UTF-8, which milletd needs; give the folder another name");
      out.params.set("root", absolute(value));
    } else if (reader.is("--peer")) {
      TRY(reader.value_into(value));
      TRY_ASSIGN(std::string peer, resolve_peer(value));
      peers.append(Json::text(peer));
    } else if (reader.is("--budget")) {
      TRY(reader.value_into(value));
      out.params.set("budget", value);
    } else if (reader.is("--max-rate")) {
      TRY(reader.value_into(value));
      out.params.set("max_rate", value);
    } else if (reader.is_option() || !out.file.empty()) {
      return reader.unknown();
    } else {
      out.file = std::string(reader.name());
    }
  }
  if (out.file.empty()) return error(Errc::bad_input, "the .torrent file is missing: millet add FILE.torrent");
  if (out.file.starts_with("magnet:")) return error(Errc::unsupported, "magnet links are not built yet: add the .torrent file");
  out.params.set("peers", std::move(peers));
  return out;
}

// Nobody is asked for a passphrase that no wallet needs.
Result<Json> unlock(const CommandContext& context) {
  TRY_ASSIGN(Json stats, call(context, "stats", Json::object()));
  if (!json_flag(stats.raw(), "wallet_locked")) return error(Errc::conflict, k_not_locked);
  wipe_json_memory();
  TRY_ASSIGN(Secret passphrase, ask_or_read_secret("passphrase of the wallet: "));
  Secret encoded;
  encoded.text = to_base64(passphrase.bytes());
  Json params = Json::object();
  params.set("passphrase", encoded.text);
  return call(context, "unlock", std::move(params));
}

}  // namespace

int add_command(const CommandContext& context, CommandArguments arguments) {
  Result<AddArguments> parsed = add_arguments(arguments);
  if (!parsed) return report_error(context, parsed.error(), true);
  Result<std::vector<uint8_t>> torrent = read_torrent_file(parsed->file);
  if (!torrent) return report_error(context, torrent.error());
  parsed->params.set("torrent", to_base64(*torrent));
  Result<Json> added = call(context, "add", std::move(parsed->params));
  // milletd got bytes without a name: what is wrong with them is said with the file's.
  if (Result<Metainfo> metainfo = parse_metainfo(*torrent); !added && !metainfo) added = std::move(metainfo).error().in(parsed->file);
  if (added && parsed->wait) added = wait_for(context, std::string(json_text(added->raw(), "info_hash")), true);
  return finish(context, added, show_torrent);
}

int list_command(const CommandContext& context, CommandArguments arguments) { return listing(context, arguments, "list", torrents_view); }
// A listing with one flag for another view of it.
int listing_with(const CommandContext& context, CommandArguments arguments, const char* method, const char* flag,
                 std::string (*flagged)(const Json&), std::string (*view)(const Json&)) {
  bool set = !arguments.empty() && std::string_view(arguments[0]) == flag;
  return listing(context, arguments.subspan(set ? 1 : 0), method, set ? flagged : view);
}
int bids_command(const CommandContext& context, CommandArguments arguments) {
  return listing_with(context, arguments, "bids", "--explain", bids_explained, bids_view);
}
int history_command(const CommandContext& context, CommandArguments arguments) {
  return listing_with(context, arguments, "history", "--by-torrent", history_by_torrent, history_view);
}
int channels_command(const CommandContext& context, CommandArguments arguments) {
  return listing(context, arguments, "channels", channels_view);
}
int stats_command(const CommandContext& context, CommandArguments arguments) { return listing(context, arguments, "stats", stats_view); }
int show_command(const CommandContext& context, CommandArguments arguments) { return for_torrent(context, arguments, "show"); }
int pause_command(const CommandContext& context, CommandArguments arguments) { return for_torrent(context, arguments, "pause"); }
int resume_command(const CommandContext& context, CommandArguments arguments) {
  if (arguments.empty()) return listing(context, arguments, "resume", torrents_view);
  return for_torrent(context, arguments, "resume");
}

int peers_command(const CommandContext& context, CommandArguments arguments) {
  Result<Json> params = hash_argument(arguments, false);
  if (!params) return report_error(context, params.error(), true);
  return finish(context, call(context, "peers", std::move(params).value()), peers_view);
}

int remove_command(const CommandContext& context, CommandArguments arguments) {
  ArgumentReader reader(arguments);
  Json params = Json::object();
  while (reader.next()) {
    if (reader.is("--delete-data"))
      params.set("delete_data", true);
    else if (reader.is_option() || params.get("hash") != nullptr)
      return report_error(context, reader.unknown(), true);
    else
      params.set("hash", reader.name());
  }
  if (params.get("hash") == nullptr)
    return report_error(context, error(Errc::bad_input, "the info hash is missing: `millet list` shows them"), true);
  return finish(context, call(context, "remove", std::move(params)),
                [](const Json& reply) { return "removed " + shown(json_text(reply.raw(), "name")) + "\n"; });
}

int verify_command(const CommandContext& context, CommandArguments arguments) {
  bool wait = false;
  std::vector<const char*> rest;
  for (const char* argument : arguments) {
    if (std::string_view(argument) == "--wait")
      wait = true;
    else
      rest.push_back(argument);
  }
  Result<Json> params = hash_argument(rest, true);
  if (!params) return report_error(context, params.error(), true);
  Result<Json> reply = call(context, "verify", std::move(params).value());
  if (reply && wait && json_text(reply->raw(), "state") == "paused") {
    reply = error(Errc::conflict,
                  "the torrent is paused: it will be hashed when it goes on (millet resume HASH), so there is nothing to wait for");
  }
  if (reply && wait) reply = wait_for(context, std::string(json_text(reply->raw(), "info_hash")), false);
  return finish(context, reply, show_torrent);
}

int unlock_command(const CommandContext& context, CommandArguments arguments) {
  if (!arguments.empty()) {
    return report_error(context, error(Errc::bad_input, "unlock takes no arguments: it asks for the passphrase, or reads a line of a pipe"),
                        true);
  }
  return finish(context, unlock(context), [](const Json&) { return std::string("unlocked, until milletd ends\n"); });
}

int set_command(const CommandContext& context, CommandArguments arguments) {
  Json params = Json::object();
  Json options = Json::object();
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    const size_t equals = argument.find('=');
    if (equals != std::string_view::npos)
      options.set(std::string(argument.substr(0, equals)).c_str(), argument.substr(equals + 1));
    else if (i == 0)
      params.set("hash", argument);
    else
      return report_error(
          context, error(Errc::bad_input, "'" + std::string(argument) + "' is not SECTION.OPTION=VALUE, as in speed.max_rate=5"), true);
  }
  if (json_object_size(options.raw()) == 0)
    return report_error(context, error(Errc::bad_input, "nothing to set: millet set [HASH] SECTION.OPTION=VALUE..."), true);
  const bool one_torrent = params.get("hash") != nullptr;
  params.set("options", std::move(options));
  Result<Json> reply = call(context, "set", std::move(params));
  if (one_torrent) return finish(context, reply, show_torrent);
  return finish(context, reply,
                [](const Json&) { return std::string("set, until milletd ends; the configuration file keeps it for longer\n"); });
}

}  // namespace millet
