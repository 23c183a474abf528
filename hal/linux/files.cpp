#include "hal/linux/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/heap_sort.h"
#include "hal/linux/fd.h"
#include "hal/linux/page_cache.h"

namespace millet::hal {
namespace {

FileInfo info_of(const struct stat& from) {
  FileInfo info;
  info.size = static_cast<uint64_t>(from.st_size);
  info.modified_ns = int64_t{from.st_mtim.tv_sec} * 1'000'000'000 + from.st_mtim.tv_nsec;
  info.is_directory = S_ISDIR(from.st_mode);
  return info;
}

// preadv2 with RWF_NOWAIT (Linux 4.14), by its number: musl has it from 1.2.5 on. The offset goes in two halves of a long.
ssize_t read_without_waiting(int fd, const iovec* parts, size_t count, uint64_t offset) {
#ifdef SYS_preadv2
  constexpr int k_no_wait = 8;  // RWF_NOWAIT of linux/fs.h
  unsigned long low = static_cast<unsigned long>(offset);
  unsigned long high = sizeof low < sizeof offset ? static_cast<unsigned long>(offset >> 32) : 0;
  return static_cast<ssize_t>(::syscall(SYS_preadv2, fd, parts, static_cast<unsigned long>(count), low, high, k_no_wait));
#else
  static_cast<void>(fd), static_cast<void>(parts), static_cast<void>(count), static_cast<void>(offset);
  errno = ENOSYS;
  return -1;
#endif
}

class LinuxFile final : public File {
 public:
  LinuxFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<size_t> read_at(uint64_t offset, MutBytes out) override {
    size_t done = 0;
    while (done < out.size()) {
      ssize_t got = ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return failed("can't read");
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Result<size_t> read_cached(uint64_t offset, std::span<const MutBytes> parts) override {
    CHECK(parts.size() <= k_read_parts_max);
    if (nowait_unsupported_.load(std::memory_order_relaxed)) return no_nowait();
    iovec vectors[k_read_parts_max];
    for (size_t i = 0; i < parts.size(); ++i) vectors[i] = {parts[i].data(), parts[i].size()};
    for (;;) {
      ssize_t got = read_without_waiting(fd_.get(), vectors, parts.size(), offset);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return size_t{0};
      if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) return failed("can't read");
      nowait_unsupported_.store(true, std::memory_order_relaxed);  // an old kernel, or a file system without it
      return no_nowait();
    }
  }

  Result<bool> is_cached(uint64_t offset, uint64_t length) override {
    std::optional<bool> cached = is_in_page_cache(fd_.get(), offset, length);
    if (!cached) return error(Errc::unsupported, "'" + path_ + "': the kernel does not tell what it has in memory");
    return *cached;
  }
  int descriptor() const override { return fd_.get(); }

  void will_need(uint64_t offset, uint64_t length) override {
    posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_WILLNEED);
  }

  Status write_at(uint64_t offset, Bytes bytes) override {
    while (!bytes.empty()) {
      ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return failed("can't write");
      if (put == 0) return error(Errc::io, "can't write '" + path_ + "': nothing was taken");
      bytes = bytes.subspan(static_cast<size_t>(put));
      offset += static_cast<uint64_t>(put);
    }
    return ok;
  }

  Status resize(uint64_t size) override {
    while (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) return failed("can't resize");
    }
    return ok;
  }

  Status sync() override {
    while (::fdatasync(fd_.get()) != 0) {
      if (errno != EINTR) return failed("can't sync");
    }
    return ok;
  }

  Result<FileInfo> info() override {
    struct stat status = {};
    if (::fstat(fd_.get(), &status) != 0) return failed("can't stat");
    return info_of(status);
  }

 private:
  Error failed(const char* what) const { return os_error(errno, std::string(what) + " '" + path_ + "'"); }
  Error no_nowait() const { return error(Errc::unsupported, "'" + path_ + "' can't be read without waiting"); }

  Fd fd_;
  std::string path_;
  std::atomic<bool> nowait_unsupported_ = false;
};

Error failed_at(const std::string& root, const std::string& relative, const char* what) {
  if (errno == ELOOP)
    return error(Errc::denied, std::string(what) + " '" + root + "/" + relative + "': it is a symbolic link, which is not followed");
  return os_error(errno, std::string(what) + " '" + root + "/" + relative + "'");
}

constexpr int k_folder_flags = O_PATH | O_DIRECTORY | O_CLOEXEC;

}  // namespace

Status LinuxFiles::keep_out(const std::string& folder) {
  Fd fd(::open(folder.c_str(), k_folder_flags));
  if (!fd.is_open() || ::fstat(fd.get(), &kept_about_) != 0) return os_error(errno, "can't open the folder '" + folder + "'");
  kept_ = folder;
  kept_fd_ = std::move(fd);
  return ok;
}

bool LinuxFiles::is_kept(const struct stat& about) const {
  return kept_fd_.is_open() && about.st_ino == kept_about_.st_ino && about.st_dev == kept_about_.st_dev;
}

bool LinuxFiles::is_below_kept(int folder) const {
  struct stat last = {}, at = {};
  std::string up;
  if (!kept_fd_.is_open() || ::fstat(folder, &at) != 0) return false;
  while (!is_kept(at)) {
    last = at;
    up += "../";
    // The top is its own parent.
    if (::fstatat(folder, up.c_str(), &at, 0) != 0 || (at.st_ino == last.st_ino && at.st_dev == last.st_dev)) return false;
  }
  return true;
}

Error LinuxFiles::in_kept(const std::string& path) const {
  return error(Errc::denied, "'" + path + "' is in the node's state folder '" + kept_ +
                                 "', where no payload may be: remove the torrent, or choose another folder for it");
}

Result<Fd> LinuxFiles::open_root(const std::string& root, bool create) {
  Fd fd(::open(root.c_str(), k_folder_flags));
  if (fd.is_open()) return fd;
  if (errno != ENOENT || !create) return os_error(errno, "can't open the folder '" + root + "'");
  if (::mkdir(root.c_str(), 0777) != 0 && errno != EEXIST) return os_error(errno, "can't make the folder '" + root + "'");
  Fd made(::open(root.c_str(), k_folder_flags));
  if (!made.is_open()) return os_error(errno, "can't open the folder '" + root + "'");
  return made;
}

Result<LinuxFiles::Place> LinuxFiles::find_place(const std::string& root, const std::string& relative, bool create) {
  TRY_ASSIGN(Fd folder, open_root(root, create));
  if (is_below_kept(folder.get())) return in_kept(root + "/" + relative);
  std::string_view rest = relative;
  for (;;) {
    size_t slash = rest.find('/');
    std::string name(rest.substr(0, slash));
    if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos) {
      return error(Errc::denied, "'" + printable(relative, 200) + "' is not a path below '" + root + "'");
    }
    if (slash == std::string_view::npos) return Place{std::move(folder), std::move(name)};
    rest.remove_prefix(slash + 1);
    Fd next(::openat(folder.get(), name.c_str(), k_folder_flags | O_NOFOLLOW));
    if (!next.is_open() && errno == ENOENT && create) {
      if (::mkdirat(folder.get(), name.c_str(), 0777) != 0 && errno != EEXIST)
        return failed_at(root, relative, "can't make the folders of");
      next = Fd(::openat(folder.get(), name.c_str(), k_folder_flags | O_NOFOLLOW));
    }
    // Of a link, O_PATH with O_NOFOLLOW and O_DIRECTORY says ENOTDIR.
    if (!next.is_open()) return failed_at(root, relative, "can't open");
    struct stat about = {};
    if (::fstat(next.get(), &about) != 0) return failed_at(root, relative, "can't open");
    if (is_kept(about)) return in_kept(root + "/" + relative);
    folder = std::move(next);
  }
}

Result<std::unique_ptr<File>> LinuxFiles::open(const std::string& root, const std::string& relative, OpenMode mode) {
  TRY_ASSIGN(Place place, find_place(root, relative, mode == OpenMode::create));
  // O_NONBLOCK: a named pipe in place of a file must not hold the caller up.
  int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (mode == OpenMode::read ? O_RDONLY : O_RDWR);
  if (mode == OpenMode::create) flags |= O_CREAT;
  Fd fd(::openat(place.folder.get(), place.name.c_str(), flags, 0666));
  if (!fd.is_open()) return failed_at(root, relative, "can't open");
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) return failed_at(root, relative, "can't stat");
  if (!S_ISREG(status.st_mode)) return error(Errc::denied, "'" + root + "/" + relative + "' is not a regular file");
  return std::unique_ptr<File>(std::make_unique<LinuxFile>(std::move(fd), root + "/" + relative));
}

Result<FileInfo> LinuxFiles::info(const std::string& root, const std::string& relative) {
  TRY_ASSIGN(Place place, find_place(root, relative, false));
  struct stat status = {};
  if (::fstatat(place.folder.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return failed_at(root, relative, "can't stat");
  if (is_kept(status)) return in_kept(root + "/" + relative);
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    return error(Errc::denied, "'" + root + "/" + relative + "' is neither a regular file nor a folder");
  }
  return info_of(status);
}

const char* unfit_for_payload(uint32_t type) {
  switch (type) {  // linux/magic.h
    case 0x01021994: return "is in memory (tmpfs): it would fill it, and be lost with power";
    case 0x858458f6: return "is in memory (ramfs): it would fill it, and be lost with power";
    case 0x794c7630: return "is on an overlay, the router's own flash: that is small, and wears out";
    case 0x73717368: return "is on squashfs, which can't be written";
    case 0x72b6: return "is on raw flash (JFFS2): that is small, and wears out";
    case 0x24051905: return "is on raw flash (UBIFS): that is small, and wears out";
    default: return nullptr;
  }
}

Status LinuxFiles::takes_payload(const std::string& root) {
  struct statfs about = {};
  std::string folder = root;
  while (::statfs(folder.c_str(), &about) != 0) {
    size_t slash = folder.rfind('/');
    // What is wrong with a folder that can't be asked shows when it is used.
    if (errno != ENOENT || slash == std::string::npos || folder.size() == 1) return ok;
    folder.resize(std::max<size_t>(slash, 1));
  }
  Fd fd(::open(folder.c_str(), k_folder_flags));
  if (fd.is_open() && is_below_kept(fd.get())) return in_kept(root);
  const char* why = disk_only_ ? unfit_for_payload(static_cast<uint32_t>(about.f_type)) : nullptr;
  if (why == nullptr) return ok;
  return error(Errc::denied, "the payload folder '" + root + "' " + why +
                                 ". Is its disk mounted? Else choose a folder on a disk, or set node.disk_only=0");
}

Status LinuxFiles::remove(const std::string& root, const std::string& relative) {
  TRY_ASSIGN(Place place, find_place(root, relative, false));
  if (::unlinkat(place.folder.get(), place.name.c_str(), 0) == 0) return ok;
  // POSIX says EPERM for a folder, Linux EISDIR.
  bool folder = errno == EISDIR || errno == EPERM;
  if (folder && ::unlinkat(place.folder.get(), place.name.c_str(), AT_REMOVEDIR) == 0) return ok;
  return failed_at(root, relative, "can't remove");
}

Status LinuxFiles::sync_folder(const std::string& root, const std::string& relative) {
  Fd fd;
  if (relative.empty()) {
    fd = Fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  } else {
    TRY_ASSIGN(Place place, find_place(root, relative, false));
    fd = Fd(::openat(place.folder.get(), place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!fd.is_open()) return failed_at(root, relative, "can't open");
  // Some file systems have no such thing for folders; theirs are durable otherwise or not at all.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != EROFS) return failed_at(root, relative, "can't sync");
  if (!relative.empty()) return ok;
  Fd above(::openat(fd.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (above.is_open() && ::fsync(above.get()) != 0 && errno != EINVAL && errno != EROFS) return failed_at(root, "..", "can't sync");
  return ok;
}

Result<std::vector<uint8_t>> LinuxFiles::read_file(const std::string& path, uint64_t size_max) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.is_open()) return os_error(errno, "can't open '" + path + "'");
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) return os_error(errno, "can't stat '" + path + "'");
  if (!S_ISREG(status.st_mode)) return error(Errc::bad_input, "'" + path + "' is not a regular file");
  auto too_large = [&] { return error(Errc::no_room, "'" + path + "' is larger than " + std::to_string(size_max) + " bytes"); };
  if (static_cast<uint64_t>(status.st_size) > size_max) return too_large();
  std::vector<uint8_t> out(static_cast<size_t>(status.st_size));
  LinuxFile file(std::move(fd), path);
  TRY_ASSIGN(size_t got, file.read_at(0, out));
  out.resize(got);
  // Files of /proc and the like say that they are empty; one that grows meanwhile is taken as it was.
  return out;
}

Result<std::vector<std::string>> LinuxFiles::list(const std::string& path) {
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return os_error(errno, "can't list '" + path + "'");
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(folder)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
    errno = 0;
  }
  int failed = errno;
  ::closedir(folder);
  if (failed != 0) return os_error(failed, "can't list '" + path + "'");
  heap_sort(names);  // std::string compares as unsigned bytes
  return names;
}

}  // namespace millet::hal
