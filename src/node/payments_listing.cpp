// What BitTorrent Speed shows of itself, and what it remembers for that.
#include "node/payments.h"

namespace millet {
namespace {

OwnBid own_bid(const speed::BidView& view, const Torrent& torrent, const Peer& peer) {
  OwnBid out;
  out.info_hash = torrent.info_hash;
  out.remote = peer.remote;
  out.bid_seq = view.bid_seq;
  out.bid = view.bid;
  out.price = view.price;
  out.state = view.state;
  out.basis.budget_left = view.basis.budget_left;
  out.basis.bytes_left = view.basis.bytes_left;
  out.basis.spending_ppm = view.basis.spending_ppm;
  out.basis.formula = view.basis.formula;
  out.basis.max_rate = view.basis.max_rate;
  out.basis.market = view.basis.market;
  out.basis.limited_by = view.basis.limited_by;
  out.basis.rare_quarters = view.rarity;
  return out;
}

}  // namespace

// What was bid and paid stays to be seen when a download is over: one line for each torrent and provider.
void Payments::remember_bid(const Peer& peer) {
  const Torrent* torrent = core_.torrents.find(peer.torrent);
  for (const speed::BidView& view : speed_->payer().bids()) {
    if (view.peer != peer.handle || view.last_bid.is_zero() || torrent == nullptr) continue;
    OwnBid ended = own_bid(view, *torrent, peer);
    ended.bid = view.last_bid;
    ended.price = view.last_price;
    ended.state = "ended";
    past_bids_.erase_if([&](const OwnBid& bid) { return bid.info_hash == ended.info_hash && bid.remote == ended.remote; });
    if (past_bids_.size() == k_past_bids_max) past_bids_.pop_front();
    past_bids_.push_back(std::move(ended));
    return;
  }
}

void Payments::remember(const speed::AuctionResult& result, uint32_t slots) {
  AuctionRound round;
  round.round = ++round_count_;
  round.wall_ms = core_.wall.in_ms();
  round.slots = slots;
  round.price = result.price;
  round.reserve = core_.config.reserve;
  round.losing_bid = result.price_setter;
  for (const speed::AuctionEntry& entry : result.entries) {
    AuctionBid bid;
    if (const Peer* peer = core_.peers.find(entry.bidder.peer)) {
      bid.info_hash = core_.torrent_of(*peer).info_hash;
      bid.remote = peer->remote;
    }
    bid.payer = entry.bidder.key;
    bid.rate = entry.bidder.bid;
    bid.bonus = Rate::pico_per_byte(entry.bidder.bonus);
    bid.reserve = entry.bidder.reserve.value_or(round.reserve);
    bid.price = entry.price;
    bid.backed = entry.bidder.backed;
    bid.won = entry.outcome == speed::AuctionOutcome::won;
    bid.outcome = speed::auction_outcome_name(entry.outcome);
    round.bids.push_back(std::move(bid));
  }
  if (rounds_.size() == k_rounds_max) rounds_.pop_front();
  rounds_.push_back(std::move(round));
}

bool Payments::is_proven(const Peer& peer) const { return peer.speaks_speed && speed_->is_proven(peer.handle); }

std::vector<OwnBid> Payments::own_bids() const {
  if (speed_ == nullptr) return {};
  std::vector<OwnBid> out(past_bids_.begin(), past_bids_.end());
  for (const speed::BidView& view : speed_->payer().bids()) {
    const Peer* peer = core_.peers.find(view.peer);
    const Torrent* torrent = peer != nullptr ? core_.torrents.find(peer->torrent) : nullptr;
    if (torrent == nullptr) continue;
    out.push_back(own_bid(view, *torrent, *peer));
  }
  return out;
}

// Empty: it bids, or would if somebody sold.
std::string Payments::why_no_bid(const Torrent& torrent) const {
  if (!torrent.speed_enabled.value_or(core_.config.speed_enabled)) return "switched off: speed.enabled is 0";
  if (!link_) return "no ledger: the wallet is locked, or ledger.url and ledger.key are not set";
  if (!link_->is_trusted() || speed_ == nullptr || !speed_->payer().funds()) return "the ledger is " + link_->state();
  if (!speed_->payer().bid_of(torrent.info_hash).is_zero()) return "";
  if (speed_->payer().funds()->is_zero()) return "no funds: millet wallet claim";
  return "nothing is left of the budget";
}

std::vector<NoBid> Payments::no_bids() const {
  std::vector<NoBid> out;
  for (const Torrent& torrent : core_.torrents) {
    bool buys = torrent.is_downloading() && torrent.phase == TorrentPhase::active;
    if (!buys || torrent.budget.value_or(core_.config.budget).is_zero()) continue;
    if (std::string reason = why_no_bid(torrent); !reason.empty()) out.push_back({torrent.info_hash, std::move(reason)});
  }
  return out;
}

std::vector<ChannelStatus> Payments::channels() const {
  std::vector<ChannelStatus> out;
  auto add = [&](const std::vector<speed::ChannelView>& views, const char* role) {
    for (const speed::ChannelView& view : views) {
      ChannelStatus channel;
      channel.id = view.id;
      channel.role = role;
      channel.state = view.state;
      channel.other = view.other;
      channel.capacity = view.capacity;
      channel.paid = view.amount;
      channel.durable = view.durable;
      channel.claimed = view.claimed;
      channel.expiry = static_cast<int64_t>(view.expiry.in_seconds());
      out.push_back(std::move(channel));
    }
  };
  if (speed_ == nullptr) return out;
  add(speed_->payer().channels(), "payer");
  add(speed_->payee().channels(), "payee");
  return out;
}

std::vector<HistoryDay> Payments::history() const {
  std::vector<HistoryDay> out;
  if (speed_ == nullptr) return out;
  for (const speed::HistoryEntry& entry : speed_->history()) {
    HistoryDay day;
    day.day = entry.day;
    if (!entry.torrent.is_zero()) day.info_hash = entry.torrent;
    if (const Torrent* torrent = core_.find_torrent(entry.torrent)) day.name = torrent->name;
    day.earned = entry.earned;
    day.spent = entry.spent;
    day.bytes_sold = entry.bytes_sold;
    day.bytes_bought = entry.bytes_bought;
    day.lost = entry.lost;
    day.returned = entry.returned;
    out.push_back(std::move(day));
  }
  return out;
}

Amount Payments::earned() const { return speed_ != nullptr ? speed_->payee().counted_total() : Amount(); }
Amount Payments::earned(const Torrent& torrent) const {
  return speed_ != nullptr ? speed_->payee().counted_for(torrent.info_hash) : Amount();
}
Amount Payments::spent(const Torrent& torrent) const { return speed_ != nullptr ? speed_->payer().spent(torrent.info_hash) : Amount(); }
std::string Payments::ledger_state() const {
  if (locked_) return "wallet locked: millet unlock";
  return link_ ? link_->state() : "off";
}
std::string Payments::ledger_head() const { return link_ ? link_->head_text() : ""; }

}  // namespace millet
