#include "node/persistence.h"

#include <iterator>

namespace millet {

uint64_t Persistence::add(StoreBatch changes) {
  hurried_ = hurried_ || !(changes.empty() && pending_.empty());
  add_unhurried(std::move(changes));
  return last();
}

void Persistence::add_unhurried(StoreBatch changes) {
  pending_.insert(pending_.end(), std::make_move_iterator(changes.begin()), std::make_move_iterator(changes.end()));
}

void Persistence::flush() {
  if (is_flushed()) return;
  hurried_ = false;
  core_.act(Commit{++sent_, std::exchange(pending_, {})});
}

void Persistence::on_durable(uint64_t sequence) {
  CHECK(sequence > durable_ && sequence <= sent_);
  durable_ = sequence;
  if (!trouble_.empty()) LogLine(core_.log, LogLevel::info, "state_saved").add("after", trouble_);
  trouble_.clear();
}

void Persistence::on_failed(uint64_t, const Error& reason) {
  if (trouble_ == reason.reason) return;
  trouble_ = reason.reason;
  LogLine(core_.log, LogLevel::error, "state_not_saved")
      .add("code", errc_name(reason.code))
      .add("reason", reason.reason)
      .add("help", "make room in the state folder or make it writable; saving is tried again and nothing is lost meanwhile");
}

}  // namespace millet
