// The ledger as a server without I/O: bodies of HTTP requests in, signed replies out (PROTOCOL.md).
//
//   on_request -> CheckWork -> on_checked -> LedgerBatch -> on_batch -> SealWork  -> on_sealed  -> LedgerReply
//   on_get        (workers)                  (store thread)             WriteWork -> on_written
//                                                                       (workers)
//
// Everything that waits while one batch is being made durable goes into the next one: one sync of the disk for all of it. While requests
// are still being checked, a batch also waits for them a little. Batches are executed by LedgerState::apply, one at a time. After every
// input the driver polls all outputs and re-arms its timer.
#pragma once

#include <map>
#include <string_view>

#include "base/fifo.h"
#include "base/log.h"
#include "ledger/server/known_keys.h"
#include "ledger/server/request_limits.h"
#include "ledger/server/work.h"

namespace millet {

// The answer to one request; the connection may be gone meanwhile.
struct LedgerReply {
  uint64_t request = 0;
  int status = 200;  // of HTTP
  std::vector<uint8_t> body;
  std::string signature;  // of JSON, hexadecimal; empty: a binary reply, which has its own
};

// Asks whoever judges CAPTCHAs; the answer comes to on_captcha(), in bounded time.
struct CaptchaWork {
  uint64_t request = 0;
  std::vector<uint8_t> response;
  std::optional<IpAddress> from;
};

class LedgerService {
 public:
  static constexpr size_t k_requests_max = 512;              // under way; 10 MiB of operations, half a second of signatures
  static constexpr size_t k_refusals_max = 512;              // beyond those, being told so
  static constexpr size_t k_operations_per_batch_max = 512;  // a commit of some 20 ms
  // Rows that the queries of one batch read, so that nobody's operation waits long for the pages of others: a few ms.
  static constexpr size_t k_rows_per_batch_max = 256;
  // A batch waits for requests that are being checked, at most so long and until it has so many operations: a sync has its price.
  static constexpr Duration k_gather_max = Duration::ms(8);
  static constexpr size_t k_gather_operations = 128;
  // A batch under way for longer hangs: nobody gets an answer. A commit takes 20 ms, one on a slow disk some 500.
  static constexpr Duration k_batch_slow = Duration::seconds(5);
  static constexpr size_t k_faucet_checks_max = 4;   // at once: each needs 16 MiB and 15 ms
  static constexpr size_t k_faucet_seen_max = 1024;  // so that sending a solution again costs no Argon2id

  static constexpr size_t k_captchas_max = 8;  // at once; each may take as long as its judge lets it

  using Output = std::variant<CheckWork, LedgerBatch, SealWork, WriteWork, CaptchaWork, LedgerReply>;

  // Requires: `log` outlives this.
  LedgerService(const LedgerState& state, const PublicKey& key, LogSink& log);
  LedgerService(const LedgerService&) = delete;

  // Replaces the limits; there are none before. Limits by address are the driver's to ask, and pay for every check. Those by key are asked
  // here, when the signature is checked, and a key pays for the operations that were executed: what somebody else sends again costs it
  // nothing.
  void set_limits(uint64_t address_rate, uint64_t key_rate) { limits_.emplace(address_rate, key_rate); }
  RequestLimits& limits() { return *limits_; }

  // A request is complete. Its number, under which the reply comes; nothing if it is one too many even to be refused: close the connection.
  // `from`: who sent it, where networks are to be limited.
  std::optional<uint64_t> on_request(Instant now, std::string_view method, std::string_view path, Bytes body,
                                     const std::optional<IpAddress>& from = std::nullopt);
  // The same for a GET: its target and its Authorization header.
  std::optional<uint64_t> on_get(Instant now, std::string_view target, std::optional<std::string_view> authorization);
  // A request that is one too many of its sender: a signed `busy`, with status 429, that names the request: its sender waits, and asks
  // again.
  std::optional<uint64_t> on_limited(Instant now, Bytes body);
  // A body is larger than k_request_size_max and was not read.
  std::optional<uint64_t> on_oversized(Instant now);
  void on_checked(Instant now, CheckedRequest checked);
  // `code`: done, captcha_failed or captcha_unavailable.
  void on_captcha(Instant now, uint64_t request, LedgerCode code);
  void on_batch(Instant now, BatchOutcome outcome);
  void on_sealed(Instant now, uint64_t request, std::vector<uint8_t> body);
  void on_written(Instant now, uint64_t request, HttpAnswer answer);

  // Ends: what is under way is finished, new requests are refused; is_ended() when the last batch is durable.
  void shut_down(Instant now);
  bool is_ended() const { return ending_ && requests_.empty() && !batch_in_flight_ && final_batch_done_; }

  // The last batch could be stored, the one under way does not hang, and more can be asked for.
  bool is_ready(Instant now) const { return !failing_ && !ending_ && !(batch_in_flight_ && now - batch_since_ > k_batch_slow); }
  bool is_batch_under_way() const { return batch_in_flight_; }
  size_t under_way() const { return requests_.size(); }
  // Ledger time of the last durable batch; before the first one, of the opening.
  LedgerTime time() const { return context_.time; }

  Instant next_deadline() const;
  void on_timer(Instant now);
  bool poll(Output& out);

 private:
  struct Request {
    Hash32 hash{};
    RequestNonce nonce{};
    PublicKey asked_by;
    std::optional<IpAddress> from;
    std::optional<OperationId> faucet;  // whose work is being checked
    std::optional<GetRequest> get;
    std::vector<PublicKey> signers;  // of its operations, for the limits by key
    bool refused = false;
    int status = 200;
  };
  struct SeenFaucet {
    OperationId id;
    LedgerCode code;
  };
  std::optional<uint64_t> begin(Bytes body);
  void charge_signers(Instant now, const Request& request, const std::vector<OperationResult>& results, uint64_t first_record);
  void check(uint64_t id, Request& request, OperationRequest body);
  void check(uint64_t id, Request& request, QueryRequest body);
  // `limited`: the sender asked too much.
  void refuse(uint64_t id, LedgerCode code, bool limited = false);
  void seal(uint64_t id, Reply reply);
  void answer(LedgerReply reply);
  void wait_for_batch(Instant now, BatchItem item);
  void make_batch(Instant now);
  bool is_gathering(Instant now) const;
  // Has the CAPTCHA of the item judged first, if there is one. False: nobody is asked, and the item goes on.
  bool ask_about_captcha(BatchItem& item);
  bool is_within_limits(Instant now, const BatchItem& item, Request& request);
  bool tick_due(Instant now) const { return now >= next_tick_; }

  LedgerId ledger_;
  PublicKey key_;
  CheckContext context_;  // its time is the last durable one
  SignedTreeHead tree_;   // of the last batch
  LogSink& log_;
  std::map<uint64_t, Request> requests_;
  size_t refusals_ = 0;  // of requests_
  std::optional<RequestLimits> limits_{std::in_place, 0, 0};
  uint64_t last_request_ = 0;
  uint64_t last_batch_ = 0;
  size_t checking_ = 0;                   // requests with a worker
  KnownKeys accounts_;                    // that were checked
  std::map<uint64_t, BatchItem> judged_;  // waits for on_captcha(), by request
  Fifo<BatchItem> waiting_;               // checked, with operations, for the next batch
  Fifo<BatchItem> reads_;                 // checked, without
  size_t operations_waiting_ = 0;
  Instant gather_until_;  // of what waits
  bool batch_in_flight_ = false;
  Instant batch_since_;
  Instant next_tick_;     // a batch is due then, also an empty one: expiry, and the proof that the ledger lives
  bool failing_ = false;  // one line in the log for a row of failures
  size_t faucet_checks_ = 0;
  Fifo<SeenFaucet> faucet_seen_;
  bool ending_ = false;
  bool final_batch_done_ = false;
  Fifo<Output> out_;
};

}  // namespace millet
