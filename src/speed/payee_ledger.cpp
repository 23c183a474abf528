// A channel's way through the ledger as its payee goes it: checked before it counts, claimed as it goes, closed in time (PROTOCOL.md
// section 9). Every step is repeated until the ledger has answered.
#include <algorithm>

#include "speed/payee.h"

namespace millet::speed {

void Payee::touch(Instant now, Channel& channel, bool urgent) {
  if (ctx_.faults.has(Bug::skip_persist)) {
    channel.durable = channel.counted;
    return;
  }
  channel.dirty = true;
  if (!dirty_since_) dirty_since_ = now;
  if (urgent) commit_urgent_ = true;
}

void Payee::probe(Instant now) {
  if (probing_) return;
  if (now < probe_retry_.at) return arm(probe_retry_.at);
  probing_ = true;
  ctx_.call(Work::payee_probe, ChannelId(), QueryFunds{});
}

// Takes the next step of a channel if there is one, and says when to look again.
void Payee::advance(Instant now, Channel& channel) {
  if (channel.step != Step::none) return;
  if (now < channel.retry.at) return arm(channel.retry.at);
  switch (channel.state) {
    case ChannelState::checking: channel.step = Step::query; return ctx_.call(Work::payee_query, channel.id, QueryChannel{channel.id});
    case ChannelState::refused:
      if (!place_of(channel)) drop(now, channel.id);
      return;
    case ChannelState::closing: {
      // The signature ends the channel: what it says must be ours after a power cut, too.
      if (channel.dirty || channel.in_commit) return;
      channel.step = Step::sign_close;
      CloseStatement statement{ctx_.id.ledger, channel.id, channel.durable.seq, channel.durable.cum};
      ctx_.sign(Work::close_sign, 0, channel.id, preimage(statement));
      return;
    }
    case ChannelState::active: break;
  }
  try_verify(now, channel);
  if (!ctx_.clock.known()) return;
  LedgerTime time = *ctx_.clock.now(now);
  auto account = accounts_.find(channel.terms.payer);
  bool gone = account == accounts_.end() || (!account->second.peer && now - account->second.offline_since >= k_idle_close);
  if (gone) return start_close(now, channel, CloseReason::idle);
  if (!account->second.peer) arm(account->second.offline_since + k_idle_close);
  bool waits = channel.verifying || channel.waiting || stands_for_debt(channel);
  if (channel.close_wanted && !waits) return start_close(now, channel, channel.close_reason);
  // A full one takes no more, and its payer needs the slot.
  if (channel.counted.cum == channel.terms.capacity) return start_close(now, channel, CloseReason::rolled_over);
  if (time >= margin_before(channel, 1)) return start_close(now, channel, CloseReason::expiring);
  arm(ctx_.clock.when(now, margin_before(channel, 1)));
  if (is_expiring(channel, now)) {
    if (!channel.expiring_told) acknowledge(channel, AckStatus::expiring);
    channel.expiring_told = true;
  } else {
    arm(ctx_.clock.when(now, margin_before(channel, 2)));
  }
  Amount unclaimed = channel.durable.cum.minus_or_zero(channel.claimed);
  if (unclaimed.is_zero() || ctx_.faults.has(Bug::never_close)) return;
  if (time < channel.claim_at && !shutting_down_) return arm(ctx_.clock.when(now, channel.claim_at));
  channel.step = Step::sign_claim;
  channel.claiming = channel.durable;
  ctx_.sign(Work::claim_sign, 0, channel.id,
            preimage(ClaimStatement{ctx_.id.ledger, channel.id, channel.durable.seq, channel.durable.cum}));
}

// The largest first, until what stays unclaimed over all channels is below the threshold: few operations at the ledger, whatever the number
// of payers.
void Payee::claim_at_threshold(Instant now) {
  std::optional<LedgerTime> time = ctx_.clock.now(now);
  if (!time) return;
  for (;;) {
    Amount sum, most;
    Channel* largest = nullptr;
    for (auto& [id, channel] : channels_) {
      bool claims = channel.step == Step::sign_claim || channel.step == Step::call_claim || *time >= channel.claim_at;
      if (channel.state != ChannelState::active || claims) continue;
      Amount unclaimed = channel.durable.cum.minus_or_zero(channel.claimed);
      sum = sum.plus(unclaimed).value_or(Amount::supply());
      if (unclaimed <= most) continue;
      most = unclaimed;
      largest = &channel;
    }
    if (largest == nullptr || sum < options_.claim_threshold) return;
    largest->claim_at = *time;
    advance(now, *largest);
  }
}

void Payee::on_signed(const WorkRef& work, const Signature& signature) {
  auto it = channels_.find(work.channel);
  if (it == channels_.end()) return;
  Channel& channel = it->second;
  if (work.work == Work::close_sign && channel.step == Step::sign_close) {
    channel.step = Step::call_close;
    CloseStatement statement{ctx_.id.ledger, channel.id, channel.durable.seq, channel.durable.cum};
    ctx_.call(Work::payee_close, channel.id,
              CloseChannel{statement, channel.terms.payer, channel.terms.payee, channel.durable.signature, signature});
  } else if (work.work == Work::claim_sign && channel.step == Step::sign_claim) {
    channel.step = Step::call_claim;
    ClaimStatement statement{ctx_.id.ledger, channel.id, channel.claiming.seq, channel.claiming.cum};
    ctx_.call(Work::payee_claim, channel.id,
              ClaimChannel{statement, channel.terms.payer, channel.terms.payee, channel.claiming.signature, signature});
  }
}

void Payee::on_ledger(Instant now, const WorkRef& work, const LedgerReply& reply) {
  if (work.work == Work::payee_probe) {
    probing_ = false;
    if (reply.outcome == LedgerOutcome::unavailable) {
      probe_retry_.failed(now);
      return arm(probe_retry_.at);
    }
    probe_retry_.reset();
    ctx_.out.push_back(RechokeWanted{});  // bids may have waited for the time
    return arm(now);
  }
  auto it = channels_.find(work.channel);
  if (it == channels_.end()) return;
  Channel& channel = it->second;
  channel.step = Step::none;
  if (reply.outcome == LedgerOutcome::unavailable) {
    channel.retry.failed(now);
    return arm(channel.retry.at);
  }
  channel.retry.reset();
  switch (work.work) {
    case Work::payee_query:
      if (channel.state == ChannelState::checking) return on_checked(now, channel, reply);
      return on_ended(now, channel, reply);
    case Work::payee_close: return on_closed(now, channel, reply);
    case Work::payee_claim:
      if (reply.outcome == LedgerOutcome::done) {
        channel.claimed = std::max({channel.claimed, channel.claiming.cum, reply.claimed});
        channel.claim_at = channel.effective_expiry;  // the half-life claim is made once
        touch(now, channel, shutting_down_);
        LogLine(ctx_.log, LogLevel::info, "speed_claimed").add("channel", channel.id.hex()).add("amount", channel.claimed.to_btt());
        return arm(now);
      }
      if (reply.outcome == LedgerOutcome::channel_ended || reply.outcome == LedgerOutcome::unknown_channel)
        return on_closed(now, channel, reply);
      channel.retry.failed(now);
      return arm(channel.retry.at);
    default: return;
  }
}

void Payee::on_checked(Instant now, Channel& channel, const LedgerReply& reply) {
  if (reply.outcome == LedgerOutcome::unknown_channel)
    return refuse(now, channel, AckStatus::bad_channel, true, "the ledger does not know it");
  if (reply.outcome != LedgerOutcome::done) {
    channel.retry.failed(now);
    return arm(channel.retry.at);
  }
  if (reply.terms != channel.terms) return refuse(now, channel, AckStatus::bad_channel, true, "the ledger has other terms");
  // An honest payer can't know yet: we may have closed it ourselves and forgotten it while the payer was away.
  if (!reply.open) return refuse(now, channel, AckStatus::closed, false, "it has ended");
  std::optional<LedgerTime> time = ctx_.clock.now(now);
  uint64_t left_s = time ? reply.effective_expiry.seconds_since(*time) : 0;
  // The ledger was away for long: what was paid in between is counted as long as it can be claimed, and then the channel ends.
  if (left_s < (channel.waiting ? k_margin_min_s : k_min_left_s)) {
    return refuse(now, channel, AckStatus::expiring, false, "too little of its life is left");
  }
  if (left_s < k_min_left_s) {
    channel.close_wanted = true;
    channel.close_reason = CloseReason::expiring;
  }
  activate(now, channel, reply);
}

void Payee::activate(Instant now, Channel& channel, const LedgerReply& reply) {
  channel.state = ChannelState::active;
  channel.effective_expiry = reply.effective_expiry;
  channel.claimed = reply.claimed;
  LedgerTime time = *ctx_.clock.now(now);
  channel.claim_at = time.plus_seconds(reply.effective_expiry.seconds_since(time) / 2);
  LogLine(ctx_.log, LogLevel::info, "speed_channel_active")
      .add("channel", channel.id.hex())
      .add("capacity", channel.terms.capacity.to_btt());
  acknowledge(channel, is_expiring(channel, now) ? AckStatus::expiring : AckStatus::counted);
  auto account = accounts_.find(channel.terms.payer);
  Peer* peer = account != accounts_.end() && account->second.peer ? find(*account->second.peer) : nullptr;
  if (peer != nullptr && is_paid(*peer)) {
    if (peer->window == 0) {
      peer->window = grant_window(now, *peer);
      if (peer->window != 0) {
        send_rate(*peer, peer->rate, peer->kind);
        wake(*peer);
      }
    }
  }
  if (channel.close_wanted && !channel.waiting) return start_close(now, channel, channel.close_reason);
  advance(now, channel);
}

void Payee::refuse(Instant now, Channel& channel, AckStatus status, bool strikes, const char* why) {
  channel.state = ChannelState::refused;
  channel.refusal = status;
  channel.waiting.reset();
  LogLine(ctx_.log, LogLevel::warn, "speed_channel_refused").add("channel", channel.id.hex()).add("why", why);
  acknowledge(channel, status);
  auto place = place_of(channel);
  if (!place) return drop(now, channel.id);
  if (strikes) strike(now, *find(place->first), why);
}

void Payee::start_close(Instant now, Channel& channel, CloseReason reason) {
  if (channel.state == ChannelState::closing || ctx_.faults.has(Bug::never_close)) return;
  if (channel.state == ChannelState::refused) return;
  if (channel.verifying || channel.waiting || channel.state == ChannelState::checking) {
    // Money that is on its way to be counted is counted first.
    channel.close_wanted = true;
    channel.close_reason = reason;
    return;
  }
  channel.state = ChannelState::closing;
  channel.close_wanted = false;
  channel.close_reason = reason;
  touch(now, channel, true);
  if (auto place = place_of(channel)) {
    ctx_.send(place->first, CloseMessage{channel.id, static_cast<uint8_t>(reason), channel.counted.seq, channel.counted.cum});
  }
  arm(now);
}

void Payee::on_closed(Instant now, Channel& channel, const LedgerReply& reply) {
  if (reply.outcome == LedgerOutcome::refused) {
    LogLine(ctx_.log, LogLevel::error, "speed_close_refused").add("channel", channel.id.hex()).add("why", reply.reason);
    channel.retry.failed(now);
    return arm(channel.retry.at);
  }
  if (reply.outcome == LedgerOutcome::channel_ended) {
    // By its expiry, or by us, and the answer was lost: what was paid out is asked for.
    channel.step = Step::query;
    return ctx_.call(Work::payee_query, channel.id, QueryChannel{channel.id});
  }
  on_ended(now, channel, reply);
}

// The ledger's last word on a channel.
void Payee::on_ended(Instant now, Channel& channel, const LedgerReply& reply) {
  bool unknown = reply.outcome == LedgerOutcome::unknown_channel;
  if (!unknown && (reply.outcome != LedgerOutcome::done || reply.open)) {
    channel.retry.failed(now);
    return arm(channel.retry.at);
  }
  Amount paid = unknown ? channel.claimed : reply.claimed;
  Amount lost = channel.counted.cum.minus_or_zero(paid);
  auto account = accounts_.find(channel.terms.payer);
  ctx_.history.on_lost(ctx_.clock.floor(now), account != accounts_.end() ? account->second.torrent : InfoHash(), lost);
  LogLine(ctx_.log, lost.is_zero() ? LogLevel::info : LogLevel::error, "speed_closed")
      .add("channel", channel.id.hex())
      .add("counted", channel.counted.cum.to_btt())
      .add("paid", paid.to_btt())
      .add("why", reply.reason.c_str());
  if (channel.state != ChannelState::closing) acknowledge(channel, AckStatus::closed);
  drop(now, channel.id);
}

void Payee::drop(Instant now, const ChannelId& id) {
  auto it = channels_.find(id);
  if (it == channels_.end()) return;
  if (it->second.stored) {
    dropped_.push_back(id);
    if (!dirty_since_) dirty_since_ = now;
  }
  auto of = channels_of_.find(it->second.terms.payer);
  std::erase(of->second, id);
  if (of->second.empty()) channels_of_.erase(of);
  channels_.erase(it);
}

}  // namespace millet::speed
