#include "apps/audit_run.h"
#include "base/fifo.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace millet {
namespace {

constexpr size_t k_batch_records = 512;
constexpr size_t k_batches_max = 8;  // waiting: 2 MiB

struct Batch {
  uint64_t first = 0;
  std::vector<std::vector<uint8_t>> records;
};

struct Finding {
  uint64_t record = k_no_record;
  std::string what;
  void take(uint64_t other, const std::string& why) {
    if (other < record) record = other, what = why;
  }
};

// Checks the signatures of batches on threads of its own.
class SignatureThreads {
 public:
  explicit SignatureThreads(unsigned count) {
    for (unsigned i = 0; i < std::max(count, 1u); ++i) {
      pthread_t thread;
      if (pthread_create(&thread, nullptr, begin, this) == 0) threads_.push_back(thread);
    }
    CHECK(!threads_.empty());
  }
  ~SignatureThreads() { finish(); }

  // Waits while too much is to be done.
  void submit(Batch batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return batches_.size() < k_batches_max; });
    batches_.push_back(std::move(batch));
    changed_.notify_all();
  }
  bool found_something() {
    std::unique_lock lock(mutex_);
    return found_.record != k_no_record;
  }
  // Everything that was submitted is checked.
  Finding finish() {
    {
      std::unique_lock lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    for (pthread_t thread : threads_) pthread_join(thread, nullptr);
    threads_.clear();
    return found_;
  }

 private:
  static void* begin(void* self) {
    static_cast<SignatureThreads*>(self)->run();
    return nullptr;
  }
  void run() {
    for (;;) {
      Batch batch;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return ended_ || !batches_.empty(); });
        if (batches_.empty()) return;
        batch = std::move(batches_.front());
        batches_.pop_front();
        changed_.notify_all();
      }
      for (size_t i = 0; i < batch.records.size(); ++i) {
        Status good = audit_signatures(batch.records[i]);
        if (good) continue;
        std::unique_lock lock(mutex_);
        found_.take(batch.first + i, good.error().reason);
        break;
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Fifo<Batch> batches_;
  std::vector<pthread_t> threads_;
  Finding found_;
  bool ended_ = false;
};

}  // namespace

Status run_audit(LogSource& log, const AuditOptions& options, LogAudit& audit) {
  SignatureThreads threads(options.threads);
  Finding found;
  Status failed = ok;
  uint64_t count = 0;
  Batch batch;
  std::vector<uint8_t> record;
  for (bool more = true; more;) {
    Result<bool> next = log.next(record);
    if (!next) failed = std::move(next).error();
    more = next && *next && found.record == k_no_record;
    if (more) {
      Status added = audit.add(record);
      if (!added) found.take(count, added.error().reason);
      more = added.has_value();
      batch.records.push_back(record);
      ++count;
    }
    if (more && batch.records.size() < k_batch_records) continue;
    threads.submit(std::move(batch));
    batch = {count, {}};
    if (options.progress != nullptr) options.progress(options.context, count, log.size());
    if (threads.found_something()) break;
  }
  Finding unsigned_record = threads.finish();
  if (unsigned_record.record != k_no_record) found.take(unsigned_record.record, unsigned_record.what);
  if (found.record != k_no_record) return error(Errc::conflict, "record " + std::to_string(found.record) + " is wrong: " + found.what);
  return failed;
}

}  // namespace millet
