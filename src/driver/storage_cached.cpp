// The hot path of seeding: blocks that the system holds in memory, read on the loop with as few system calls as possible. Blocks that
// follow each other in a file are one scattered read; the caller has left room between them for message headers.
#include "driver/storage_job.h"

namespace millet {
namespace {

// Extents that follow each other in one file, and where their bytes go.
struct Run {
  hal::File* file = nullptr;
  uint64_t offset = 0;
  uint64_t size = 0;
  size_t count = 0;
  MutBytes parts[hal::File::k_read_parts_max];

  bool continues(hal::File* other, uint64_t at) const {
    return file == other && at == offset + size && count < hal::File::k_read_parts_max;
  }
  void add(MutBytes part) {
    parts[count++] = part;
    size += part.size();
  }
  // The number of bytes that are there.
  size_t read() const {
    if (count == 0) return 0;
    Result<size_t> got = file->read_cached(offset, std::span(parts, count));
    return got ? *got : 0;
  }
};

}  // namespace

size_t Storage::read_cached(std::span<const BlockRef> blocks, std::span<const MutBytes> out) {
  CHECK(blocks.size() == out.size());
  Run run;
  uint64_t asked = 0;  // bytes of all blocks that are in runs
  uint64_t got = 0;    // bytes that are there, without a gap
  bool all = true;
  auto flush = [&] {
    got += run.read();
    run = {};
    return got == asked;
  };
  for (size_t i = 0; i < blocks.size() && all; ++i) {
    CHECK(out[i].size() == blocks[i].length);
    Torrent& torrent = find(blocks[i].torrent);
    MutBytes to = out[i];
    ExtentWalk walk = torrent.layout.extents(blocks[i].piece, blocks[i].begin, blocks[i].length);
    for (FileExtent extent; all && walk.next(extent);) {
      OpenFiles::Entry* entry = open_files_.find(blocks[i].torrent, extent.file, false);
      hal::File* file = entry == nullptr ? nullptr : entry->file.get();
      if (run.count != 0 && !run.continues(file, extent.offset)) all = flush();
      if (file == nullptr) all = false;
      if (!all) break;
      if (run.count == 0) {
        run.file = file;
        run.offset = extent.offset;
      }
      run.add(to.first(extent.length));
      asked += extent.length;
      to = to.subspan(extent.length);
    }
  }
  flush();
  size_t whole = 0;
  while (whole < blocks.size() && blocks[whole].length <= got) got -= blocks[whole++].length;
  return whole;
}

std::optional<Storage::CachedPlace> Storage::find_cached(const BlockRef& block) {
  FileExtent extent;
  if (!find(block.torrent).layout.extents(block.piece, block.begin, block.length).next(extent) || extent.length != block.length)
    return std::nullopt;
  OpenFiles::Entry* entry = open_files_.find(block.torrent, extent.file, false);
  if (entry == nullptr || entry->file->descriptor() < 0) return std::nullopt;
  Result<bool> cached = entry->file->is_cached(extent.offset, extent.length);
  if (!cached || !*cached) return std::nullopt;
  return CachedPlace{entry->file.get(), extent.offset};
}

}  // namespace millet
