// Jobs in virtual time. A job waits for a worker of its queue, then takes the time that its queue's model draws plus what its file accesses
// cost. Its effect (Job::run) happens at a moment within that time that the seed decides, its answer (Job::done) at the end: a crash in
// between leaves a commit that is durable and was never reported, a crash before it one that never was, and none is ever half done.
#pragma once

#include <array>
#include <deque>
#include <map>

#include "base/random.h"
#include "hal/executor.h"
#include "hal/sim/event.h"

namespace millet::sim {

class World;

struct QueueModel {
  uint32_t workers = 1;
  Duration cost_min = Duration::us(50);
  Duration cost_max = Duration::us(500);
};

struct ExecutorOptions {
  std::array<QueueModel, hal::k_queue_count> queues;
  QueueModel& queue(hal::Queue queue) { return queues[static_cast<size_t>(queue)]; }
};

class Executor final : public hal::Executor, public EventTarget {
 public:
  // `options` may change while it runs (a store that lags).
  Executor(World& world, const ExecutorOptions& options, Random random);
  ~Executor() override;

  void submit(hal::Queue queue, std::unique_ptr<hal::Job> job) override;
  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

  // Destroys every job without done() and takes no more.
  void stop();
  // While a job runs: the moment within it, and time that it spends from here.
  bool in_job() const { return in_job_; }
  Instant job_now() const;
  void charge(Duration cost) { charged_ = charged_ + cost; }
  size_t unfinished() const { return running_.size() + waiting(); }

 private:
  enum EventKind : uint32_t { k_run, k_done };
  struct Running {
    hal::Queue queue;
    std::unique_ptr<hal::Job> job;
    Instant end;
  };
  struct Waiting {
    std::deque<std::unique_ptr<hal::Job>> jobs;
    uint32_t busy = 0;
  };
  size_t waiting() const;
  void start_jobs(hal::Queue queue);

  World& world_;
  const ExecutorOptions& options_;
  Random random_;
  std::array<Waiting, hal::k_queue_count> queues_;
  std::map<uint64_t, Running> running_;
  uint64_t next_job_ = 1;
  bool stopped_ = false;
  bool in_job_ = false;
  Duration charged_;
};

}  // namespace millet::sim
