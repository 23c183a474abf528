// What the engines of BitTorrent Speed ask of their node, polled from Speed::poll() (speed.h). They are to be carried out in their order:
// a RATE must stand between the choke and the unchoke around it.
#pragma once

#include <string>
#include <variant>

#include "base/store_change.h"
#include "codec/signed.h"

namespace millet::speed {

using PeerHandle = uint32_t;  // one peer connection; given by the node, not used again
using Ticket = uint64_t;      // one request for work; given by the engine, answered once

// A btt_speed message: to be framed with the id that the peer named (BEP 10), and sent before any block that is not yet on its way.
struct SendMessage {
  PeerHandle peer;
  std::vector<uint8_t> payload;
};
// On a worker; on_signed / on_verified answers.
struct SignBytes {
  Ticket ticket;
  std::vector<uint8_t> message;
};
struct VerifyBytes {
  Ticket ticket;
  PublicKey key;
  std::vector<uint8_t> message;
  Signature signature;
};
// One transaction. In order; on_durable(sequence) answers once it would survive a power cut.
struct Commit {
  uint64_t sequence;
  StoreBatch changes;
};

// ---- peers ----

// The choker's part for paid slots, which are not its own. Choking drops what the peer has requested (BEP 3).
struct ChokePeer {
  PeerHandle peer;
};
struct UnchokePeer {
  PeerHandle peer;
};
struct DisconnectPeer {
  PeerHandle peer;
  std::string reason;  // for the log
};
// may_send() may be true now where it was false.
struct SendReady {
  PeerHandle peer;
};
// Call rechoke() now instead of at the next interval.
struct RechokeWanted {};

// ---- ledger ----

struct OpenChannel {
  ChannelTerms terms;
  Signature signature;
};
struct CloseChannel {
  CloseStatement statement;
  PublicKey payer;
  PublicKey payee;
  Signature payer_signature;  // zeros if cum is zero
  Signature signature;
};
struct ClaimChannel {
  ClaimStatement statement;
  PublicKey payer;
  PublicKey payee;
  Signature payer_signature;
  Signature signature;
};
struct QueryChannel {
  ChannelId channel;
};
struct QueryFunds {};
using LedgerRequest = std::variant<OpenChannel, CloseChannel, ClaimChannel, QueryChannel, QueryFunds>;

// on_ledger answers. Operations are idempotent: the engine repeats them itself until there is a signed answer.
struct LedgerCall {
  Ticket ticket;
  LedgerRequest request;
};

enum class LedgerOutcome : uint8_t {
  done,
  unavailable,  // no signed answer: unreachable, overloaded
  unknown_channel,
  channel_ended,  // closed or expired
  insufficient,   // OPEN: the account has less
  too_late,       // OPEN: valid_until has passed; the channel will never exist
  refused,        // anything else; repeating it is of no use
};
struct LedgerReply {
  LedgerOutcome outcome = LedgerOutcome::unavailable;
  LedgerTime time;     // of the signed reply; zero if there is none
  std::string reason;  // for the log
  // QueryChannel
  ChannelTerms terms;
  bool open = false;  // neither closed nor expired
  LedgerTime effective_expiry;
  Amount claimed;  // QueryChannel, CloseChannel, ClaimChannel: paid to the payee over the channel's whole life
  // QueryFunds
  Amount available;
  Signature fund;  // over FundStatement{ledger, key, available, time}
};

using Output =
    std::variant<SendMessage, SignBytes, VerifyBytes, Commit, ChokePeer, UnchokePeer, DisconnectPeer, SendReady, RechokeWanted, LedgerCall>;

}  // namespace millet::speed
