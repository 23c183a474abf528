#include "sim/money.h"

#include "crypto/sign.h"
#include "ledger/common/operation.h"
#include "torrent/layout.h"

namespace millet::simtest {
namespace {

constexpr uint64_t k_pico = 1'000'000;                     // pBTT in one micro-BTT
constexpr Duration k_written_off = Duration::seconds(30);  // section 8: debt of an earlier connection
constexpr Duration k_decided_before =
    Duration::seconds(1);  // a provider decides, then the block is read and paced, and then it is on the wire
constexpr uint64_t k_bucket = uint64_t{32} * 1024 * 1024;  // section 8: all unknown payers together
constexpr uint64_t k_known_pieces = 16;

uint64_t cost(Rate rate, uint64_t bytes) { return rate.in_pico_per_byte() * bytes; }

}  // namespace

std::string MoneyChecker::name(const PeerSide& side) const {
  return "machine " + std::to_string(side.machine) + " (stream " + std::to_string(side.stream) + ")";
}

// ---- peer messages ----

void MoneyChecker::on_sent(PeerSide& side, const wire::Message& message) {
  Conversation& talk = talks_[side.stream];
  if (std::holds_alternative<wire::Choke>(message)) talk.provides.rate.reset();
  if (const wire::PieceSlice* slice = std::get_if<wire::PieceSlice>(&message); slice != nullptr && slice->offset == 0) {
    block_sent(side, talk, slice->range.length);
  }
}

void MoneyChecker::on_received(PeerSide& side, const wire::Message& message) {
  Conversation& talk = talks_[side.stream];
  if (std::holds_alternative<wire::Choke>(message)) talk.gets.rate.reset();
  if (const wire::PieceSlice* slice = std::get_if<wire::PieceSlice>(&message); slice != nullptr && slice->is_last()) {
    block_received(side, talk, slice->range);
  }
}

void MoneyChecker::on_end(PeerSide& side) { talks_.erase(side.stream); }

void MoneyChecker::on_garbage(PeerSide& side, bool sent, const std::string& what) {
  if (sent && honest(side)) report_.breach(name(side) + ": malformed message: " + what);
}

// ---- the provider's side ----

uint64_t MoneyChecker::unpaid_bytes(const Account& account) {
  uint64_t bytes = 0;
  for (const Debt& debt : account.unpaid) bytes += debt.bytes;
  return bytes;
}

// Section 8: debt of earlier connections that shut the window for 30 s is given up. Payments have covered the oldest blocks in between, so
// as much is dropped as was old when the connection began, and the block that they covered in part.
void MoneyChecker::write_off(Account& account) {
  uint64_t dropped = 0;
  uint64_t limit = account.old_bytes + (account.credit_pico > 0 && account.old_bytes > 0 ? k_block_size - 1 : 0);
  while (dropped < limit && !account.unpaid.empty()) {
    dropped += account.unpaid.front().bytes;
    account.unpaid.pop_front();
  }
  account.old_bytes = 0;
}

void MoneyChecker::block_sent(PeerSide& side, Conversation& talk, uint32_t length) {
  Service& service = talk.provides;
  service.payload += length;
  if (!service.rate || service.rate->is_zero()) {
    ++free_blocks_;
    return;
  }
  ++paid_blocks_;
  if (!honest(side)) return;
  if (!side.own_hello || !side.other_hello) return report_.breach(name(side) + " sent a paid block to a peer without a key");
  Account& account = accounts_[{side.own_hello->key, side.other_hello->key}];
  account.piece_size = piece_sizes_[side.info_hash];
  if (account.stream != side.stream) {
    account.old_bytes = unpaid_bytes(account);
    account.old_over_utp = account.stream >= UtpTap::k_first_stream;
  }
  account.stream = side.stream;
  // What the provider has sent and its uTP has not when the connection dies is owed for the provider, and never on the wire: its window may
  // be full where ours is not.
  bool full = unpaid_bytes(account) + length > service.window || account.old_over_utp;
  Duration patience = k_written_off - k_decided_before;
  bool stuck = account.shut_since != Instant::never() && world_.now() >= std::max(account.shut_since, service.paid_since) + patience;
  if (full && stuck) write_off(account);
  uint64_t unpaid = unpaid_bytes(account);
  if (unpaid + length > service.window) {
    report_.breach(name(side) + " sent a block of " + std::to_string(length) + " bytes with " + std::to_string(unpaid) +
                   " unpaid in a window of " + std::to_string(service.window));
  }
  account.unpaid.push_back({side.stream, length, cost(*service.rate, length)});
  account.shut_since = world_.now();
  cover(account);
  check_bucket(side);
}

// Unpaid over all payers that have not paid for 16 pieces yet.
void MoneyChecker::check_bucket(const PeerSide& side) {
  uint64_t unpaid = 0;
  for (auto it = accounts_.lower_bound({side.own_hello->key, PublicKey()}); it != accounts_.end(); ++it) {
    const Account& account = it->second;
    if (it->first.first != side.own_hello->key) break;
    if (account.paid_bytes >= k_known_pieces * account.piece_size) continue;
    for (const Debt& debt : account.unpaid) {
      if (talks_.contains(debt.stream)) unpaid += debt.bytes;
    }
  }
  uint64_t bucket = std::max<uint64_t>(k_bucket, 2 * uint64_t{piece_sizes_[side.info_hash]});
  if (unpaid > bucket) report_.breach(name(side) + ": unknown payers owe " + std::to_string(unpaid) + " bytes, more than the bucket");
}

// Whether the money is enough is for the provider to judge; that there is none at all shows on the wire.
void MoneyChecker::bid_backed(const PeerSide& side, const Service& service) {
  if (!service.backed) return;
  Rate& highest = backed_[side.machine];
  for (const auto& [seq, rate] : service.bids) highest = std::max(highest, rate);
}

// Section 8: one piece; more, as far as the provider's owner allows, only for who has paid for 16 pieces.
bool MoneyChecker::is_window(const PeerSide& side, uint32_t window) const {
  uint32_t piece = piece_sizes_.at(side.info_hash);
  if (window == 0 || window == piece) return true;
  auto exposure = exposures_.find(side.machine);
  if (exposure == exposures_.end() || window % piece != 0 || window / piece > exposure->second || !side.other_hello) return false;
  auto account = accounts_.find({side.own_hello->key, side.other_hello->key});
  return account != accounts_.end() && account->second.paid_bytes + piece >= k_known_pieces * piece;
}

void MoneyChecker::rate_sent(PeerSide& side, Conversation& talk, const speed::RateMessage& rate) {
  Service& service = talk.provides;
  if (honest(side)) {
    auto bid = service.bids.find(rate.bid_seq);
    bool free = static_cast<speed::RateKind>(rate.kind) == speed::RateKind::free;
    if (bid == service.bids.end()) {
      report_.breach(name(side) + ": RATE names a bid that was never received");
    } else if (rate.rate > bid->second) {
      report_.breach(name(side) + ": price " + std::to_string(rate.rate.in_pico_per_byte()) + " above the winner's bid " +
                     std::to_string(bid->second.in_pico_per_byte()));
    }
    report_.require(free ? rate.rate.is_zero() : rate.rate >= reserves_[side.machine], name(side) + ": price below the reserve");
    if (sellers_.contains(side.machine) && rate.rate > reserves_[side.machine]) {
      report_.require(rate.rate <= backed_[side.machine],
                      name(side) + ": price " + std::to_string(rate.rate.in_pico_per_byte()) + ", which no bid with money behind it set");
    }
    report_.require(is_window(side, rate.window), name(side) + ": window is not one piece, and none that was earned");
    report_.require(rate.sent == service.payload, name(side) + ": RATE.sent is not what was sent");
  }
  service.rate = rate.rate;
  service.window = rate.window;
  if (!rate.rate.is_zero()) service.paid_since = earlier(service.paid_since, world_.now());
}

void MoneyChecker::pay_received(PeerSide& side, Conversation& talk, const speed::PayMessage& pay) {
  auto slot = talk.slots_in.find(pay.slot);
  if (slot == talk.slots_in.end() || !side.own_hello || !side.other_hello) return;
  ChannelView& channel = channels_[slot->second];
  if (pay.cum <= channel.held_cum || pay.cum > channel.capacity || !is_good(channel, pay)) return;
  uint64_t fresh = pay.cum.in_micro() - channel.held_cum.in_micro();
  channel.held_cum = pay.cum;
  channel.received_cum = std::max(channel.received_cum, pay.cum);
  Account& account = accounts_[{side.own_hello->key, side.other_hello->key}];
  account.credit_pico += fresh * k_pico;
  account.shut_since = world_.now();
  cover(account);
}

void MoneyChecker::cover(Account& account) {
  while (!account.unpaid.empty() && account.credit_pico >= account.unpaid.front().cost_pico) {
    account.credit_pico -= account.unpaid.front().cost_pico;
    account.paid_bytes += account.unpaid.front().bytes;
    account.unpaid.pop_front();
  }
}

void MoneyChecker::ack_sent(PeerSide& side, Conversation& talk, const speed::AckMessage& ack) {
  auto slot = talk.slots_in.find(ack.slot);
  if (!honest(side) || slot == talk.slots_in.end()) return;
  ChannelView& channel = channels_[slot->second];
  // A provider forgets a channel once the ledger has ended it; what the ledger paid is held against its promises (LedgerView).
  bool forgotten = static_cast<speed::AckStatus>(ack.status) == speed::AckStatus::closed && ack.seq == 0;
  if (forgotten) return;
  report_.require(ack.durable <= ack.counted, name(side) + ": ACK.durable above ACK.counted");
  report_.require(ack.counted <= channel.capacity, name(side) + ": ACK counts more than the channel's capacity");
  report_.require(ack.counted <= channel.received_cum, name(side) + ": ACK counts more than was paid");
  report_.require(ack.durable >= channel.acked_durable, name(side) + ": ACK.durable went back from " +
                                                            std::to_string(channel.acked_durable.in_micro()) + " to " +
                                                            std::to_string(ack.durable.in_micro()));
  channel.acked_durable = std::max(channel.acked_durable, ack.durable);
  // Section 7: there is no credit. Once a payment counts, what is left of it is the rounding.
  Account& account = accounts_[{channel.payee, channel.payer}];
  if (account.unpaid.empty() && ack.counted >= channel.held_cum) account.credit_pico = std::min(account.credit_pico, k_pico - 1);
}

void MoneyChecker::resume_sent(PeerSide& side, const speed::ResumeMessage& resume) {
  auto channel = channels_.find(resume.channel);
  // Once the ledger has ended a channel its payee forgets it.
  bool forgotten = channel != channels_.end() && channel->second.ended && resume.slot == speed::k_slot_unknown;
  if (!honest(side) || channel == channels_.end() || forgotten) return;
  report_.require(resume.cum >= channel->second.acked_durable,
                  name(side) + ": RESUME names " + std::to_string(resume.cum.in_micro()) +
                      ", below what was acknowledged as durable: " + std::to_string(channel->second.acked_durable.in_micro()));
  report_.require(resume.cum <= channel->second.signed_cum, name(side) + ": RESUME names more than was signed");
}

// ---- the requester's side ----

// The machine has all blocks of this piece, this one being the newest.
bool MoneyChecker::got_all(const PeerSide& side, const wire::BlockRange& block) {
  uint64_t size = sizes_[side.info_hash];
  if (size == 0) return true;
  uint32_t piece_size = piece_sizes_[side.info_hash];
  Got& got = got_[{side.machine, side.info_hash}];
  uint32_t per_piece = (piece_size + k_block_size - 1) / k_block_size;
  uint64_t blocks = (size + k_block_size - 1) / k_block_size;
  if (got.blocks.empty()) {
    uint64_t pieces = (size + piece_size - 1) / piece_size;
    got.blocks.resize(blocks);
    got.missing.assign(pieces, static_cast<uint16_t>(per_piece));
    got.missing.back() = static_cast<uint16_t>(blocks - (pieces - 1) * per_piece);
  }
  uint64_t index = uint64_t{block.piece} * per_piece + block.begin / k_block_size;
  if (block.piece >= got.missing.size() || index >= blocks) return false;
  if (!got.blocks[index]) --got.missing[block.piece];
  got.blocks[index] = true;
  return got.missing[block.piece] == 0;
}

void MoneyChecker::block_received(PeerSide& side, Conversation& talk, const wire::BlockRange& block) {
  const Service& service = talk.gets;
  const uint32_t length = block.length;
  bool whole = got_all(side, block);
  auto key = keys_.find(side.machine);
  if (whole && key != keys_.end()) {
    // Whoever sold parts of it may be paid now.
    for (auto it = purchases_.lower_bound({key->second, PublicKey()}); it != purchases_.end() && it->first.first == key->second; ++it) {
      auto part = it->second.part_pico.find(block.piece);
      if (part == it->second.part_pico.end()) continue;
      it->second.whole_pico += part->second;
      it->second.part_pico.erase(part);
    }
  }
  if (!service.rate || service.rate->is_zero() || !side.own_hello || !side.other_hello) return;
  Purchase& purchase = purchases_[{side.own_hello->key, side.other_hello->key}];
  purchase.sale.bytes += length;
  purchase.sale.bytes_at[service.rate->in_pico_per_byte()] += length;
  purchase.sale.cost_pico += cost(*service.rate, length);
  purchase.allowed_pico += cost(service.named_bid, length);
  (whole ? purchase.whole_pico : purchase.part_pico[block.piece]) += cost(*service.rate, length);
}

// A payer that keeps the rules signs what it sends; of others every signature is looked at.
bool MoneyChecker::is_good(const ChannelView& channel, const speed::PayMessage& pay) const {
  if (is_honest(channel.payer)) return true;
  return verify(channel.payer, preimage(PayStatement{channel.ledger, channel.id, pay.seq, pay.cum}), pay.signature);
}

void MoneyChecker::pay_sent(PeerSide& side, Conversation& talk, const speed::PayMessage& pay) {
  auto slot = talk.slots_out.find(pay.slot);
  if (slot == talk.slots_out.end()) return report_.require(!honest(side), name(side) + ": PAY on a slot without CHANNEL");
  ChannelView& channel = channels_[slot->second];
  if (!is_good(channel, pay)) return;
  Signed& last = signed_[slot->second];
  bool repeated = pay.seq == last.seq && pay.cum.in_micro() == last.cum;
  bool grew = pay.seq > last.seq && (pay.cum.in_micro() > last.cum || last.forgotten);
  if (honest(side)) {
    report_.require(repeated || grew, name(side) + ": signed seq " + std::to_string(pay.seq) + " cum " +
                                          std::to_string(pay.cum.in_micro()) + " after seq " + std::to_string(last.seq) + " cum " +
                                          std::to_string(last.cum));
    report_.require(pay.cum <= channel.capacity, name(side) + ": signed above the capacity");
  }
  last = {pay.seq, pay.cum.in_micro(), false};
  Purchase& purchase = purchases_[{channel.payer, channel.payee}];
  if (pay.cum > channel.signed_cum && !channel.ended) purchase.sale.paid_micro += pay.cum.in_micro() - channel.signed_cum.in_micro();
  channel.signed_cum = std::max(channel.signed_cum, pay.cum);
  channel.signed_seq = std::max(channel.signed_seq, pay.seq);
  if (!honest(side)) return;
  uint64_t paid = purchase.sale.paid_micro;
  report_.require(paid <= purchase.sale.cost_pico / k_pico + purchase.roundings,
                  name(side) + ": paid " + std::to_string(paid) + " for what costs " + std::to_string(purchase.sale.cost_pico / k_pico));
  report_.require(paid <= purchase.whole_pico / k_pico + purchase.roundings, name(side) + ": paid " + std::to_string(paid) +
                                                                                 " before its pieces were whole, which cost " +
                                                                                 std::to_string(purchase.whole_pico / k_pico));
  report_.require(paid <= purchase.allowed_pico / k_pico + purchase.roundings, name(side) + ": paid more than its bids allow");
}

// ---- messages of the extension ----

ChannelId MoneyChecker::open_channel(const PeerSide& side, const speed::ChannelMessage& message, bool sent) {
  ChannelTerms terms;
  terms.ledger = side.own_hello->ledger;
  terms.payer = sent ? side.own_hello->key : side.other_hello->key;
  terms.payee = sent ? side.other_hello->key : side.own_hello->key;
  terms.capacity = message.capacity;
  terms.expiry = message.expiry;
  terms.nonce = message.nonce;
  terms.valid_until = message.valid_until;
  ChannelId id = channel_id(terms);
  ChannelView& channel = channels_[id];
  channel.id = id;
  channel.ledger = terms.ledger;
  channel.payer = terms.payer;
  channel.payee = terms.payee;
  channel.capacity = terms.capacity;
  return id;
}

void MoneyChecker::on_speed_sent(PeerSide& side, const speed::Message& message) {
  Conversation& talk = talks_[side.stream];
  if (std::holds_alternative<speed::HelloMessage>(message)) {
    machines_[side.own_hello->key] = side.machine;
    keys_[side.machine] = side.own_hello->key;
  } else if (const auto* bid = std::get_if<speed::BidMessage>(&message)) {
    talk.gets.bids[bid->bid_seq] = bid->rate;
  } else if (const auto* rate = std::get_if<speed::RateMessage>(&message)) {
    rate_sent(side, talk, *rate);
  } else if (const auto* channel = std::get_if<speed::ChannelMessage>(&message)) {
    if (side.own_hello && side.other_hello) talk.slots_out[channel->slot] = open_channel(side, *channel, true);
  } else if (const auto* pay = std::get_if<speed::PayMessage>(&message)) {
    pay_sent(side, talk, *pay);
  } else if (const auto* ack = std::get_if<speed::AckMessage>(&message)) {
    ack_sent(side, talk, *ack);
  } else if (const auto* resume = std::get_if<speed::ResumeMessage>(&message)) {
    resume_sent(side, *resume);
  } else if (const auto* close = std::get_if<speed::CloseMessage>(&message)) {
    channels_[close->channel].closing = true;
  } else if (const auto* stop = std::get_if<speed::StopMessage>(&message)) {
    if (static_cast<speed::StopReason>(stop->reason) == speed::StopReason::banned) stopped(side);
  }
}

void MoneyChecker::on_speed_received(PeerSide& side, const speed::Message& message) {
  Conversation& talk = talks_[side.stream];
  if (const auto* bid = std::get_if<speed::BidMessage>(&message)) {
    talk.provides.bids[bid->bid_seq] = bid->rate;
    bid_backed(side, talk.provides);
  } else if (const auto* rate = std::get_if<speed::RateMessage>(&message)) {
    auto bid_named = talk.gets.bids.find(rate->bid_seq);
    talk.gets.rate = rate->rate;
    talk.gets.named_bid = bid_named == talk.gets.bids.end() ? Rate() : bid_named->second;
  } else if (const auto* channel = std::get_if<speed::ChannelMessage>(&message)) {
    if (side.own_hello && side.other_hello) talk.slots_in[channel->slot] = open_channel(side, *channel, false);
    talk.provides.backed = true;
    bid_backed(side, talk.provides);
  } else if (std::holds_alternative<speed::FundsMessage>(message)) {
    talk.provides.backed = true;
    bid_backed(side, talk.provides);
  } else if (const auto* pay = std::get_if<speed::PayMessage>(&message)) {
    pay_received(side, talk, *pay);
  }
}

// Nobody who keeps the rules is banned.
void MoneyChecker::stopped(const PeerSide& side) {
  if (!honest(side) || !side.other_hello || !is_honest(side.other_hello->key)) return;
  ++bans_;
  report_.breach(name(side) + ": bans an honest payer");
}

// ---- crashes and the end ----

void MoneyChecker::crashed(uint32_t machine) {
  for (auto& [pair, account] : accounts_) {
    auto payee = machines_.find(pair.first);
    if (payee != machines_.end() && payee->second == machine) account.unpaid.clear();
  }
  for (auto& [id, channel] : channels_) {
    auto payee = machines_.find(channel.payee);
    if (payee != machines_.end() && payee->second == machine) channel.held_cum = channel.acked_durable;
  }
  for (auto& [pair, purchase] : purchases_) {
    auto payer = machines_.find(pair.first);
    if (payer != machines_.end() && payer->second == machine) ++purchase.roundings;
  }
  for (auto& [id, last] : signed_) {
    auto payer = machines_.find(channels_[id].payer);
    if (payer != machines_.end() && payer->second == machine) last.forgotten = true;
  }
}

void MoneyChecker::channel_ended(const ChannelId& id, Amount paid) {
  auto found = channels_.find(id);
  if (found == channels_.end() || found->second.ended) return;
  ChannelView& channel = found->second;
  channel.ended = true;
  purchases_[{channel.payer, channel.payee}].sale.paid_micro -= channel.signed_cum.minus_or_zero(paid).in_micro();
}

std::map<std::pair<PublicKey, PublicKey>, MoneyChecker::Sale> MoneyChecker::sales() const {
  std::map<Pair, Sale> out;
  for (const auto& [pair, purchase] : purchases_) out[pair] = purchase.sale;
  return out;
}

}  // namespace millet::simtest
