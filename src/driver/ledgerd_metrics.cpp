#include "driver/ledgerd_metrics.h"

#include <algorithm>

namespace millet {
namespace {

class Page {
 public:
  Page& family(const char* name, const char* type, const char* help) {
    name_ = std::string("millet_ledgerd_") + name;
    out_ += "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " " + type + "\n";
    return *this;
  }
  // `labels` as they stand between the braces; empty: none.
  Page& value(const std::string& labels, uint64_t value, const char* suffix = "") {
    out_ += name_ + suffix + (labels.empty() ? "" : "{" + labels + "}") + " " + std::to_string(value) + "\n";
    return *this;
  }
  Page& gauge(const char* name, const char* help, uint64_t value) { return family(name, "gauge", help).value("", value); }
  Page& counter(const char* name, const char* help, uint64_t value) { return family(name, "counter", help).value("", value); }
  // Microseconds as seconds, without floating point.
  Page& seconds(const char* suffix, uint64_t us) {
    std::string rest = std::to_string(us % 1'000'000);
    out_ += name_ + suffix + " " + std::to_string(us / 1'000'000) + "." + std::string(6 - rest.size(), '0') + rest + "\n";
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string name_, out_;
};

std::string in_seconds(uint32_t ms) {
  std::string rest = std::to_string(ms % 1000);
  return std::to_string(ms / 1000) + "." + std::string(3 - rest.size(), '0') + rest;
}

void write_answer_times(Page& page, const LedgerdMetrics& metrics) {
  page.family("answer_seconds", "histogram", "From a whole request to its answer.");
  uint64_t sum = 0;
  for (size_t i = 0; i < metrics.k_answer_bounds_ms.size(); ++i) {
    sum += metrics.answer_times[i];
    page.value("le=\"" + in_seconds(metrics.k_answer_bounds_ms[i]) + "\"", sum, "_bucket");
  }
  sum += metrics.answer_times.back();
  page.value("le=\"+Inf\"", sum, "_bucket").seconds("_sum", metrics.answer_time_sum_us).value("", sum, "_count");
}

}  // namespace

void LedgerdMetrics::add_answer(int status, Duration time) {
  ++answers[static_cast<size_t>(std::clamp(status / 100, 0, 5))];
  uint64_t us = static_cast<uint64_t>(std::max<int64_t>(time.in_us(), 0));
  size_t slot = 0;
  while (slot < k_answer_bounds_ms.size() && us > uint64_t{k_answer_bounds_ms[slot]} * 1000) ++slot;
  ++answer_times[slot];
  answer_time_sum_us += us;
}

std::string write_metrics(const LedgerdMetrics& metrics, const LedgerdGauges& gauges) {
  Page page;
  page.family("requests_total", "counter", "Requests, by what they ask.");
  page.value("kind=\"get\"", metrics.gets).value("kind=\"operations\"", metrics.operations);
  page.value("kind=\"query\"", metrics.queries).value("kind=\"other\"", metrics.others);
  page.family("answers_total", "counter", "Answers, by the class of their HTTP status.");
  for (size_t hundred = 2; hundred < metrics.answers.size(); ++hundred) {
    page.value("status=\"" + std::to_string(hundred) + "xx\"", metrics.answers[hundred]);
  }
  write_answer_times(page, metrics);
  page.counter("batches_total", "Batches that the store was given.", metrics.batches);
  page.counter("failed_batches_total", "Batches that could not be stored.", metrics.failed_batches);
  page.counter("limited_total", "Requests that were one too many of their address, network or key.", gauges.limited);
  page.gauge("connections", "Open connections.", gauges.connections);
  page.counter("connections_refused_total", "Connections beyond the limit of their address.", gauges.connections_refused);
  page.counter("connections_evicted_total", "Silent connections that gave their place to new ones.", gauges.connections_evicted);
  page.gauge("requests_under_way", "Requests that are being answered.", gauges.requests);
  page.gauge("time_seconds", "Ledger time of the last durable batch.", gauges.ledger_time);
  page.gauge("ready", "1 if the last batch could be stored.", gauges.ready ? 1 : 0);
  if (gauges.audit) {
    page.gauge("audit_good", "1 if the last audit found every record right.", gauges.audit->good ? 1 : 0);
    page.gauge("audit_time_seconds", "When the last audit ended, in seconds since 1970 UTC.", gauges.audit->time_s);
    page.gauge("audit_records", "Records that the last audit replayed; 0 if it failed.", gauges.audit->records);
  }
  page.family("tls_handshakes_total", "counter", "Handshakes of TLS, by their end.");
  page.value("end=\"good\"", gauges.tls.handshakes).value("end=\"failed\"", gauges.tls.handshake_failures);
  page.value("end=\"plain_http\"", gauges.tls.plain);
  page.counter("tls_broken_total", "Connections that a bad record ended.", gauges.tls.broken);
  return page.take();
}

}  // namespace millet
