#include "hal/sim/files.h"

#include "hal/sim/machine.h"
#include "hal/sim/world.h"

namespace millet::sim {
namespace {

constexpr Duration k_cached_access = Duration::us(5);

// root/relative without empty and "." components. Errors: denied for "..", as for a path that leaves its root.
Result<std::string> clean_path(const std::string& root, const std::string& relative) {
  std::string out;
  std::string all = root + "/" + relative;
  size_t begin = 0;
  while (begin <= all.size()) {
    size_t end = std::min(all.find('/', begin), all.size());
    std::string part = all.substr(begin, end - begin);
    if (part == ".." && begin > root.size()) return error(Errc::denied, all + ": leaves its folder");
    if (!part.empty() && part != ".") out += "/" + part;
    begin = end + 1;
  }
  return out;
}

hal::FileInfo to_hal(const Disk::Info& info) { return {info.size, info.modified_ns, info.is_directory}; }

class SimFile final : public hal::File {
 public:
  SimFile(SimFiles& files, InodeId id, bool writable) : files_(files), disk_(files.machine().disk()), id_(id), writable_(writable) {}
  ~SimFile() override { disk_.close(id_); }

  Result<size_t> read_at(uint64_t offset, MutBytes out) override {
    files_.spend_read(disk_.cold_bytes(id_, offset, out.size()));
    return disk_.read(id_, offset, out, false);
  }
  Result<size_t> read_cached(uint64_t offset, std::span<const MutBytes> parts) override {
    CHECK(parts.size() <= k_read_parts_max);
    size_t done = 0;
    for (MutBytes part : parts) {
      TRY_ASSIGN(size_t size, disk_.read(id_, offset + done, part, true));
      done += size;
      if (size < part.size()) break;
    }
    return done;
  }
  void will_need(uint64_t offset, uint64_t length) override {
    files_.spend_access();
    disk_.warm(id_, offset, length);
  }
  Status write_at(uint64_t offset, Bytes bytes) override {
    files_.spend_access();
    if (!writable_) return error(Errc::denied, "the file is open for reading only");
    return disk_.write(id_, offset, bytes, files_.machine().wall_ns());
  }
  Status resize(uint64_t size) override {
    files_.spend_access();
    if (!writable_) return error(Errc::denied, "the file is open for reading only");
    return disk_.resize(id_, size, files_.machine().wall_ns());
  }
  Status sync() override {
    files_.spend_sync(disk_.dirty_bytes(id_));
    return disk_.sync(id_);
  }
  Result<hal::FileInfo> info() override {
    files_.spend_access();
    TRY_ASSIGN(Disk::Info info, disk_.info(id_));
    return to_hal(info);
  }

 private:
  SimFiles& files_;
  Disk& disk_;
  InodeId id_;
  bool writable_;
};

}  // namespace

void SimFiles::spend(Duration cost) {
  if (executor_.in_job()) return executor_.charge(cost);
  ++blocking_calls_;
  machine_.world().note_blocking_call();
}

void SimFiles::spend_access() { spend(k_cached_access); }

void SimFiles::spend_read(uint64_t cold_bytes) {
  if (cold_bytes == 0) return spend(k_cached_access);
  const DiskOptions& options = machine_.disk().options();
  Duration cost = options.access + Duration::us(static_cast<int64_t>(cold_bytes * 1'000'000 / options.rate));
  Instant now = executor_.job_now();
  spend(machine_.disk().occupy(now, cost) - now);
}

void SimFiles::spend_sync(uint64_t dirty_bytes) {
  const DiskOptions& options = machine_.disk().options();
  Duration cost = options.sync + Duration::us(static_cast<int64_t>(dirty_bytes * 1'000'000 / options.rate));
  Instant now = executor_.job_now();
  spend(machine_.disk().occupy(now, cost) - now);
}

Result<std::unique_ptr<hal::File>> SimFiles::open(const std::string& root, const std::string& relative, hal::OpenMode mode) {
  spend_access();
  TRY_ASSIGN(std::string path, clean_path(root, relative));
  bool writable = mode != hal::OpenMode::read;
  TRY_ASSIGN(InodeId id, machine_.disk().open(path, writable, mode == hal::OpenMode::create, machine_.wall_ns()));
  return std::unique_ptr<hal::File>(std::make_unique<SimFile>(*this, id, writable));
}

Result<hal::FileInfo> SimFiles::info(const std::string& root, const std::string& relative) {
  spend_access();
  TRY_ASSIGN(std::string path, clean_path(root, relative));
  TRY_ASSIGN(Disk::Info info, machine_.disk().info(path));
  return to_hal(info);
}

Status SimFiles::remove(const std::string& root, const std::string& relative) {
  spend_access();
  TRY_ASSIGN(std::string path, clean_path(root, relative));
  return machine_.disk().remove(path);
}

Status SimFiles::sync_folder(const std::string& root, const std::string& relative) {
  spend_sync(0);
  TRY_ASSIGN(std::string path, clean_path(root, relative));
  TRY(machine_.disk().sync_folder(path));
  if (relative.empty()) machine_.disk().sync_name(path);
  return ok;
}

Result<std::vector<uint8_t>> SimFiles::read_file(const std::string& path, uint64_t size_max) {
  TRY_ASSIGN(std::unique_ptr<hal::File> file, open(path, "", hal::OpenMode::read));
  TRY_ASSIGN(hal::FileInfo info, file->info());
  if (info.size > size_max) return error(Errc::no_room, path + ": larger than " + std::to_string(size_max) + " bytes");
  std::vector<uint8_t> bytes(static_cast<size_t>(info.size));
  TRY_ASSIGN(size_t size, file->read_at(0, bytes));
  bytes.resize(size);
  return bytes;
}

Result<std::vector<std::string>> SimFiles::list(const std::string& path) {
  spend_access();
  TRY_ASSIGN(std::string clean, clean_path(path, ""));
  return machine_.disk().list(clean);
}

}  // namespace millet::sim
