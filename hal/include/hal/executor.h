// Work that must not run on the loop: disk, hashing, signatures, durable commits, name resolution. A job runs on a worker thread (in the
// simulator: at a virtual time) and comes back to the loop as on_job_done.
#pragma once

#include <cstdint>
#include <memory>

namespace millet::hal {

class Job {
 public:
  virtual ~Job() = default;
  // On a worker. Touches only what the job owns and objects that are safe to use from there.
  virtual void run() = 0;
  // On the loop, after run().
  virtual void done() = 0;
};

// Each queue has threads of its own: nothing durable shares a thread with payload, and a name server that hangs stalls neither.
enum class Queue : uint8_t {
  disk_read,   // cold blocks, states of files
  disk_write,  // one thread: downloaded blocks and syncs, in the order of submission
  hash,        // whole pieces: reads and hashes
  compute,     // signatures; nothing here waits for a disk
  store,       // one thread: commits, in the order of submission
  resolve,     // name resolution
};
inline constexpr int k_queue_count = 6;

class Executor {
 public:
  virtual ~Executor() = default;
  // Jobs of one queue start in the order of submission. Those not done when the loop stops are destroyed without done().
  virtual void submit(Queue queue, std::unique_ptr<Job> job) = 0;
};

}  // namespace millet::hal
