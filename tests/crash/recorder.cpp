// The functions below are the C library's, under their own names: both forms of those with 64-bit offsets are defined, so the macros that
// would make one of the other must be off.
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "crash/recorder.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static_assert(sizeof(off_t) == 8, "the recorder is for 64-bit machines");

namespace millet::crash {
namespace {

// One recording at a time in a process: the functions that it stands in for have no place for an object.
struct Recording {
  std::mutex mutex;  // an operation and its record are one step
  int log = -1;
  pid_t process = 0;  // a child's writes are not this process's
  char folder[PATH_MAX] = {};
  size_t folder_size = 0;
};
Recording g_recording;

bool is_on() { return g_recording.log >= 0 && g_recording.process == static_cast<pid_t>(syscall(SYS_getpid)); }

struct Note {
  DiskOp op;
  uint64_t file = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  const char* path = "";
  const char* second = "";
  const void* data = nullptr;
  size_t data_size = 0;
};

void put(const Note& note) {
  RecordHead head{note.file,
                  note.offset,
                  note.size,
                  static_cast<uint32_t>(strlen(note.path)),
                  static_cast<uint32_t>(strlen(note.second)),
                  static_cast<uint32_t>(note.data_size),
                  note.op,
                  {}};
  iovec parts[] = {{&head, sizeof head},
                   {const_cast<char*>(note.path), head.path_size},
                   {const_cast<char*>(note.second), head.second_size},
                   {const_cast<void*>(note.data), note.data_size}};
  size_t whole = sizeof head + head.path_size + head.second_size + head.data_size;
  if (syscall(SYS_writev, g_recording.log, parts, 4) != static_cast<long>(whole)) {
    static const char text[] = "recorder: the log can't be written\n";
    syscall(SYS_write, STDERR_FILENO, text, sizeof text - 1);
    _exit(97);
  }
}

// A path as it is below the recorded folder, without a slash before; null if it is not below it.
const char* below(const char* path) {
  if (strncmp(path, g_recording.folder, g_recording.folder_size) != 0) return nullptr;
  const char* rest = path + g_recording.folder_size;
  if (*rest == 0) return rest;
  return *rest == '/' ? rest + 1 : nullptr;
}

// What an open descriptor is, if it is below the recorded folder.
struct Place {
  char path[PATH_MAX];
  const char* below = nullptr;
  struct stat info {};
};
bool find(int fd, Place& place) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long size = syscall(SYS_readlinkat, AT_FDCWD, link, place.path, sizeof place.path - 1);
  if (size <= 0) return false;
  place.path[size] = 0;
  place.below = below(place.path);
  return place.below != nullptr && syscall(SYS_fstat, fd, &place.info) == 0;
}

// The real path of a name that need not exist: of its folder, and the name.
bool resolve(int folder, const char* path, Place& place) {
  const char* slash = strrchr(path, '/');
  char parent[PATH_MAX];
  size_t size = slash == nullptr ? 0 : static_cast<size_t>(slash - path);
  if (size >= sizeof parent) return false;
  memcpy(parent, path, size);
  parent[size] = 0;
  const char* where = slash == nullptr ? "." : size == 0 ? "/" : parent;
  long fd = syscall(SYS_openat, folder, where, O_PATH | O_CLOEXEC | O_DIRECTORY, 0);
  if (fd < 0) return false;
  bool found = find(static_cast<int>(fd), place);
  syscall(SYS_close, fd);
  const char* name = slash == nullptr ? path : slash + 1;
  if (!found || strlen(place.path) + strlen(name) + 2 > sizeof place.path) return false;
  strcat(place.path, "/");
  strcat(place.path, name);
  place.below = below(place.path);
  return true;
}

void unsupported(const char* what) { put({.op = DiskOp::unsupported, .path = what}); }

// ---- the operations, each done and recorded in one step ----

long do_open(int folder, const char* path, int flags, mode_t mode) {
  if (!is_on()) return syscall(SYS_openat, folder, path, flags, mode);
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  struct stat before {};
  bool existed = syscall(SYS_newfstatat, folder, path, &before, 0) == 0;
  long fd = syscall(SYS_openat, folder, path, flags, mode);
  int code = errno;
  Place place;
  if (fd >= 0 && (flags & (O_CREAT | O_TRUNC)) != 0 && find(static_cast<int>(fd), place)) {
    if (!existed) put({.op = DiskOp::create, .file = place.info.st_ino, .path = place.below});
    if (existed && (flags & O_TRUNC) != 0) put({.op = DiskOp::resize, .file = place.info.st_ino});
  }
  errno = code;
  return fd;
}

// `offset` < 0: at the descriptor's own position.
ssize_t do_write(int fd, const iovec* parts, int count, off_t offset) {
  auto really = [&] { return offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0); };
  if (!is_on()) return really();
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  Place place;
  if (!find(fd, place) || !S_ISREG(place.info.st_mode)) return really();
  off_t at = offset;
  if (at < 0) at = (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) != 0 ? place.info.st_size : syscall(SYS_lseek, fd, 0, SEEK_CUR);
  ssize_t written = really();
  int code = errno;
  uint64_t position = static_cast<uint64_t>(at);
  size_t left = written > 0 ? static_cast<size_t>(written) : 0;
  for (int i = 0; i < count && left > 0; ++i) {
    size_t size = parts[i].iov_len < left ? parts[i].iov_len : left;
    put({.op = DiskOp::write, .file = place.info.st_ino, .offset = position, .data = parts[i].iov_base, .data_size = size});
    position += size;
    left -= size;
  }
  if (written > 0 && (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0) {
    put({.op = DiskOp::sync_range, .file = place.info.st_ino, .offset = static_cast<uint64_t>(at), .size = static_cast<uint64_t>(written)});
  }
  errno = code;
  return written;
}

int do_sync(int fd, long call) {
  if (!is_on()) return static_cast<int>(syscall(call, fd));
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  int result = static_cast<int>(syscall(call, fd));
  int code = errno;
  Place place;
  if (result == 0 && find(fd, place)) {
    if (S_ISDIR(place.info.st_mode)) put({.op = DiskOp::sync_folder, .path = place.below});
    if (S_ISREG(place.info.st_mode)) put({.op = DiskOp::sync_file, .file = place.info.st_ino});
  }
  errno = code;
  return result;
}

int do_resize(int fd, off_t size) {
  auto really = [&] { return syscall(SYS_ftruncate, fd, size); };
  if (!is_on()) return static_cast<int>(really());
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  int result = static_cast<int>(really());
  int code = errno;
  Place place;
  // find() after it: the size that it has now.
  if (result == 0 && find(fd, place))
    put({.op = DiskOp::resize, .file = place.info.st_ino, .offset = static_cast<uint64_t>(place.info.st_size)});
  errno = code;
  return result;
}

// One that changes entries of folders: `really` does it.
template <typename Really>
int do_entry(DiskOp op, int folder, const char* path, int second_folder, const char* second, Really really) {
  if (!is_on()) return static_cast<int>(really());
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  Place from, to;
  bool known = resolve(folder, path, from);
  bool both = second != nullptr && resolve(second_folder, second, to);
  struct stat info {};
  syscall(SYS_newfstatat, folder, path, &info, AT_SYMLINK_NOFOLLOW);
  int result = static_cast<int>(really());
  int code = errno;
  if (result == 0 && second != nullptr && known != both) unsupported("an entry moves into or out of the recorded folder");
  if (result == 0 && known) put({.op = op, .file = info.st_ino, .path = from.below, .second = both ? to.below : ""});
  errno = code;
  return result;
}

int do_rename(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  return do_entry(DiskOp::rename, from_folder, from, to_folder, to,
                  [&] { return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags); });
}

int do_link(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  return do_entry(DiskOp::link, from_folder, from, to_folder, to,
                  [&] { return syscall(SYS_linkat, from_folder, from, to_folder, to, flags); });
}

int do_unlink(int folder, const char* path, int flags) {
  return do_entry(DiskOp::unlink, folder, path, 0, nullptr, [&] { return syscall(SYS_unlinkat, folder, path, flags); });
}

int do_mkdir(int folder, const char* path, mode_t mode) {
  return do_entry(DiskOp::make_folder, folder, path, 0, nullptr, [&] { return syscall(SYS_mkdirat, folder, path, mode); });
}

// What isn't recorded: it is noted when it is done to a file of ours, and the checker refuses the record.
template <typename Really>
auto do_unrecorded(const char* what, int fd, Really really) {
  if (is_on()) {
    std::lock_guard<std::mutex> lock(g_recording.mutex);
    Place place;
    bool ours = find(fd, place) && S_ISREG(place.info.st_mode);
    const char* slash = ours ? strrchr(place.path, '/') : nullptr;
    if (ours && (slash == nullptr || strcmp(slash + 1, k_reader_table) != 0)) unsupported(what);
  }
  return really();
}

}  // namespace

bool start_recording(const char* folder, const char* log) {
  if (strlen(folder) >= sizeof g_recording.folder) return false;
  strcpy(g_recording.folder, folder);
  g_recording.folder_size = strlen(folder);
  long fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  g_recording.process = static_cast<pid_t>(syscall(SYS_getpid));
  g_recording.log = static_cast<int>(fd);
  return true;
}

void stop_recording() {
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  if (g_recording.log >= 0) syscall(SYS_close, g_recording.log);
  g_recording.log = -1;
}

void mark(uint64_t value) {
  if (!is_on()) return;
  std::lock_guard<std::mutex> lock(g_recording.mutex);
  put({.op = DiskOp::mark, .offset = value});
}

}  // namespace millet::crash

// ---- the C library's names ----

using namespace millet::crash;

#define OPEN_MODE(flags)                        \
  mode_t mode = 0;                              \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
    va_list rest;                               \
    va_start(rest, flags);                      \
    mode = va_arg(rest, mode_t);                \
    va_end(rest);                               \
  }

extern "C" {

int open(const char* path, int flags, ...) {
  OPEN_MODE(flags)
  return static_cast<int>(do_open(AT_FDCWD, path, flags, mode));
}
int open64(const char* path, int flags, ...) {
  OPEN_MODE(flags)
  return static_cast<int>(do_open(AT_FDCWD, path, flags, mode));
}
int openat(int folder, const char* path, int flags, ...) {
  OPEN_MODE(flags)
  return static_cast<int>(do_open(folder, path, flags, mode));
}
int openat64(int folder, const char* path, int flags, ...) {
  OPEN_MODE(flags)
  return static_cast<int>(do_open(folder, path, flags, mode));
}
int creat(const char* path, mode_t mode) { return static_cast<int>(do_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode)); }
int creat64(const char* path, mode_t mode) { return creat(path, mode); }

ssize_t write(int fd, const void* data, size_t size) {
  iovec part{const_cast<void*>(data), size};
  return do_write(fd, &part, 1, -1);
}
ssize_t writev(int fd, const iovec* parts, int count) { return do_write(fd, parts, count, -1); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  iovec part{const_cast<void*>(data), size};
  return do_write(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }
ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) { return do_write(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t offset) { return do_write(fd, parts, count, offset); }

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }
void sync() noexcept {
  syscall(SYS_sync);
  if (is_on()) {
    std::lock_guard<std::mutex> lock(g_recording.mutex);
    put({.op = DiskOp::sync_all});
  }
}

int ftruncate(int fd, off_t size) noexcept { return do_resize(fd, size); }
int ftruncate64(int fd, off64_t size) noexcept { return do_resize(fd, size); }

int rename(const char* from, const char* to) noexcept { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return do_rename(from_folder, from, to_folder, to, 0);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  return do_rename(from_folder, from, to_folder, to, flags);
}
int link(const char* from, const char* to) noexcept { return do_link(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return do_link(from_folder, from, to_folder, to, flags);
}
int unlink(const char* path) noexcept { return do_unlink(AT_FDCWD, path, 0); }
int rmdir(const char* path) noexcept { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int folder, const char* path, int flags) noexcept { return do_unlink(folder, path, flags); }
int mkdir(const char* path, mode_t mode) noexcept { return do_mkdir(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char* path, mode_t mode) noexcept { return do_mkdir(folder, path, mode); }

int fallocate(int fd, int mode, off_t offset, off_t size) {
  return do_unrecorded("fallocate", fd, [&] { return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, size)); });
}
int posix_fallocate(int fd, off_t offset, off_t size) {
  return do_unrecorded("posix_fallocate", fd, [&] { return syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno; });
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }
ssize_t copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t size, unsigned flags) {
  return do_unrecorded("copy_file_range", out, [&] { return syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags); });
}

void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  auto really = [&] { return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, fd, offset)); };
  if (fd < 0 || (protection & PROT_WRITE) == 0 || (flags & MAP_TYPE) == MAP_PRIVATE) return really();
  return do_unrecorded("a writable shared map", fd, really);
}
void* mmap64(void* address, size_t size, int protection, int flags, int fd, off64_t offset) noexcept {
  return mmap(address, size, protection, flags, fd, offset);
}

}  // extern "C"
