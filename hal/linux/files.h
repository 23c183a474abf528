// Files over positional system calls. Below a root every folder is opened on its own without following links, so that neither a torrent's
// paths nor a link that somebody puts into the payload lead out of it.
#pragma once

#include "hal/files.h"

namespace millet::hal {

class LinuxFiles final : public Files {
 public:
  Result<std::unique_ptr<File>> open(const std::string& root, const std::string& relative, OpenMode mode) override;
  Result<FileInfo> info(const std::string& root, const std::string& relative) override;
  Status takes_payload(const std::string& root) override;
  Status remove(const std::string& root, const std::string& relative) override;
  Status sync_folder(const std::string& root, const std::string& relative) override;
  Result<std::vector<uint8_t>> read_file(const std::string& path, uint64_t size_max) override;
  Result<std::vector<std::string>> list(const std::string& path) override;

  // Payload on disks only: takes_payload() refuses the others. Before any job uses the files.
  void set_disk_only(bool on) { disk_only_ = on; }

 private:
  bool disk_only_ = false;
};

// Why a file system is no place for payload, by its type in statfs(2); nullptr if it is one.
const char* unfit_for_payload(uint32_t type);

}  // namespace millet::hal
