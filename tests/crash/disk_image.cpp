#include "crash/disk_image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"

namespace millet::crash {
namespace {

std::string_view folder_of(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

Error failed(const char* doing, const std::string& path) {
  return error(Errc::io, std::string("can't ") + doing + " " + path + ": " + strerror(errno));
}

Status write_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed("make", path);
  bool whole = write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  close(fd);
  if (!whole) return failed("write", path);
  return ok;
}

}  // namespace

Result<Recorded> read_recorded(const std::string& path) {
  Recorded recorded;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed("open", path);
  recorded.bytes.resize(static_cast<size_t>(std::max<off_t>(lseek(fd, 0, SEEK_END), 0)));
  ssize_t got = pread(fd, recorded.bytes.data(), recorded.bytes.size(), 0);
  close(fd);
  if (got != static_cast<ssize_t>(recorded.bytes.size())) return failed("read", path);
  std::string_view rest(recorded.bytes.data(), recorded.bytes.size());
  auto take = [&rest](size_t size) { return std::exchange(rest, rest.substr(size)).substr(0, size); };
  while (!rest.empty()) {
    RecordHead head;
    if (rest.size() < sizeof head) return error(Errc::bad_input, path + " ends in the middle of a record");
    std::memcpy(&head, take(sizeof head).data(), sizeof head);
    if (rest.size() < uint64_t{head.path_size} + head.second_size + head.data_size) {
      return error(Errc::bad_input, path + " ends in the middle of a record");
    }
    Event event{head.op, head.file, head.offset, head.size, {}, {}, {}};
    event.path = take(head.path_size);
    event.second = take(head.second_size);
    event.data = take(head.data_size);
    if (event.op == DiskOp::unsupported)
      return error(Errc::bad_input, "the program did what can't be recorded: " + std::string(event.path));
    recorded.events.push_back(event);
  }
  return recorded;
}

Status Tree::write_to(const std::string& folder) const {
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(folder, code)) std::filesystem::remove_all(entry.path(), code);
  if (code) return error(Errc::io, "can't empty " + folder + ": " + code.message());
  for (const auto& [path, file] : entries) {
    std::string whole = folder + "/" + path;
    // An entry whose folder did not last is not there either.
    if (!std::filesystem::exists(folder + "/" + std::string(folder_of(path)))) continue;
    if (file == k_folder) {
      std::filesystem::create_directory(whole, code);
      std::filesystem::permissions(whole, std::filesystem::perms::owner_all, code);
    } else {
      TRY(write_file(whole, files[file].bytes));
    }
  }
  return ok;
}

size_t Disk::file_of(uint64_t inode) const {
  auto found = inodes_.find(inode);
  CHECK(found != inodes_.end());  // the recording begins with an empty folder
  return found->second;
}

void Disk::change(Tree& tree, const Unit& unit) {
  switch (unit.op) {
    case DiskOp::make_folder: tree.entries.emplace(unit.path, Tree::k_folder); break;
    case DiskOp::create: tree.entries.insert_or_assign(std::string(unit.path), unit.file); break;
    case DiskOp::link: tree.entries.insert_or_assign(std::string(unit.second), unit.file); break;
    case DiskOp::rename:
      if (auto from = tree.entries.find(unit.path); from != tree.entries.end()) tree.entries.erase(from);
      tree.entries.insert_or_assign(std::string(unit.second), unit.file);
      break;
    case DiskOp::unlink:
      if (auto gone = tree.entries.find(unit.path); gone != tree.entries.end()) tree.entries.erase(gone);
      break;
    case DiskOp::write: {
      std::vector<uint8_t>& bytes = tree.files[unit.file].bytes;
      if (bytes.size() < unit.offset + unit.data.size()) bytes.resize(unit.offset + unit.data.size());
      std::memcpy(bytes.data() + unit.offset, unit.data.data(), unit.data.size());
      break;
    }
    case DiskOp::resize: tree.files[unit.file].bytes.resize(unit.offset); break;
    default: CHECK(false);
  }
}

bool Disk::is_synced(const Unit& unit, const Event& event) const {
  bool data = unit.op == DiskOp::write || unit.op == DiskOp::resize;
  switch (event.op) {
    case DiskOp::sync_all: return true;
    case DiskOp::sync_file: return data && unit.file == file_of(event.file);
    case DiskOp::sync_range: {
      // Whole sectors go to the disk, with what was written there before.
      uint64_t first = event.offset / sector_size_ * sector_size_;
      return unit.op == DiskOp::write && unit.file == file_of(event.file) && unit.offset >= first &&
             unit.offset < event.offset + event.size;
    }
    case DiskOp::sync_folder:
      // A move is durable with the folder that it goes to.
      return !data && folder_of(unit.second.empty() ? unit.path : unit.second) == event.path;
    default: return false;
  }
}

bool Disk::would_sync(const Event& event) const {
  return std::any_of(units_.begin(), units_.end(), [&](const Unit& unit) { return is_synced(unit, event); });
}

void Disk::apply(const Event& event) {
  switch (event.op) {
    case DiskOp::mark: marked_ = event.offset; return;
    case DiskOp::create:
      inodes_[event.file] = durable_.files.size();
      durable_.files.emplace_back();
      [[fallthrough]];
    case DiskOp::link:
    case DiskOp::rename:
    case DiskOp::unlink: {
      auto file = inodes_.find(event.file);
      units_.push_back({event.op, file == inodes_.end() ? Tree::k_folder : file->second, 0, event.path, event.second, {}});
      return;
    }
    case DiskOp::make_folder: units_.push_back({event.op, Tree::k_folder, 0, event.path, {}, {}}); return;
    case DiskOp::resize: units_.push_back({event.op, file_of(event.file), event.offset, {}, {}, {}}); return;
    case DiskOp::write:
      for (size_t done = 0; done < event.data.size();) {
        size_t size = std::min<size_t>(event.data.size() - done, sector_size_ - (event.offset + done) % sector_size_);
        units_.push_back({event.op, file_of(event.file), event.offset + done, {}, {}, event.data.substr(done, size)});
        done += size;
      }
      return;
    default: break;
  }
  std::vector<Unit> left;
  for (const Unit& unit : units_) {
    if (is_synced(unit, event)) {
      change(durable_, unit);
    } else {
      left.push_back(unit);
    }
  }
  units_ = std::move(left);
}

Tree Disk::image(const std::vector<bool>& chosen) const {
  CHECK(chosen.size() == units_.size());
  Tree tree = durable_;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (chosen[i]) change(tree, units_[i]);
  }
  return tree;
}

}  // namespace millet::crash
