#include "driver/commit_queue.h"

#include <algorithm>

namespace millet {
namespace {

constexpr Duration k_retry_first = Duration::seconds(1);
constexpr Duration k_retry_max = Duration::seconds(30);  // a disk that was freed is noticed soon enough

Duration retry_after(uint32_t failures) {
  Duration wait = k_retry_first;
  for (uint32_t i = 1; i < failures && wait < k_retry_max; ++i) wait = wait * 2;
  return std::min(wait, k_retry_max);
}

Status write_commits(Store& store, const std::vector<Commit>& commits) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_write());
  for (const Commit& commit : commits) {
    for (const StoreChange& change : commit.changes) {
      if (change.value) {
        TRY(transaction->put(change.table, change.key, *change.value));
      } else {
        TRY(transaction->erase(change.table, change.key));
      }
    }
  }
  return transaction->commit();
}

}  // namespace

class CommitQueue::CommitJob final : public hal::Job {
 public:
  CommitJob(CommitQueue& queue, std::vector<Commit> commits) : queue_(queue), commits_(std::move(commits)) {}
  void run() override {
    status_ = write_commits(queue_.store_, commits_);
    written_bytes_ = queue_.store_.written_bytes();
  }
  void done() override {
    queue_.written_bytes_ = written_bytes_;
    queue_.on_done(std::move(commits_), status_);
  }

 private:
  CommitQueue& queue_;
  std::vector<Commit> commits_;
  Status status_ = ok;
  uint64_t written_bytes_ = 0;
};

void CommitQueue::add(Instant, Commit commit) {
  CHECK(queue_.empty() || commit.sequence > queue_.back().sequence);
  queue_.push_back(std::move(commit));
  if (in_job_ == 0 && retry_at_.is_never()) submit();
}

void CommitQueue::submit() {
  std::vector<Commit> commits;
  size_t changes = 0;
  while (!queue_.empty() && (commits.empty() || changes + queue_.front().changes.size() <= k_changes_per_transaction_max)) {
    changes += queue_.front().changes.size();
    commits.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  if (commits.empty()) return;
  in_job_ = commits.size();
  ++transactions_;
  executor_.submit(hal::Queue::store, std::make_unique<CommitJob>(*this, std::move(commits)));
}

void CommitQueue::on_done(std::vector<Commit> commits, const Status& status) {
  in_job_ = 0;
  if (status) {
    failures_ = 0;
    submit();
    for (const Commit& commit : commits) events_.on_durable(commit.sequence);
    return;
  }
  ++failures_;
  retry_at_ = clock_.now() + retry_after(failures_);
  std::vector<uint64_t> sequences;
  for (const Commit& commit : commits) sequences.push_back(commit.sequence);
  for (Commit& later : queue_) commits.push_back(std::move(later));
  queue_ = Fifo<Commit>(std::move(commits));
  for (uint64_t sequence : sequences) events_.on_commit_failed(sequence, status.error());
}

void CommitQueue::on_timer(Instant now) {
  if (retry_at_ <= now) try_again();
}

void CommitQueue::try_again() {
  if (retry_at_.is_never()) return;
  retry_at_ = Instant::never();
  submit();
}

}  // namespace millet
