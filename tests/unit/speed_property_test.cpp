// Payers and payees over links that break, with power cuts, slow stores and a ledger that goes away: the invariants of PROTOCOL.md hold at
// every event, and after everything heals everybody finishes, nobody is banned, every channel ends. Then bugs are planted, and must be
// found.
//
// speed_property_test SEED [FAULTS PIECES]: one seed, with every message in the log; at most so many faults and pieces.
#include <algorithm>

#include "unit/speed_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

struct Outcome {
  std::vector<std::string> violations;
  uint64_t events = 0;
  uint64_t paid_bytes = 0;
  uint64_t crashes = 0;
  uint64_t channels = 0;
  uint64_t claims = 0;
};

struct Plan {
  Faults provider_faults;
  Faults requester_faults;
  bool verbose = false;
  uint64_t faults_max = 16;
  uint64_t pieces_max = 120;
};

std::unique_ptr<World> make_world(uint64_t seed, const Plan& plan, Random& random) {
  Settings settings;
  settings.verbose = plan.verbose;
  settings.piece_size = 32 * 1024u << random.below(3);
  settings.pieces = static_cast<uint32_t>(10 + random.below(plan.pieces_max));
  settings.auction_slots = static_cast<uint32_t>(1 + random.below(3));
  settings.free_slots = static_cast<uint32_t>(random.below(2));
  settings.pipeline = static_cast<uint32_t>(1 + random.below(20));
  settings.delay = Duration::ms(static_cast<int64_t>(1 + random.below(80)));
  settings.block_time = Duration::ms(static_cast<int64_t>(2 + random.below(150)));
  settings.commit_time = Duration::ms(static_cast<int64_t>(1 + random.below(30)));
  settings.ledger_time = Duration::ms(static_cast<int64_t>(1 + random.below(200)));
  settings.work_time = Duration::us(static_cast<int64_t>(50 + random.below(15'000)));
  auto world = std::make_unique<World>(seed, settings);
  uint32_t providers = static_cast<uint32_t>(1 + random.below(2));
  uint32_t requesters = static_cast<uint32_t>(1 + random.below(3));
  for (uint32_t i = 0; i < providers; ++i) {
    Node& node = world->add("provider" + std::to_string(i), true);
    node.faults = plan.provider_faults;
    if (random.below(2) == 0) node.options.payee.claim_threshold = Amount::micro(1000);
    node.options.payee.window_pieces = 1u << random.below(4);
    node.options.payee.risk_pieces = static_cast<uint32_t>(2 + random.below(200));
  }
  for (uint32_t i = 0; i < requesters; ++i) {
    uint64_t bytes = uint64_t{settings.pieces} * settings.piece_size;
    uint64_t budget = bytes / 1000 * (2 + random.below(20)) / 1000 * 1000 + 20'000;  // well above the reserve
    Node& node = world->add("requester" + std::to_string(i), false, budget);
    node.faults = plan.requester_faults;
    world->ledger.fund(node.key, budget * 3);
  }
  for (auto& a : world->nodes) {
    for (auto& b : world->nodes) {
      if (!a->provider && b->provider) world->connect(*a, *b);
    }
  }
  return world;
}

// One thing goes wrong.
void disturb(World& world, Random& random, Outcome& outcome) {
  switch (random.below(8)) {
    case 0:
    case 1: {
      size_t link = random.below(world.links.size());
      world.cut(link, world.now + Duration::ms(static_cast<int64_t>(random.below(5000))));
      break;
    }
    case 2:
    case 3: {
      Node& node = *world.nodes[random.below(world.nodes.size())];
      world.crash(node);
      world.run(world.now + Duration::ms(static_cast<int64_t>(random.below(3000))));
      world.start(node);
      for (Link& link : world.links) {
        if (!link.up) link.reconnect_at = earlier(link.reconnect_at, world.now + Duration::ms(static_cast<int64_t>(random.below(2000))));
      }
      ++outcome.crashes;
      break;
    }
    case 4: world.ledger.up = !world.ledger.up; break;
    case 5: world.ledger_loses_replies = !world.ledger_loses_replies; break;
    case 6: world.disturbed_commit = Duration::ms(static_cast<int64_t>(random.below(4000))); break;
    case 7: world.disturbed_commit = Duration(); break;
  }
}

// What each provider's days add up to is what it got at the ledger.
void check_histories(World& world) {
  if (!world.violations.empty() || !world.all_channels_ended()) return;
  for (const auto& node : world.nodes) {
    if (!node->provider || node->faults.has(Bug::skip_persist)) continue;
    uint64_t earned = 0;
    for (const HistoryEntry& entry : node->speed->history()) earned += entry.earned.in_micro() - entry.lost.in_micro();
    uint64_t got = world.ledger.balance[node->key];
    if (earned != got) world.violate(node->name + " notes " + std::to_string(earned) + " earned and got " + std::to_string(got));
  }
}

Outcome run_seed(uint64_t seed, const Plan& plan) {
  Outcome outcome;
  Random random(seed * 7919 + 1);
  std::unique_ptr<World> world = make_world(seed, plan, random);
  for (auto& node : world->nodes) world->start(*node);
  uint64_t disturbances = random.below(plan.faults_max);
  for (uint64_t i = 0; i < disturbances && world->violations.empty(); ++i) {
    world->run(world->now + Duration::ms(static_cast<int64_t>(200 + random.below(15'000))));
    if (world->violations.empty()) disturb(*world, random, outcome);
  }
  // Everything heals.
  world->ledger.up = true;
  world->ledger_loses_replies = false;
  world->disturbed_commit = Duration();
  Instant start = world->now;
  if (!world->run(start + Duration::minutes(30), [&] { return world->everybody_complete(); }) && world->violations.empty()) {
    world->violate("somebody does not finish");
  }
  // What was banned would show in the half hour above only if it lasted; a strike too many shows here.
  for (auto& a : world->nodes) {
    for (auto& b : world->nodes) {
      if (a->speed->banned_for(world->now, b->address) > 0) world->violate(a->name + " banned " + b->name + ", which is honest");
    }
  }
  if (world->violations.empty() && !world->run(world->now + Duration::hours(26), [&] { return world->all_channels_ended(); })) {
    world->ledger.expire(world->ledger_now());
    if (world->violations.empty() && !world->all_channels_ended()) world->violate("a channel never ended");
  }
  check_histories(*world);
  outcome.violations = world->violations;
  outcome.events = world->events;
  outcome.channels = world->ledger.channels.size();
  outcome.claims = world->ledger.claims;
  for (const auto& [pair, transfer] : world->transfers) outcome.paid_bytes += transfer.bytes_paid;
  return outcome;
}

constexpr uint64_t k_seeds = 250;

void invariants_hold_over_random_faults(void**) {
  uint64_t events = 0, paid = 0, crashes = 0, channels = 0, claims = 0;
  for (uint64_t seed = 1; seed <= k_seeds; ++seed) {
    Outcome outcome = run_seed(seed, {});
    for (const std::string& violation : outcome.violations) print_error("%s\n", violation.c_str());
    assert_int_equal(outcome.violations.size(), 0);
    events += outcome.events;
    paid += outcome.paid_bytes;
    crashes += outcome.crashes;
    channels += outcome.channels;
    claims += outcome.claims;
  }
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  print_message("%llu seeds: %llu events, %llu crashes, %llu channels, %llu claims, %llu MiB paid for\n", number(k_seeds), number(events),
                number(crashes), number(channels), number(claims), number(paid >> 20));
  // The runs do what they are for.
  assert_true(paid > (k_seeds << 20));
  assert_true(crashes > k_seeds / 2 && channels > 2 * k_seeds && claims > k_seeds / 4);
}

void expect_found(const Plan& plan, const char* what) {
  if (!k_planted_bugs) skip();
  uint32_t found = 0;
  std::string first;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Outcome outcome = run_seed(seed, plan);
    if (outcome.violations.empty()) continue;
    if (found++ == 0) first = outcome.violations[0];
  }
  print_message("%s: found by %u of 40 seeds, first: %s\n", what, found, first.c_str());
  assert_true(found > 0);
}

void a_payee_that_skips_persisting_is_found(void**) {
  Plan plan;
  plan.provider_faults.bug = Bug::skip_persist;
  expect_found(plan, "payee skips persisting");
}

void a_payer_that_skips_persisting_is_found(void**) {
  Plan plan;
  plan.requester_faults.bug = Bug::skip_persist;
  expect_found(plan, "payer skips persisting");
}

void an_exposure_that_is_off_by_one_block_is_found(void**) {
  Plan plan;
  plan.provider_faults.bug = Bug::exposure;
  expect_found(plan, "exposure off by one block");
}

void a_payer_that_pays_before_verification_is_found(void**) {
  Plan plan;
  plan.requester_faults.bug = Bug::pay_unverified;
  expect_found(plan, "payer pays unverified blocks");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    Plan plan;
    plan.verbose = true;
    if (argc > 3) {
      plan.faults_max = strtoull(argv[2], nullptr, 10);
      plan.pieces_max = strtoull(argv[3], nullptr, 10);
    }
    Outcome outcome = run_seed(strtoull(argv[1], nullptr, 10), plan);
    for (const std::string& violation : outcome.violations) fprintf(stderr, "%s\n", violation.c_str());
    return outcome.violations.empty() ? 0 : 1;
  }
  const CMUnitTest tests[] = {
      cmocka_unit_test(invariants_hold_over_random_faults),
      cmocka_unit_test(a_payee_that_skips_persisting_is_found),
      cmocka_unit_test(a_payer_that_skips_persisting_is_found),
      cmocka_unit_test(an_exposure_that_is_off_by_one_block_is_found),
      cmocka_unit_test(a_payer_that_pays_before_verification_is_found),
  };
  return RUN_TESTS(tests);
}
