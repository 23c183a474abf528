// What the payer keeps through a power cut: the lease of every channel and what every torrent has spent (PROTOCOL.md section 10).
#include <algorithm>

#include "crypto/hash.h"
#include "speed/payer.h"

namespace millet::speed {
Status Payer::restore_channel(Bytes key, Bytes value) {
  TRY_ASSIGN(PayerChannelRecord record, decode_record<PayerChannelRecord>(value));
  ChannelId id{blake2b_256(preimage(record.terms))};
  if (!equal(id.bytes(), key)) return error(Errc::bad_input, "record of a channel under another channel's id");
  if (record.terms.payer != ctx_.id.key || record.terms.ledger != ctx_.id.ledger || record.cum > record.ceiling ||
      record.ceiling > record.terms.capacity || record.state > static_cast<uint8_t>(PayerChannelState::ending)) {
    return error(Errc::bad_input, "record of a channel of another account or ledger");
  }
  Channel& channel = channels_[id];
  channel.terms = record.terms;
  channel.id = id;
  channel.state = static_cast<PayerChannelState>(record.state);
  channel.torrent = record.torrent;
  channel.cum = channel.signed_cum = channel.cum_stored = record.cum;
  channel.ceiling = channel.ceiling_at_start = record.ceiling;
  // Anything up to the lease may have been signed: the next sequence is above it, and the amount counts as spent until we know.
  channel.seq = channel.seq_ceiling = record.seq_ceiling;
  if (ctx_.faults.has(Bug::reuse_seq)) channel.seq -= std::min(channel.seq, k_seq_lease);
  channel.unresolved = record.ceiling.minus_or_zero(record.cum);
  channel.stored = channel.restored = channel.unsure = true;
  Torrent& t = torrent(record.torrent);
  t.unresolved = t.unresolved.plus(channel.unresolved).value_or(Amount::supply());
  Provider& provider = make_provider(record.terms.payee);
  provider.channels.push_back(id);
  deadline_ = Instant();
  return ok;
}

Status Payer::restore_torrent(Bytes key, Bytes value) {
  TRY_ASSIGN(TorrentRecord record, decode_record<TorrentRecord>(value));
  if (key.size() != InfoHash::k_size) return error(Errc::bad_input, "record of a torrent under a key of another size");
  TRY_ASSIGN(Meter spent, restore_meter(record.spent_micro, record.spent_rest));
  Torrent& t = torrent(InfoHash::from_bytes(key));
  t.spent = spent;
  t.stored = t.wanted = true;
  return ok;
}

void Payer::touch(Instant now, Channel& channel, bool urgent) {
  channel.dirty = true;
  commit_by(urgent ? Instant() : now + k_commit_interval);
}

// One commit holds a consistent picture: the amounts of all channels and what the torrents have spent belong together.
void Payer::collect(StoreBatch& batch) {
  for (const ChannelId& id : dropped_) batch.push_back({k_table_payer_channels, {id.raw.begin(), id.raw.end()}, std::nullopt});
  dropped_.clear();
  for (const InfoHash& hash : dropped_torrents_)
    batch.push_back({k_table_payer_torrents, {hash.raw.begin(), hash.raw.end()}, std::nullopt});
  dropped_torrents_.clear();
  for (auto& [id, channel] : channels_) {
    if (!channel.dirty && channel.cum == channel.cum_stored) continue;
    channel.dirty = false;
    // A quarter of a channel is 16 pieces, or two minutes and a half. What is paid over is leased anew with every record, so that at an
    // even rate nothing waits for a lease, and no commit is made for one.
    Amount lease = Amount::micro(channel.terms.capacity.in_micro() / 4);
    channel.lease_wanted = channel.lease_wanted || channel.cum != channel.cum_stored;
    channel.ceiling_committing = channel.ceiling;
    channel.seq_ceiling_committing = channel.seq_ceiling;
    if (channel.lease_wanted) {
      Amount ahead = channel.cum.plus(lease).value_or(Amount::supply());
      channel.ceiling_committing = std::max(channel.ceiling, std::min(ahead, channel.terms.capacity));
      channel.seq_ceiling_committing = std::max(channel.seq_ceiling, channel.seq + k_seq_lease);
      channel.lease_wanted = false;
    }
    if (shutting_down_ && !channel.signing && channel.unresolved.is_zero() && channel.signed_cum == channel.cum) {
      // Nothing is left to sign: the next start has nothing to wonder about. What comes up all the same needs a new lease, at once: this
      // one ends when the commit reaches the disk, which may be before we hear of it.
      channel.ceiling = channel.ceiling_committing = channel.cum;
      channel.seq_ceiling = channel.seq_ceiling_committing = channel.seq;
    }
    PayerChannelRecord record;
    record.terms = channel.terms;
    record.cum = std::min(channel.cum, channel.ceiling_committing);
    record.ceiling = channel.ceiling_committing;
    record.seq_ceiling = channel.seq_ceiling_committing;
    record.state = static_cast<uint8_t>(channel.state);
    record.torrent = channel.torrent;
    channel.cum_stored = channel.cum;
    channel.in_commit = true;
    batch.push_back({k_table_payer_channels, {id.raw.begin(), id.raw.end()}, encode_record(record)});
  }
  for (auto& [hash, t] : torrents_) {
    if (!t.dirty) continue;
    t.dirty = false;
    t.stored = true;
    batch.push_back(
        {k_table_payer_torrents, {hash.raw.begin(), hash.raw.end()}, encode_record(TorrentRecord{t.spent.whole_micro(), t.spent.rest()})});
  }
  commit_at_ = Instant::never();
}

void Payer::on_durable(Instant now) {
  std::vector<ChannelId> ids;
  for (auto& [id, channel] : channels_) {
    if (!channel.in_commit) continue;
    channel.in_commit = false;
    channel.stored = true;
    channel.ceiling = channel.ceiling_committing;
    channel.seq_ceiling = channel.seq_ceiling_committing;
    ids.push_back(id);
  }
  for (const ChannelId& id : ids) {
    auto it = channels_.find(id);
    if (it == channels_.end()) continue;
    advance_signature(now, it->second);
    advance(now, it->second);
  }
}

}  // namespace millet::speed
