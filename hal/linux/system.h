// The machine: makes every part of hal/linux and turns the loop.
//
//   LinuxSystem machine(log);
//   ... make a driver on machine.system() ...
//   machine.run();          // until Loop::stop(); no job runs any more when it returns
//   ... destroy the driver ...
#pragma once

#include "hal/linux/clock.h"
#include "hal/linux/datagrams.h"
#include "hal/linux/executor.h"
#include "hal/linux/files.h"
#include "hal/linux/loop.h"
#include "hal/linux/random.h"
#include "hal/linux/resolver.h"
#include "hal/linux/streams.h"

namespace millet::hal {

class LinuxSystem {
 public:
  // Process-wide: ignores SIGPIPE, raises the limit of open files, keeps the allocator from making a pool for each thread.
  explicit LinuxSystem(LogSink& log, LinuxExecutor::Use use = LinuxExecutor::Use::payload);
  ~LinuxSystem();
  LinuxSystem(const LinuxSystem&) = delete;

  System& system() { return system_; }
  uv_loop_t* uv() { return loop_.uv(); }
  // Payload on disks only (LinuxFiles::takes_payload). Before run().
  void set_disk_only(bool on) { files_.set_disk_only(on); }
  // LinuxFiles::keep_out. Before run().
  Status keep_out(const std::string& folder) { return files_.keep_out(folder); }
  void run();
  // After run(): the process has to end by _exit(), because a name server does not answer.
  bool has_stuck_job() const { return executor_.has_stuck_job(); }

 private:
  LinuxClock clock_;
  LinuxRandom random_;
  LinuxLoop loop_;
  LinuxStreams streams_;
  LinuxDatagrams datagrams_;
  LinuxFiles files_;
  LinuxExecutor executor_;
  LinuxResolver resolver_;
  System system_;
};

}  // namespace millet::hal
