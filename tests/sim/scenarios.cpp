#include "sim/scenarios.h"

#include "sim/scenario_auction.h"
#include "sim/scenario_board.h"
#include "sim/scenario_free.h"
#include "sim/scenario_large.h"
#include "sim/scenario_market.h"
#include "sim/scenario_paid.h"

namespace millet::simtest {

const Scenario k_scenarios[] = {
    {"free", "a seed and leechers without money; loss, partitions, crashes, slow disks", run_free, 30},
    {"auction", "two auctioned slots, four bidders, a peer without BitTorrent Speed: winners, prices and payments exactly", run_auction, 3},
    {"paid", "a provider, bidders, a peer without BitTorrent Speed, a ledger; the same faults, of every machine", run_paid, 200},
    {"board", "hot board, sleeping disk, full connection tracking, shrinking memory, a link that goes and comes: one by each seed",
     run_board, 15},
    {"large", "up to 300 nodes with every fault, up to half of the peers cheating; signatures are cheap ones", run_large, 12},
    {"market", "one slot, two bidders, for so long that channels, statements of funds and clocks wear out; trade goes on", run_market, 2},
    {nullptr, nullptr, nullptr, 0},
};

const Scenario* find_scenario(const std::string& name) {
  for (const Scenario* scenario = k_scenarios; scenario->name != nullptr; ++scenario) {
    if (name == scenario->name) return scenario;
  }
  return nullptr;
}

}  // namespace millet::simtest
