#include "sim/auctioneer.h"

#include <algorithm>

namespace millet::simtest {
namespace {

// Bids and proofs of funds arrive within the first second; the rechoke after it knows all of them.
constexpr Duration k_all_known = Duration::seconds(10);

}  // namespace

void Auctioneer::on_received(PeerSide& side, const wire::Message& message) {
  if (side.machine != spec_.provider) return;
  if (std::holds_alternative<wire::Interested>(message)) bidders_[side.stream].interested = true;
  if (std::holds_alternative<wire::NotInterested>(message)) bidders_[side.stream].interested = false;
}

void Auctioneer::on_speed_received(PeerSide& side, const speed::Message& message) {
  const auto* bid = std::get_if<speed::BidMessage>(&message);
  if (side.machine == spec_.provider && bid != nullptr) bidders_[side.stream].bid = bid->rate.in_pico_per_byte();
}

void Auctioneer::on_speed_sent(PeerSide& side, const speed::Message& message) {
  const auto* rate = std::get_if<speed::RateMessage>(&message);
  if (side.machine != spec_.provider || rate == nullptr || static_cast<speed::RateKind>(rate->kind) == speed::RateKind::free) return;
  ++sold_;
  if (world_.now() < Instant() + k_all_known) return;
  check(side, *rate);
}

void Auctioneer::on_end(PeerSide& side) {
  if (side.machine == spec_.provider) bidders_.erase(side.stream);
}

// White paper: the highest bids win, all at the highest bid that lost.
void Auctioneer::check(const PeerSide& side, const speed::RateMessage& rate) {
  std::vector<uint64_t> bids;
  for (const auto& [stream, bidder] : bidders_) {
    if (bidder.interested && bidder.bid >= spec_.reserve) bids.push_back(bidder.bid);
  }
  std::sort(bids.rbegin(), bids.rend());
  uint64_t price = bids.size() > spec_.slots ? bids[spec_.slots] : spec_.reserve;
  uint64_t last_winner = bids.empty() ? 0 : bids[std::min<size_t>(bids.size(), spec_.slots) - 1];
  uint64_t own = bidders_[side.stream].bid;
  report_.require(own >= last_winner, "a bid of " + std::to_string(own) + " won against " + std::to_string(last_winner));
  report_.require(rate.rate.in_pico_per_byte() == price, "the price is " + std::to_string(rate.rate.in_pico_per_byte()) + " where " +
                                                             std::to_string(bids.size()) + " bids make it " + std::to_string(price));
  speed::RateKind kind = bids.size() > spec_.slots ? speed::RateKind::auction : speed::RateKind::reserve;
  report_.require(static_cast<speed::RateKind>(rate.kind) == kind, "RATE names the wrong kind of price");
}

}  // namespace millet::simtest
