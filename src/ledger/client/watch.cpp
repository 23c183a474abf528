#include "ledger/client/watch.h"

#include <algorithm>

namespace millet {
namespace {

constexpr std::string_view k_head_row = "head";
constexpr std::string_view k_mark_row = "mark";
constexpr std::string_view k_alarm_row = "alarm";
constexpr uint8_t k_receipt_row = 'r';  // then the record

std::vector<uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }
template <typename Message>
std::vector<uint8_t> encoded(const Message& message) {
  std::vector<uint8_t> out;
  append_fields(out, message);
  return out;
}
std::vector<uint8_t> receipt_row(uint64_t record) {
  std::vector<uint8_t> key = {k_receipt_row};
  ByteWriter(key).u64(record);
  return key;
}

}  // namespace

Status LedgerWatch::restore(Bytes key, Bytes value) {
  std::string_view name = as_text(key);
  if (name == k_head_row) {
    TRY_ASSIGN(head_, decode_fields<SignedTreeHead>(value));
  } else if (name == k_mark_row) {
    TRY_ASSIGN(mark_, decode_fields<Mark>(value));
  } else if (name == k_alarm_row) {
    ByteReader in(value);
    alarm_ = std::string(as_text(in.take(in.u16())));
    if (!in.ok() || alarm_.empty()) return error(Errc::bad_input, "the state's alarm about the ledger can't be read");
    // Once more, in case the file was not written.
    out_.push_back(Alarm{alarm_, {value.begin() + static_cast<std::ptrdiff_t>(2 + alarm_.size()), value.end()}});
  } else if (!key.empty() && key[0] == k_receipt_row) {
    constexpr size_t size = k_fields_size<SignedReceipt>;
    Pending pending;
    TRY_ASSIGN(pending.held.receipt, decode_fields<SignedReceipt>(value.first(std::min(size, value.size()))));
    Bytes operation = value.subspan(size);
    pending.held.operation.assign(operation.begin(), operation.end());
    receipts_.emplace(pending.held.receipt.record, std::move(pending));
  } else {
    return error(Errc::bad_input, "the state's table of the ledger's log has an unknown row");
  }
  return ok;
}

void LedgerWatch::start(Instant now) {
  started_ = true;
  if (head_) out_.push_back(NewHead{*head_});
  plan(now + k_receipt_delay);  // whoever starts has other questions first
}

void LedgerWatch::keep(std::vector<uint8_t> key, std::optional<std::vector<uint8_t>> value, bool unhurried) {
  out_.push_back(Keep{{{k_table_watch, std::move(key), std::move(value)}}, unhurried});
}

void LedgerWatch::drop_receipt(uint64_t record) {
  receipts_.erase(record);
  keep(receipt_row(record), std::nullopt);
}

LedgerWatch::Ticket LedgerWatch::verify_later(const PublicKey& key, std::vector<uint8_t> message, const Signature& signature) {
  out_.push_back(Verify{++last_ticket_, key, std::move(message), signature});
  return last_ticket_;
}

// ---- what comes in ----

void LedgerWatch::plan(Instant at) {
  if (started_ && alarm_.empty()) due_ = earlier(due_, at);
}

void LedgerWatch::on_told(Instant now, const SignedTreeHead& head) {
  if (!head_ || head.size != head_->size || head.root != head_->root) plan(now + k_interval);
}

void LedgerWatch::on_result(Instant, const Operation& operation, const OperationResult& result) {
  if (result.ledger_code() != LedgerCode::done || receipts_.count(result.record) != 0) return;
  if (receipts_pending_.size() >= k_receipts_max || !alarm_.empty()) return;
  HeldReceipt held{{result.operation, result.record, result.record_hash, result.time, result.receipt}, {}};
  append_operation(held.operation, operation);
  auto message = preimage(held.receipt.statement(id_.ledger));
  receipts_pending_.emplace(verify_later(id_.ledger_key, {message.begin(), message.end()}, result.receipt), std::move(held));
}

void LedgerWatch::take_receipt(Instant now, HeldReceipt held) {
  uint64_t record = held.receipt.record;
  // An operation of the account that was checked before, answered once more.
  if (mark_ && record <= mark_->record && is_signed_by(held, id_.own_key)) return;
  if (receipts_.size() >= k_receipts_max) drop_receipt(receipts_.begin()->first);
  std::vector<uint8_t> row = encoded(held.receipt);
  row.insert(row.end(), held.operation.begin(), held.operation.end());
  keep(receipt_row(record), std::move(row));
  receipts_.emplace(record, Pending{std::move(held), false});
  plan(now + k_receipt_delay);
}

void LedgerWatch::on_gossip(Instant, const SignedTreeHead& head) {
  if (head.size == 0 || !alarm_.empty()) return;
  auto same = [&](const SignedTreeHead& known) { return known.size == head.size && known.root == head.root; };
  if (head_ && same(*head_)) return;
  if (std::any_of(known_.begin(), known_.end(), same) || std::any_of(gossip_.begin(), gossip_.end(), same)) return;
  if (gossip_.size() + gossip_pending_.size() >= k_gossip_max) return;
  auto message = preimage(head.statement(id_.ledger));
  gossip_pending_.emplace(verify_later(id_.ledger_key, {message.begin(), message.end()}, head.signature), head);
}

void LedgerWatch::take_gossip(Instant now, const SignedTreeHead& head) {
  Evidence both = evidence();
  both.heads.push_back(head);
  if (raise_if_proven(both, {})) return;
  gossip_.push_back(head);
  plan(now < gossip_after_ ? gossip_after_ : now);
}

void LedgerWatch::on_verified(Instant now, Ticket ticket, bool valid) {
  if (auto receipt = receipts_pending_.extract(ticket); !receipt.empty()) {
    if (valid) return take_receipt(now, std::move(receipt.mapped()));
    LogLine(log_, LogLevel::error, "ledger_receipt_not_signed").add("record", receipt.mapped().receipt.record);
    return;
  }
  if (auto gossip = gossip_pending_.extract(ticket); !gossip.empty()) {
    if (valid && alarm_.empty()) take_gossip(now, gossip.mapped());
    return;
  }
  if (!check_) return;
  auto of_check = check_->pending.extract(ticket);
  if (of_check.empty()) return;
  if (!valid) {
    Evidence all = evidence();
    all.exchanges.push_back(check_->exchange);
    raise(of_check.mapped(), all);
    check_.reset();
    return;
  }
  if (!check_->pending.empty()) return;
  if (!check_->examined) return examine_answer(now);
  accept(now);
}

// ---- a check ----

Instant LedgerWatch::next_deadline() const { return check_ || !started_ || !alarm_.empty() ? Instant::never() : due_; }

void LedgerWatch::on_timer(Instant now) {
  if (next_deadline() > now) return;
  due_ = Instant::never();
  check_.emplace(Check{});
  if (head_ && !gossip_.empty()) {
    check_->gossip = gossip_.front();
    gossip_.pop_front();
    gossip_after_ = now + k_gossip_interval;
  }
  ask(now);
}

void LedgerWatch::ask(Instant) {
  Check& check = *check_;
  check.examined = false;
  check.opened.reset();
  Ask out;
  if (head_) out.queries.push_back(ConsistencyQuery{head_->size, 0});
  if (check.from == k_no_record && check.gossip && check.gossip->size != head_->size) {
    uint64_t a = head_->size, b = check.gossip->size;
    out.queries.push_back(ConsistencyQuery{std::min(a, b), std::max(a, b)});
  }
  size_t asked = 0;
  for (const auto& [record, pending] : receipts_) {
    if (pending.included || asked == k_receipts_per_check_max) continue;
    out.queries.push_back(InclusionQuery{record, 0});
    ++asked;
  }
  if (check.from == k_no_record) out.queries.push_back(BalanceQuery{});
  uint64_t until = check.skipping ? check.from : mark_ ? mark_->record : k_no_record;
  out.queries.push_back(RecordsQuery{check.from, until});
  CHECK(out.queries.size() <= k_queries_max);
  out_.push_back(std::move(out));
}

void LedgerWatch::on_answer(Instant now, Result<QueryExchange> exchange) {
  if (!check_) return;
  if (!exchange) return end_check(now, k_retry);
  Result<OpenedExchange> opened = open_exchange(*exchange);
  if (!opened) return end_check(now, k_retry);
  check_->exchange = std::move(*exchange);
  check_->opened = std::move(*opened);
  const SignedTreeHead& told = check_->opened->reply.head.tree;
  auto message = preimage(told.statement(id_.ledger));
  Ticket ticket = verify_later(id_.ledger_key, {message.begin(), message.end()}, told.signature);
  check_->pending.emplace(ticket, "the tree head of a reply is not signed");
}

// The statements that everything is held against.
Evidence LedgerWatch::evidence() const {
  Evidence out;
  out.ledger = id_.ledger;
  out.key = id_.ledger_key;
  if (head_) out.heads.push_back(*head_);
  if (check_ && check_->gossip) out.heads.push_back(*check_->gossip);
  return out;
}

bool LedgerWatch::raise_if_proven(const Evidence& all, std::span<const OpenedExchange> opened) {
  Findings findings = examine(all, opened);
  if (!findings.contradiction) return false;
  raise(*findings.contradiction, all);
  return true;
}

void LedgerWatch::raise(const std::string& reason, const Evidence& all) {
  alarm_ = reason;
  LogLine(log_, LogLevel::error, "ledger_contradicts_itself")
      .add("reason", reason)
      .add("meanwhile", "no new channels are opened; those that are open are settled");
  std::vector<uint8_t> bytes = encode_evidence(all), row;
  ByteWriter(row).u16(static_cast<uint16_t>(alarm_.size())).text(alarm_).bytes(bytes);
  keep(bytes_of(k_alarm_row), std::move(row));
  out_.push_back(Alarm{alarm_, std::move(bytes)});
}

void LedgerWatch::examine_answer(Instant now) {
  Check& check = *check_;
  check.examined = true;
  Evidence all = evidence();
  all.exchanges.push_back(check.exchange);
  Findings findings = examine(all, {&*check.opened, 1});
  if (findings.contradiction) {
    raise(*findings.contradiction, all);
    check_.reset();
    return;
  }
  check.page = std::move(findings.pages[0]);
  for (OwedSignature& owed : findings.owed) {
    check.pending.emplace(verify_later(owed.key, std::move(owed.message), owed.signature),
                          "record " + std::to_string(owed.record) + " takes money from the account without its signature");
  }
  if (check.pending.empty()) accept(now);
}

// Nothing contradicts: what was told is what everything later is held against.
void LedgerWatch::accept(Instant now) {
  Check& check = *check_;
  const Reply& reply = check.opened->reply;
  const RecordPage* records = reply.queries.empty() ? nullptr : std::get_if<RecordPage>(&reply.queries.back().body);
  bool grown = !head_;
  for (const QueryResult& result : reply.queries) {
    const auto* proof = std::get_if<ConsistencyProof>(&result.body);
    grown = grown || (proof != nullptr && proof->from == head_->size && proof->to == reply.head.tree.size);
  }
  if (!grown || records == nullptr) {
    LogLine(log_, LogLevel::warn, "ledger_gives_no_proof").add("meanwhile", "it is asked again; nothing is known against it");
    return end_check(now, k_retry);
  }
  if (check_receipts(check.page)) return;
  if (!head_ || *head_ != reply.head.tree) {
    head_ = reply.head.tree;
    keep(bytes_of(k_head_row), encoded(*head_), true);
    out_.push_back(NewHead{*head_});
  }
  if (check.gossip && check.gossip->size <= head_->size) {
    known_.push_back(*check.gossip);
    if (known_.size() > k_heads_known_max) known_.pop_front();
    check.gossip.reset();
  }
  if (walk(now, check.page)) end_check(now, receipts_.empty() && gossip_.empty() ? std::nullopt : std::optional(k_gossip_interval));
}

// True if one of them proves a lie.
bool LedgerWatch::check_receipts(const ChainPage& page) {
  const OpenedExchange& opened = *check_->opened;
  const MerkleRoot tree = opened.reply.head.tree.tree();
  std::vector<uint64_t> done;
  for (auto& [record, pending] : receipts_) {
    const SignedReceipt& receipt = pending.held.receipt;
    bool own = is_signed_by(pending.held, id_.own_key);
    ChainPlace place = own ? place_in_chain(page, check_->from, tree.size, record, receipt.record_hash) : ChainPlace::elsewhere;
    bool doubtful = place == ChainPlace::contradicted;
    for (const QueryResult& result : opened.reply.queries) {
      if (result.kind == InclusionProof::k_kind && result.code == LedgerCode::beyond_log) doubtful = true;
      const auto* proof = std::get_if<InclusionProof>(&result.body);
      if (proof == nullptr || proof->record != record) continue;
      bool holds = proof->size == tree.size && inclusion_holds(receipt.record_hash, record, tree.size, proof->path, tree.root);
      pending.included = pending.included || holds;
      doubtful = doubtful || !holds;
    }
    if (doubtful) {
      Evidence all = evidence();
      all.receipt = pending.held;
      all.exchanges.push_back(check_->exchange);
      if (raise_if_proven(all, {&opened, 1})) {
        check_.reset();
        return true;
      }
    }
    if (place == ChainPlace::found || (pending.included && !own)) done.push_back(record);
  }
  for (uint64_t record : done) drop_receipt(record);
  return false;
}

// Goes on to the records before this page until the mark. True at the end of it.
bool LedgerWatch::walk(Instant now, const ChainPage& page) {
  Check& check = *check_;
  if (check.skipping) {
    Evidence all = evidence();
    all.exchanges = {*check.skipping, check.exchange};
    Result<OpenedExchange> first = open_exchange(all.exchanges[0]);
    CHECK(first.has_value());
    std::vector<OpenedExchange> both;
    both.push_back(std::move(*first));
    both.push_back(*check.opened);
    raise_if_proven(all, both);
    return true;
  }
  if (check.from == k_no_record && !page.entries.empty()) check.newest = page.entries.front();
  if (mark_) {
    ChainPlace place = place_in_chain(page, check.from, check.opened->reply.head.tree.size, mark_->record, mark_->leaf);
    if (place == ChainPlace::contradicted) {
      check.skipping = std::move(check.exchange);
      check.from = mark_->record;
      ask(now);
      return false;
    }
    if (place == ChainPlace::elsewhere && !page.entries.empty()) {
      check.from = page.entries.back().record;
      ask(now);
      return false;
    }
  } else if (!page.entries.empty() && page.entries.back().previous != k_no_record) {
    check.from = page.entries.back().record;
    ask(now);
    return false;
  }
  if (check.newest && (!mark_ || mark_->record != check.newest->record)) {
    mark_ = Mark{check.newest->record, check.newest->leaf};
    keep(bytes_of(k_mark_row), encoded(*mark_), true);
  }
  return true;
}

void LedgerWatch::end_check(Instant now, std::optional<Duration> next) {
  if (check_ && check_->gossip && gossip_.size() < k_gossip_max) gossip_.push_back(*check_->gossip);
  check_.reset();
  if (next) plan(now + *next);
}

bool LedgerWatch::poll(Output& out) {
  if (out_.empty()) return false;
  out = std::move(out_.front());
  out_.pop_front();
  return true;
}

}  // namespace millet
