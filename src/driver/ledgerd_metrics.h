// What the ledger's program tells whoever watches it, in the text format of Prometheus (version 0.0.4). Sums only: nothing about one
// account.
#pragma once

#include <array>
#include <string>

#include "base/time.h"
#include "driver/audit_file.h"
#include "driver/tls_streams.h"

namespace millet {

struct LedgerdMetrics {
  static constexpr std::array<uint32_t, 8> k_answer_bounds_ms = {1, 5, 10, 20, 50, 100, 500, 2000};

  uint64_t gets = 0;
  uint64_t operations = 0;  // requests, of up to 64 operations each
  uint64_t queries = 0;
  uint64_t others = 0;
  std::array<uint64_t, 6> answers{};  // by hundreds of their status
  std::array<uint64_t, k_answer_bounds_ms.size() + 1> answer_times{};
  uint64_t answer_time_sum_us = 0;
  uint64_t batches = 0;
  uint64_t failed_batches = 0;

  void add_answer(int status, Duration time);
};

// What is read when it is asked for.
struct LedgerdGauges {
  uint64_t connections = 0;
  uint64_t connections_refused = 0;
  uint64_t connections_evicted = 0;
  uint64_t requests = 0;  // under way
  uint64_t limited = 0;
  uint64_t ledger_time = 0;
  bool ready = false;
  std::optional<AuditNote> audit;  // the last one
  TlsCounters tls;
};

std::string write_metrics(const LedgerdMetrics& metrics, const LedgerdGauges& gauges);

}  // namespace millet
