// The commands of a running milletd, as JSON: one request object a line in, one reply object a line out. Does no I/O: the driver owns the
// socket and hands over lines.
//
//   {"method": NAME, "params": {...}, "id": anything}   ->   {"id": as given, "result": {...}}  or  {"id", "error": {"code", "message"}}
//
//   add      torrent (base64) [root] [peers: [HOST:PORT...]] [budget BTT] [max_rate BTT/GB] [paused]   -> the torrent
//   list | peers [hash] | bids | channels | stats | options
//   show | remove [delete_data] | verify | pause | resume, each with hash
//   set      options: {SECTION.OPTION: VALUE...} [hash]
//   unlock   passphrase (base64), of a wallet that is locked
//
// What a command has changed must be durable before its reply goes out (awaited()); that of `unlock` waits for its outcome.
//
// A hash is 40 hexadecimal digits, or so many of the first (at least 4) that one torrent only begins with them. Keys are snake_case and
// stable. Amounts are BTT as decimal text and micro-BTT as integers. Unknown methods and parameters are refused by name.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "control/json.h"
#include "control/options.h"
#include "crypto/secret.h"
#include "node/node.h"

namespace millet {

// A .torrent file of the largest size in base64, and room for the rest.
inline constexpr size_t k_rpc_request_bytes_max = 12 * 1024 * 1024;
inline constexpr size_t k_rpc_peers_max = 64;  // `peers` of one add

inline constexpr const char* k_not_locked = "the wallet of this node is not locked";

// Who can open a wallet that was locked when the node began.
class WalletOpener {
 public:
  virtual ~WalletOpener() = default;
  // Begins to; the outcome comes later. Errors: conflict (it is not locked, or is being opened), unavailable (not now).
  virtual Status unlock(Secret passphrase) = 0;
};

class Rpc {
 public:
  // `settings` is what the node was started with; `set` changes it. `transport`: for stats; null: they go without. `wallet`: null: it is
  // not locked.
  Rpc(Node& node, Settings settings, const TransportSource* transport = nullptr, WalletOpener* wallet = nullptr)
      : node_(node), settings_(std::move(settings)), transport_(transport), wallet_(wallet) {}

  // The reply to one request, both without the newline. Never fails: errors are replies.
  std::string handle(Instant now, std::string_view request);
  // The commit (Node::durable_commit) that the last reply of handle() confirms: it goes out when that is durable. 0: at once.
  uint64_t awaited() const { return awaited_; }
  // What goes out instead of such a reply when the commit fails.
  static std::string not_saved(std::string_view reply, const Error& reason);
  // The last reply of handle() is that of an unlock that has only begun: it goes out when the wallet is open, and if it stays locked, what
  // failed() makes of it.
  bool awaits_unlock() const { return awaits_unlock_; }
  static std::string failed(std::string_view reply, const Error& reason);

  // By method; the table in rpc.cpp names them all.
  Result<Json> add(Instant now, const Json& params);
  Result<Json> list(Instant now, const Json& params);
  Result<Json> show(Instant now, const Json& params);
  Result<Json> peers(Instant now, const Json& params);
  Result<Json> bids(Instant now, const Json& params);
  Result<Json> channels(Instant now, const Json& params);
  Result<Json> history(Instant now, const Json& params);
  Result<Json> stats(Instant now, const Json& params);
  Result<Json> options(Instant now, const Json& params);
  Result<Json> remove(Instant now, const Json& params);
  Result<Json> verify(Instant now, const Json& params);
  Result<Json> pause(Instant now, const Json& params);
  Result<Json> resume(Instant now, const Json& params);
  Result<Json> set(Instant now, const Json& params);
  Result<Json> unlock(Instant now, const Json& params);

 private:
  Result<Json> dispatch(Instant now, const Json& request);
  // The torrent that `text` names. Errors: not_found, bad_input.
  Result<TorrentStatus> find(Instant now, std::string_view text) const;
  Result<TorrentStatus> find_param(Instant now, const Json& params) const;
  Result<Json> show_again(Instant now, const InfoHash& hash) const;

  Node& node_;
  Settings settings_;
  const TransportSource* transport_;
  WalletOpener* wallet_;
  uint64_t awaited_ = 0;
  bool awaits_unlock_ = false;
};

}  // namespace millet
