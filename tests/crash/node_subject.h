// A node under power cuts, as payee and as payer at once: two state folders in one recording (node_work.h), each opened after the cut by
// the product's own code. Promised is what went onto the wire (payments, and acknowledgements that name a durable amount), what the ledger
// executed, and what commands were confirmed.
//
// After a cut
//   both    the store opens, with the wallet's key; torrents are those that were confirmed; a hand-over to a file is done or not, and the
//           file is whole where the state says that it is there; the node starts on it, takes a command, ends, and has kept it
//   payer   nothing was signed above the lease that is there, in amount and sequence; what was spent covers what was signed
//   payee   of each channel that is open at the ledger, at least what was acknowledged as durable, with a payment that the payer signed;
//           what the history says was earned is what the channels hold and held: nothing is counted twice, nothing is missing
#pragma once

#include <memory>

#include "crash/node_work.h"
#include "crash/powercut.h"

namespace millet::crash {

// A node starts on this state, runs a while, takes a command, and ends. Errors: whatever it refuses.
Status run_node(Store& store, const NodeConfig& config, const SigningKey& key);

class NodeSubject final : public Subject {
 public:
  explicit NodeSubject(const NodeWork::Options& options) : options_(options) {}

  Status work(const std::string& folder) override;
  Status check(const std::string& folder, uint64_t marked) override;

 private:
  Status check_role(const std::string& folder, Role role, const NodePromise& promise);

  NodeWork::Options options_;
  std::vector<NodePromise> promises_;
  std::array<PublicKey, k_roles> keys_;
  std::array<NodeConfig, k_roles> configs_;
};

}  // namespace millet::crash
