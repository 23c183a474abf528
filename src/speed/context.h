// What the parts of BitTorrent Speed share: identity, the queue of outputs, tickets, the ledger's clock, bans, the count of commits. Not
// for use outside speed/.
#pragma once

#include <map>

#include "base/fifo.h"
#include "base/log.h"
#include "base/random.h"
#include "base/token_bucket.h"
#include "speed/bans.h"
#include "speed/faults.h"
#include "speed/history.h"
#include "speed/ledger_clock.h"
#include "speed/messages.h"
#include "speed/outputs.h"

namespace millet::speed {

struct Identity {
  LedgerId ledger;
  PublicKey key;         // account and channel key of this node
  PublicKey ledger_key;  // pinned
};

enum class Work : uint8_t {
  prove_sign,
  prove_verify,  // session
  funds_verify,
  pay_verify,
  close_sign,
  claim_sign,  // payee
  payee_query,
  payee_close,
  payee_claim,
  payee_probe,  // payee at the ledger
  open_sign,
  pay_sign,
  resume_verify,  // payer
  payer_open,
  payer_query,
  payer_funds,  // payer at the ledger
};
struct WorkRef {
  Work work;
  PeerHandle peer = 0;
  ChannelId channel;
  Ticket ticket = 0;  // its own: which of several about one channel it answers
};

struct Context {
  Context(const Identity& identity, SecureRandom& random_source, LogSink& log_sink, uint32_t verifications_per_second)
      : id(identity), random(random_source), log(log_sink), verifications(verifications_per_second, verifications_per_second) {}

  Identity id;
  SecureRandom& random;
  LogSink& log;
  Faults faults;
  LedgerClock clock;
  BanList bans;
  History history;
  TokenBucket verifications;  // the processor's budget: signatures checked per second

  std::optional<TreeHeadBytes> tree_head;  // what HELLO shows

  Fifo<Output> out;
  std::map<Ticket, WorkRef> works;
  Ticket last_ticket = 0;

  uint64_t next_commit = 1;          // the one that changes made now will be in
  std::optional<Instant> in_flight;  // a commit is under way since
  // Commits lag: nothing more is given on trust, nobody is struck.
  bool store_lags(Instant now) const { return in_flight && now - *in_flight > Duration::seconds(2); }

  Ticket ticket(Work work, PeerHandle peer, const ChannelId& channel = {}) {
    ++last_ticket;
    works.emplace(last_ticket, WorkRef{work, peer, channel, last_ticket});
    return last_ticket;
  }
  void send(PeerHandle peer, const Message& message) {
    if (log.level() <= LogLevel::debug) LogLine(log, LogLevel::debug, "speed_tx").add("peer", peer).add("message", describe(message));
    out.push_back(SendMessage{peer, encode(message)});
  }
  // Both return the ticket that the answer comes with.
  template <size_t N>
  Ticket sign(Work work, PeerHandle peer, const ChannelId& channel, const std::array<uint8_t, N>& message) {
    Ticket answer = ticket(work, peer, channel);
    out.push_back(SignBytes{answer, {message.begin(), message.end()}});
    return answer;
  }
  template <size_t N>
  Ticket verify(Work work, PeerHandle peer, const ChannelId& channel, const PublicKey& key, const std::array<uint8_t, N>& message,
                const Signature& signature) {
    Ticket answer = ticket(work, peer, channel);
    out.push_back(VerifyBytes{answer, key, {message.begin(), message.end()}, signature});
    return answer;
  }
  void call(Work work, const ChannelId& channel, LedgerRequest request) {
    out.push_back(LedgerCall{ticket(work, 0, channel), std::move(request)});
  }
};

// When to try something at the ledger again: 1 s, doubled up to a minute.
struct Backoff {
  Instant at;  // not before
  Duration wait = Duration::seconds(1);
  void failed(Instant now) {
    at = now + wait;
    wait = wait * 2 > Duration::minutes(1) ? Duration::minutes(1) : wait * 2;
  }
  void reset() { *this = Backoff(); }
};

}  // namespace millet::speed
