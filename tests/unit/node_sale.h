// One seller and one buyer of a market (node_market.h), and somebody on the wire between them. With the buyer's key at hand the buyer is an
// attacker, with the seller's the seller.
#pragma once

#include "unit/node_market.h"
#include "unit/speed_tap.h"
#include "unit/test.h"

namespace millet::testing {

inline constexpr const char* k_strike = "event=speed_strike";

inline bool has_ack(const SpeedTap& tap, const Machine& from, const Machine& to, speed::AckStatus status) {
  for (const speed::AckMessage& ack : tap.all<speed::AckMessage>(from, to)) {
    if (ack.status == static_cast<uint8_t>(status)) return true;
  }
  return false;
}

// A seller, a buyer and somebody on the wire between them who has the buyer's key: the buyer is the attacker.
struct Sale {
  Market market;
  SpeedTap tap{market.world};
  Payload payload;
  Machine* seed;
  Machine* buyer = nullptr;

  explicit Sale(uint64_t size = 3'000'000, uint64_t rate = 0)
      : payload(make_payload(1, k_piece, {size})), seed(&market.seed_of(payload, rate)) {}
  void start() { buyer = &market.buyer(payload, *seed, 100, 50); }
  ChannelId channel() const { return buyer->node->channels().at(0).id; }
  uint64_t earned() const { return seed->node->stats(market.world.now).earned.in_micro(); }
  bool run(int64_t seconds, const std::function<bool()>& done) { return market.world.run_until(Duration::seconds(seconds), done); }
  void run(int64_t seconds) { market.world.run(Duration::seconds(seconds)); }
  // The address is banned: nothing from there is accepted.
  bool refuses_buyer() { return market.world.dial_raw(*seed, "10.0.0.2") == nullptr; }
  // Nothing was paid, and everything goes back when the channels have expired.
  void expect_nothing_paid() {
    assert_int_equal(earned(), 0);
    tap.change = nullptr;
    buyer->command(&Node::remove_torrent, payload.hash, false);
    assert_true(market.all_channels_end({seed, buyer}, Duration::hours(30)));
    run(3600);
    assert_int_equal(market.balance(*seed), 0);
    assert_int_equal(market.balance(*buyer), market.funded);
  }
  // Each payment has another signature.
  void pay_with(const std::function<Signature(const speed::PayMessage&)>& sign) {
    tap.change = [this, sign](Machine& from, Machine&, speed::Message& message) {
      if (auto* pay = std::get_if<speed::PayMessage>(&message); pay != nullptr && &from != seed) pay->signature = sign(*pay);
      return true;
    };
  }
  template <typename Statement>
  Signature by_buyer(const Statement& statement) const {
    return buyer->key.sign(preimage(statement));
  }
};

}  // namespace millet::testing
