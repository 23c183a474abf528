// Loads millet-ledgerd with signed operations over TLS, as many nodes would, and says how many were made durable and how long each took.
//
//   ledger_load --to HOST:PORT --state FOLDER [--connections 32] [--batch 16] [--seconds 5] [--rate 0] [--readers 0] [--tls yes] [--wait
//   20]
//
// FOLDER is the ledger's state: its key signs the first transfers out of a pool, and is whom answers must come from. `rate`: operations a
// second on a fixed schedule, from which latency counts also where a request had to wait for its turn; 0: as fast as answers come.
// Of 20 operations 9 are OPEN, 8 CLOSE, 1 CLAIM, 2 TRANSFER. OPEN and CLOSE are signed before the measurement. Every answer is decoded, one
// in 16 has its signature checked. `readers` are connections more, each of which asks for a page of the records of an account, with their
// proofs, as soon as it has the one before: the longest reads that there are. One line of JSON goes to standard output.
//
//   ledger_load --crypto yes     says how many signatures one core checks and makes in a second
//
// Exit 1: an operation was refused, or something failed.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/ledger_tool.h"
#include "codec/http.h"
#include "crypto/sign.h"
#include "driver/key_file.h"
#include "hal/linux/address.h"
#include "hal/linux/clock.h"
#include "hal/linux/fd.h"
#include "hal/linux/random.h"
#include "ledger/common/api.h"
#include "ledger/common/tls_key.h"
#include "ledger/server/genesis.h"

using namespace millet;

namespace {

constexpr size_t k_accounts = 400;  // payers; each pays the next one
constexpr uint64_t k_fund_micro = 1'000'000'000'000;
constexpr uint64_t k_capacity_micro = 100'000;
constexpr size_t k_first_channels = 2048;
constexpr size_t k_opens_per_s = 5000;  // prepared: of 11,000 operations; more are signed when they are sent

struct Options {
  Endpoint to;
  std::string state;
  size_t connections = 32;
  size_t batch = 16;
  uint32_t seconds = 5;
  uint32_t rate = 0;
  size_t readers = 0;
  uint32_t wait_seconds = 20;
  bool tls = true;
  bool crypto = false;
};

Options parse_options(int argc, char** argv) {
  Options out;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i], value = argv[i + 1];
    if (name == "--to") {
      out.to = take(Endpoint::parse(value), "--to");
    } else if (name == "--state") {
      out.state = value;
    } else if (name == "--connections") {
      out.connections = std::max<uint64_t>(1, number(argv[i + 1]));
    } else if (name == "--batch") {
      out.batch = std::clamp<uint64_t>(number(argv[i + 1]), 1, k_operations_max);
    } else if (name == "--seconds") {
      out.seconds = static_cast<uint32_t>(number(argv[i + 1]));
    } else if (name == "--rate") {
      out.rate = static_cast<uint32_t>(number(argv[i + 1]));
    } else if (name == "--readers") {
      out.readers = number(argv[i + 1]);
    } else if (name == "--wait") {
      out.wait_seconds = static_cast<uint32_t>(number(argv[i + 1]));
    } else if (name == "--tls" || name == "--crypto") {
      (name == "--tls" ? out.tls : out.crypto) = value == "yes";
    } else {
      stop("no option " + name);
    }
  }
  return out;
}

SigningKey account_key(size_t index, uint64_t run) {
  std::array<uint8_t, 32> seed{};
  store_be<uint64_t>(seed.data(), index);
  store_be<uint64_t>(seed.data() + 8, run);
  seed[31] = 0xb7;
  return SigningKey::from_seed(seed);
}

// ---- operations ----

// Makes the stream of operations. A channel is closed only after its OPEN was answered.
class Operations {
 public:
  Operations(const SigningKey& ledger_key, SecureRandom& random) : pool_(pool_key(ledger_key, 0)) {
    std::array<uint8_t, 8> bytes{};
    random.fill(bytes);
    run_ = load_be<uint64_t>(bytes.data());
    for (size_t i = 0; i < k_accounts; ++i) {
      accounts_.push_back(account_key(i, run_));
      by_key_[accounts_[i].public_key()] = i;
    }
  }
  void set_ledger(const LedgerId& ledger) { ledger_ = ledger; }
  void set_time(LedgerTime time) { time_ = time; }

  // Money for every account, in the first requests.
  std::vector<Operation> funding(size_t count) {
    std::vector<Operation> out;
    for (; out.size() < count && funded_ < k_accounts; ++funded_) {
      out.push_back(transfer(pool_, accounts_[funded_].public_key(), k_fund_micro));
    }
    return out;
  }

  // Channels that are there to be closed from the first moment of the measurement on.
  std::vector<Operation> first_channels(size_t count) {
    std::vector<Operation> out;
    while (out.size() < count) out.push_back(open());
    return out;
  }

  // Signs what needs no answer before the measurement.
  void prepare(size_t count) {
    while (opens_.size() < count) {
      opens_.push_back(open());
      const ChannelTerms& terms = opens_.back().statement;
      ChannelId id = channel_id(terms);
      closes_.emplace(id, close({terms, id, 0}));
    }
  }

  std::vector<Operation> next(size_t count) {
    std::vector<Operation> out;
    while (out.size() < count) {
      uint64_t kind = made_++ % 20;
      if (kind < 2) {
        size_t i = static_cast<size_t>(made_) % k_accounts;
        out.push_back(transfer(accounts_[i], payee(i).public_key(), 1));
      } else if (kind < 11 && !open_.empty()) {
        Channel channel = open_.front();
        open_.pop_front();
        if (kind == 2) {
          channel.claimed += k_capacity_micro / 10;
          out.push_back(redeem<ClaimOperation>(channel, channel.claimed));
          if (channel.claimed < k_capacity_micro / 2) open_.push_back(channel);
        } else {
          auto signed_before = closes_.extract(channel.id);
          out.push_back(signed_before.empty() ? close(channel) : std::move(signed_before.mapped()));
        }
      } else if (!opens_.empty()) {
        out.push_back(opens_.front());
        opens_.pop_front();
      } else {
        out.push_back(open());
      }
    }
    return out;
  }

  // A signed question for the newest records of one of the accounts.
  QueryRequest page(const RequestNonce& nonce) {
    const SigningKey& asking = accounts_[static_cast<size_t>(++pages_) % k_accounts];
    QueryRequest query{nonce, asking.public_key(), time_.plus_seconds(k_bench_valid_s), {RecordsQuery{}}, {}};
    query.signature = asking.sign(query_preimage(query, ledger_));
    return query;
  }

  void on_done(const Operation& operation) {
    if (const auto* open = std::get_if<OpenOperation>(&operation)) open_.push_back({open->statement, channel_id(open->statement), 0});
  }

 private:
  struct Channel {
    ChannelTerms terms;
    ChannelId id;
    uint64_t claimed;
  };
  const SigningKey& payee(size_t payer) const { return accounts_[(payer + 1) % k_accounts]; }
  std::array<uint8_t, 16> nonce() {
    std::array<uint8_t, 16> out{};
    store_be<uint64_t>(out.data(), run_);
    store_be<uint64_t>(out.data() + 8, ++nonces_);
    return out;
  }
  Operation transfer(const SigningKey& from, const PublicKey& to, uint64_t micro) {
    return make_transfer(ledger_, from, to, micro, nonce(), time_);
  }
  OpenOperation open() {
    size_t i = static_cast<size_t>(next_payer_++) % k_accounts;
    return make_open(ledger_, accounts_[i], payee(i).public_key(), k_capacity_micro, 86'400, nonce(), time_);
  }
  Operation close(const Channel& channel) { return redeem<CloseOperation>(channel, k_capacity_micro - 1); }
  template <typename Op>
  Operation redeem(const Channel& channel, uint64_t cum) {
    return make_redemption<Op>(ledger_, channel.id, owner(channel.terms.payer), owner(channel.terms.payee), cum);
  }
  const SigningKey& owner(const PublicKey& key) const { return accounts_[by_key_.at(key)]; }

  SigningKey pool_;
  std::vector<SigningKey> accounts_;
  std::map<PublicKey, size_t> by_key_;
  LedgerId ledger_;
  LedgerTime time_;
  std::deque<OpenOperation> opens_;        // signed, not sent
  std::map<ChannelId, Operation> closes_;  // of channels that were opened or will be
  std::deque<Channel> open_;               // that the ledger has
  size_t funded_ = 0;
  uint64_t run_ = 0, nonces_ = 0, made_ = 0, next_payer_ = 0, pages_ = 0;
};

// ---- one connection ----

class Client {
 public:
  Client(const Options& options, TlsContext* context, const LedgerPin& pin) : reader_(http::Reader::Role::responses, k_reply_size_max) {
    hal::SocketAddress to = hal::to_system(options.to);
    fd_ = hal::Fd(socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd_.is_open() || connect(fd_.get(), to.raw(), to.size) != 0) stop(std::string("can't connect: ") + strerror(errno));
    int on = 1;
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (context == nullptr) return;
    tls_ = take(TlsConnection::make(*context), "TLS");
    Status begun = tls_->receive({}, plain_);
    while (begun && !tls_->is_open()) {
      flush();
      begun = read_some();
    }
    if (!begun) stop("TLS: " + begun.error().reason);
    take(check_tls_peer(tls_->peer(), pin), "TLS");
  }

  int fd() const { return fd_.get(); }
  bool is_idle() const { return !waiting_; }

  void send(const std::string& path, Bytes body, std::vector<Operation> operations, Instant scheduled) {
    std::string head = "POST " + path + " HTTP/1.1\r\nHost: ledger\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n";
    std::vector<uint8_t> request(head.begin(), head.end());
    request.insert(request.end(), body.begin(), body.end());
    if (tls_ != nullptr) {
      if (Status sent = tls_->send(request); !sent) stop("TLS: " + sent.error().reason);
      flush();
    } else {
      send_all(request);
    }
    operations_ = std::move(operations);
    scheduled_ = scheduled;
    waiting_ = true;
  }

  // True when the answer is complete; its body is in `body`.
  bool receive(std::vector<uint8_t>& body) {
    if (Status read = read_some(); !read) stop("the ledger's connection: " + read.error().reason);
    Bytes rest = plain_;
    while (!rest.empty() && !reader_.is_complete()) rest = rest.subspan(take(reader_.feed(rest), "the ledger's answer"));
    plain_.clear();
    if (!reader_.is_complete()) return false;
    body = reader_.take_body();
    reader_.start();
    waiting_ = false;
    return true;
  }
  const std::vector<Operation>& operations() const { return operations_; }
  Instant scheduled() const { return scheduled_; }

 private:
  void send_all(Bytes bytes) {
    while (!bytes.empty()) {
      ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno != EINTR) stop(std::string("can't send: ") + strerror(errno));
      if (count > 0) bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }
  void flush() {
    send_all(tls_->out());
    tls_->out().clear();
  }
  Status read_some() {
    uint8_t buffer[32 * 1024];
    ssize_t count = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (count <= 0) return error(Errc::unavailable, count == 0 ? "was closed" : strerror(errno));
    Bytes bytes(buffer, static_cast<size_t>(count));
    if (tls_ == nullptr) {
      plain_.insert(plain_.end(), bytes.begin(), bytes.end());
      return ok;
    }
    Status taken = tls_->receive(bytes, plain_);
    flush();
    return taken;
  }

  hal::Fd fd_;
  std::unique_ptr<TlsConnection> tls_;
  std::vector<uint8_t> plain_;
  http::Reader reader_;
  std::vector<Operation> operations_;
  Instant scheduled_;
  bool waiting_ = false;
};

// ---- the run ----

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), ledger_key_(take(load_key(options.state + "/ledger.key"), "the ledger's key")),
        operations_(ledger_key_, random_) {
    if (options.tls) context_ = take(TlsContext::client(random_), "TLS");
    add_client();
  }

  void run() {
    learn();
    for (std::vector<Operation> money; !(money = operations_.funding(k_operations_max)).empty();) ask(*clients_[0], std::move(money));
    for (size_t i = 0; i < k_first_channels; i += k_operations_max) ask(*clients_[0], operations_.first_channels(k_operations_max));
    operations_.prepare(options_.rate != 0 ? size_t{options_.rate} * options_.seconds / 2 : size_t{k_opens_per_s} * options_.seconds);
    // The ledger does not wait for those who connect and say nothing.
    clients_.clear();
    while (clients_.size() < options_.connections + options_.readers) add_client();
    learn();  // signing took a while
    measure();
    report();
  }

 private:
  void add_client() { clients_.push_back(std::make_unique<Client>(options_, context_.get(), LedgerPin{ledger_key_.public_key(), {}, {}})); }
  void learn() {
    QueryRequest query;
    query.queries = {ParamsQuery{}};
    clients_[0]->send("/v1/query", encode_request(query), {}, clock_.now());
    std::vector<uint8_t> body;
    while (!clients_[0]->receive(body)) {
    }
    Reply reply = decode(body, ReplyKind::queries);
    operations_.set_ledger(reply.head.ledger);
    operations_.set_time(reply.head.time);
  }
  bool is_reader(size_t client) const { return client >= options_.connections; }
  void read_page(Client& client) {
    RequestNonce nonce{};
    random_.fill(nonce);
    client.send("/v1/query", encode_request(operations_.page(nonce)), {}, clock_.now());
  }
  void ask(Client& client, std::vector<Operation> operations) {
    submit(client, std::move(operations), clock_.now());
    std::vector<uint8_t> body;
    while (!client.receive(body)) {
    }
    all_ += finish(client, body);
  }
  void submit(Client& client, std::vector<Operation> operations, Instant scheduled) {
    OperationRequest request;
    random_.fill(request.nonce);
    request.operations = operations;
    client.send("/v1/op", encode_request(request), std::move(operations), scheduled);
  }
  Reply decode(Bytes body, ReplyKind kind) {
    SealedReply sealed = take(split_reply(body), "an answer");
    if (++answers_ % 16 == 1 && !verify(ledger_key_.public_key(), reply_preimage(sealed.content), sealed.signature)) {
      stop("an answer is not signed by the ledger");
    }
    Reply reply = take(decode_reply(sealed.content, kind), "an answer");
    if (reply.head.code != 0) stop(std::string("a request was refused: ") + ledger_code_reason(static_cast<LedgerCode>(reply.head.code)));
    return reply;
  }
  size_t finish(Client& client, Bytes body) {
    Reply reply = decode(body, ReplyKind::operations);
    operations_.set_time(reply.head.time);
    const std::vector<Operation>& sent = client.operations();
    if (reply.operations.size() != sent.size()) stop("an answer has another number of results");
    for (size_t i = 0; i < sent.size(); ++i) {
      LedgerCode code = reply.operations[i].ledger_code();
      if (code != LedgerCode::done) stop(std::string("an operation was refused: ") + ledger_code_reason(code));
      operations_.on_done(sent[i]);
    }
    return sent.size();
  }

  void measure() {
    const Instant begin = clock_.now();
    const Instant end = begin + Duration::seconds(options_.seconds);
    const Instant last = end + Duration::seconds(options_.wait_seconds);
    std::vector<pollfd> polled(clients_.size());
    uint64_t due = 0;  // requests of the schedule that were sent
    std::vector<uint8_t> body;
    for (;;) {
      Instant now = clock_.now();
      bool any = false;
      for (size_t i = 0; i < clients_.size(); ++i) {
        Client* client = clients_[i].get();
        if (!client->is_idle() || now >= end) continue;
        if (is_reader(i)) {
          read_page(*client);
          continue;
        }
        Instant scheduled =
            options_.rate == 0 ? now : begin + Duration::us(static_cast<int64_t>(due * options_.batch * 1'000'000 / options_.rate));
        if (scheduled > now) {
          i = std::max(i, options_.connections - 1);  // readers have no schedule
          continue;
        }
        ++due;
        submit(*client, operations_.next(options_.batch), scheduled);
        now = clock_.now();
      }
      for (size_t i = 0; i < clients_.size(); ++i) {
        bool waits = !clients_[i]->is_idle();
        polled[i] = {waits ? clients_[i]->fd() : -1, POLLIN, 0};
        any = any || waits;
      }
      if (now >= end && !any) break;
      if (now >= last) stop("the last answers did not come");
      if (poll(polled.data(), polled.size(), options_.rate == 0 ? 100 : 1) < 0 && errno != EINTR) stop("poll failed");
      for (size_t i = 0; i < clients_.size(); ++i) {
        if (polled[i].revents == 0 || !clients_[i]->receive(body)) continue;
        if (is_reader(i)) {
          if (decode(body, ReplyKind::queries).queries.at(0).code != LedgerCode::done) stop("a page of records was refused");
          if (clock_.now() <= end) ++pages_;
          continue;
        }
        size_t done = finish(*clients_[i], body);
        now = clock_.now();
        if (now <= end) done_ += done;
        all_ += done;
        latency_us_.push_back((now - clients_[i]->scheduled()).in_us());
      }
    }
  }

  void report() {
    if (latency_us_.empty()) stop("nothing was answered");
    std::sort(latency_us_.begin(), latency_us_.end());
    auto at = [&](size_t per_mille) { return static_cast<double>(latency_us_[(latency_us_.size() - 1) * per_mille / 1000]) / 1000; };
    printf(
        "{\"operations_per_s\": %.1f, \"operations\": %llu, \"requests\": %zu, \"latency_ms_p50\": %.2f, \"latency_ms_p99\": %.2f, "
        "\"latency_ms_max\": %.2f, \"pages_per_s\": %.1f}\n",
        static_cast<double>(done_) / options_.seconds, static_cast<unsigned long long>(all_), latency_us_.size(), at(500), at(990),
        at(1000), static_cast<double>(pages_) / options_.seconds);
  }

  Options options_;
  hal::LinuxClock clock_;
  hal::LinuxRandom random_;
  SigningKey ledger_key_;
  Operations operations_;
  std::unique_ptr<TlsContext> context_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t answers_ = 0, done_ = 0, all_ = 0, pages_ = 0;
  std::vector<int64_t> latency_us_;
};

void measure_crypto() {
  SigningKey key = account_key(0, 0);
  std::vector<uint8_t> message(144, 7);
  Signature signature = key.sign(message);
  hal::LinuxClock clock;
  auto per_second = [&](auto work) {
    uint64_t count = 0;
    Instant begin = clock.now();
    for (; clock.now() < begin + Duration::seconds(1); ++count) work();
    return static_cast<unsigned long long>(count);
  };
  unsigned long long checked = per_second([&] {
    if (!verify(key.public_key(), message, signature)) stop("a signature is not valid");
  });
  unsigned long long made = per_second([&] { signature = key.sign(message); });
  printf("{\"verifications_per_s\": %llu, \"signatures_per_s\": %llu}\n", checked, made);
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse_options(argc, argv);
  if (!crypto_init()) stop("libsodium can't start");
  if (options.crypto) {
    measure_crypto();
  } else {
    Load(options).run();
  }
  return 0;
}
