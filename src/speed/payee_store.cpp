// What the payee keeps through a power cut (PROTOCOL.md section 10).
#include <algorithm>

#include "crypto/hash.h"
#include "speed/payee.h"

namespace millet::speed {
namespace {

DebtRecord record_of(const DebtState& debt) {
  DebtRecord record;
  record.settled_micro = debt.settled.whole_micro();
  record.settled_rest = debt.settled.rest();
  record.open_micro = debt.open.whole_micro();
  record.open_rest = debt.open.rest();
  record.open_bytes = debt.open_bytes;
  record.paid = debt.paid;
  return record;
}

}  // namespace

Status Payee::restore_channel(Bytes key, Bytes value) {
  TRY_ASSIGN(PayeeChannelRecord record, decode_record<PayeeChannelRecord>(value));
  ChannelId id{blake2b_256(preimage(record.terms))};
  if (!equal(id.bytes(), key)) return error(Errc::bad_input, "record of a channel under another channel's id");
  if (record.terms.payee != ctx_.id.key || record.terms.ledger != ctx_.id.ledger || record.cum > record.terms.capacity) {
    return error(Errc::bad_input, "record of a channel of another account or ledger");
  }
  Channel& channel = add_channel(id, record.terms);
  channel.state = record.closing != 0 ? ChannelState::closing : ChannelState::active;
  channel.counted = {record.seq, record.cum, record.signature};
  channel.durable = channel.counted;
  channel.stored = true;
  channel.claimed = record.claimed;
  channel.effective_expiry = record.effective_expiry;
  channel.claim_at = record.claim_at;
  deadline_ = Instant();
  return ok;
}

Status Payee::restore_debt(Instant now, Bytes key, Bytes value) {
  DebtRecord record;
  uint64_t streak = 0;
  if (!value.empty() && value[0] == DebtRecord::k_version) {
    TRY_ASSIGN(record, decode_record<DebtRecord>(value));
  } else {
    TRY_ASSIGN(AccountRecord both, decode_record<AccountRecord>(value));
    record = both.debt;
    streak = both.streak;
  }
  if (key.size() != PublicKey::k_size) return error(Errc::bad_input, "record of a debt under a key of another size");
  DebtState state;
  TRY_ASSIGN(state.settled, restore_meter(record.settled_micro, record.settled_rest));
  TRY_ASSIGN(state.open, restore_meter(record.open_micro, record.open_rest));
  Meter all = state.settled;
  TRY(all.add(state.open));
  state.open_bytes = record.open_bytes;
  state.paid = record.paid;
  if (state.settled.due() > state.paid) return error(Errc::bad_input, "record of a debt that settles more than was paid");
  Account& account = accounts_[PublicKey::from_bytes(key)];
  account.key = PublicKey::from_bytes(key);
  account.debt = Debt::restore(state);
  account.paid_pieces = record.paid_pieces;
  account.streak = streak;
  account.bucketless = record.charged == 0;
  std::array<uint8_t, 4> v4;
  std::copy_n(record.network.begin(), 4, v4.begin());
  account.network = record.network_is_v4 != 0 ? IpAddress::v4(v4) : IpAddress::v6(record.network);
  account.offline_since = now;
  account.stored = true;
  if (!account.bucketless) {
    account.charged = state.open_bytes;
    bucket_.restore(account.network, account.charged);
  }
  deadline_ = Instant();
  return ok;
}

void Payee::touch(Instant now, Account& account) {
  if (ctx_.faults.has(Bug::skip_persist)) return;
  account.dirty = true;
  if (!dirty_since_) dirty_since_ = now;
}

Instant Payee::commit_at() const {
  if (!dirty_since_) return Instant::never();
  if (commit_urgent_ || risk_ >= uint64_t{256} * options_.risk_pieces) return Instant();
  return *dirty_since_ + k_commit_interval;
}

void Payee::collect(StoreBatch& batch) {
  for (const ChannelId& id : dropped_) batch.push_back({k_table_payee_channels, {id.raw.begin(), id.raw.end()}, std::nullopt});
  for (const PublicKey& key : dropped_accounts_) batch.push_back({k_table_payee_debts, {key.raw.begin(), key.raw.end()}, std::nullopt});
  dropped_.clear();
  dropped_accounts_.clear();
  for (auto& [id, channel] : channels_) {
    if (!channel.dirty) continue;
    PayeeChannelRecord record;
    record.terms = channel.terms;
    record.seq = channel.counted.seq;
    record.cum = channel.counted.cum;
    record.signature = channel.counted.signature;
    record.claimed = channel.claimed;
    record.effective_expiry = channel.effective_expiry;
    record.claim_at = channel.claim_at;
    record.closing = channel.state == ChannelState::closing ? 1 : 0;
    batch.push_back({k_table_payee_channels, {id.raw.begin(), id.raw.end()}, encode_record(record)});
    channel.dirty = false;
    channel.in_commit = true;
    channel.committing = channel.counted;
    channel.stored = true;
  }
  for (auto& [key, account] : accounts_) {
    if (!account.dirty) continue;
    account.dirty = false;
    account.stored = true;
    DebtRecord record = record_of(account.debt.state());
    record.paid_pieces = account.paid_pieces;
    record.charged = account.bucketless ? 0 : 1;
    record.network_is_v4 = account.network.is_v4() ? 1 : 0;
    Bytes raw = account.network.raw();
    std::copy(raw.begin(), raw.end(), record.network.begin());
    batch.push_back({k_table_payee_debts, {key.raw.begin(), key.raw.end()}, encode_record(AccountRecord{record, account.streak})});
  }
  risk_committing_ += risk_;
  risk_ = 0;
  dirty_since_.reset();
  commit_urgent_ = false;
}

void Payee::on_durable(Instant now) {
  risk_committing_ = 0;
  std::vector<ChannelId> ids;
  for (auto& [id, channel] : channels_) {
    if (!channel.in_commit) continue;
    channel.in_commit = false;
    CHECK(channel.committing.seq >= channel.durable.seq && channel.committing.cum >= channel.durable.cum);
    bool more = channel.committing != channel.durable;
    channel.durable = channel.committing;
    if (more) acknowledge(channel, is_expiring(channel, now) ? AckStatus::expiring : AckStatus::counted);
    resume_if_durable(channel);
    ids.push_back(id);
  }
  for (const ChannelId& id : ids) {
    auto it = channels_.find(id);
    if (it != channels_.end()) advance(now, it->second);
  }
  claim_at_threshold(now);
  for (auto& [handle, peer] : peers_) wake(peer);
}

}  // namespace millet::speed
