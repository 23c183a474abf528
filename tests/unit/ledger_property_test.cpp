// Random operations on the ledger against a model that fits on a screen: results, balances, escrow and supply after every batch, with
// repetitions, restarts, outages and clock jumps. Signatures are not made here: the state machine gets operations as checked.
#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

constexpr uint32_t k_accounts = 4;
constexpr uint64_t k_step_s = 30;  // all times are multiples of it, so that limits are hit exactly

// The rules, said a second time and as simply as possible.
struct Model {
  struct Channel {
    ChannelTerms terms;
    uint64_t claimed = 0, expiry = 0;
    bool open = true;
    OperationId last;
  };
  std::map<PublicKey, uint64_t> balance;
  std::map<ChannelId, Channel> channels;
  std::map<OperationId, uint64_t> executed;
  uint64_t time = 0;

  uint64_t escrow() const {
    uint64_t sum = 0;
    for (const auto& [id, c] : channels) sum += c.open ? c.terms.capacity.in_micro() - c.claimed : 0;
    return sum;
  }
  void advance(uint64_t now, bool outage) {
    if (now <= time) return;
    for (auto& [id, c] : channels) c.expiry += outage && c.open ? now - time : 0;
    time = now;
    for (auto& [id, c] : channels) {
      if (c.open && c.expiry <= time) c.open = (balance[c.terms.payer] += c.terms.capacity.in_micro() - c.claimed, false);
    }
  }
  LedgerCode run(const TransferOperation& op) {
    const TransferStatement& s = op.statement;
    if (executed.count(statement_id(s))) return LedgerCode::done;
    if (s.valid_until.in_seconds() <= time) return LedgerCode::too_late;
    if (s.amount.is_zero()) return LedgerCode::bad_amount;
    if (s.from == s.to) return LedgerCode::bad_account;
    if (balance[s.from] < s.amount.in_micro()) return LedgerCode::insufficient;
    balance[s.from] -= s.amount.in_micro();
    balance[s.to] += s.amount.in_micro();
    executed[statement_id(s)] = time;
    return LedgerCode::done;
  }
  LedgerCode run(const OpenOperation& op) {
    const ChannelTerms& s = op.statement;
    if (channels.count(channel_id(s))) return LedgerCode::done;
    if (s.valid_until.in_seconds() <= time) return LedgerCode::too_late;
    if (s.capacity.in_micro() < 10) return LedgerCode::bad_amount;
    if (s.payer == s.payee) return LedgerCode::bad_account;
    if (s.expiry.in_seconds() < time + 600) return LedgerCode::bad_expiry;
    if (balance[s.payer] < s.capacity.in_micro()) return LedgerCode::insufficient;
    balance[s.payer] -= s.capacity.in_micro();
    channels[channel_id(s)] = {s, 0, s.expiry.in_seconds(), true, statement_id(s)};
    return LedgerCode::done;
  }
  template <typename Op>
  LedgerCode run(const Op& op) {
    constexpr bool closes = std::is_same_v<Op, CloseOperation>;
    auto found = channels.find(op.statement.channel);
    if (found == channels.end()) return LedgerCode::unknown_channel;
    Channel& c = found->second;
    uint64_t cum = op.statement.cum.in_micro(), capacity = c.terms.capacity.in_micro();
    if (op.payer != c.terms.payer || op.payee != c.terms.payee) return LedgerCode::not_a_party;
    if (!closes && cum <= c.claimed) return LedgerCode::done;
    if (closes && !c.open && c.last == statement_id(op.statement)) return LedgerCode::done;
    if (!c.open) return c.last == OperationId() || c.expiry <= time ? LedgerCode::channel_expired : LedgerCode::channel_closed;
    if (cum > capacity) return LedgerCode::above_capacity;
    if (cum > c.claimed) balance[c.terms.payee] += cum - c.claimed, c.claimed = cum;
    if (closes) balance[c.terms.payer] += capacity - c.claimed, c.open = false, c.last = statement_id(op.statement), c.expiry = UINT64_MAX;
    return LedgerCode::done;
  }
};

class Run {
 public:
  Run(World& world, uint64_t seed) : world_(world), random_(seed) {
    world_.tick();
    world_.now_s = world_.last.time.in_seconds();  // the run before may have left the clock behind
    LedgerBatch batch;
    BatchItem& item = batch.items.emplace_back();
    SigningKey pool = pool_key(world_.ledger_key(), 0);
    for (uint32_t i = 0; i < k_accounts; ++i) {
      keys_.push_back(numbered_key(static_cast<uint32_t>(seed) * 16 + 16 + i).public_key());
      uint64_t amount = random_.below(5000);
      model_.balance[keys_[i]] = amount;
      if (amount != 0) item.operations.push_back({world_.transfer(pool, keys_[i], amount), LedgerCode::done});
    }
    world_.state().apply(batch, world_.now());
    model_.time = world_.last.time.in_seconds();
    pool_before_ = k_supply_micro - sum();
  }

  // One batch of random operations; false if ledger and model differ.
  bool step() {
    bool restarted = false;
    uint64_t kind = random_.below(20);
    if (kind < 8) world_.now_s += random_.below(3) * k_step_s;
    if (kind == 8) world_.now_s += random_.below(60) * k_step_s;  // perhaps suspended
    if (kind == 9) world_.now_s -= random_.below(10) * k_step_s;
    for (uint64_t i = kind < 14 && kind > 10 ? random_.below(25) : 0; i > 0; --i) {
      world_.now_s += k_step_s;
      world_.tick();
      model_.advance(world_.now_s, false);
    }
    if (kind == 10) {
      if (!world_.restart(random_.below(50) * k_step_s)) return false;
      restarted = true;
    }
    LedgerBatch batch;
    BatchItem& item = batch.items.emplace_back();
    for (uint64_t i = random_.below(8); i > 0; --i) item.operations.push_back({random_operation(), LedgerCode::done});
    if (item.operations.empty()) batch.items.clear();
    bool outage = restarted || world_.now_s > model_.time + LedgerState::k_outage_min_s;
    BatchOutcome outcome = world_.state().apply(batch, world_.now());
    model_.advance(world_.now_s, outage);
    if (!outcome.status || outcome.time.in_seconds() != model_.time) return false;
    for (size_t i = 0; i < item_count(batch); ++i) {
      LedgerCode expected = std::visit([&](const auto& op) { return run(op); }, batch.items[0].operations[i].operation);
      if (outcome.items[0].operations[i].ledger_code() != expected) return false;
    }
    return same();
  }

  bool books() { return world_.state().check_books().has_value(); }

 private:
  static size_t item_count(const LedgerBatch& batch) { return batch.items.empty() ? 0 : batch.items[0].operations.size(); }
  LedgerCode run(const FaucetOperation&) { return LedgerCode::faucet_off; }
  LedgerCode run(const TicketFaucetOperation&) { return LedgerCode::captcha_off; }
  LedgerCode run(const DrawOperation&) { return LedgerCode::unknown_pool; }
  LedgerCode run(const PolicyOperation&) { return LedgerCode::unknown_pool; }
  LedgerCode run(const GrantOperation&) { return LedgerCode::unknown_policy; }
  template <typename Op>
  LedgerCode run(const Op& op) {
    return model_.run(op);
  }
  uint64_t sum() const {
    uint64_t total = model_.escrow();
    for (const auto& [key, amount] : model_.balance) total += amount;
    return total;
  }
  Amount random_amount() {
    switch (random_.below(6)) {
      case 0: return Amount::micro(random_.below(12));
      case 1: return Amount::micro(k_supply_micro - random_.below(3));
      default: return Amount::micro(random_.below(1500));
    }
  }
  Operation random_operation() {
    const PublicKey &a = keys_[random_.below(k_accounts)], &b = keys_[random_.below(k_accounts)];
    uint64_t kind = random_.below(10);
    if (kind == 0 && !sent_.empty()) return sent_[random_.below(sent_.size())];
    Operation op = random_redemption();
    if (kind < 4 || opened_.empty()) {
      OpenOperation open;
      open.statement = {world_.id(),
                        a,
                        b,
                        random_amount(),
                        world_.in((19 + random_.below(40)) * k_step_s),
                        nonce(),
                        world_.in(random_.below(10) * k_step_s)};
      opened_.push_back(open.statement);
      op = open;
    } else if (kind < 6) {
      TransferOperation transfer;
      transfer.statement = {world_.id(), a, b, random_amount(), nonce(), world_.in(random_.below(10) * k_step_s), {}};
      op = transfer;
    }
    sent_.push_back(op);
    return op;
  }
  Operation random_redemption() {
    if (opened_.empty()) return TransferOperation();
    const ChannelTerms& terms = opened_[random_.below(opened_.size())];
    PublicKey payee = random_.below(12) == 0 ? terms.payer : terms.payee;
    Amount cum = Amount::micro(random_.below(terms.capacity.in_micro() < 2000 ? terms.capacity.in_micro() + 2 : 2000));
    ChannelId id = channel_id(terms);
    if (random_.below(2) == 0) return CloseOperation{{world_.id(), id, 1, cum}, terms.payer, payee, {}, {}};
    return ClaimOperation{{world_.id(), id, 1, cum}, terms.payer, payee, {}, {}};
  }
  std::array<uint8_t, 16> nonce() {
    std::array<uint8_t, 16> out{};
    store_be<uint64_t>(out.data(), random_.next());
    return out;
  }
  bool same() {
    uint64_t escrow = 0;
    for (const auto& [key, amount] : model_.balance) {
      Balance balance = world_.balance(key);
      if (balance.available.in_micro() != amount) return false;
      escrow += balance.in_channels.in_micro();
    }
    return escrow == model_.escrow() && k_supply_micro - sum() == pool_before_;
  }

  World& world_;
  Random random_;
  Model model_;
  std::vector<PublicKey> keys_;
  std::vector<ChannelTerms> opened_;
  std::vector<Operation> sent_;
  uint64_t pool_before_ = 0;
};

void run_sequences(StoreKind kind, uint64_t count) {
  uint64_t failed = 0;
  for (uint64_t first = 1; first <= count && failed == 0; first += 50) {
    World world(kind);
    for (uint64_t seed = first; seed < first + 50 && failed == 0; ++seed) {
      Run run(world, seed);
      for (int i = 0; i < 25 && failed == 0; ++i) failed = run.step() ? 0 : seed;
      if (!run.books()) failed = seed;
    }
  }
  if (failed != 0) print_error("seed %llu\n", static_cast<unsigned long long>(failed));
  assert_int_equal(failed, 0);
}

#if defined(MILLET_SANITIZED)
constexpr uint64_t k_sequences = 200, k_disk_sequences = 100, k_server_sequences = 10;  // ten times slower
#else
constexpr uint64_t k_sequences = 2000, k_disk_sequences = 1000, k_server_sequences = 20;
#endif

void random_operations_agree_with_the_model_in_memory(void**) { run_sequences(StoreKind::memory, k_sequences); }
void random_operations_agree_with_the_model_on_lmdb(void**) { run_sequences(StoreKind::lmdb, k_disk_sequences); }
void random_operations_agree_with_the_model_on_postgres(void**) {
  if (!has_postgres()) skip();
  run_sequences(StoreKind::postgres, k_server_sequences);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(random_operations_agree_with_the_model_in_memory),
      cmocka_unit_test(random_operations_agree_with_the_model_on_lmdb),
      cmocka_unit_test(random_operations_agree_with_the_model_on_postgres),
  };
  return RUN_TESTS(tests);
}
