#include "hal/linux/executor.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/fifo.h"

namespace millet::hal {
namespace {

// Enough for name resolution in the C library, the deepest of what runs here. Only what is touched costs memory.
constexpr size_t k_stack_size = 256 * 1024;

// Verifying a terabyte may take all processors, but not from the loop, nor from what else the machine does.
constexpr int k_background_nice = 10;

constexpr uint64_t k_stuck_wait_ns = 1'000'000'000;

constexpr int k_signature_threads_max = 64;

int threads_of(Queue queue, int processors, LinuxExecutor::Use use) {
  if (queue == Queue::compute && use == LinuxExecutor::Use::signatures) return std::clamp(processors, 1, k_signature_threads_max);
  switch (queue) {
    case Queue::disk_read: return 2;                               // keeps a disk's queue filled without starving the loop's core
    case Queue::disk_write: return 1;                              // in order, so that a sync follows the writes before it
    case Queue::hash: return std::clamp(processors, 1, 4);         // in the background
    case Queue::compute: return std::clamp(processors / 2, 1, 4);  // signing must not take the loop's time slice
    case Queue::store: return 1;                                   // commits are done in order
    case Queue::resolve: return 1;
  }
  return 1;
}

class Lock {
 public:
  explicit Lock(uv_mutex_t& mutex) : mutex_(mutex) { uv_mutex_lock(&mutex_); }
  ~Lock() { uv_mutex_unlock(&mutex_); }
  Lock(const Lock&) = delete;

 private:
  uv_mutex_t& mutex_;
};

}  // namespace

LinuxExecutor::LinuxExecutor(uv_loop_t* loop, int processors, Use use) : use_(use) {
  CHECK(uv_mutex_init(&mutex_) == 0);
  for (int i = 0; i < k_queue_count; ++i) {
    Lane& lane = lanes_[static_cast<size_t>(i)];
    lane.owner = this;
    lane.threads_max = threads_of(static_cast<Queue>(i), processors, use);
    lane.background = static_cast<Queue>(i) == Queue::hash;
    CHECK(uv_cond_init(&lane.wake) == 0);
  }
  CHECK(uv_cond_init(&ended_) == 0);
  CHECK(uv_async_init(loop, &async_, on_finished) == 0);
  async_.data = this;
}

LinuxExecutor::~LinuxExecutor() {
  CHECK(stopping_ && !stuck_);
  for (Lane& lane : lanes_) uv_cond_destroy(&lane.wake);
  uv_cond_destroy(&ended_);
  uv_mutex_destroy(&mutex_);
}

void LinuxExecutor::submit(Queue queue, std::unique_ptr<Job> job) {
  Lock lock(mutex_);
  if (stopping_) return;
  Lane& lane = lanes_[static_cast<size_t>(queue)];
  lane.waiting.push_back(std::move(job));
  bool hands_missing = static_cast<size_t>(lane.idle) < lane.waiting.size();
  if (hands_missing && lane.threads.size() < static_cast<size_t>(lane.threads_max)) start_thread(lane);
  uv_cond_signal(&lane.wake);
}

void LinuxExecutor::start_thread(Lane& lane) {
  uv_thread_options_t options = {};
  options.flags = UV_THREAD_HAS_STACK_SIZE;
  options.stack_size = k_stack_size;
  uv_thread_t thread;
  int failed = uv_thread_create_ex(&thread, &options, work, &lane);
  // One thread that does not start is a queue that is slower; the first one is needed.
  CHECK(failed == 0 || !lane.threads.empty());
  if (failed == 0) lane.threads.push_back(thread);
}

void LinuxExecutor::work(void* argument) {
  Lane& lane = *static_cast<Lane*>(argument);
  LinuxExecutor& owner = *lane.owner;
  // Linux keeps this for each thread. Without it they are as urgent as the rest.
  if (lane.background) setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), k_background_nice);
  uv_mutex_lock(&owner.mutex_);
  for (;;) {
    while (lane.waiting.empty() && !owner.stopping_) {
      ++lane.idle;
      uv_cond_wait(&lane.wake, &owner.mutex_);
      --lane.idle;
    }
    if (owner.stopping_) break;
    std::unique_ptr<Job> job = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    ++lane.running;
    uv_mutex_unlock(&owner.mutex_);
    job->run();
    uv_mutex_lock(&owner.mutex_);
    --lane.running;
    owner.finished_.push_back(std::move(job));
    if (owner.stopping_)
      uv_cond_signal(&owner.ended_);
    else
      uv_async_send(&owner.async_);
  }
  uv_mutex_unlock(&owner.mutex_);
}

void LinuxExecutor::on_finished(uv_async_t* async) {
  LinuxExecutor& self = *static_cast<LinuxExecutor*>(async->data);
  std::vector<std::unique_ptr<Job>> finished;
  uv_mutex_lock(&self.mutex_);
  finished.swap(self.finished_);
  uv_mutex_unlock(&self.mutex_);
  for (std::unique_ptr<Job>& job : finished) {
    if (self.stopping_) return;  // a job's done() may stop the loop
    job->done();
    job.reset();
  }
}

// A job of it may wait for another machine, and nobody can hurry it.
bool LinuxExecutor::waits_briefly(const Lane& lane) const {
  auto is = [&](Queue queue) { return &lane == &lanes_[static_cast<size_t>(queue)]; };
  return is(Queue::resolve) || (is(Queue::store) && use_ == Use::signatures);
}

void LinuxExecutor::stop() {
  Fifo<std::unique_ptr<Job>> dropped[k_queue_count];
  {
    Lock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    for (size_t i = 0; i < lanes_.size(); ++i) {
      dropped[i].swap(lanes_[i].waiting);
      uv_cond_broadcast(&lanes_[i].wake);
    }
    auto runs = [&] {
      return std::any_of(lanes_.begin(), lanes_.end(), [&](const Lane& lane) { return waits_briefly(lane) && lane.running != 0; });
    };
    while (runs() && !stuck_) stuck_ = uv_cond_timedwait(&ended_, &mutex_, k_stuck_wait_ns) != 0;
  }
  for (Lane& lane : lanes_) {
    if (waits_briefly(lane) && stuck_) continue;
    for (uv_thread_t& thread : lane.threads) uv_thread_join(&thread);
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
}

}  // namespace millet::hal
