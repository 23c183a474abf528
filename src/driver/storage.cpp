#include "driver/storage.h"

#include <algorithm>

#include "base/heap_sort.h"
#include "driver/storage_job.h"

namespace millet {
namespace {

// Read ahead of a cold block: a requester asks for the blocks of a piece in order, and a disk reads this much in the time that a seek
// takes.
constexpr uint64_t k_read_ahead = 128 * 1024;
constexpr size_t k_hash_buffer = 64 * 1024;  // stays in the second level cache between the read and the hash

class ReadJob final : public StorageJob {
 public:
  ReadJob(Storage& storage, Storage::Torrent& torrent, PeerHandle peer, const BlockRef& block, std::vector<uint8_t> buffer, bool ahead)
      : StorageJob(storage, torrent), peer_(peer), block_(block), data_(std::move(buffer)), ahead_(ahead) {
    ExtentWalk walk = torrent.layout.extents(block.piece, block.begin, block.length);
    for (FileExtent extent; walk.next(extent);) expect(extent.file, false);
  }
  void run() override { status_ = read(); }

 private:
  Status read() {
    data_.resize(block_.length);
    MutBytes out(data_);
    ExtentWalk walk = torrent_.layout.extents(block_.piece, block_.begin, block_.length);
    FileExtent extent;
    while (walk.next(extent)) {
      TRY(read_extent(extent, out));
      out = out.subspan(extent.length);
    }
    if (!ahead_) return ok;
    TRY_ASSIGN(hal::File * last, file(extent.file, hal::OpenMode::read));
    last->will_need(extent.offset + extent.length, k_read_ahead);
    return ok;
  }
  void finish() override { events().on_block_read(peer_, block_, status_, std::move(data_)); }

  PeerHandle peer_;
  BlockRef block_;
  std::vector<uint8_t> data_;
  bool ahead_;  // the next blocks, too, into the page cache
  Status status_ = ok;
};

class WriteJob final : public StorageJob {
 public:
  WriteJob(Storage& storage, Storage::Torrent& torrent, WriteBlock request) : StorageJob(storage, torrent), request_(std::move(request)) {
    CHECK(request_.data.size() == request_.block.length);
    ExtentWalk walk = torrent.layout.extents(request_.block.piece, request_.block.begin, request_.block.length);
    for (FileExtent extent; walk.next(extent);) {
      expect(extent.file, true);
      torrent.dirty[extent.file] = true;
    }
  }
  void run() override { status_ = write(); }

 private:
  Status write() {
    Bytes rest = request_.data;
    ExtentWalk walk = torrent_.layout.extents(request_.block.piece, request_.block.begin, request_.block.length);
    for (FileExtent extent; walk.next(extent);) {
      TRY_ASSIGN(hal::File * to, file(extent.file, hal::OpenMode::create));
      TRY(to->write_at(extent.offset, rest.first(extent.length)));
      rest = rest.subspan(extent.length);
    }
    return ok;
  }
  void finish() override { events().on_block_written(request_.ticket, status_); }

  WriteBlock request_;
  Status status_ = ok;
};

class CheckJob final : public StorageJob {
 public:
  CheckJob(Storage& storage, Storage::Torrent& torrent, Ticket ticket) : StorageJob(storage, torrent), ticket_(ticket) {}
  void run() override {
    Status fits = files().takes_payload(torrent_.root);
    states_ = fits ? states() : Result<FileStates>(std::move(fits).error());
  }

 private:
  void finish() override { events().on_files_checked(ticket_, states_); }
  Ticket ticket_;
  Result<FileStates> states_ = FileStates();
};

// Makes the empty files of a torrent. What goes wrong is told by the sync that comes later.
class MakeEmptyFilesJob final : public StorageJob {
 public:
  MakeEmptyFilesJob(Storage& storage, Storage::Torrent& torrent) : StorageJob(storage, torrent) {}
  void run() override {
    for (uint32_t i = 0; i < torrent_.files.size(); ++i) {
      if (torrent_.layout.file_size(i) == 0) static_cast<void>(file(i, hal::OpenMode::create).has_value());
    }
  }

 private:
  void finish() override {}
};

// The folder of a path, and every folder above it up to the root ("").
std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

void add_folders(const std::string& path, std::vector<std::string>& folders) {
  std::string folder = path;
  do {
    folder = folder_of(folder);
    folders.push_back(folder);
  } while (!folder.empty());
}

void sort_unique(std::vector<std::string>& names) {
  heap_sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

class SyncJob final : public StorageJob {
 public:
  SyncJob(Storage& storage, Storage::Torrent& torrent, Ticket ticket) : StorageJob(storage, torrent), ticket_(ticket) {
    for (uint32_t i = 0; i < torrent.files.size(); ++i) {
      bool is_empty = torrent.layout.file_size(i) == 0;
      bool is_named = !torrent.named.empty() && torrent.named[i];
      if (is_empty && !is_named) empty_.push_back(i);
      if (!is_empty && (torrent.dirty.empty() || !torrent.dirty[i])) continue;
      if (!is_empty) dirty_.push_back(i);
      if (!is_named) unnamed_.push_back(i);
      if (!is_empty) torrent.dirty[i] = false;
    }
    for (uint32_t index : dirty_) expect(index, false);
  }
  void run() override {
    synced_ = sync();
    states_ = synced_ ? states() : Result<FileStates>(synced_.error());
  }

 private:
  Status sync() {
    for (uint32_t index : empty_) {
      // One that is there may be in a folder that is read-only.
      if (!files().info(torrent_.root, path(index))) TRY(file(index, hal::OpenMode::create));
    }
    for (uint32_t index : dirty_) {
      // Open for reading is enough, and all that there is for a payload that is not ours to change.
      Result<hal::File*> to = file(index, hal::OpenMode::read);
      // A file that is not there is missing in the states.
      if (!to && to.error().code == Errc::not_found) continue;
      if (!to) return std::move(to).error();
      TRY((*to)->sync());
    }
    std::vector<std::string> folders;
    for (uint32_t index : unnamed_) add_folders(path(index), folders);
    sort_unique(folders);
    for (const std::string& folder : folders) {
      Status status = files().sync_folder(torrent_.root, folder);
      // A folder that we may not read is not one in which we made names.
      if (!status && status.error().code != Errc::not_found && status.error().code != Errc::denied) return status;
    }
    return ok;
  }
  void finish() override {
    if (!synced_) {
      for (uint32_t index : dirty_) torrent_.dirty[index] = true;
    } else if (!unnamed_.empty()) {
      torrent_.named.resize(torrent_.files.size());
      for (uint32_t index : unnamed_) torrent_.named[index] = true;
    }
    events().on_files_checked(ticket_, states_);
  }

  Ticket ticket_;
  std::vector<uint32_t> dirty_;
  std::vector<uint32_t> empty_;
  std::vector<uint32_t> unnamed_;  // of both
  Status synced_ = ok;
  Result<FileStates> states_ = FileStates();
};

class DeleteJob final : public StorageJob {
 public:
  DeleteJob(Storage& storage, Storage::Torrent& torrent) : StorageJob(storage, torrent) {}
  void run() override {
    std::vector<std::string> folders;
    for (const TorrentFile& entry : torrent_.files) {
      Status removed = files().remove(torrent_.root, entry.path);
      if (!removed && removed.error().code != Errc::not_found) status_ = removed;
      add_folders(entry.path, folders);
    }
    sort_unique(folders);
    // Deepest first; a folder that holds something else stays, and so does the root.
    for (size_t i = folders.size(); i-- > 1;) static_cast<void>(files().remove(torrent_.root, folders[i]).has_value());
  }

 private:
  void finish() override { events().on_files_deleted(torrent_.root, status_); }
  Status status_ = ok;
};

}  // namespace

// One piece, or two of one torrent in step, which takes hardly longer (Sha1::update_both).
class Storage::HashJob final : public StorageJob {
 public:
  HashJob(Storage& storage, Storage::Torrent& torrent, const HashPiece& request) : StorageJob(storage, torrent) { add(request); }
  bool takes(const HashPiece& request) const { return pieces_.size() == 1 && torrent_.handle == request.torrent; }
  // On the loop, before the job is submitted. Requires: takes(), but for the first.
  void add(const HashPiece& request) {
    uint32_t size = request.length != 0 ? request.length : torrent_.layout.piece_size(request.piece);
    ExtentWalk walk = torrent_.layout.extents(request.piece, request.begin, size);
    for (FileExtent extent; walk.next(extent);) {
      expect(extent.file, false);
      // What it reads may be in the page cache only, written by a process that was killed: the next sync takes it along.
      torrent_.dirty[extent.file] = true;
    }
    pieces_.push_back({request.ticket, torrent_.layout.extents(request.piece, request.begin, size), {}, size, Sha1(cpu()), ok});
  }
  void run() override {
    size_t buffer_size = std::min<size_t>(pieces_[0].left, k_hash_buffer);
    std::unique_ptr<uint8_t[]> memory(new uint8_t[2 * buffer_size]);  // not a vector, which would write zeros first
    MutBytes first(memory.get(), buffer_size);
    MutBytes second(memory.get() + buffer_size, buffer_size);
    while (pieces_.size() == 2 && pieces_[0].left != 0 && pieces_[1].left != 0) {
      Bytes x = read(pieces_[0], first);
      Bytes y = read(pieces_[1], second);
      Sha1::update_both(pieces_[0].sha1, x, pieces_[1].sha1, y);
    }
    for (Piece& piece : pieces_) {
      while (piece.left != 0) piece.sha1.update(read(piece, first));
    }
  }

 private:
  struct Piece {
    Ticket ticket;
    ExtentWalk walk;
    FileExtent extent;  // the rest of the one under way
    uint32_t left;      // bytes still to be read
    Sha1 sha1;
    Status status;
  };

  // The next bytes, as many as there is room for; none, and nothing left, if they can't be read.
  Bytes read(Piece& piece, MutBytes buffer) {
    size_t size = std::min<size_t>(piece.left, buffer.size());
    for (size_t done = 0; done < size;) {
      if (piece.extent.length == 0) CHECK(piece.walk.next(piece.extent));
      FileExtent part = piece.extent;
      part.length = static_cast<uint32_t>(std::min<size_t>(part.length, size - done));
      piece.status = read_extent(part, buffer.subspan(done));
      if (!piece.status) {
        piece.left = 0;
        return {};
      }
      piece.extent.offset += part.length;
      piece.extent.length -= part.length;
      done += part.length;
    }
    piece.left -= static_cast<uint32_t>(size);
    return buffer.first(size);
  }

  void finish() override {
    storage_.on_hash_job_done();
    for (Piece& piece : pieces_) {
      events().on_piece_hashed(piece.ticket,
                               piece.status ? Result<Sha1Digest>(piece.sha1.finish()) : Result<Sha1Digest>(piece.status.error()));
    }
  }

  std::vector<Piece> pieces_;
};

Storage::Storage(hal::Files& files, hal::Executor& executor, CpuFeatures cpu, StorageEvents& events, size_t open_files_max)
    : files_(files), executor_(executor), cpu_(cpu), events_(events), open_files_(open_files_max) {}

Storage::~Storage() = default;

Storage::Torrent& Storage::find(TorrentHandle handle) {
  auto found = torrents_.find(handle);
  CHECK(found != torrents_.end());
  return *found->second;
}

void Storage::unpin(Torrent& torrent) {
  CHECK(torrent.pins > 0);
  if (--torrent.pins == 0 && torrent.is_closed) torrents_.erase(torrent.handle);
}

void Storage::open(OpenTorrent request) {
  auto torrent = std::make_unique<Torrent>();
  std::vector<uint64_t> sizes;
  sizes.reserve(request.files.size());
  for (const TorrentFile& entry : request.files) sizes.push_back(entry.size);
  Result<PieceLayout> layout = PieceLayout::make(request.piece_size, sizes);
  CHECK(layout.has_value());  // the metainfo parser has checked it
  torrent->handle = request.torrent;
  torrent->root = std::move(request.root);
  torrent->files = std::move(request.files);
  torrent->layout = std::move(layout).value();
  CHECK(torrents_.emplace(request.torrent, std::move(torrent)).second);
}

void Storage::close(TorrentHandle handle, bool delete_files) {
  Torrent& torrent = find(handle);
  CHECK(!torrent.is_closed);
  open_files_.drop(handle);
  if (delete_files) {
    // Behind the writes that are under way, in their queue.
    auto job = std::make_unique<DeleteJob>(*this, torrent);
    torrent.is_closed = true;
    executor_.submit(hal::Queue::disk_write, std::move(job));
    return;
  }
  torrent.is_closed = true;
  if (torrent.pins == 0) torrents_.erase(handle);
}

void Storage::read(PeerHandle peer, const BlockRef& block, std::vector<uint8_t> buffer) {
  executor_.submit(hal::Queue::disk_read,
                   std::make_unique<ReadJob>(*this, find(block.torrent), peer, block, std::move(buffer), read_ahead_));
}

void Storage::write(WriteBlock request) {
  Torrent& torrent = find(request.block.torrent);
  torrent.dirty.resize(torrent.files.size());
  if (!torrent.made_empty) {
    torrent.made_empty = true;
    // Before the first block, so that a torrent that is complete has all its files.
    executor_.submit(hal::Queue::disk_write, std::make_unique<MakeEmptyFilesJob>(*this, torrent));
  }
  executor_.submit(hal::Queue::disk_write, std::make_unique<WriteJob>(*this, torrent, std::move(request)));
}

void Storage::hash(const HashPiece& request) {
  Torrent& torrent = find(request.torrent);
  torrent.dirty.resize(torrent.files.size());
  if (held_hash_ != nullptr && held_hash_->takes(request)) {
    held_hash_->add(request);
    submit_held_hash();
    return;
  }
  submit_held_hash();
  held_hash_ = std::make_unique<HashJob>(*this, torrent, request);
  if (hash_jobs_ == 0) submit_held_hash();
}

void Storage::submit_held_hash() {
  if (held_hash_ == nullptr) return;
  ++hash_jobs_;
  executor_.submit(hal::Queue::hash, std::move(held_hash_));
}

void Storage::on_hash_job_done() {
  CHECK(hash_jobs_ > 0);
  if (--hash_jobs_ == 0) submit_held_hash();
}

void Storage::check(const CheckFiles& request) {
  // A file that was put in place of another is opened anew from here on.
  open_files_.drop(request.torrent);
  executor_.submit(hal::Queue::disk_read, std::make_unique<CheckJob>(*this, find(request.torrent), request.ticket));
}

void Storage::sync(const SyncTorrent& request) {
  executor_.submit(hal::Queue::disk_write, std::make_unique<SyncJob>(*this, find(request.torrent), request.ticket));
}

}  // namespace millet
