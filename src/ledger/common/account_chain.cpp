#include "ledger/common/account_chain.h"

namespace millet {
namespace {

Error lie(uint64_t record, const std::string& what) { return error(Errc::conflict, "record " + std::to_string(record) + ": " + what); }

struct Opened {
  LogRecord record;
  LoggedOperation operation;
  Hash32 leaf{};
};

Result<Opened> open_record(const MerkleRoot& tree, uint64_t expected, const ProvenRecord& proven) {
  Hash32 leaf = merkle_leaf(proven.record);
  if (!inclusion_holds(leaf, expected, tree.size, proven.path, tree.root)) return lie(expected, "it is not in the log of the tree head");
  auto record = decode_record(proven.record);
  if (!record) return lie(expected, "it can't be read: " + record.error().reason);
  if (record->head.index != expected) return lie(expected, "it calls itself " + std::to_string(record->head.index));
  auto operation = decode_logged_operation(record->operation);
  if (!operation) return lie(expected, "its operation can't be read: " + operation.error().reason);
  if (logged_operation_id(*operation) != record->head.operation) return lie(expected, "its operation has another id than it says");
  return Opened{std::move(*record), std::move(*operation), leaf};
}

// What one operation did to the account, as the record and its context say.
struct Movement {
  Amount in;
  Amount out;
};

class Step {
 public:
  Step(const ChainOwner& owner, const MerkleRoot& tree, const Opened& opened, const AccountRecord& entry)
      : owner_(owner), tree_(tree), record_(opened.record), entry_(entry) {}

  Result<Movement> run(const LoggedOperation& operation) {
    return std::visit([this](const auto& op) { return movement(op); }, operation);
  }
  std::vector<OwedSignature> signatures;

 private:
  uint64_t index() const { return record_.head.index; }
  Error wrong(const std::string& what) const { return lie(index(), what); }
  template <typename Statement>
  void owe(const PublicKey& key, const Statement& statement, const Signature& signature) {
    auto message = preimage(statement);
    signatures.push_back({key, {message.begin(), message.end()}, signature, index()});
  }

  Result<Movement> movement(const GenesisOperation& op) {
    Movement out;
    for (const GenesisAccount& pool : op.accounts) {
      if (pool.account == owner_.account) out.in = pool.amount;
    }
    return out;
  }
  Result<Movement> movement(const ExtendOperation&) { return wrong("an extension touches no account"); }
  Result<Movement> movement(const PoolOperation&) { return wrong("the terms of a pool touch no account"); }
  Result<Movement> movement(const PolicyOperation&) { return wrong("a policy touches no account"); }
  Result<Movement> movement(const GrantOperation& op) {
    if (record_.head.paid != op.statement.amount) return wrong("it pays another amount than the grant says");
    if (op.statement.to != owner_.account) return wrong("the grant is not to this account");
    return Movement{op.statement.amount, {}};
  }
  Result<Movement> movement(const DrawOperation& op) {
    if (record_.head.paid != op.statement.amount) return wrong("it pays another amount than the draw says");
    if (op.statement.to == owner_.account) return Movement{op.statement.amount, {}};
    if (op.statement.pool != owner_.account) return wrong("the draw is not of this account");
    return Movement{{}, op.statement.amount};
  }
  Result<Movement> movement(const TransferOperation& op) {
    if (record_.head.paid != op.statement.amount) return wrong("it pays another amount than the transfer says");
    if (op.statement.to == owner_.account) return Movement{op.statement.amount, {}};
    if (op.statement.from != owner_.account) return wrong("the transfer is not of this account");
    owe(owner_.account, op.statement, op.signature);
    return Movement{{}, op.statement.amount};
  }
  Result<Movement> movement(const FaucetOperation& op) { return initial_balance(op.statement.key); }
  Result<Movement> movement(const TicketFaucetOperation& op) { return initial_balance(op.statement.key); }
  Movement initial_balance(const PublicKey& to) const {
    return to == owner_.account ? Movement{record_.head.paid, {}} : Movement{{}, record_.head.paid};
  }
  Result<Movement> movement(const OpenOperation& op) {
    if (op.statement.payer != owner_.account) return wrong("the channel is not this account's");
    owe(owner_.account, op.statement, op.signature);
    return Movement{{}, op.statement.capacity};
  }
  Result<Movement> movement(const ExpireOperation& op) {
    if (!record_.head.paid.is_zero()) TRY(check_claim(op.channel));
    return refund(op.channel);
  }
  Result<Movement> movement(const ClaimOperation& op) { return credit(op.statement.channel, op.statement.cum, op.payee); }
  Result<Movement> movement(const CloseOperation& op) {
    if (op.payee == owner_.account) return credit(op.statement.channel, op.statement.cum, op.payee);
    if (op.payer != owner_.account) return wrong("the channel is not of this account");
    if (record_.head.paid != op.statement.cum) {
      TRY(check_claim(op.statement.channel));
    } else if (!op.statement.cum.is_zero()) {
      owe(owner_.account, PayStatement{owner_.ledger, op.statement.channel, op.statement.seq, op.statement.cum}, op.payer_signature);
    }
    return refund(op.statement.channel);
  }

  // What a channel paid beyond the amount of its last operation was claimed before, with the payer's signature.
  Status check_claim(const ChannelId& channel) {
    if (!entry_.claim) return wrong("the claim of what it paid is missing");
    TRY_ASSIGN(Opened before, open_record(tree_, record_.head.channel_previous, *entry_.claim));
    const auto* claim = std::get_if<ClaimOperation>(&before.operation);
    if (claim == nullptr || claim->statement.channel != channel || claim->payer != owner_.account) {
      return wrong("it paid more than its operation says, and nothing was claimed before");
    }
    const ClaimStatement& s = claim->statement;
    if (s.cum != record_.head.paid) return wrong("it paid another amount than was claimed before");
    owe(owner_.account, PayStatement{owner_.ledger, s.channel, s.seq, s.cum}, claim->payer_signature);
    return ok;
  }

  Result<Opened> context(uint64_t index_of_context) {
    if (!entry_.context) return wrong("the record that it builds on is missing");
    return open_record(tree_, index_of_context, *entry_.context);
  }

  // To the payer at the end: what was not paid.
  Result<Movement> refund(const ChannelId& channel) {
    if (!entry_.context) return wrong("the record that opened the channel is missing");
    auto named = decode_record(entry_.context->record);
    if (!named) return wrong("the record that opened the channel can't be read");
    TRY_ASSIGN(Opened open, open_record(tree_, named->head.index, *entry_.context));
    const auto* op = std::get_if<OpenOperation>(&open.operation);
    if (op == nullptr || channel_id(op->statement) != channel || op->statement.payer != owner_.account) {
      return wrong("record " + std::to_string(named->head.index) + " did not open its channel");
    }
    auto rest = op->statement.capacity.minus(record_.head.paid);
    if (!rest || *rest != record_.head.refunded) return wrong("what was paid and what went back is not what the channel held");
    return Movement{record_.head.refunded, {}};
  }

  // To the payee: what the channel had not paid before.
  Result<Movement> credit(const ChannelId& channel, Amount cum, const PublicKey& payee) {
    if (payee != owner_.account) return wrong("the payment is not to this account");
    TRY_ASSIGN(Opened before, context(record_.head.channel_previous));
    Amount paid_before;
    if (const auto* claim = std::get_if<ClaimOperation>(&before.operation)) {
      if (claim->statement.channel != channel) return wrong("the record that it builds on is about another channel");
      paid_before = before.record.head.paid;
    } else if (const auto* open = std::get_if<OpenOperation>(&before.operation)) {
      if (channel_id(open->statement) != channel) return wrong("the record that it builds on is about another channel");
    } else {
      return wrong("the record that it builds on is none of an open channel");
    }
    if (record_.head.paid != std::max(cum, paid_before)) return wrong("it pays another amount than the payee's operation says");
    auto delta = record_.head.paid.minus(paid_before);
    CHECK(delta.has_value());
    return Movement{*delta, {}};
  }

  const ChainOwner& owner_;
  const MerkleRoot& tree_;
  const LogRecord& record_;
  const AccountRecord& entry_;
};

Status check_balance(uint64_t record, Amount before, const Movement& movement, Amount after) {
  auto sum = before.plus(movement.in);
  auto expected = sum ? sum->minus(movement.out) : std::optional<Amount>();
  if (!expected) return lie(record, "it moves more than there is");
  if (*expected == after) return ok;
  return lie(record, "it leaves a balance of " + after.to_btt() + " BTT where the operation leaves " + expected->to_btt() + " BTT");
}

}  // namespace

Result<ChainPage> check_record_page(const ChainOwner& owner, const MerkleRoot& tree, uint64_t from, const RecordPage& page) {
  ChainPage out;
  std::vector<Opened> opened;
  uint64_t expected = from;
  for (const AccountRecord& entry : page.records) {
    if (expected == k_no_record && opened.empty()) {
      auto newest = decode_record(entry.entry.record);
      if (!newest) return error(Errc::conflict, "the newest record of the account can't be read");
      expected = newest->head.index;
    }
    if (expected == k_no_record) return error(Errc::conflict, "a record comes before the first one of the account");
    TRY_ASSIGN(Opened record, open_record(tree, expected, entry.entry));
    const TouchedAccount* touched = record.record.of(owner.account);
    if (touched == nullptr) return lie(expected, "it does not touch the account");
    if (touched->previous != k_no_record && touched->previous >= expected)
      return lie(expected, "it names a later record as the one before");
    out.entries.push_back({expected, record.leaf, touched->previous, touched->balance});
    expected = touched->previous;
    opened.push_back(std::move(record));
  }
  for (size_t i = 0; i < opened.size(); ++i) {
    const ChainPage::Entry& entry = out.entries[i];
    bool first = entry.previous == k_no_record;
    if (!first && i + 1 == opened.size()) break;  // its balance before is on the next page
    Step step(owner, tree, opened[i], page.records[i]);
    TRY_ASSIGN(Movement movement, step.run(opened[i].operation));
    TRY(check_balance(entry.record, first ? Amount() : out.entries[i + 1].balance, movement, entry.balance));
    for (OwedSignature& owed : step.signatures) out.signatures.push_back(std::move(owed));
  }
  return out;
}

}  // namespace millet
