// What the state of a seeding node writes to flash, exactly (LMDB's bytes, before what the file system adds): a virtual day of an idle
// seeder, and minutes of one that is paid for ten pieces a second, and of a node that pays for as many while it downloads them. Ends with 1
// if a day would be over the budget.
#include <cstdio>

#include "sim/scenario_tools.h"
#include "store/lmdb/lmdb_store.h"
#include "unit/temp_folder.h"

namespace millet::simtest {
namespace {

constexpr uint64_t k_idle_budget = 50'000'000;   // bytes in a day
constexpr uint64_t k_paid_budget = 300'000'000;  // the same, at ten paid pieces a second
constexpr uint64_t k_day_s = 86'400;
constexpr uint32_t k_piece_size = 16 * 1024;  // what a piece costs does not depend on it, and more minutes fit into memory
constexpr uint64_t k_pieces_per_second = 10;
constexpr uint32_t k_payers = 3;  // one pays at most four times a second
constexpr uint64_t k_funds = 50'000'000;
// Small channels of providers that have to show themselves first are over, and nobody is done.
constexpr Duration k_start = Duration::seconds(60), k_end = Duration::seconds(590);

struct Figures {
  uint64_t written = 0;
  uint64_t commits = 0;
  uint64_t seconds = 0;
  uint64_t in_a_day() const { return written * k_day_s / seconds; }
};

Figures figures_of(Swarm& swarm, uint32_t seeder, const LmdbStore& store, Duration since) {
  Figures figures;
  figures.written = store.written_bytes();
  figures.commits = swarm.running_node(seeder)->stats(swarm.world().now()).commits;
  figures.seconds = static_cast<uint64_t>(since.in_ms()) / 1000;
  return figures;
}

NodeSpec make_seeder(Store* store) {
  NodeSpec spec;
  spec.name = "seeder";
  spec.seeds = true;
  spec.store = store;
  spec.config.speed_enabled = true;
  spec.config.upload_slots = k_payers + 2;  // one is optimistic, one is for peers without a bid
  spec.config.upload_rate = k_pieces_per_second * k_piece_size * 11 / 10;
  spec.config.reserve = Rate::pico_per_byte(1'000);
  return spec;
}

Result<Figures> idle_day(const Run& run, LmdbStore& store) {
  Swarm swarm(run, PayloadOptions{});
  swarm.add_tracker(sim::LinkOptions{});
  uint32_t seeder = swarm.add_node(make_seeder(&store));
  swarm.add_ledger(sim::LinkOptions{});
  swarm.run_for(Duration::hours(24));
  if (!swarm.report().clean()) return error(Errc::io, swarm.report().breaches().front());
  return figures_of(swarm, seeder, store, Duration::hours(24));
}

NodeSpec make_payer(Swarm& swarm, uint32_t seeder, const std::string& name, Store* store) {
  NodeSpec spec;
  spec.name = name;
  spec.store = store;
  spec.config.speed_enabled = true;
  spec.config.trackers = false;
  spec.config.upload_rate = 1'000;
  spec.peers = {swarm.endpoint(seeder)};
  spec.funds = spec.budget.emplace(Amount::micro(k_funds));
  spec.max_rate = Rate::pico_per_byte(2'000);
  return spec;
}

// Minutes of a seeder and so many payers: what the seeder writes, or, if there is one payer, what that writes.
Result<Figures> sale_minutes(const Run& run, LmdbStore& store, uint64_t& pieces, uint32_t count, uint64_t payload_size) {
  PayloadOptions payload;
  payload.size = payload_size;
  payload.piece_size = k_piece_size;
  Swarm swarm(run, payload);
  const bool of_payer = count == 1;
  uint32_t seeder = swarm.add_node(make_seeder(of_payer ? nullptr : &store));
  std::vector<uint32_t> payers;
  for (uint32_t i = 0; i < count; ++i) {
    payers.push_back(swarm.add_node(make_payer(swarm, seeder, "payer" + std::to_string(i), of_payer ? &store : nullptr)));
  }
  swarm.add_ledger(sim::LinkOptions{});
  uint32_t writer = of_payer ? payers[0] : seeder;
  auto sold = [&] {
    uint64_t bytes = 0;
    for (uint32_t payer : payers) bytes += swarm.money().sales()[{swarm.node(payer).key(), swarm.node(seeder).key()}].bytes;
    return bytes;
  };
  swarm.run_for(k_start);
  Figures before = figures_of(swarm, writer, store, k_start);
  uint64_t sold_before = sold();
  swarm.run_for(k_end - k_start);
  Figures after = figures_of(swarm, writer, store, k_end - k_start);
  pieces = (sold() - sold_before) / k_piece_size;
  if (!swarm.report().clean()) return error(Errc::io, swarm.report().breaches().front());
  after.written -= before.written;
  after.commits -= before.commits;
  return after;
}

Result<Figures> paid_minutes(const Run& run, LmdbStore& store, uint64_t& pieces) {
  return sale_minutes(run, store, pieces, k_payers, 48'000'000);
}
Result<Figures> paying_minutes(const Run& run, LmdbStore& store, uint64_t& pieces) {
  return sale_minutes(run, store, pieces, 1, 120'000'000);
}

bool report(const char* what, const Result<Figures>& figures, uint64_t budget) {
  if (!figures) {
    std::printf("%s: %s\n", what, figures.error().reason.c_str());
    return false;
  }
  std::printf("%s: %llu bytes in %llu commits in %llu s: %.1f MB a day, of %llu MB\n", what,
              static_cast<unsigned long long>(figures->written), static_cast<unsigned long long>(figures->commits),
              static_cast<unsigned long long>(figures->seconds), static_cast<double>(figures->in_a_day()) / 1e6,
              static_cast<unsigned long long>(budget / 1'000'000));
  return figures->written > 0 && figures->in_a_day() <= budget;
}

bool measure_paid(const char* what, const Run& run, const std::string& folder,
                  Result<Figures> (*minutes)(const Run&, LmdbStore&, uint64_t&)) {
  Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(folder);
  if (!store) return false;
  uint64_t pieces = 0;
  Result<Figures> figures = minutes(run, **store, pieces);
  bool good = report(what, figures, k_paid_budget);
  if (!figures) return false;
  std::printf("%s: %llu pieces, %.1f a second\n", what, static_cast<unsigned long long>(pieces),
              static_cast<double>(pieces) / static_cast<double>(figures->seconds));
  return good && pieces >= k_pieces_per_second * figures->seconds;
}

bool measure() {
  TempFolder folder(TempFolder::memory_base());
  Run run;
  run.forced = Transports::tcp;
  Result<std::unique_ptr<LmdbStore>> idle = LmdbStore::open(folder / "idle");
  if (!idle) return false;
  bool good = report("idle", idle_day(run, **idle), k_idle_budget);
  good = measure_paid("paid", run, folder / "paid", paid_minutes) && good;
  return measure_paid("paying", run, folder / "paying", paying_minutes) && good;
}

}  // namespace
}  // namespace millet::simtest

int main() { return millet::simtest::measure() ? 0 : 1; }
