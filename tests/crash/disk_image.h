// What a disk holds while a recorded program runs, and what a power cut could leave of it: all that was synced, and any subset of what was
// not - of data in sectors, of entries of folders one by one. A sector is written whole or not at all.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crash/recorder.h"

namespace millet::crash {

struct Event {
  DiskOp op;
  uint64_t file;
  uint64_t offset;
  uint64_t size;
  std::string_view path;  // into Recorded::bytes
  std::string_view second;
  std::string_view data;
};

struct Recorded {
  std::vector<char> bytes;
  std::vector<Event> events;
};

// Reads a log. Errors: io, bad_input (not a log, or it has what can't be recorded).
Result<Recorded> read_recorded(const std::string& path);

// Files and folders below the recorded folder.
struct Tree {
  struct File {
    std::vector<uint8_t> bytes;
  };
  static constexpr size_t k_folder = SIZE_MAX;
  std::vector<File> files;
  std::map<std::string, size_t, std::less<>> entries;  // path to index of files, or k_folder

  // Makes `folder` (which exists) hold this and nothing else. Errors: io.
  Status write_to(const std::string& folder) const;
};

class Disk {
 public:
  explicit Disk(size_t sector_size) : sector_size_(sector_size) {}

  void apply(const Event& event);
  // Changes that are not durable yet, oldest first.
  size_t pending() const { return units_.size(); }
  // The number of the last mark, 0 if there was none.
  uint64_t marked() const { return marked_; }
  // True if `event` would make something durable that is not.
  bool would_sync(const Event& event) const;
  // What is left if of the pending changes those happen that are `chosen`.
  Tree image(const std::vector<bool>& chosen) const;

 private:
  struct Unit {
    DiskOp op;
    size_t file = 0;
    uint64_t offset = 0;
    std::string_view path;
    std::string_view second;
    std::string_view data;
  };
  static void change(Tree& tree, const Unit& unit);
  bool is_synced(const Unit& unit, const Event& event) const;
  size_t file_of(uint64_t inode) const;

  size_t sector_size_;
  Tree durable_;
  std::vector<Unit> units_;
  std::map<uint64_t, size_t> inodes_;
  uint64_t marked_ = 0;
};

}  // namespace millet::crash
