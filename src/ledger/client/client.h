// A client of the private ledger, without I/O: turns operations and queries into HTTP bodies, and replies into results that have been
// checked against the pinned key (ledger/PROTOCOL.md). Signatures are work for a worker, like everywhere.
//
//   call -> [SignBytes -> on_signed] -> PostBody -> on_reply -> VerifyBytes -> on_verified -> LedgerAnswer
//
// One call is one HTTP exchange. Nothing is repeated here: whoever calls knows what is still wanted, and repeats the same operation, byte
// for byte (an operation is executed at most once, however many answers were lost).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/fifo.h"
#include "base/random.h"
#include "ledger/common/api.h"

namespace millet {

// Named by the caller; answered once by a LedgerAnswer with the same id.
using LedgerCallId = uint64_t;

class LedgerClient {
 public:
  static constexpr size_t k_calls_max = 64;  // under way at once; what is beyond is refused with no_room

  using Ticket = uint64_t;
  // A signature with the client's own key; on_signed answers.
  struct SignBytes {
    Ticket ticket;
    std::vector<uint8_t> message;
  };
  // on_verified answers.
  struct VerifyBytes {
    Ticket ticket;
    PublicKey key;
    std::vector<uint8_t> message;
    Signature signature;
  };
  // One HTTP exchange with the ledger: POST of `body` to the ledger's URL + path. on_reply answers.
  struct PostBody {
    Ticket ticket;
    const char* path;
    std::vector<uint8_t> body;
  };
  // The end of a call. Errors: unavailable (no answer, or the ledger is busy: try again later), denied (an answer that the pinned key
  // did not sign), bad_input (the ledger calls the request wrong), no_room.
  struct LedgerAnswer {
    LedgerCallId call;
    Result<Reply> reply;
    // What the ledger signed, also where it refused the whole request: its time, and why.
    std::optional<LedgerTime> time = std::nullopt;
    LedgerCode refused = LedgerCode::done;
    // What was sent and what the ledger signed, whole, of a query that was answered: it can be shown to others.
    std::vector<uint8_t> request{};
    std::vector<uint8_t> signed_reply{};
  };
  using Output = std::variant<SignBytes, VerifyBytes, PostBody, LedgerAnswer>;

  // ledger_key: pinned; replies of any other are errors. own_key: who asks for balances and channels.
  LedgerClient(const PublicKey& ledger_key, const PublicKey& own_key, SecureRandom& random);

  // What an earlier run learned. Before that, or the first reply, only query_params() works. Never changes for one pinned key.
  void set_ledger(const LedgerId& id) { ledger_ = id; }
  const std::optional<LedgerId>& ledger() const { return ledger_; }

  // ---- calls. Requires: the id is not in use ----
  // The rules, and with them ledger() and the time; needs no signature.
  void query_params(LedgerCallId call);
  // Requires: ledger(), 1 to k_queries_max queries. `valid_until`: at most k_valid_ahead_max_s after the ledger's time.
  void query(LedgerCallId call, const std::vector<Query>& queries, LedgerTime valid_until);
  // Operations that are signed. Requires: 1 to k_operations_max.
  void submit(LedgerCallId call, const std::vector<Operation>& operations);

  // ---- answers; unknown tickets are ignored ----
  void on_signed(Ticket ticket, const Signature& signature);
  // The body of a reply of any HTTP status; an error if there was none.
  // `tls_not_after`: until when the certificate counts over which it came; a reply that is not earlier shows that it does not any more,
  // also to who has no clock.
  void on_reply(Ticket ticket, Result<std::vector<uint8_t>> body, std::optional<LedgerTime> tls_not_after = std::nullopt);
  void on_verified(Ticket ticket, bool valid);

  bool poll(Output& out);

 private:
  struct Call {
    LedgerCallId id = 0;
    ReplyKind kind = ReplyKind::queries;
    QueryRequest query;  // waits for its signature
    RequestNonce nonce{};
    Hash32 request_hash{};
    std::vector<uint8_t> request;  // of queries, as it was sent
    std::vector<uint8_t> body;     // of the reply, while its signature is checked
    std::optional<LedgerTime> tls_not_after;
  };
  // Nothing if there are too many: the call has its answer then.
  std::optional<Ticket> begin(LedgerCallId id, ReplyKind kind);
  void post(Ticket ticket, Call& call, const char* path, std::vector<uint8_t> body);
  void finish(Ticket ticket, Result<Reply> reply, const ReplyHead* head = nullptr);
  Status check_head(const Call& call, const ReplyHead& head) const;

  PublicKey ledger_key_;
  PublicKey own_key_;
  SecureRandom& random_;
  std::optional<LedgerId> ledger_;
  std::map<Ticket, Call> calls_;
  Fifo<Output> out_;
  Ticket last_ticket_ = 0;
};

}  // namespace millet
