#include "ledger/server/audit.h"

#include <algorithm>
#include <utility>

#include "crypto/sign.h"
#include "ledger/common/faucet.h"
#include "ledger/server/genesis.h"

namespace millet {
namespace {

Error wrong(const std::string& what) { return {Errc::conflict, what}; }

template <typename Statement>
bool is_signed(const PublicKey& key, const Statement& statement, const Signature& signature) {
  return verify(key, preimage(statement), signature);
}

bool signatures_hold(const OpenOperation& op) { return is_signed(op.statement.payer, op.statement, op.signature); }
bool signatures_hold(const TransferOperation& op) { return is_signed(op.statement.from, op.statement, op.signature); }
bool signatures_hold(const TicketFaucetOperation& op) { return is_signed(op.statement.key, op.statement, op.signature); }
bool signatures_hold(const FaucetOperation& op) { return is_signed(op.statement.key, op.statement, op.signature); }
template <typename Op>
bool redemption_holds(const Op& op) {
  if (!is_signed(op.payee, op.statement, op.signature)) return false;
  if (op.statement.cum.is_zero()) return true;
  return is_signed(op.payer, PayStatement{op.statement.ledger, op.statement.channel, op.statement.seq, op.statement.cum},
                   op.payer_signature);
}
bool signatures_hold(const ClaimOperation& op) { return redemption_holds(op); }
bool signatures_hold(const CloseOperation& op) { return redemption_holds(op); }
// Made by the ledger itself.
bool signatures_hold(const GenesisOperation&) { return true; }
bool signatures_hold(const ExpireOperation&) { return true; }
bool signatures_hold(const ExtendOperation&) { return true; }
bool signatures_hold(const PoolOperation&) { return true; }
bool signatures_hold(const PolicyOperation& op) { return pool_signatures_hold(op.keys, preimage(op.statement), op.signatures); }
bool signatures_hold(const GrantOperation& op) { return is_signed(op.granter, op.statement, op.signature); }
bool signatures_hold(const DrawOperation& op) { return pool_signatures_hold(op.keys, preimage(op.statement), op.signatures); }

const LedgerId& ledger_of(const ExpireOperation& op) { return op.ledger; }
const LedgerId& ledger_of(const ExtendOperation& op) { return op.ledger; }
const LedgerId& ledger_of(const PoolOperation& op) { return op.ledger; }
template <typename Op>
const LedgerId& ledger_of(const Op& op) {
  return op.statement.ledger;
}

}  // namespace

Status audit_signatures(Bytes record) {
  TRY_ASSIGN(LogRecord decoded, decode_record(record));
  TRY_ASSIGN(LoggedOperation operation, decode_logged_operation(decoded.operation));
  bool good = std::visit([](const auto& op) { return signatures_hold(op); }, operation);
  if (!good) return wrong("a signature of its operation is not valid");
  return ok;
}

Status LogAudit::add(Bytes bytes) {
  auto record = decode_record(bytes);
  if (!record) return wrong("it can't be read: " + record.error().reason);
  if (record->head.index != tree_.size()) return wrong("it calls itself record " + std::to_string(record->head.index));
  if (record->head.time < time_) return wrong("its time is before that of the record before");
  auto operation = decode_logged_operation(record->operation);
  if (!operation) return wrong("its operation can't be read: " + operation.error().reason);
  if (logged_operation_id(*operation) != record->head.operation) return wrong("its operation has another id than it says");
  TRY_ASSIGN(Expected expected, replay(*record, *operation));
  TRY(check_record(*record, expected));
  time_ = record->head.time;
  tree_.append(merkle_leaf(bytes));
  return ok;
}

Result<LogAudit::Expected> LogAudit::replay(const LogRecord& record, const LoggedOperation& operation) {
  bool genesis = std::holds_alternative<GenesisOperation>(operation);
  if (genesis != (record.head.index == 0)) return wrong("the genesis is the first record, and no other");
  if (const auto* op = std::get_if<GenesisOperation>(&operation)) return run(record, *op);
  return std::visit(
      [&]<typename Op>(const Op& op) -> Result<Expected> {
        if constexpr (std::is_same_v<Op, GenesisOperation>) {
          return wrong("a second genesis");
        } else {
          if (ledger_of(op) != ledger_) return wrong("its operation is of another ledger");
          if (!std::is_same_v<Op, PoolOperation>) pools_are_known_ = true;
          return run(record, op);
        }
      },
      operation);
}

Status LogAudit::check_record(const LogRecord& record, const Expected& expected) {
  if (record.head.paid != expected.paid) {
    return wrong("it pays " + record.head.paid.to_btt() + " BTT where the operation pays " + expected.paid.to_btt() + " BTT");
  }
  if (record.head.refunded != expected.refunded) {
    return wrong("it gives back " + record.head.refunded.to_btt() + " BTT where the operation gives back " + expected.refunded.to_btt() +
                 " BTT");
  }
  if (record.head.channel_previous != expected.channel_previous)
    return wrong("it names another record as the one before about its channel");
  if (record.touched.size() != expected.touched.size()) return wrong("it touches other accounts than its operation");
  for (size_t i = 0; i < record.touched.size(); ++i) {
    const TouchedAccount& touched = record.touched[i];
    if (touched.account != expected.touched[i]) return wrong("it touches other accounts than its operation");
    Account& account = accounts_[touched.account];
    if (touched.previous != account.last_record) {
      return wrong("it names another record as the one before about account " + touched.account.hex());
    }
    if (touched.balance != account.balance) {
      return wrong("it leaves account " + touched.account.hex() + " a balance of " + touched.balance.to_btt() +
                   " BTT where the log leaves " + account.balance.to_btt() + " BTT");
    }
    account.last_record = record.head.index;
  }
  return ok;
}

// ---- operations ----

// An operation that is valid for a time is executed in that time, and once.
Status LogAudit::once(const LogRecord& record, LedgerTime valid_until) {
  LedgerTime now = record.head.time;
  while (!recent_by_time_.empty() && recent_by_time_.begin()->first <= now.in_seconds()) {
    recent_.erase(recent_by_time_.begin()->second);
    recent_by_time_.erase(recent_by_time_.begin());
  }
  if (now >= valid_until || valid_until > now.plus_seconds(k_valid_ahead_max_s)) return wrong("its operation was not valid at its time");
  if (!recent_.insert(record.head.operation).second) return wrong("its operation was executed before");
  recent_by_time_.emplace(valid_until.in_seconds(), record.head.operation);
  return ok;
}

Status LogAudit::move(const PublicKey& from, const PublicKey& to, Amount amount) {
  if (amount.is_zero()) return wrong("it moves nothing");
  if (from == to) return wrong("sender and receiver are one account");
  if (pools_.contains(to)) return wrong("nothing goes into a pool");
  auto rest = accounts_[from].balance.minus(amount);
  if (!rest) return wrong("account " + from.hex() + " does not have that much");
  auto more = accounts_[to].balance.plus(amount);
  if (!more) return wrong("account " + to.hex() + " would have more than the supply");
  accounts_[from].balance = *rest;
  accounts_[to].balance = *more;
  return ok;
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const GenesisOperation& op) {
  if (op.time != record.head.time) return wrong("the genesis has another time than its record");
  Expected expected;
  for (size_t i = 0; i < k_genesis_accounts; ++i) {
    const GenesisAccount& pool = op.accounts[i];
    if (pool.amount != issued_to(k_genesis_pools[i])) {
      return wrong(std::string("the pool ") + k_genesis_pools[i].name + " is not the one of the issuance table");
    }
    if (!accounts_.emplace(pool.account, Account{pool.amount, k_no_record, false}).second) return wrong("two pools have one account");
    expected.touched.push_back(pool.account);
  }
  key_ = op.key;
  ledger_ = ledger_id(op);
  faucet_pool_ = op.accounts[k_faucet_pool].account;
  return expected;
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const TransferOperation& op) {
  TRY(once(record, op.statement.valid_until));
  TRY(move(op.statement.from, op.statement.to, op.statement.amount));
  return Expected{op.statement.amount, {}, k_no_record, {op.statement.from, op.statement.to}};
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const FaucetOperation& op) {
  TRY(once(record, op.statement.valid_until));
  return initial_balance(record, op.statement.key);
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const TicketFaucetOperation& op) {
  TRY(once(record, op.statement.valid_until));
  return initial_balance(record, op.statement.key);
}

Result<LogAudit::Expected> LogAudit::initial_balance(const LogRecord& record, const PublicKey& key) {
  if (record.head.paid > k_faucet_grant_max) return wrong("the initial balance is larger than any may be");
  uint64_t day = record.head.time.in_seconds() / 86'400;
  if (std::exchange(faucet_day_, day) != day) faucet_spent_ = Amount();
  auto spent = faucet_spent_.plus(record.head.paid);
  if (!spent || *spent > k_faucet_day_max) return wrong("the initial balances of this day are more than any day's may be");
  faucet_spent_ = *spent;
  TRY(draw(record, faucet_pool_, record.head.paid));
  TRY(move(faucet_pool_, key, record.head.paid));
  if (std::exchange(accounts_[key].granted, true)) return wrong("the account had its initial balance before");
  return Expected{record.head.paid, {}, k_no_record, {faucet_pool_, key}};
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const OpenOperation& op) {
  const ChannelTerms& terms = op.statement;
  TRY(once(record, terms.valid_until));
  if (terms.capacity.is_zero()) return wrong("the channel holds nothing");
  if (terms.payer == terms.payee) return wrong("payer and payee are one account");
  if (terms.expiry <= record.head.time) return wrong("the channel had expired when it was opened");
  auto rest = accounts_[terms.payer].balance.minus(terms.capacity);
  if (!rest) return wrong("account " + terms.payer.hex() + " does not have that much");
  accounts_[terms.payer].balance = *rest;
  channels_.emplace(channel_id(terms), Channel{terms, {}, extension_s_, record.head.index});
  return Expected{{}, {}, k_no_record, {terms.payer}};
}

LedgerTime LogAudit::effective_expiry(const Channel& channel) const {
  return channel.terms.expiry.plus_seconds(extension_s_ - channel.extension_s);
}

// The channel of a CLAIM or CLOSE that may be executed; what it pays is in `claimed` then, and with the payee.
template <typename Op>
Result<LogAudit::Channel*> LogAudit::redeemed(const LogRecord& record, const Op& op) {
  auto found = channels_.find(op.statement.channel);
  if (found == channels_.end()) return wrong("its channel is not open");
  Channel& channel = found->second;
  if (op.payer != channel.terms.payer || op.payee != channel.terms.payee) return wrong("it names other parties than the channel has");
  if (record.head.time >= effective_expiry(channel)) return wrong("its channel had expired");
  if (op.statement.cum > channel.terms.capacity) return wrong("it pays more than the channel holds");
  auto delta = std::max(op.statement.cum, channel.claimed).minus(channel.claimed);
  auto more = accounts_[op.payee].balance.plus(*delta);
  if (!more) return wrong("account " + op.payee.hex() + " would have more than the supply");
  accounts_[op.payee].balance = *more;
  channel.claimed = std::max(op.statement.cum, channel.claimed);
  return &channel;
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const ClaimOperation& op) {
  auto before = channels_.find(op.statement.channel);
  if (before != channels_.end() && op.statement.cum <= before->second.claimed) return wrong("it claims what was paid before");
  TRY_ASSIGN(Channel * channel, redeemed(record, op));
  return Expected{channel->claimed, {}, std::exchange(channel->last_record, record.head.index), {op.payee}};
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const CloseOperation& op) {
  TRY_ASSIGN(Channel * channel, redeemed(record, op));
  auto refunded = channel->terms.capacity.minus(channel->claimed);
  auto more = accounts_[op.payer].balance.plus(*refunded);
  if (!more) return wrong("account " + op.payer.hex() + " would have more than the supply");
  accounts_[op.payer].balance = *more;
  Expected expected{channel->claimed, *refunded, channel->last_record, {op.payer, op.payee}};
  channels_.erase(op.statement.channel);
  return expected;
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const ExpireOperation& op) {
  auto found = channels_.find(op.channel);
  if (found == channels_.end()) return wrong("its channel is not open");
  const Channel& channel = found->second;
  if (record.head.time < effective_expiry(channel)) return wrong("its channel had not expired");
  auto refunded = channel.terms.capacity.minus(channel.claimed);
  auto more = accounts_[channel.terms.payer].balance.plus(*refunded);
  if (!more) return wrong("account " + channel.terms.payer.hex() + " would have more than the supply");
  accounts_[channel.terms.payer].balance = *more;
  Expected expected{channel.claimed, *refunded, channel.last_record, {channel.terms.payer}};
  channels_.erase(found);
  return expected;
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const ExtendOperation& op) {
  if (op.from < time_ || op.to != record.head.time || op.to < op.from) return wrong("it extends by another time than the outage");
  extension_s_ += op.to.seconds_since(op.from);
  return Expected();
}

// ---- pools ----

Status LogAudit::draw(const LogRecord& record, const PublicKey& account, Amount amount) {
  auto found = pools_.find(account);
  if (found == pools_.end()) return ok;
  Pool& pool = found->second;
  Amount limit = vested(pool.terms.issued, pool.terms.vesting, record.head.time);
  auto drawn = pool.drawn.plus(amount);
  if (!drawn || *drawn > limit) {
    return wrong("it takes " + amount.to_btt() + " BTT from the pool " + k_genesis_pools[pool.terms.index].name + ", of which " +
                 limit.minus_or_zero(pool.drawn).to_btt() + " BTT had vested and were not drawn");
  }
  pool.drawn = *drawn;
  return ok;
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord&, const PoolOperation& op) {
  PublicKey account = pool_account(op.terms);
  if (pools_are_known_) return wrong("the terms of a pool come right after the genesis, and never later");
  auto found = accounts_.find(account);
  bool issued = found != accounts_.end() && found->second.balance == op.terms.issued && op.terms.index < k_onchain_pool;
  if (!issued || op.terms.vesting.at_start > op.terms.issued) return wrong("its terms are those of no pool that the genesis has made");
  if (!pools_.emplace(account, Pool{op.terms, {}}).second) return wrong("the terms of this pool came before");
  return Expected();
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const DrawOperation& op) {
  const DrawStatement& s = op.statement;
  TRY(once(record, s.valid_until));
  auto pool = pools_.find(s.pool);
  if (pool == pools_.end() || pool->second.terms.keys != op.keys)
    return wrong("it draws from no pool, or with keys that are not the pool's");
  TRY(draw(record, s.pool, s.amount));
  TRY(move(s.pool, s.to, s.amount));
  return Expected{s.amount, {}, k_no_record, {s.pool, s.to}};
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const PolicyOperation& op) {
  const PolicyStatement& s = op.statement;
  TRY(once(record, s.valid_until));
  auto pool = pools_.find(s.pool);
  if (pool == pools_.end() || pool->second.terms.keys != op.keys)
    return wrong("its policy is of no pool, or with keys that are not the pool's");
  if (!s.makes_sense()) return wrong("its policy's times or limits make no sense");
  if (!s.replaces.is_zero()) {
    auto replaced = policies_.find(s.replaces);
    if (replaced == policies_.end() || replaced->second.terms.pool != s.pool)
      return wrong("it replaces a policy that its pool does not have");
    replaced->second.ended = true;
  }
  if (!policies_.emplace(record.head.operation, Policy{s, false, 0, {}}).second) return wrong("the policy came before");
  return Expected();
}

Result<LogAudit::Expected> LogAudit::run(const LogRecord& record, const GrantOperation& op) {
  const GrantStatement& s = op.statement;
  LedgerTime time = record.head.time;
  TRY(once(record, s.valid_until));
  auto found = policies_.find(s.policy);
  if (found == policies_.end()) return wrong("its policy is not in the log");
  Policy& policy = found->second;
  const PolicyStatement& terms = policy.terms;
  if (op.granter != terms.granter) return wrong("its policy has another granter");
  if (policy.ended || time < terms.begin || time >= terms.until) return wrong("its policy was not in force");
  if (s.number != ++policy.grants)
    return wrong("it is grant " + std::to_string(s.number) + " of its policy after " + std::to_string(policy.grants - 1));
  if (!terms.allows(s.to)) return wrong("its policy does not name the receiver");
  if (s.amount > terms.per_grant)
    return wrong("it gives " + s.amount.to_btt() + " BTT, its policy at most " + terms.per_grant.to_btt() + " BTT");
  uint64_t period = terms.period_at(time);
  policy.spent.erase(policy.spent.begin(), policy.spent.lower_bound(period));
  auto spent = policy.spent[period].plus(s.amount);
  if (!spent || *spent > terms.per_period) return wrong("its policy's limit of a period was spent");
  policy.spent[period] = *spent;
  TRY(draw(record, terms.pool, s.amount));
  TRY(move(terms.pool, s.to, s.amount));
  return Expected{s.amount, {}, k_no_record, {terms.pool, s.to}};
}

// ---- results ----

std::optional<Amount> LogAudit::open_channel(const ChannelId& id) const {
  auto found = channels_.find(id);
  return found == channels_.end() ? std::nullopt : std::optional<Amount>(found->second.claimed);
}

const LogAudit::Account* LogAudit::account(const PublicKey& key) const {
  auto found = accounts_.find(key);
  return found == accounts_.end() || found->second.last_record == k_no_record ? nullptr : &found->second;
}

Result<AuditTotals> LogAudit::totals() const {
  if (tree_.size() == 0) return wrong("the log is empty");
  AuditTotals out;
  out.ledger = ledger_;
  out.key = key_;
  out.records = tree_.size();
  out.root = tree_.root();
  out.time = time_;
  out.open_channels = channels_.size();
  auto add = [](Amount& sum, Amount amount) {
    auto more = sum.plus(amount);
    if (!more) return false;
    sum = *more;
    return true;
  };
  for (const auto& [key, account] : accounts_) {
    out.accounts += account.last_record == k_no_record ? 0 : 1;
    if (!add(out.available, account.balance)) return wrong("the accounts hold more than the supply");
  }
  for (const auto& [id, channel] : channels_) {
    if (!add(out.in_channels, *channel.terms.capacity.minus(channel.claimed))) return wrong("the channels hold more than the supply");
  }
  auto supply = out.available.plus(out.in_channels);
  if (!supply || *supply != Amount::supply()) return wrong("accounts and channels are not the supply");
  return out;
}

}  // namespace millet
