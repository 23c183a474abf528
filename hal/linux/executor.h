// Worker threads. Each queue has its own, started with its first job and kept: a queue that is never used costs nothing.
#pragma once

#include <uv.h>

#include <array>
#include <memory>
#include <vector>

#include "base/fifo.h"
#include "hal/executor.h"

namespace millet::hal {

class LinuxExecutor final : public Executor {
 public:
  // What most of the work is. A node's is payload, and a core stays for the loop; a ledger's is signatures, for which it has them all.
  enum class Use : uint8_t { payload, signatures };
  // `processors` of the machine: they bound hashing and signatures; the others are fixed (threads_of). Requires: the loop outlives it.
  LinuxExecutor(uv_loop_t* loop, int processors, Use use);
  // Requires: stop() was called and has_stuck_job() is false.
  ~LinuxExecutor() override;
  LinuxExecutor(const LinuxExecutor&) = delete;

  void submit(Queue queue, std::unique_ptr<Job> job) override;
  // Starts no more jobs, waits for those that run, drops the others; no done() follows. Closes its handle on the loop. A name server that
  // does not answer is waited for no longer than a second, nor (Use::signatures) a store, which may be a database on another machine.
  void stop();
  // After stop(): a job still runs that nobody can hurry. The process has to end by _exit().
  bool has_stuck_job() const { return stuck_; }

 private:
  struct Lane {
    LinuxExecutor* owner = nullptr;
    Fifo<std::unique_ptr<Job>> waiting;
    std::vector<uv_thread_t> threads;
    int threads_max = 1;
    bool background = false;
    int idle = 0;
    int running = 0;  // jobs
    uv_cond_t wake;
  };
  bool waits_briefly(const Lane& lane) const;
  static void work(void* lane);
  static void on_finished(uv_async_t* async);
  void start_thread(Lane& lane);

  const Use use_;
  uv_mutex_t mutex_;  // guards everything below but async_
  std::array<Lane, k_queue_count> lanes_;
  std::vector<std::unique_ptr<Job>> finished_;
  uv_cond_t ended_;  // a job, while this stops
  bool stopping_ = false;
  bool stuck_ = false;
  uv_async_t async_;
};

}  // namespace millet::hal
