// Files by positional reads and writes, never memory-mapped (a disk that goes away must not kill the node). The calls block: they are for
// jobs of the executor, except read_cached(), which is for the loop. They may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace millet::hal {

struct FileInfo {
  uint64_t size = 0;
  int64_t modified_ns = 0;  // modification time, nanoseconds since 1970
  bool is_directory = false;
};

// An open file. Closed by its destructor.
class File {
 public:
  virtual ~File() = default;
  // Reads until `out` is full or the file ends; the number of bytes read. Errors: io.
  virtual Result<size_t> read_at(uint64_t offset, MutBytes out) = 0;
  // Reads what the page cache holds from `offset` on into the parts, in order, without waiting for a disk: fewer bytes than asked (also 0)
  // mean that the rest is cold or past the end. Errors: io; unsupported where the kernel can't tell (then use a job).
  // Requires: at most k_read_parts_max parts.
  static constexpr size_t k_read_parts_max = 64;
  virtual Result<size_t> read_cached(uint64_t offset, std::span<const MutBytes> parts) = 0;
  // Whether the page cache holds the whole range. Errors: unsupported where the kernel can't tell.
  virtual Result<bool> is_cached(uint64_t offset, uint64_t length) {
    static_cast<void>(offset);
    static_cast<void>(length);
    return error(Errc::unsupported, "the page cache can't be asked");
  }
  // What Streams::send_file() of the same system knows the file by; -1: it can't be sent so.
  virtual int descriptor() const { return -1; }
  // Tells the system that this range will be read soon. A hint, nothing is reported; may wait a little, so for jobs.
  virtual void will_need(uint64_t offset, uint64_t length) {
    static_cast<void>(offset);
    static_cast<void>(length);
  }
  // Errors: io, no_room (disk full), denied.
  virtual Status write_at(uint64_t offset, Bytes bytes) = 0;
  // Extends or cuts the file; holes where the file system has them. Errors: as write_at.
  virtual Status resize(uint64_t size) = 0;
  // Durable when it returns. Errors: io.
  virtual Status sync() = 0;
  virtual Result<FileInfo> info() = 0;
};

// create: read_write, made with its folders where missing. Of the root's own path only the last folder is made: where a disk is not
// mounted, its mount point must not be filled.
enum class OpenMode : uint8_t { read, read_write, create };

class Files {
 public:
  virtual ~Files() = default;
  // Opens root/relative; no component below root may be a symbolic link or "..". Errors: not_found, denied, io; the text names the path.
  virtual Result<std::unique_ptr<File>> open(const std::string& root, const std::string& relative, OpenMode mode) = 0;
  virtual Result<FileInfo> info(const std::string& root, const std::string& relative) = 0;
  // Whether payload may be kept in the folder, as far as this system minds what is below it (a router's memory or flash, the node's state).
  // A folder that is not there is judged by the one above it. Errors: denied, with the reason and the way out.
  virtual Status takes_payload(const std::string& root) {
    static_cast<void>(root);
    return ok;
  }
  // Removes a file, or a folder that is empty. Errors: not_found, denied, io.
  virtual Status remove(const std::string& root, const std::string& relative) = 0;
  // Makes the names in a folder durable: those of files and folders that open(create) made there. An empty `relative` is root itself, and
  // then root's own name, which open(create) may have made too, as far as the folder above it can be opened. Errors: as open; io.
  virtual Status sync_folder(const std::string& root, const std::string& relative) {
    static_cast<void>(root);
    static_cast<void>(relative);
    return ok;
  }
  // A whole small file. Errors: not_found, denied, no_room (above size_max), io.
  virtual Result<std::vector<uint8_t>> read_file(const std::string& path, uint64_t size_max) = 0;
  // Names in a folder, sorted by bytes, without "." and "..". Errors: not_found, denied, io.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
};

}  // namespace millet::hal
