// Clients of a ledger that is killed under them: each sends signed operations, over and over until they have an answer, and keeps a book of
// what was answered. Afterwards every answer must be in the ledger's log, once, and every balance must be what the answers say.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "crypto/sign.h"
#include "ledger/common/api.h"
#include "store/store.h"

namespace millet::crash {

class LedgerLoad {
 public:
  struct Options {
    uint64_t seed = 1;
    size_t clients = 4;
    unsigned answer_seconds_max = 120;  // an operation without an answer for longer is a failure
  };
  LedgerLoad(const SigningKey& ledger_key, const Options& options);
  ~LedgerLoad() { stop(); }
  LedgerLoad(const LedgerLoad&) = delete;

  // Where the ledger serves now: ports of 127.0.0.1; a client takes any, and another one when it fails.
  void set_ports(std::vector<uint16_t> ports);
  // Gives every client money. Errors: no answer, or a refusal.
  Status fund();
  void start();
  // Waits until everything that was sent has its answer.
  void stop();
  uint64_t acknowledged() const { return acknowledged_; }
  // The first thing that went wrong in a client. Errors: that.
  Status failure();

  // The ledger's own state, opened after it has ended. Errors: what does not agree with the answers.
  Status compare(Store& store);
  // Sends `count` of the operations again: each has the result that it had. Errors: another one.
  Status repeat(size_t count);

 private:
  struct Sent {
    Operation operation;
    OperationResult result;
  };
  struct Client {
    explicit Client(SigningKey k) : key(std::move(k)) {}
    SigningKey key;
    std::vector<Sent> sent;                                   // with answers only
    std::vector<std::pair<ChannelTerms, uint64_t>> channels;  // that it pays over, with what it has signed
    uint64_t nonces = 0;
    std::thread thread;
  };
  void work(size_t number);
  std::vector<Operation> make(size_t number, Random& random);
  Result<std::vector<OperationResult>> submit(const std::vector<Operation>& operations, Random& random);
  Result<Reply> exchange(uint16_t port, const std::vector<Operation>& operations, Random& random);
  uint16_t any_port(Random& random);
  void fail(const std::string& reason);

  Options options_;
  SigningKey pool_;
  PublicKey ledger_key_;
  std::atomic<uint64_t> time_s_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> acknowledged_{0};
  std::mutex mutex_;  // of what follows
  LedgerId ledger_;
  std::vector<uint16_t> ports_;
  std::string failure_;
  std::vector<Client> clients_;
  std::vector<Sent> funding_;
};

}  // namespace millet::crash
