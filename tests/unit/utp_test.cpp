// uTP streams over modelled links: the rules of BEP 29 one by one.
#include "unit/utp_world.h"

#include "unit/test.h"

using namespace millet;

namespace {

void both_directions_arrive_whole(void**) {
  UtpWorld world(1);
  UtpWorld::Node& a = world.add();
  UtpWorld::Node& b = world.add();
  b.serve = 300'000;
  world.join(a, b, {}, {});
  UtpWorld::Stream& out = world.connect(a, b, 200'000);
  assert_true(world.run(Instant::from_us(60'000'000), [&] { return out.received == 300'000 && !b.streams.empty() && b.only().received == 200'000; }));
  assert_false(out.bad || b.only().bad);
  assert_false(out.closed || b.only().closed);
  assert_int_equal(a.engine->counters().payload_again, 0);
  assert_int_equal(b.engine->counters().payload_again, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(both_directions_arrive_whole),
  };
  return RUN_TESTS(tests);
}
