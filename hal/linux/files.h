// Files over positional system calls. Below a root every folder is opened on its own without following links, so that neither a torrent's
// paths nor a link that somebody puts into the payload lead out of it. Nor do they lead into the folder that is kept out (the state), by
// whatever path: folders are compared by what they are, not by name.
#pragma once

#include <sys/stat.h>

#include "hal/files.h"
#include "hal/linux/fd.h"

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
  // No payload in this folder, or below it. Before any job uses the files. Requires: it exists. Errors: of the system.
  Status keep_out(const std::string& folder);

 private:
  // The folder that holds the last component of root/relative, and that component.
  struct Place {
    Fd folder;
    std::string name;
  };
  Result<Fd> open_root(const std::string& root, bool create);
  Result<Place> find_place(const std::string& root, const std::string& relative, bool create);
  bool is_kept(const struct stat& about) const;
  bool is_below_kept(int folder) const;
  Error in_kept(const std::string& path) const;

  bool disk_only_ = false;
  std::string kept_;
  Fd kept_fd_;  // open, so that no other folder gets its number
  struct stat kept_about_ = {};
};

// Why a file system is no place for payload, by its type in statfs(2); nullptr if it is one.
const char* unfit_for_payload(uint32_t type);

}  // namespace millet::hal
