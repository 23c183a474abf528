// What the nodes of NodeSubject do while they are recorded: a seller and a buyer, whole nodes over their own LMDB stores in the recorded
// folder, in a simulated world with a ledger and a second buyer. Payments, channels that open, are claimed and close, torrents that come
// and go, settings, kills, restarts, and a state that is handed over to a file and taken back.
//
//   FOLDER/payee  FOLDER/payer    state folders, as milletd has them (data.mdb, wallet.key, lock)
//   FOLDER/payee.export ...       while a state is handed over
//
// After every event it compares what the nodes have promised so far - to each other on the wire, to the ledger, and to whoever gave a
// command - with what they had promised before, and marks the recording when it is more.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/sign.h"
#include "sim/swarm.h"
#include "store/lmdb/lmdb_store.h"

namespace millet::crash {

enum Role : size_t { k_payee, k_payer, k_roles };
inline constexpr std::array<const char*, k_roles> k_role_names = {"payee", "payer"};

// What a command can change of a torrent, as listings show it.
struct TorrentFacts {
  InfoHash hash;
  bool paused = false;
  Amount budget;
  Rate max_rate;
  Rate reserve;
  bool operator==(const TorrentFacts&) const = default;
};
using TorrentList = std::vector<TorrentFacts>;  // by hash
// `millet state export|import`, without what it says on standard output. False if it failed.
bool run_state_command(const std::string& state, const char* verb, const std::string& file);
TorrentList list_facts(const Node& node, Instant now);

struct ChannelFacts {
  PublicKey payer;
  PublicKey payee;
  Amount signed_cum;  // highest that the payer sent
  uint64_t signed_seq = 0;
  Amount durable;          // highest that the payee promised
  bool at_ledger = false;  // it was opened there
  bool ended = false;      // and is no more
  Amount paid;             // by the ledger so far
  bool operator==(const ChannelFacts&) const = default;
};

enum class HandedOver : uint8_t { no, maybe, yes };
struct RoleFacts {
  bool exists = false;                // its state and its key
  std::vector<TorrentList> torrents;  // one of them: more than one while a command is not confirmed
  HandedOver handed_over = HandedOver::no;
  bool operator==(const RoleFacts&) const = default;
};
struct NodePromise {
  std::map<ChannelId, ChannelFacts> channels;
  std::array<RoleFacts, k_roles> roles;
  bool operator==(const NodePromise&) const = default;
};

class NodeWork final : public sim::Observer {
 public:
  struct Counts {
    uint64_t commands = 0;
    uint64_t kills = 0;
    uint64_t restarts = 0;
    uint64_t hand_overs = 0;
  };
  struct Options {
    uint64_t seed = 1;
    unsigned steps = 70;
    bool skip_persist = false;  // planted: payments and acknowledgements do not wait for their commit
    bool early_answer = false;  // planted: commands are confirmed before they are durable
  };
  // Requires: `folder` is empty and exists.
  NodeWork(const std::string& folder, const Options& options);
  ~NodeWork() override;

  // Errors: whatever went wrong without a power cut.
  Status run();
  const std::vector<NodePromise>& promises() const { return promises_; }
  const PublicKey& key(Role role) const { return keys_[role]; }
  NodeConfig config(Role role);
  const Counts& counts() const { return counts_; }

  void after_event(Instant now) override;

 private:
  struct Unconfirmed {
    uint64_t commit;
    TorrentList after;
  };
  Status prepare(Role role, simtest::NodeSpec spec);
  Status open_store(Role role);
  simtest::NodeProgram* program(Role role);
  void note_start(Role role);
  void promise();
  // ---- what happens ----
  Status act();
  Status command(Role role, const std::string& request);
  Status command_of_chance(Role role);
  Status stop(Role role, bool by_kill);
  Status start_again(Role role);
  Status hand_over(Role role);
  std::string extra_request(Role role, size_t number);

  std::string folder_;
  Options options_;
  simtest::Swarm swarm_;
  Random random_;
  std::array<uint32_t, k_roles> machines_{};
  std::array<PublicKey, k_roles> keys_;
  std::array<std::unique_ptr<LmdbStore>, k_roles> stores_;
  std::array<std::optional<Unconfirmed>, k_roles> unconfirmed_;
  std::array<bool, k_roles> started_{};
  std::vector<simtest::Payload> extras_;
  NodePromise facts_;
  std::vector<NodePromise> promises_;
  Counts counts_;
};

}  // namespace millet::crash
