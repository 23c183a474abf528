// Records what a program does to the files below one folder: every write, sync and change of a folder's entries, in order, with the marks
// that the program sets where it has promised something. disk_image.h makes of it what a power cut could leave.
//
// It stands in for the C library's functions (open, pwrite, fdatasync, rename, ...): a program that links recorder.cpp is recorded, with
// all libraries that it uses. What goes past these functions (stdio's own writes, writes through a shared map) is not seen; a writable
// shared map is noted as such, and the checker compares the folder's files with the record at the end.
//
// The log is for the same machine: numbers in its byte order.
//
//   record:  RecordHead | path | second path | data
#pragma once

#include <cstdint>

namespace millet::crash {

enum class DiskOp : uint8_t {
  make_folder = 1,  // path
  create,           // path, file
  link,             // path -> second path, file
  rename,           // path -> second path
  unlink,           // path; also of a folder
  write,            // file, offset, data
  resize,           // file, offset = new size
  sync_file,        // file: all of it
  sync_range,       // file, offset, size: a write with O_DSYNC
  sync_folder,      // path
  sync_all,
  unsupported,  // path = what was done that can't be recorded
  mark,         // offset = value
};

struct RecordHead {
  uint64_t file;  // inode number; used again after the file is gone
  uint64_t offset;
  uint64_t size;
  uint32_t path_size;
  uint32_t second_size;
  uint32_t data_size;
  DiskOp op;
  uint8_t zeros[3];
};

// LMDB's table of readers, by its file name: a map that processes share while they run. What it holds after a cut means nothing, so its
// bytes are not recorded.
inline constexpr const char* k_reader_table = "lock.mdb";

// Records what this process (not its children) does below `folder` from now on, into the file `log`. Requires: `folder` is an absolute path
// without links; `log` lies elsewhere. False if it can't.
bool start_recording(const char* folder, const char* log);
void stop_recording();
// What was promised before, under this number, must survive a power cut from here on.
void mark(uint64_t value);

}  // namespace millet::crash
