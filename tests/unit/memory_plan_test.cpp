// node: what a node may hold in memory. Counted by the allocator where a node is full.
#include "node/memory_plan.h"

#include "node/memory_use.h"
#include "unit/allocations.h"
#include "unit/node_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

uint64_t sum(const std::vector<MemoryShare>& budget) {
  uint64_t bytes = 0;
  for (const MemoryShare& share : budget) bytes += share.limit;
  return bytes;
}

const MemoryShare& part(const std::vector<MemoryShare>& budget, const char* name) {
  for (const MemoryShare& share : budget) {
    if (share.part == name) return share;
  }
  check_failed(name, __FILE__, __LINE__);
}

void the_parts_of_each_class_add_up_to_no_more_than_its_budget(void**) {
  for (const MemoryPlan& plan : memory_plans()) {
    uint64_t bytes = sum(memory_budget(plan));
    assert_true(bytes <= uint64_t{plan.memory_mib} << 20);
    assert_true(bytes >= (uint64_t{plan.memory_mib} << 20) / 10 * 9);  // and the budget is used
  }
}

void a_larger_budget_never_gets_less_of_anything(void**) {
  const MemoryPlan* before = nullptr;
  for (const MemoryPlan& plan : memory_plans()) {
    if (before != nullptr) {
      assert_true(plan.memory_mib > before->memory_mib && plan.peers >= before->peers && plan.blocks_open >= before->blocks_open);
      std::vector<MemoryShare> less = memory_budget(*before), more = memory_budget(plan);
      for (size_t i = 0; i < more.size(); ++i) assert_true(more[i].limit >= less[i].limit);
    }
    // What does not fit into its part would never be had: a run of packets, a message with a block, a stream's window.
    assert_true(plan.staging_kib * 1024 >= 65'000 && plan.stream_window_kib <= plan.reassembly_kib);
    assert_true(plan.reassembly_kib < plan.utp_kib && plan.peer_output_kib * 1024 >= 2 * k_block_size);
    before = &plan;
  }
}

void devices_of_each_size_get_their_class(void**) {
  struct {
    uint32_t memory;
    uint32_t peers;
  } rows[] = {{0, 20}, {8, 20}, {15, 20}, {16, 60}, {31, 60}, {32, 150}, {64, 200}, {100, 200}, {65'536, 200}};
  for (const auto& row : rows) assert_int_equal(memory_plan(row.memory).peers, row.peers);
}

Endpoint stranger(int number) {
  return {IpAddress::v4({10, static_cast<uint8_t>(1 + number / 60'000), static_cast<uint8_t>(number / 250 % 240),
                         static_cast<uint8_t>(number % 250)}),
          5'000};
}

// Connects strangers until one is refused; how many there are then.
int fill(Machine& machine, World& world) {
  for (int i = 0;; ++i) {
    bool accepted = machine.node->on_accepted(world.now, stranger(i), IpAddress(), Transport::tcp).has_value();
    machine.drain();
    if (!accepted) return i;
  }
}

void at_the_limit_peers_are_refused_and_nothing_is_allocated(void**) {
  for (const MemoryPlan& plan : memory_plans()) {
    World world;
    Machine& machine = world.add();
    machine.config.memory_mib = plan.memory_mib;
    machine.config.peers_max = 0;  // as the budget says
    machine.start();
    size_t before = allocated_bytes();
    assert_int_equal(fill(machine, world), plan.peers);
    // What they take is what is counted, and it is within their part.
    std::vector<MemoryShare> budget = machine.node->stats(world.now).memory;
    const MemoryShare& peers = part(budget, memory_part::k_peers);
    assert_true(peers.used > 0 && peers.used <= peers.limit);
    assert_true(allocated_bytes() - before < 2 * peers.used);
    size_t bytes = allocated_bytes(), count = allocation_count();
    bool accepted = false;
    for (int i = 0; i < 1'000; ++i) {
      accepted = accepted || machine.node->on_accepted(world.now, stranger(10'000 + i), IpAddress(), Transport::utp).has_value();
    }
    assert_false(accepted);
    assert_int_equal(allocation_count(), count);
    assert_int_equal(allocated_bytes(), bytes);
  }
}

void more_peers_than_fit_are_refused_whatever_their_number_may_be(void**) {
  World world;
  Machine& machine = world.add();
  machine.config.memory_mib = 8;
  machine.config.peers_max = 10'000;
  machine.start();
  int count = fill(machine, world);
  std::vector<MemoryShare> budget = machine.node->stats(world.now).memory;
  const MemoryShare& peers = part(budget, memory_part::k_peers);
  assert_in_range(count, 300, 5'000);
  assert_true(peers.used >= peers.limit && peers.used < peers.limit + 8 * 1024);
  size_t allocations = allocation_count();
  for (int i = 0; i < 100; ++i) {
    assert_false(machine.node->on_accepted(world.now, stranger(20'000 + i), IpAddress(), Transport::tcp).has_value());
  }
  assert_int_equal(allocation_count(), allocations);
}

// A torrent of so many pieces, whose payload nobody has.
std::vector<uint8_t> metainfo_of(const std::string& name, uint32_t pieces) {
  std::string text = "d4:infod6:lengthi" + std::to_string(uint64_t{pieces} * 16'384) + "e4:name" + std::to_string(name.size()) + ":" +
                     name + "12:piece lengthi16384e6:pieces" + std::to_string(pieces * 20) + ":" + std::string(pieces * 20, 'x') + "ee";
  return {text.begin(), text.end()};
}

void torrents_that_do_not_fit_are_refused_by_name_of_the_option(void**) {
  World world;
  Machine& machine = world.add();
  machine.config.memory_mib = 8;
  machine.start();
  AddTorrent request;
  int added = 0;
  std::string reason;
  for (int i = 0; i < 100 && reason.empty(); ++i) {
    std::vector<uint8_t> metainfo = metainfo_of("t" + std::to_string(i), 5'000);
    request.metainfo = metainfo;
    Result<InfoHash> result = machine.node->add_torrent(world.now, request);
    if (result) {
      ++added;
      continue;
    }
    assert_true(result.error().code == Errc::no_room);
    reason = result.error().reason;
  }
  assert_in_range(added, 4, 8);  // each takes about 100 KiB of 768
  assert_non_null(strstr(reason.c_str(), "raise node.memory, now 8 MiB"));
  std::vector<MemoryShare> budget = machine.node->stats(world.now).memory;
  const MemoryShare& torrents = part(budget, memory_part::k_torrents);
  assert_true(torrents.used <= torrents.limit);
  // One goes, and another fits.
  machine.command(&Node::remove_torrent, machine.node->torrents(world.now)[0].info_hash, false);
  world.run(Duration::seconds(1));
  std::vector<uint8_t> metainfo = metainfo_of("another", 5'000);
  request.metainfo = metainfo;
  assert_true(machine.node->add_torrent(world.now, request).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_parts_of_each_class_add_up_to_no_more_than_its_budget),
      cmocka_unit_test(a_larger_budget_never_gets_less_of_anything),
      cmocka_unit_test(devices_of_each_size_get_their_class),
      cmocka_unit_test(at_the_limit_peers_are_refused_and_nothing_is_allocated),
      cmocka_unit_test(more_peers_than_fit_are_refused_whatever_their_number_may_be),
      cmocka_unit_test(torrents_that_do_not_fit_are_refused_by_name_of_the_option),
  };
  return RUN_TESTS(tests);
}
