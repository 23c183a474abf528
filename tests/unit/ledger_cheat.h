// A ledger that cheats, for tests: the real one over a store that was doctored between its transactions, or two real ones with one key
// and one past that go different ways.
#pragma once

#include "ledger/client/watch.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/work.h"
#include "unit/ledger_world.h"

namespace ledger_world {

// What a ledger answers to queries of `key`, signed: the bytes that a client gets.
inline QueryExchange exchange_with(World& world, const SigningKey& key, const std::vector<Query>& queries) {
  QueryRequest request;
  request.key = key.public_key();
  request.valid_until = world.in(300);
  request.queries = queries;
  request.signature = key.sign(query_preimage(request, world.id()));
  QueryExchange out;
  out.request = encode_request(request);
  LedgerBatch batch;
  BatchItem& item = batch.items.emplace_back();
  item.key = request.key;
  item.queries = queries;
  BatchOutcome outcome = world.state().apply(batch, world.now());
  SealWork work;
  work.asked_by = request.key;
  ReplyHead& head = work.reply.head;
  head.request_hash = blake2b_256(out.request);
  head.ledger = world.id();
  head.key = world.ledger_key().public_key();
  head.time = outcome.time;
  head.tree = outcome.tree;
  head.count = static_cast<uint8_t>(queries.size());
  work.reply.queries = outcome.items[0].queries;
  out.reply = run_seal(world.ledger_key(), std::move(work));
  return out;
}

// Time passes while the ledger runs: no outage.
inline void pass(World& world, uint64_t seconds) {
  for (uint64_t step = 0; seconds > 0; seconds -= step) {
    step = std::min<uint64_t>(seconds, 60);
    world.now_s += step;
    world.tick();
  }
}

// The result with its receipt, as run_seal makes it.
inline OperationResult with_receipt(World& world, OperationResult result) {
  result.receipt =
      world.ledger_key().sign(preimage(ReceiptStatement{world.id(), result.operation, result.record, result.record_hash, result.time}));
  return result;
}

inline LogRecord read_record(World& world, uint64_t index) {
  auto store = world.store().begin_read();
  auto bytes = (*store)->get(k_table_log, log_key(index));
  return *decode_record(**bytes);
}

// Rewrites records of the log with their tree and the state row, as an operator with the key could.
template <typename Change>
void doctor(World& world, uint64_t index, Change change, bool with_tree = true) {
  auto store = world.store().begin_write();
  auto old = (*store)->get(k_table_log, log_key(index));
  LogRecord record = *decode_record(**old);
  change(record);
  CHECK((*store)->put(k_table_log, log_key(index), encode_record(record)).has_value());
  if (with_tree) {
    auto row = read_row<LedgerRow>(**store, k_table_ledger, as_bytes(k_ledger_row_key));
    LogTreeWriter tree(**store, 0);
    for (uint64_t i = 0; i < (*row)->records; ++i) {
      auto bytes = (*store)->get(k_table_log, log_key(i));
      CHECK(tree.append(merkle_leaf(**bytes)).has_value());
    }
    (*row)->root = *tree.flush();
    CHECK((*store)->put(k_table_ledger, as_bytes(k_ledger_row_key), encode_fields(**row)).has_value());
  }
  CHECK((*store)->commit().has_value());
  world.state().forget_served();
}

template <typename Change>
void doctor_account(World& world, const PublicKey& key, Change change) {
  auto store = world.store().begin_write();
  auto row = read_row<AccountRow>(**store, k_table_accounts, key.bytes());
  change(**row);
  CHECK((*store)->put(k_table_accounts, key.bytes(), encode_fields(**row)).has_value());
  CHECK((*store)->commit().has_value());
  world.state().forget_served();
}

// A client's watch, its durable rows, and its clock.
struct Watcher {
  NullLog log;
  SigningKey key;
  LedgerWatch::Identity identity;
  std::unique_ptr<LedgerWatch> watch;
  std::map<std::string, std::vector<uint8_t>> rows;
  Instant now = Instant::from_us(1'000'000);
  std::vector<SignedTreeHead> heads;
  std::optional<LedgerWatch::Alarm> alarm;
  int asked = 0;

  Watcher(World& world, SigningKey own) : key(std::move(own)), identity{world.id(), world.ledger_key().public_key(), key.public_key()} {
    restart();
  }
  void restart() {
    watch = std::make_unique<LedgerWatch>(identity, log);
    for (const auto& [row, value] : rows) CHECK(watch->restore(as_bytes(row), value).has_value());
    watch->start(now);
  }
  // The operation, executed by `world`, whose receipt the client gets.
  OperationResult submit(World& world, const Operation& op) {
    OperationResult result = with_receipt(world, world.apply(op));
    CHECK(result.ledger_code() == LedgerCode::done);
    watch->on_result(now, op, result);
    run(world, false);
    return result;
  }
  // Lets time pass, and `world` answer what is asked.
  void run(World& world, bool pass = true) {
    for (int rounds = 0; rounds < 200; ++rounds) {
      LedgerWatch::Output out;
      bool any = false;
      while (watch->poll(out)) {
        any = true;
        take(world, out);
      }
      if (any) continue;
      if (!pass || watch->next_deadline().is_never()) return;
      now = std::max(now, watch->next_deadline());
      watch->on_timer(now);
    }
    CHECK(false);
  }
  void take(World& world, LedgerWatch::Output& out) {
    if (auto* check = std::get_if<LedgerWatch::Verify>(&out)) {
      watch->on_verified(now, check->ticket, verify(check->key, check->message, check->signature));
    } else if (auto* ask = std::get_if<LedgerWatch::Ask>(&out)) {
      ++asked;
      watch->on_answer(now, exchange_with(world, key, ask->queries));
    } else if (auto* kept = std::get_if<LedgerWatch::Keep>(&out)) {
      for (StoreChange& change : kept->changes) {
        if (change.value)
          rows[std::string(as_text(change.key))] = *change.value;
        else
          rows.erase(std::string(as_text(change.key)));
      }
    } else if (auto* head = std::get_if<LedgerWatch::NewHead>(&out)) {
      heads.push_back(head->head);
    } else if (auto* raised = std::get_if<LedgerWatch::Alarm>(&out)) {
      CHECK(!alarm);
      alarm = std::move(*raised);
    }
  }
  // The evidence of the alarm proves it to somebody who has nothing else.
  bool is_proven() const {
    if (!alarm) return false;
    auto evidence = decode_evidence(alarm->evidence);
    if (!evidence || evidence->key != identity.ledger_key) return false;
    auto judged = judge_evidence(*evidence);
    if (!judged) fprintf(stderr, "%s: %s\n", alarm->reason.c_str(), judged.error().reason.c_str());
    return judged.has_value();
  }
};

}  // namespace ledger_world
