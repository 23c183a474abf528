#include "crash/ledger_load.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/random.h"
#include "codec/http.h"
#include "ledger/client/client.h"
#include "ledger/common/record.h"
#include "ledger/server/genesis.h"
#include "ledger/server/tables.h"

namespace millet::crash {
namespace {

constexpr uint64_t k_fund_micro = 1'000'000'000;  // far more than a client can spend in one run: no refusal is expected
constexpr size_t k_operations_max = 8;            // in one request
constexpr size_t k_channels_max = 100;            // open ones of a client, below what the ledger allows

// Nonces of requests; they need not be secret here.
class LoadRandom final : public SecureRandom {
 public:
  explicit LoadRandom(Random& random) : random_(random) {}
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.below(256));
  }

 private:
  Random& random_;
};

struct Socket {
  explicit Socket(uint16_t port) : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    timeval limit{20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Socket() { close(fd); }
  Socket(const Socket&) = delete;
  int fd;
  bool open;
};

Result<std::vector<uint8_t>> post(uint16_t port, const LedgerClient::PostBody& body) {
  Socket socket(port);
  Error gone = error(Errc::unavailable, "the ledger is away");
  if (!socket.open) return gone;
  TRY_ASSIGN(Url url, Url::parse("http://127.0.0.1:" + std::to_string(port) + body.path));
  std::vector<uint8_t> request;
  http::encode(http::Request{"POST", "application/octet-stream", body.body}, url, request);
  for (size_t done = 0; done < request.size();) {
    ssize_t count = send(socket.fd, request.data() + done, request.size() - done, MSG_NOSIGNAL);
    if (count <= 0) return gone;
    done += static_cast<size_t>(count);
  }
  http::Reader reader(http::Reader::Role::responses, k_reply_size_max);
  uint8_t buffer[8192];
  while (!reader.is_complete()) {
    ssize_t count = recv(socket.fd, buffer, sizeof buffer, 0);
    if (count <= 0) return gone;
    TRY(reader.feed(Bytes(buffer, static_cast<size_t>(count))));
  }
  return reader.take_body();
}

SigningKey client_key(uint64_t seed, size_t number) {
  std::array<uint8_t, 32> raw{};
  store_be<uint64_t>(raw.data(), seed);
  store_be<uint64_t>(raw.data() + 8, number);
  raw[31] = 0x4c;
  return SigningKey::from_seed(raw);
}

Error differs(const std::string& what) { return error(Errc::conflict, what); }

}  // namespace

LedgerLoad::LedgerLoad(const SigningKey& ledger_key, const Options& options)
    : options_(options), pool_(pool_key(ledger_key, 0)), ledger_key_(ledger_key.public_key()) {
  for (size_t i = 0; i < options.clients; ++i) clients_.emplace_back(client_key(options.seed, i));
}

void LedgerLoad::set_ports(std::vector<uint16_t> ports) {
  std::lock_guard<std::mutex> lock(mutex_);
  ports_ = std::move(ports);
}

uint16_t LedgerLoad::any_port(Random& random) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ports_.empty() ? 0 : ports_[random.below(ports_.size())];
}

void LedgerLoad::fail(const std::string& reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failure_.empty()) failure_ = reason;
}

Status LedgerLoad::failure() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_.empty()) return error(Errc::conflict, failure_);
  return ok;
}

// One exchange, its reply believed as a node believes it. Without operations: asks who the ledger is.
Result<Reply> LedgerLoad::exchange(uint16_t port, const std::vector<Operation>& operations, Random& random) {
  LoadRandom secure(random);
  LedgerClient client(ledger_key_, PublicKey(), secure);
  if (operations.empty()) {
    client.query_params(1);
  } else {
    client.submit(1, operations);
  }
  LedgerClient::Output out;
  while (client.poll(out)) {
    if (auto* body = std::get_if<LedgerClient::PostBody>(&out)) client.on_reply(body->ticket, post(port, *body));
    if (auto* check = std::get_if<LedgerClient::VerifyBytes>(&out)) {
      client.on_verified(check->ticket, verify(check->key, check->message, check->signature));
    }
    if (auto* answer = std::get_if<LedgerClient::LedgerAnswer>(&out)) return std::move(answer->reply);
  }
  return error(Errc::io, "a call ended without an answer");
}

Result<std::vector<OperationResult>> LedgerLoad::submit(const std::vector<Operation>& operations, Random& random) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options_.answer_seconds_max);
  for (;;) {
    Result<Reply> reply = exchange(any_port(random), operations, random);
    if (reply) {
      // Time is told durably, by whoever tells it.
      uint64_t told = reply->head.time.in_seconds(), known = time_s_;
      while (told > known && !time_s_.compare_exchange_weak(known, told)) {
      }
      bool later = std::any_of(reply->operations.begin(), reply->operations.end(),
                               [](const OperationResult& result) { return result.ledger_code() == LedgerCode::unavailable; });
      if (operations.empty()) {
        std::lock_guard<std::mutex> lock(mutex_);
        ledger_ = reply->head.ledger;
      }
      if (!later) return std::move(reply->operations);
    } else if (reply.error().code != Errc::unavailable) {
      return reply.error();
    }
    if (std::chrono::steady_clock::now() > deadline) return error(Errc::unavailable, "no answer for too long");
    usleep(2000);
  }
}

Status LedgerLoad::fund() {
  Random random(options_.seed);
  TRY_ASSIGN(std::vector<OperationResult> none, submit({}, random));
  std::vector<Operation> operations;
  for (size_t i = 0; i < clients_.size(); ++i) {
    TransferOperation op;
    std::array<uint8_t, 16> nonce{};
    store_be<uint64_t>(nonce.data(), i + 1);
    LedgerTime until = LedgerTime::from_seconds(time_s_ + 300);
    op.statement = {ledger_, pool_.public_key(), clients_[i].key.public_key(), Amount::micro(k_fund_micro), nonce, until, {}};
    op.signature = pool_.sign(preimage(op.statement));
    operations.push_back(op);
  }
  TRY_ASSIGN(std::vector<OperationResult> results, submit(operations, random));
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].ledger_code() != LedgerCode::done) return differs("the pool was refused its transfer");
    funding_.push_back({operations[i], results[i]});
  }
  acknowledged_ += results.size();
  return ok;
}

// Transfers to others, channels to the next client, and what the client before has paid over its channels.
std::vector<Operation> LedgerLoad::make(size_t number, Random& random) {
  Client& self = clients_[number];
  auto nonce = [&] {
    std::array<uint8_t, 16> out{};
    store_be<uint64_t>(out.data(), ++self.nonces);
    return out;
  };
  std::vector<Operation> operations;
  uint64_t now_s = time_s_;
  for (size_t i = 1 + random.below(k_operations_max); i > 0; --i) {
    size_t other = (number + 1 + random.below(clients_.size() - 1)) % clients_.size();
    const SigningKey& payee = clients_[(number + 1) % clients_.size()].key;
    uint64_t kind = random.below(10);
    LedgerTime until = LedgerTime::from_seconds(now_s + 300);
    if (kind < 5) {
      Amount amount = Amount::micro(1 + random.below(100));
      TransferOperation op;
      op.statement = {ledger_, self.key.public_key(), clients_[other].key.public_key(), amount, nonce(), until, {}};
      op.signature = self.key.sign(preimage(op.statement));
      operations.push_back(op);
    } else if ((kind < 7 && self.channels.size() < k_channels_max) || self.channels.empty()) {
      OpenOperation op;
      op.statement = {
          ledger_, self.key.public_key(), payee.public_key(), Amount::micro(10'000), LedgerTime::from_seconds(now_s + 86'400), nonce(),
          until};
      op.signature = self.key.sign(preimage(op.statement));
      operations.push_back(op);
    } else {
      // This client signs both sides: nobody else can end the channel before it has its answer.
      const ChannelTerms terms = self.channels.back().first;
      uint64_t& paid = self.channels.back().second;
      bool closes = kind == 9;
      if (!closes && paid > 8000) continue;          // the capacity is 10,000
      paid += (closes ? 0 : 1) + random.below(999);  // a claim of nothing more would get the result of the one before
      auto redeem = [&](auto op) {
        op.statement.ledger = ledger_;
        op.statement.channel = channel_id(terms);
        op.statement.seq = paid;
        op.statement.cum = Amount::micro(paid);
        op.payer = terms.payer;
        op.payee = terms.payee;
        if (paid != 0)
          op.payer_signature = self.key.sign(preimage(PayStatement{ledger_, op.statement.channel, op.statement.seq, op.statement.cum}));
        op.signature = payee.sign(preimage(op.statement));
        operations.push_back(op);
      };
      if (closes) {
        redeem(CloseOperation());
        self.channels.pop_back();
      } else {
        redeem(ClaimOperation());
      }
    }
  }
  return operations;
}

void LedgerLoad::work(size_t number) {
  Client& self = clients_[number];
  Random random(options_.seed * 1000 + number);
  while (!stopping_) {
    std::vector<Operation> operations = make(number, random);
    if (operations.empty()) continue;
    Result<std::vector<OperationResult>> results = submit(operations, random);
    if (!results) return fail("client " + std::to_string(number) + ": " + results.error().reason);
    for (size_t i = 0; i < results->size(); ++i) {
      const OperationResult& result = (*results)[i];
      if (result.ledger_code() != LedgerCode::done) {
        return fail("client " + std::to_string(number) + " was refused: " + ledger_code_reason(result.ledger_code()));
      }
      if (auto* open = std::get_if<OpenOperation>(&operations[i])) self.channels.push_back({open->statement, 0});
      self.sent.push_back({operations[i], result});
    }
    acknowledged_ += results->size();
  }
}

void LedgerLoad::start() {
  stopping_ = false;
  for (size_t i = 0; i < clients_.size(); ++i) clients_[i].thread = std::thread([this, i] { work(i); });
}

void LedgerLoad::stop() {
  stopping_ = true;
  for (Client& client : clients_) {
    if (client.thread.joinable()) client.thread.join();
  }
}

Status LedgerLoad::compare(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  // Everything that clients sent and the log has, by its id: once, at the record of the answer.
  std::map<OperationId, uint64_t> logged;
  std::vector<uint8_t> from;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, transaction->seek(k_table_log, from));
    if (!entry) break;
    TRY_ASSIGN(LogRecord record, decode_record(entry->value));
    from.assign(entry->key.begin(), entry->key.end());
    from.push_back(0);
    bool by_client = !record.operation.empty() && record.operation[0] < GenesisOperation::k_kind;
    if (by_client && !logged.emplace(record.head.operation, record.head.index).second) {
      return differs("record " + std::to_string(record.head.index) + " executes an operation a second time");
    }
  }
  std::map<PublicKey, uint64_t> balances;
  size_t answers = 0;
  auto count = [&](const std::vector<Sent>& all) -> Status {
    for (const Sent& sent : all) {
      ++answers;
      auto found = logged.find(sent.result.operation);
      if (found == logged.end()) return differs("an operation that was acknowledged is not in the log");
      if (found->second != sent.result.record) return differs("an operation is at another record than was acknowledged");
      if (auto* transfer = std::get_if<TransferOperation>(&sent.operation)) {
        balances[transfer->statement.from] -= transfer->statement.amount.in_micro();
        balances[transfer->statement.to] += transfer->statement.amount.in_micro();
      } else if (auto* open = std::get_if<OpenOperation>(&sent.operation)) {
        balances[open->statement.payer] -= open->statement.capacity.in_micro();
      } else if (auto* close = std::get_if<CloseOperation>(&sent.operation)) {
        balances[close->payee] += sent.result.paid.in_micro();
        balances[close->payer] += sent.result.refunded.in_micro();
      }
    }
    return ok;
  };
  TRY(count(funding_));
  for (const Client& client : clients_) TRY(count(client.sent));
  if (answers != logged.size())
    return differs("the log has " + std::to_string(logged.size()) + " operations, " + std::to_string(answers) + " were acknowledged");
  for (const Client& client : clients_) {
    // What was claimed of channels that are still open.
    std::map<ChannelId, uint64_t> open;
    for (const auto& [terms, paid] : client.channels) open[channel_id(terms)] = 0;
    for (const Sent& sent : client.sent) {
      auto* claim = std::get_if<ClaimOperation>(&sent.operation);
      if (claim == nullptr) continue;
      auto found = open.find(claim->statement.channel);
      if (found != open.end()) found->second = std::max(found->second, sent.result.paid.in_micro());
    }
    for (const auto& [terms, paid] : client.channels) balances[terms.payee] += open[channel_id(terms)];
  }
  for (const Client& client : clients_) {
    PublicKey key = client.key.public_key();
    TRY_ASSIGN(std::optional<Bytes> bytes, transaction->get(k_table_accounts, key.bytes()));
    if (!bytes) return differs("a client has no account");
    TRY_ASSIGN(AccountRow row, decode_fields<AccountRow>(*bytes));
    if (row.available.in_micro() != balances[key]) {
      return differs("an account has " + std::to_string(row.available.in_micro()) + ", the answers say " + std::to_string(balances[key]));
    }
  }
  return ok;
}

Status LedgerLoad::repeat(size_t count) {
  Random random(options_.seed + 7);
  for (size_t i = 0; i < count; ++i) {
    const Client& client = clients_[random.below(clients_.size())];
    if (client.sent.empty()) continue;
    const Sent& sent = client.sent[random.below(client.sent.size())];
    if (std::holds_alternative<ClaimOperation>(sent.operation)) continue;  // gives the channel's last result
    TRY_ASSIGN(std::vector<OperationResult> again, submit({sent.operation}, random));
    if (again.size() != 1 || !(again[0] == sent.result)) return differs("an operation that is sent again has another result");
  }
  return ok;
}

}  // namespace millet::crash
