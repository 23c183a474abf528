// A conversation with the ledger for `millet wallet`: blocking, one exchange after another. What is said and what is believed is decided by
// ledger/client; here are only the socket and the waiting.
#pragma once

#include <string>

#include "codec/url.h"
#include "crypto/sign.h"
#include "ledger/client/client.h"
#include "ledger/common/tls_key.h"

namespace millet {

// How long an operation that a command signs may still be executed. The ledger takes at most 600 ahead of its time.
inline constexpr uint64_t k_operation_valid_s = 500;

class LedgerSession {
 public:
  static constexpr int k_timeout_s = 20;  // of one exchange
  static constexpr int k_attempts = 5;    // of an operation whose answer was lost; the same bytes each time

  struct Options {
    std::string url;
    PublicKey ledger_key;
  };
  // Asks the ledger who it is. Errors: bad_input (url), unavailable, denied (another key than the pinned one).
  static Result<LedgerSession> open(const Options& options, SigningKey key, SecureRandom& random);

  // Asks for the rules and the time again, after a while. Errors: as open.
  Status refresh();

  const LedgerId& ledger() const { return *client_.ledger(); }
  LedgerTime time() const { return time_; }  // of the last reply
  const LedgerParams& params() const { return params_; }
  const SigningKey& key() const { return key_; }

  // The answer to one query of the own account. Errors: unavailable, denied, bad_input.
  template <typename Answer>
  Result<Answer> ask(const Query& query) {
    TRY_ASSIGN(Reply reply, ask_for_reply(query));
    const Answer* answer = reply.queries.size() == 1 ? std::get_if<Answer>(&reply.queries[0].body) : nullptr;
    if (answer != nullptr) return *answer;
    return refusal(reply.queries.size() == 1 ? reply.queries[0].code : LedgerCode::malformed);
  }
  // Submits one operation until it has an answer. Errors: as ask; bad_input with the ledger's reason if it refuses.
  Result<OperationResult> submit(const Operation& operation);

  LedgerSession(LedgerSession&&) = default;

 private:
  LedgerSession(Url url, const Options& options, SigningKey key, SecureRandom& random)
      : url_(std::move(url)), ledger_key_(options.ledger_key), key_(std::move(key)), random_(random),
        client_(options.ledger_key, key_.public_key(), random) {}
  Result<Reply> ask_for_reply(const Query& query);
  // Turns the client until its call has ended.
  Result<Reply> turn();
  struct Answer {
    std::vector<uint8_t> body;
    std::optional<LedgerTime> tls_not_after;
  };
  Result<Answer> exchange(const LedgerClient::PostBody& post);
  static Error refusal(LedgerCode code);
  Error explain_insufficient(Error refused);

  Url url_;
  PublicKey ledger_key_;
  SigningKey key_;
  SecureRandom& random_;
  LedgerClient client_;
  std::optional<TlsSession> tls_session_;  // for the next exchange
  LedgerTime time_;
  LedgerParams params_;
};

}  // namespace millet
