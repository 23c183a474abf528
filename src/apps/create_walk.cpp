#include "apps/create_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/heap_sort.h"
#include "codec/metainfo.h"
#include "driver/key_file.h"
#include "driver/state_file.h"

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

bool is_state(const std::string& folder) {
  auto has = [&](const char* name) { return ::access((folder + name).c_str(), F_OK) == 0; };
  return has(k_key_file_name) || (has("data.mdb") && has("lock"));
}

// Whoever gets one of these has the account: a key by its name, by what is in it, and a state that was exported.
bool is_secret(const std::string& path, const struct stat& info) {
  if (last_component(path).starts_with(k_key_file_name)) return true;
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  char head[SigningKey::k_seed_size * 2 + 1];
  ssize_t size = fd < 0 ? 0 : ::read(fd, head, sizeof head);
  if (fd >= 0) ::close(fd);
  std::string_view text(head, size < 0 ? 0 : static_cast<size_t>(size));
  if (text.starts_with(k_sealed_start) || text.starts_with(k_state_magic)) return true;
  // Others may read a file that has only a checksum.
  std::array<uint8_t, SigningKey::k_seed_size> seed{};
  return info.st_size == sizeof head && text.size() == sizeof head && (info.st_mode & 077) == 0 && text.back() == '\n' &&
         from_hex(text.substr(0, sizeof head - 1), seed).has_value();
}

Error is_private(const std::string& path, const char* what) {
  return error(Errc::denied, "'" + printable(path, 1024) + "' is " + what + ": whoever has it owns the account, so it is not published");
}
constexpr const char* k_a_state = "the state of a node, with its wallet";
constexpr const char* k_a_key = "a wallet's key, or has one";

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
      if (is_state(full + "/")) return leave_out(full, k_a_state);
      return folder(path + "/", info);
    }
    if (!S_ISREG(info.st_mode)) return ok;
    if (::access(full.c_str(), R_OK) != 0) return system_error(full);
    if (out_.files.size() == k_files_max) {
      return error(Errc::no_room, "'" + out_.folder + "' has more than " + std::to_string(k_files_max) + " files");
    }
    if (is_secret(full, info)) return leave_out(full, k_a_key);
    out_.files.push_back({path, static_cast<uint64_t>(info.st_size)});
    return ok;
  }
  Status leave_out(const std::string& full, const char* what) {
    if (out_.left_out.size() < k_files_max) out_.left_out.push_back(is_private(full, what).reason);
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
    if (is_state(out.folder)) return is_private(path, k_a_state);
    TRY(Walk(out).folder("", info));
    if (out.files.empty()) {
      return error(Errc::bad_input, "'" + path + "' has no files" + (out.left_out.empty() ? "" : " but this: " + out.left_out[0]));
    }
    return out;
  }
  if (!S_ISREG(info.st_mode)) return error(Errc::bad_input, "'" + path + "' is neither a file nor a folder");
  if (::access(stripped.c_str(), R_OK) != 0) return system_error(path);
  if (is_secret(stripped, info)) return is_private(path, k_a_key);
  out.single_file = true;
  out.folder = stripped.substr(0, stripped.size() - last_component(stripped).size());
  out.files.push_back({last_component(stripped), static_cast<uint64_t>(info.st_size)});
  return out;
}

}  // namespace millet
