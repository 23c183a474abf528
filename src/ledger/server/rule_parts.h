// What the executions of all operations have in common; for rules.cpp and pools.cpp alone.
#pragma once

#include "ledger/server/transaction.h"

namespace millet::rule_parts {

inline constexpr uint64_t k_seconds_per_day = 86400;
// A repetition is recognised this long after valid_until; by then no client has it in a queue.
inline constexpr uint64_t k_executed_kept_s = k_seconds_per_day;

inline OperationResult refused(LedgerCode code) {
  OperationResult result;
  result.code = static_cast<uint16_t>(code);
  return result;
}

// Sums and differences that the invariants make possible.
inline Amount add(Amount a, Amount b) {
  auto sum = a.plus(b);
  CHECK(sum.has_value());
  return *sum;
}
inline Amount subtract(Amount a, Amount b) {
  auto difference = a.minus(b);
  CHECK(difference.has_value());
  return *difference;
}

template <typename Op>
std::vector<uint8_t> bytes_of(const Op& operation) {
  std::vector<uint8_t> bytes;
  append_operation(bytes, operation);
  return bytes;
}

inline LedgerCode check_valid_until(LedgerTime time, LedgerTime valid_until) {
  if (time >= valid_until) return LedgerCode::too_late;
  if (valid_until > time.plus_seconds(k_valid_ahead_max_s)) return LedgerCode::too_early;
  return LedgerCode::done;
}

// ---- operations that are remembered until they can't be repeated ----

// The record of an earlier execution. Errors: of the store.
inline Result<std::optional<uint64_t>> executed_before(LedgerTransaction& t, LedgerTime valid_until, const OperationId& id) {
  TRY_ASSIGN(std::optional<Bytes> found, t.store().get(k_table_executed, executed_key(valid_until, id)));
  if (!found) return std::optional<uint64_t>();
  if (found->size() != 8) return error(Errc::io, "the ledger's table executed is damaged");
  return std::optional<uint64_t>(load_be<uint64_t>(found->data()));
}

// What an operation ends with before its own rules are asked: the result of its earlier execution, or that this is not its time. Errors:
// of the store.
inline Result<std::optional<OperationResult>> repeated_or_untimely(LedgerTransaction& t, LedgerTime valid_until, const OperationId& id) {
  TRY_ASSIGN(std::optional<uint64_t> record, executed_before(t, valid_until, id));
  if (record) {
    TRY_ASSIGN(OperationResult result, t.result_of(*record));
    return std::optional<OperationResult>(std::move(result));
  }
  LedgerCode valid = check_valid_until(t.time(), valid_until);
  return valid == LedgerCode::done ? std::optional<OperationResult>() : refused(valid);
}

inline Status remember(LedgerTransaction& t, LedgerTime valid_until, const OperationResult& result) {
  return t.store().put(k_table_executed, executed_key(valid_until, result.operation), log_key(result.record));
}

}  // namespace millet::rule_parts
