#include "speed/speed.h"

namespace millet::speed {
namespace {

constexpr std::string_view k_clock_key = "clock";

}  // namespace

Speed::Speed(const Identity& identity, const SpeedOptions& options, SecureRandom& random, LogSink& log, const Faults& faults)
    : ctx_(identity, random, log, options.verifications_per_second), options_(options), payee_(options.payee, ctx_),
      payer_(options.payer, ctx_) {
  ctx_.faults = faults;
}

Status Speed::restore(Instant now, std::string_view table, Bytes key, Bytes value) {
  if (table == k_table_payee_channels) return payee_.restore_channel(key, value);
  if (table == k_table_payee_debts) return payee_.restore_debt(now, key, value);
  if (table == k_table_payer_channels) return payer_.restore_channel(key, value);
  if (table == k_table_payer_torrents) return payer_.restore_torrent(key, value);
  if (table == k_table_history) return ctx_.history.restore(key, value);
  if (table == k_table_bans) return ctx_.bans.restore(key, value);
  if (table == k_table_meta && as_text(key) == k_clock_key) {
    TRY_ASSIGN(ClockRecord record, decode_record<ClockRecord>(value));
    ctx_.clock.restore(now, record.floor);
    clock_stored_ = record.floor;
    return ok;
  }
  return error(Errc::bad_input, "record of the unknown table " + printable(table));
}

void Speed::start(Instant now) { on_timer(now); }

void Speed::shut_down(Instant now) {
  payee_.shut_down(now);
  payer_.shut_down(now);
}

bool Speed::is_quiet() const {
  return !ctx_.in_flight && payee_.commit_at().is_never() && payer_.commit_at().is_never() && !payee_.is_claiming();
}

// ---- connections ----

uint64_t Speed::banned_for(Instant now, const IpAddress& address) const {
  return ctx_.bans.banned_for(ctx_.clock.floor(now), BanList::of(address));
}

void Speed::on_connected(Instant now, PeerHandle peer, const PeerInfo& info) {
  PeerInfo known = info;
  if (auto before = withdrawn_.find(peer); before != withdrawn_.end()) known.other_key = before->second.key;
  auto [it, added] = sessions_.try_emplace(peer, ctx_, peer, known);
  CHECK(added);
  uint32_t services = (options_.payee.enabled ? k_service_provider : 0) | (options_.payer.enabled ? k_service_requester : 0);
  it->second.start(services);
  payee_.on_peer(now, it->second);
  payer_.on_peer(now, it->second);
}

void Speed::on_disconnected(Instant now, PeerHandle peer) {
  withdrawn_.erase(peer);
  if (!sessions_.contains(peer)) return;
  payee_.on_peer_gone(now, peer);
  payer_.on_peer_gone(now, peer);
  sessions_.erase(peer);
}

void Speed::on_withdrawn(Instant now, PeerHandle peer) {
  auto it = sessions_.find(peer);
  if (it == sessions_.end()) return;
  Withdrawn& before = withdrawn_[peer];
  if (it->second.said_hello()) before.key = it->second.other_key();
  payee_.on_withdrawn(now, peer);
  payer_.on_peer_gone(now, peer);
  sessions_.erase(it);
  if (++before.times >= k_withdrawals_max) fail(peer, error(Errc::protocol, "takes the extension back again and again"));
}

void Speed::fail(PeerHandle peer, const Status& status) {
  if (!status) ctx_.out.push_back(DisconnectPeer{peer, status.error().reason});
}

void Speed::on_message(Instant now, PeerHandle peer, Bytes payload) {
  auto it = sessions_.find(peer);
  if (it == sessions_.end()) return;
  Session& session = it->second;
  Result<Message> decoded = decode(payload);
  if (!decoded) return fail(peer, std::move(decoded).error());
  const Message& message = *decoded;
  if (ctx_.log.level() <= LogLevel::debug) {
    LogLine(ctx_.log, LogLevel::debug, "speed_rx").add("peer", peer).add("message", describe(message));
  }
  if (const auto* hello = std::get_if<HelloMessage>(&message)) {
    Status status = session.on_hello(*hello);
    if (!status) return fail(peer, status);
    if (hello->tree_head && hello->ledger == ctx_.id.ledger) tree_head_seen_ = hello->tree_head;
    if (session.matches()) payer_.on_matched(now, peer);
    return;
  }
  if (const auto* prove = std::get_if<ProveMessage>(&message)) {
    Status status = session.on_prove(*prove);
    if (!status) return fail(peer, status);
    if (session.proof_required()) session.require_proof(now);
    payer_.wait_for_proof(now, peer);
    return;
  }
  if (Status status = payee_.on_message(now, peer, message); !status) return fail(peer, status);
  fail(peer, payer_.on_message(now, peer, message));
}

bool Speed::is_proven(PeerHandle peer) const {
  auto it = sessions_.find(peer);
  return it != sessions_.end() && it->second.proven();
}

void Speed::set_options(Instant now, const SpeedOptions& options) {
  options_ = options;
  ctx_.verifications.set(now, options.verifications_per_second, options.verifications_per_second);
  payee_.set_options(now, options.payee);
  payer_.set_options(now, options.payer);
}

// ---- answers ----

void Speed::on_signed(Instant now, Ticket ticket, const Signature& signature) {
  auto node = ctx_.works.extract(ticket);
  if (node.empty()) return;
  const WorkRef& work = node.mapped();
  switch (work.work) {
    case Work::prove_sign:
      if (auto it = sessions_.find(work.peer); it != sessions_.end()) it->second.on_proof_signed(ticket, signature);
      return;
    case Work::close_sign:
    case Work::claim_sign: return payee_.on_signed(work, signature);
    case Work::open_sign:
    case Work::pay_sign: return payer_.on_signed(now, work, signature);
    default: CHECK(!"a signature was asked for");
  }
}

void Speed::on_verified(Instant now, Ticket ticket, bool valid) {
  auto node = ctx_.works.extract(ticket);
  if (node.empty()) return;
  const WorkRef& work = node.mapped();
  switch (work.work) {
    case Work::prove_verify: {
      auto it = sessions_.find(work.peer);
      if (it == sessions_.end()) return;
      Status status = it->second.on_proof_verified(ticket, valid);
      if (!status) {
        payee_.on_false_proof(now, work.peer);
        return fail(work.peer, status);
      }
      if (!it->second.proven()) return;
      payee_.on_proven(now, work.peer);
      payer_.on_proven(now, work.peer);
      return;
    }
    case Work::funds_verify:
    case Work::pay_verify: return fail(work.peer, payee_.on_verified(now, work, valid));
    case Work::resume_verify: return fail(work.peer, payer_.on_verified(now, work, valid));
    default: CHECK(!"a check was asked for");
  }
}

void Speed::on_ledger(Instant now, Ticket ticket, const LedgerReply& reply) {
  auto node = ctx_.works.extract(ticket);
  if (node.empty()) return;
  const WorkRef& work = node.mapped();
  if (reply.outcome != LedgerOutcome::unavailable) ctx_.clock.observe(now, reply.time);
  switch (work.work) {
    case Work::payee_query:
    case Work::payee_close:
    case Work::payee_claim:
    case Work::payee_probe: return payee_.on_ledger(now, work, reply);
    case Work::payer_open:
    case Work::payer_query:
    case Work::payer_funds: return payer_.on_ledger(now, work, reply);
    default: CHECK(!"the ledger was asked");
  }
}

void Speed::on_ledger_time(Instant now, LedgerTime time) { ctx_.clock.observe(now, time); }

// ---- commits ----

void Speed::on_durable(Instant now, uint64_t sequence) {
  if (!ctx_.in_flight || sequence + 1 != ctx_.next_commit) return;
  ctx_.in_flight.reset();
  payee_.on_durable(now);
  payer_.on_durable(now);
}

// One commit at a time, for both roles: what is staged meanwhile goes with the next.
void Speed::commit_if_due(Instant now) {
  if (ctx_.in_flight || (payee_.commit_at() > now && payer_.commit_at() > now)) return;
  Commit commit;
  payee_.collect(commit.changes);
  payer_.collect(commit.changes);
  ctx_.bans.collect(commit.changes);
  ctx_.history.collect(commit.changes);
  LedgerTime floor = ctx_.clock.floor(now);
  if (floor > clock_stored_) {
    clock_stored_ = floor;
    Bytes key = as_bytes(k_clock_key);
    commit.changes.push_back({k_table_meta, {key.begin(), key.end()}, encode_record(ClockRecord{floor})});
  }
  commit.sequence = ctx_.next_commit++;
  ctx_.in_flight = now;
  ctx_.out.push_back(std::move(commit));
}

// ---- outputs and time ----

bool Speed::poll(Instant now, Output& output) {
  if (ctx_.out.empty()) commit_if_due(now);
  if (ctx_.out.empty()) return false;
  output = std::move(ctx_.out.front());
  ctx_.out.pop_front();
  return true;
}

Instant Speed::next_deadline(Instant now) {
  Instant at = earlier(payee_.next_deadline(), payer_.next_deadline());
  if (!ctx_.in_flight) at = earlier(at, earlier(payee_.commit_at(), payer_.commit_at()));
  return std::max(at, now);
}

void Speed::on_timer(Instant now) {
  for (auto& [peer, session] : sessions_) {
    if (session.proof_required() && !session.proven()) session.require_proof(now);
  }
  payee_.on_timer(now);
  payer_.on_timer(now);
}

}  // namespace millet::speed
