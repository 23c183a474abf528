// An executor without threads: jobs wait until the test lets them run.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "hal/executor.h"

class InlineExecutor final : public millet::hal::Executor {
 public:
  void submit(millet::hal::Queue queue, std::unique_ptr<millet::hal::Job> job) override { waiting.emplace_back(queue, std::move(job)); }
  // Runs what waits and what that submits. The number of jobs.
  int run_all() {
    int count = 0;
    for (; !waiting.empty(); ++count) {
      std::unique_ptr<millet::hal::Job> job = std::move(waiting.front().second);
      waiting.pop_front();
      job->run();
      job->done();
    }
    return count;
  }
  std::deque<std::pair<millet::hal::Queue, std::unique_ptr<millet::hal::Job>>> waiting;
};
