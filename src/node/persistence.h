// The order of commits. Changes gather in a batch that gets the next sequence number; one commit is under way at a time, so that while the
// disk is slow more changes share the next one. Who must not act before its change is durable keeps the number and asks durable().
#pragma once

#include <string>

#include "node/core.h"

namespace millet {

class Persistence {
 public:
  explicit Persistence(Core& core) : core_(core) {}

  // Adds changes to the next commit; its sequence number.
  uint64_t add(StoreBatch changes);
  // The same for what nobody waits for: while it is held back, it goes out with the next change that somebody does wait for.
  void add_unhurried(StoreBatch changes);
  void hold_unhurried(bool hold) { hold_ = hold; }
  // Emits the next commit if there is one and none is under way.
  void flush();
  void on_durable(uint64_t sequence);
  void on_failed(uint64_t sequence, const Error& reason);

  // Commits up to this one are durable.
  uint64_t durable() const { return durable_; }
  // With this commit all that was added so far is durable.
  uint64_t last() const { return pending_.empty() ? sent_ : sent_ + 1; }
  // flush() has nothing to do.
  bool is_flushed() const { return pending_.empty() || sent_ != durable_ || is_held(); }
  bool idle() const { return pending_.empty() && sent_ == durable_; }
  uint64_t count() const { return durable_; }
  // Why commits don't get through; empty while they do.
  const std::string& trouble() const { return trouble_; }

 private:
  bool is_held() const { return hold_ && !hurried_; }

  Core& core_;
  StoreBatch pending_;
  bool hurried_ = false;  // somebody waits for something in pending_
  bool hold_ = false;
  uint64_t sent_ = 0;
  uint64_t durable_ = 0;
  std::string trouble_;
};

}  // namespace millet
