// hal::Files over a simulated disk: path rules, the time that every access takes, and a count of accesses that would have blocked the loop.
#pragma once

#include "hal/files.h"
#include "hal/sim/disk.h"
#include "hal/sim/executor.h"

namespace millet::sim {

class Machine;

class SimFiles final : public hal::Files {
 public:
  SimFiles(Machine& machine, Executor& executor) : machine_(machine), executor_(executor) {}

  Result<std::unique_ptr<hal::File>> open(const std::string& root, const std::string& relative, hal::OpenMode mode) override;
  Result<hal::FileInfo> info(const std::string& root, const std::string& relative) override;
  Status remove(const std::string& root, const std::string& relative) override;
  Status sync_folder(const std::string& root, const std::string& relative) override;
  Result<std::vector<uint8_t>> read_file(const std::string& path, uint64_t size_max) override;
  Result<std::vector<std::string>> list(const std::string& path) override;

  // Time for metadata, and for bytes that come from the disk or go to it.
  void spend_access();
  void spend_read(uint64_t cold_bytes);
  void spend_sync(uint64_t dirty_bytes);
  Machine& machine() { return machine_; }
  // Blocking calls on the loop since the process started; start-up may have some, serving none.
  uint64_t blocking_calls() const { return blocking_calls_; }

 private:
  void spend(Duration cost);
  Machine& machine_;
  Executor& executor_;
  uint64_t blocking_calls_ = 0;
};

}  // namespace millet::sim
