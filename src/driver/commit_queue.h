// Commits of the node to its store, in order, on the store's own thread. What is queued while one transaction runs goes into the next
// together: one sync of the disk for all of it. A store that refuses is asked again, with growing pauses; nothing is dropped or overtaken.
#pragma once

#include <vector>

#include "base/fifo.h"
#include "base/time.h"
#include "hal/clock.h"
#include "hal/executor.h"
#include "node/io.h"

namespace millet {

class CommitEvents {
 public:
  virtual ~CommitEvents() = default;
  virtual void on_durable(uint64_t sequence) = 0;
  // Once for each commit whose transaction failed; it is tried again.
  virtual void on_commit_failed(uint64_t sequence, const Error& reason) = 0;
};

class CommitQueue {
 public:
  // Changes in one transaction; more wait for the next, so that a backlog does not become one huge transaction.
  static constexpr size_t k_changes_per_transaction_max = 4096;

  // Requires: all outlive it; nobody else uses the store while a job of it runs.
  CommitQueue(Store& store, hal::Executor& executor, hal::Clock& clock, CommitEvents& events)
      : store_(store), executor_(executor), clock_(clock), events_(events) {}
  CommitQueue(const CommitQueue&) = delete;

  void add(Instant now, Commit commit);
  Instant next_deadline() const { return retry_at_; }
  void on_timer(Instant now);
  // After a failure: tries again now, because somebody waits for the outcome.
  void try_again();
  // A job of it has the store now.
  bool has_store() const { return in_job_ != 0; }
  // Commits that are not durable yet.
  size_t pending() const { return queue_.size() + in_job_; }
  uint64_t transactions() const { return transactions_; }
  // Store::written_bytes() after the last transaction.
  uint64_t written_bytes() const { return written_bytes_; }

 private:
  class CommitJob;
  void submit();
  void on_done(std::vector<Commit> commits, const Status& status);

  Store& store_;
  hal::Executor& executor_;
  hal::Clock& clock_;
  CommitEvents& events_;
  Fifo<Commit> queue_;
  size_t in_job_ = 0;
  uint32_t failures_ = 0;  // in a row
  Instant retry_at_ = Instant::never();
  uint64_t transactions_ = 0;
  uint64_t written_bytes_ = 0;
};

}  // namespace millet
