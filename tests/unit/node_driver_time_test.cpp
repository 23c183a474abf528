// The driver in virtual time: what waits, retries and gives up.
#include <functional>

#include "driver/node_driver.h"
#include "unit/fake_node.h"
#include "unit/sim_fixture.h"
#include "unit/test.h"

namespace millet::sim {
namespace {

struct Lines final : LogSink {
  LogLevel level() const override { return LogLevel::info; }
  void write(LogLevel, std::string_view line) override { all.emplace_back(line); }
  int count(const char* event) const {
    int found = 0;
    for (const std::string& line : all) found += line.find(std::string("event=") + event) != std::string::npos ? 1 : 0;
    return found;
  }
  std::vector<std::string> all;
};

struct DriverProgram final : Program {
  DriverProgram(const NodeDriverOptions& options, const SigningKey& key, hal::System& system, Store& store, LogSink& log)
      : driver(options, key, system, store, log) {}
  NodeDriver driver;
};

// One machine that runs a driver with a fake node.
struct Rig final : ProgramFactory {
  Rig() {
    fake = &node;
    MachineOptions options;
    options.name = "m";
    options.addresses = {test_address(1)};
    world.add_machine(options).set_factory(*this);
    CHECK(machine().start());
  }
  ~Rig() { fake = nullptr; }
  std::unique_ptr<Program> start(Machine& on, hal::System& system) override {
    NodeDriverOptions options;
    options.config.listen = {IpAddress(), 6881};
    options.config.utp = false;
    auto program = std::make_unique<DriverProgram>(options, key, system, on.store("node"), log);
    if (!program->driver.restore() || !program->driver.listen()) return nullptr;
    return program;
  }
  Machine& machine() { return world.machine(0); }
  NodeDriver& driver() { return static_cast<DriverProgram*>(machine().program())->driver; }
  void commit(uint64_t sequence) {
    Commit action;
    action.sequence = sequence;
    action.changes.push_back({"table", {static_cast<uint8_t>(sequence)}, std::vector<uint8_t>{1}});
    node.actions.emplace_back(std::move(action));
    driver().settle();
  }

  FakeNode node;
  Lines log;
  SigningKey key = SigningKey::from_seed({1});
  World world{1};
};

void a_shutdown_that_does_not_end_is_ended_after_ten_seconds(void**) {
  Rig rig;
  rig.node.answers_shutdown = false;
  rig.machine().ask_to_shut_down();
  rig.world.run_for(Duration::ms(9'900));
  assert_true(rig.node.shut_down);
  assert_true(rig.machine().running());
  rig.world.run_for(Duration::ms(200));
  assert_false(rig.machine().running());
  assert_int_equal(rig.log.count("shutdown_timed_out"), 1);
}

void a_shutdown_waits_for_the_node_and_no_longer(void**) {
  Rig rig;
  rig.machine().ask_to_shut_down();
  rig.world.run_for(Duration::ms(100));
  assert_false(rig.machine().running());
  assert_int_equal(rig.log.count("shutdown_timed_out"), 0);
}

// A full disk is one line in the log, not one for each try; nothing is lost, and the end of it is a line too.
void a_store_that_is_full_for_a_while_costs_two_lines_and_no_commit(void**) {
  Rig rig;
  MemoryStore& store = rig.machine().store("node");
  store.set_fault(StoreFault::full);
  rig.commit(1);
  rig.world.run_for(Duration::seconds(2));
  rig.commit(2);
  rig.world.run_for(Duration::minutes(3));
  assert_true(rig.node.durable.empty());
  assert_true(rig.node.commit_failed.size() > 5);
  assert_int_equal(rig.log.count("state_not_durable"), 1);
  store.set_fault(StoreFault::none);
  rig.world.run_for(Duration::seconds(31));
  assert_true(rig.node.durable == (std::vector<uint64_t>{1, 2}));
  assert_int_equal(rig.log.count("state_durable_again"), 1);
  rig.commit(3);
  rig.world.run_for(Duration::seconds(1));
  assert_int_equal(rig.node.durable.size(), 3);
}

// The node's deadline is met although nothing else happens, and the loop is idle without one.
void deadlines_are_met_and_idle_costs_nothing(void**) {
  Rig rig;
  rig.node.deadline = rig.machine().monotonic() + Duration::hours(1);
  rig.driver().settle();
  rig.world.run_for(Duration::minutes(59));
  assert_int_equal(rig.node.timers, 0);
  rig.world.run_for(Duration::minutes(2));
  assert_int_equal(rig.node.timers, 1);
  uint64_t events = rig.world.events();
  rig.world.run_for(Duration::hours(10));
  assert_int_equal(rig.world.events(), events);
  assert_int_equal(rig.node.timers, 1);
}

}  // namespace
}  // namespace millet::sim

int main() {
  using namespace millet::sim;
  if (!millet::crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_shutdown_that_does_not_end_is_ended_after_ten_seconds),
      cmocka_unit_test(a_shutdown_waits_for_the_node_and_no_longer),
      cmocka_unit_test(a_store_that_is_full_for_a_while_costs_two_lines_and_no_commit),
      cmocka_unit_test(deadlines_are_met_and_idle_costs_nothing),
  };
  return RUN_TESTS(tests);
}
