// A market for tests: whole nodes in a small world (node_world.h), the real ledger, sellers and buyers.
#pragma once

#include "ledger/server/service.h"
#include "unit/ledger_world.h"
#include "unit/node_world.h"

namespace millet::testing {

inline constexpr uint32_t k_piece = 64 * 1024;
inline constexpr uint64_t k_btt = 1'000'000;  // micro-BTT

// A world with a ledger in it.
struct Market {
  World world;
  ledger_world::World ledger;
  NullLog log;
  LedgerService service;
  // The same ledger, as it shows itself to some: the key is the same, the log is another one.
  static constexpr std::string_view k_other_path = "/other";
  ledger_world::World other_ledger;
  LedgerService other_service;
  bool ledger_up = true;
  int64_t ledger_clock_error_s = 0;
  uint64_t funded = 0;

  explicit Market(uint64_t seed = 1)
      : world(seed), service(ledger.state(), ledger.ledger_key().public_key(), log),
        other_service(other_ledger.state(), other_ledger.ledger_key().public_key(), log) {
    world.ledger_url = "http://10.1.1.2:7411";
    world.ledger = [this](const HttpExchange& exchange) { return answer(exchange); };
  }
  Result<HttpReply> answer(const HttpExchange& exchange) {
    if (!ledger_up) return error(Errc::unavailable, "connection refused");
    std::string path = exchange.url.substr(world.ledger_url.size());
    bool other = path.starts_with(k_other_path);
    if (other) path = path.substr(k_other_path.size());
    return answer(other ? other_ledger : ledger, other ? other_service : service, path, exchange);
  }
  Result<HttpReply> answer(ledger_world::World& asked, LedgerService& asked_service, const std::string& path,
                           const HttpExchange& exchange) {
    asked.now_s = static_cast<uint64_t>(world.wall().in_seconds() + ledger_clock_error_s);
    std::optional<uint64_t> id = asked_service.on_request(world.now, "POST", path, exchange.body);
    CHECK(id.has_value());
    for (;;) {
      LedgerService::Output out;
      if (!asked_service.poll(out)) return error(Errc::unavailable, "no answer");
      if (auto* check = std::get_if<CheckWork>(&out))
        asked_service.on_checked(world.now, run_check(std::move(*check)));
      else if (auto* batch = std::get_if<LedgerBatch>(&out))
        asked_service.on_batch(world.now, asked.state().apply(*batch, asked.now()));
      else if (auto* seal = std::get_if<SealWork>(&out)) {
        uint64_t request = seal->request;
        asked_service.on_sealed(world.now, request, run_seal(asked.ledger_key(), std::move(*seal)));
      } else if (auto* reply = std::get_if<LedgerReply>(&out)) {
        if (reply->request == *id) return HttpReply{reply->status, reply->body};
      }
    }
  }
  LedgerTime ledger_time() const { return LedgerTime::from_seconds(static_cast<uint64_t>(world.wall().in_seconds())); }
  // Gives an account money from a pool.
  void fund(const PublicKey& key, uint64_t micro) {
    ledger.now_s = ledger_time().in_seconds();
    CHECK(ledger.code(ledger.transfer(pool_key(ledger.ledger_key(), 0), key, micro)) == LedgerCode::done);
    funded += micro;
  }
  // A ledger that is asked nothing for long has its clock read all the same; else it would take that for an outage.
  void tick_ledger() {
    ledger.now_s = static_cast<uint64_t>(world.wall().in_seconds() + ledger_clock_error_s);
    ledger.tick();
    world.at(world.now + Duration::seconds(5), [this] { tick_ledger(); });
  }
  Machine& add(uint64_t btt = 0) {
    Machine& machine = world.add();
    machine.config.ledger_url = world.ledger_url;
    machine.config.ledger_key = ledger.ledger_key().public_key();
    machine.config.speed_enabled = true;
    if (btt > 0) fund(machine.identity.key, btt * k_btt);
    return machine;
  }
  Machine& seed_of(const Payload& payload, uint64_t rate) {
    Machine& seed = add();
    seed.config.upload_rate = rate;
    seed.config.upload_slots = 4;
    seed.put(payload);
    seed.start();
    seed.add(payload, {}, true);
    world.run(Duration::seconds(3));
    CHECK(seed.status(payload.hash).state == TorrentState::seeding);
    return seed;
  }
  Machine& buyer(const Payload& payload, Machine& seed, uint64_t btt, uint64_t budget, uint64_t btt_per_gb_max = 1'000'000) {
    Machine& machine = add(btt);
    machine.config.budget = Amount::micro(budget * k_btt);
    machine.config.max_rate = Rate::pico_per_byte(btt_per_gb_max * 1000);
    machine.start();
    world.run(Duration::seconds(1));
    machine.add(payload, {seed.endpoint});
    return machine;
  }
  bool completes(Machine& machine, const Payload& payload, Duration time = Duration::minutes(10)) {
    return world.run_until(time, [&] { return machine.is_up() && machine.status(payload.hash).state == TorrentState::seeding; }) &&
           machine.holds(payload);
  }
  bool all_channels_end(std::initializer_list<Machine*> machines, Duration time = Duration::hours(3)) {
    return world.run_until(time, [&] {
      return std::all_of(machines.begin(), machines.end(), [](Machine* machine) { return machine->node->channels().empty(); });
    });
  }
  // Lines of a node's log with this text.
  static size_t count(const Machine& machine, std::string_view text) {
    return static_cast<size_t>(std::count_if(machine.log.lines.begin(), machine.log.lines.end(),
                                             [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }
  uint64_t balance(Machine& machine) { return ledger.balance(machine.identity.key).available.in_micro(); }
};

}  // namespace millet::testing
