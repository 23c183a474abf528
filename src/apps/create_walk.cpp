#include "apps/create_walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/heap_sort.h"
#include "codec/metainfo.h"

namespace millet {
namespace {

Error system_error(const std::string& path) {
  Errc code = errno == ENOENT ? Errc::not_found : errno == EACCES ? Errc::denied : Errc::io;
  return error(code, "can't read '" + printable(path, 1024) + "': " + std::strerror(errno));
}

std::string last_component(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "." and ".." have no name of their own.
std::string name_of(const std::string& path) {
  std::string name = last_component(path);
  if (name != "." && name != "..") return name;
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return name;
  name = last_component(real);
  ::free(real);
  return name;
}

// Names in a folder, without "." and "..".
Result<std::vector<std::string>> names_in(const std::string& folder) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return system_error(folder);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
    if (names.size() > k_files_max) break;
  }
  int failure = errno;
  ::closedir(dir);
  errno = failure;
  if (failure != 0) return system_error(folder);
  if (names.size() > k_files_max) return error(Errc::no_room, "'" + folder + "' has more than " + std::to_string(k_files_max) + " files");
  // In a settled order, so that the same folder gives the same message.
  heap_sort(names);
  return names;
}

class Walk {
 public:
  explicit Walk(Payload& out) : out_(out) {}

  // `below`: path under out.folder with a '/' at its end, empty for the folder itself. As deep as k_path_depth_max.
  Status folder(const std::string& below, const struct stat& info) {
    chain_.push_back({info.st_dev, info.st_ino});
    TRY_ASSIGN(std::vector<std::string> names, names_in(out_.folder + below));
    for (const std::string& name : names) TRY(node(below + name));
    chain_.pop_back();
    return ok;
  }

 private:
  struct Identity {
    dev_t device;
    ino_t inode;
    bool operator==(const Identity&) const = default;
  };

  Status node(const std::string& path) {
    const std::string full = out_.folder + path;
    struct stat own;
    struct stat info;
    if (::lstat(full.c_str(), &own) != 0 || ::stat(full.c_str(), &info) != 0) return system_error(full);
    if (S_ISLNK(own.st_mode) && out_.first_link.empty()) out_.first_link = path;
    if (S_ISDIR(info.st_mode)) {
      if (std::find(chain_.begin(), chain_.end(), Identity{info.st_dev, info.st_ino}) != chain_.end()) {
        return error(Errc::bad_input, "'" + printable(full, 1024) + "' is a link to a folder that it is in: remove it");
      }
      if (chain_.size() >= k_path_depth_max) {
        return error(Errc::no_room, "'" + printable(full, 1024) + "' is deeper than " + std::to_string(k_path_depth_max) + " folders");
      }
      return folder(path + "/", info);
    }
    if (!S_ISREG(info.st_mode)) return ok;
    if (::access(full.c_str(), R_OK) != 0) return system_error(full);
    if (out_.files.size() == k_files_max) {
      return error(Errc::no_room, "'" + out_.folder + "' has more than " + std::to_string(k_files_max) + " files");
    }
    out_.files.push_back({path, static_cast<uint64_t>(info.st_size)});
    return ok;
  }

  Payload& out_;
  std::vector<Identity> chain_;  // the folders that are being walked
};

}  // namespace

Result<Payload> walk_payload(const std::string& path) {
  std::string stripped = path;
  while (stripped.size() > 1 && stripped.back() == '/') stripped.pop_back();
  struct stat info;
  if (::stat(stripped.c_str(), &info) != 0) return system_error(path);
  Payload out;
  out.name = name_of(stripped);
  if (S_ISDIR(info.st_mode)) {
    out.folder = stripped + "/";
    TRY(Walk(out).folder("", info));
    if (out.files.empty()) return error(Errc::bad_input, "'" + path + "' has no files");
    return out;
  }
  if (!S_ISREG(info.st_mode)) return error(Errc::bad_input, "'" + path + "' is neither a file nor a folder");
  if (::access(stripped.c_str(), R_OK) != 0) return system_error(path);
  out.single_file = true;
  out.folder = stripped.substr(0, stripped.size() - last_component(stripped).size());
  out.files.push_back({last_component(stripped), static_cast<uint64_t>(info.st_size)});
  return out;
}

}  // namespace millet
