// How long two keys can trade, and what that locks: channels are closed when they are full and their slots used again (PROTOCOL.md
// section 9).
#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

constexpr uint64_t k_reserve = 1000;

uint64_t price(uint64_t rate, uint64_t bytes) { return (rate * bytes + 999'999) / 1'000'000; }

// Small pieces, one in ten seconds: channels of about 64 pieces.
Settings slow_trade(uint32_t pieces) {
  Settings settings;
  settings.piece_size = 16 * 1024;
  settings.pieces = pieces;
  settings.block_time = Duration::seconds(10);
  return settings;
}

// Either side alone closes a full channel: the other one's CLOSE is lost. With one provider a trade never ends for want of slots.
void a_trade_goes_on_over_more_than_twenty_channels(void**) {
  for (bool payer_closes : {true, false}) {
    Duo duo(slow_trade(1400));
    duo.requester->max_rate = Rate::pico_per_byte(k_reserve);
    size_t rolled_over = 0, most = 0;
    duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      Result<Message> message = decode(payload);
      const auto* close = message ? std::get_if<CloseMessage>(&*message) : nullptr;
      if (close == nullptr || close->reason != static_cast<uint8_t>(CloseReason::rolled_over)) return true;
      bool goes = (&from == duo.requester) == payer_closes;
      rolled_over += goes ? 1 : 0;
      return goes;
    };
    duo.start();
    assert_true(duo.run(5 * 3600, [&] {
      most = std::max(most, duo.requester->speed->payer().channels().size());
      return duo.world.everybody_complete();
    }));
    assert_true(duo.world.ledger.channels.size() > 20);
    assert_in_range(rolled_over, duo.world.ledger.channels.size() - 2, duo.world.ledger.channels.size());
    assert_in_range(most, 2, 4);
    assert_true(duo.run_to_end());
    assert_int_equal(duo.earned(), price(k_reserve, uint64_t{duo.world.set.pieces} * duo.world.set.piece_size));
    assert_int_equal(duo.world.disconnects.size(), 0);
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_trade_goes_on_over_more_than_twenty_channels),
  };
  return RUN_TESTS(tests);
}
