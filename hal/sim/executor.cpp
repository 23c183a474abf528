#include "hal/sim/executor.h"

#include <algorithm>

#include "hal/sim/world.h"

namespace millet::sim {

Executor::Executor(World& world, const ExecutorOptions& options, Random random) : world_(world), options_(options), random_(random) {
  world_.add_target(*this);
}

Executor::~Executor() { stop(); }

void Executor::submit(hal::Queue queue, std::unique_ptr<hal::Job> job) {
  if (stopped_) return;
  queues_[static_cast<size_t>(queue)].jobs.push_back(std::move(job));
  start_jobs(queue);
}

void Executor::start_jobs(hal::Queue queue) {
  Waiting& waiting = queues_[static_cast<size_t>(queue)];
  const QueueModel& model = options_.queues[static_cast<size_t>(queue)];
  while (waiting.busy < model.workers && !waiting.jobs.empty()) {
    ++waiting.busy;
    uint64_t spread = static_cast<uint64_t>(std::max<int64_t>(0, (model.cost_max - model.cost_min).in_us()));
    Duration cost = model.cost_min + Duration::us(static_cast<int64_t>(random_.below(spread + 1)));
    Duration effect = Duration::us(static_cast<int64_t>(random_.below(static_cast<uint64_t>(cost.in_us()) + 1)));
    uint64_t id = next_job_++;
    running_.emplace(id, Running{queue, std::move(waiting.jobs.front()), world_.now() + cost});
    waiting.jobs.pop_front();
    world_.schedule(effect, *this, k_run, id);
  }
}

void Executor::on_event(uint32_t kind, uint64_t a, uint64_t) {
  auto found = running_.find(a);
  if (found == running_.end()) return;
  if (kind == k_run) {
    in_job_ = true;
    charged_ = Duration();
    found->second.job->run();
    in_job_ = false;
    world_.schedule(std::max(found->second.end, world_.now()) + charged_, *this, k_done, a);
    return;
  }
  Running finished = std::move(found->second);
  running_.erase(found);
  --queues_[static_cast<size_t>(finished.queue)].busy;
  start_jobs(finished.queue);
  finished.job->done();
}

void Executor::stop() {
  stopped_ = true;
  for (Waiting& waiting : queues_) waiting.jobs.clear();
  running_.clear();
  world_.remove_target(*this);
}

Instant Executor::job_now() const { return world_.now() + charged_; }

size_t Executor::waiting() const {
  size_t count = 0;
  for (const Waiting& waiting : queues_) count += waiting.jobs.size();
  return count;
}

}  // namespace millet::sim
