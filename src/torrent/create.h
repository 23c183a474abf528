// Making a .torrent (BEP 3): says what to read, is fed the bytes, and gives the file. Walking folders and reading are the application's.
//
// Given the same files, the info dictionary is byte for byte what mktorrent 1.1 makes, so that both give the same info hash: files in the
// order of their whole paths as bytes ('/' is a byte like others: "a-b" < "a/b" < "ab"), empty files included, empty folders not, pieces of
// 256 KiB unless asked otherwise, "private" only if set.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "crypto/hash.h"

namespace millet {

inline constexpr uint32_t k_create_piece_size = 256 * 1024;  // mktorrent's
// Above this many pieces of k_create_piece_size (64 GiB), pieces are made larger: 5 MiB of hashes leave room for many paths in a .torrent
// that everybody takes.
inline constexpr uint32_t k_create_pieces_max = 256 * 1024;

struct CreateFile {
  std::string path;  // below the torrent's folder, '/' between components; of a single file its name
  uint64_t size = 0;
};

struct CreateOptions {
  std::string name;                                     // of the folder, or of the single file
  bool single_file = false;                             // the payload is a file, not a folder with one file
  uint32_t piece_size = 0;                              // bytes, a power of two; 0: automatic
  bool is_private = false;                              // BEP 27
  std::vector<std::vector<std::string>> tracker_tiers;  // BEP 12
};

// Piece size and trackers, before anything was read. Errors: bad_input.
Status check_create_options(const CreateOptions& options);

class TorrentCreator {
 public:
  // Errors: bad_input if there are no files, a path or the piece size breaks a rule of metainfo.h, or a URL is none; no_room if the
  // .torrent would be too large. Requires: single_file means one file.
  static Result<TorrentCreator> make(std::vector<CreateFile> files, CreateOptions options, CpuFeatures cpu);

  // In the order in which they are read and stand in the torrent.
  const std::vector<CreateFile>& files() const { return files_; }
  uint64_t total_size() const { return total_size_; }
  uint32_t piece_size() const { return options_.piece_size; }
  uint32_t piece_count() const { return static_cast<uint32_t>(hashes_.size() / Sha1Digest::k_size); }

  // What is to be read next.
  struct Want {
    uint32_t file = 0;    // index in files()
    uint64_t offset = 0;  // in the file
    uint64_t size = 0;    // to the end of the file; never 0
  };
  // False: everything was read.
  bool next_read(Want& out) const;
  // The next bytes of what next_read() asks for. Requires: at most Want::size.
  void feed(Bytes bytes);
  uint64_t hashed_size() const { return hashed_size_; }

  // The .torrent. Requires: everything was read.
  std::vector<uint8_t> metainfo() const;
  InfoHash info_hash() const;

 private:
  TorrentCreator(std::vector<CreateFile> files, CreateOptions options, CpuFeatures cpu);
  Status check_and_count();
  Status choose_piece_size();
  void skip_empty_files();
  void finish_piece();
  bool is_done() const { return file_ == files_.size(); }
  std::vector<uint8_t> info() const;
  std::vector<uint8_t> encoded() const;

  std::vector<CreateFile> files_;
  CreateOptions options_;
  CpuFeatures cpu_;
  uint64_t total_size_ = 0;
  std::vector<uint8_t> hashes_;  // of all pieces; zeros where the piece was not read yet

  uint32_t file_ = 0;    // that is being read; files_.size(): all were
  uint64_t offset_ = 0;  // in it
  uint64_t hashed_size_ = 0;
  Sha1 piece_;
  uint32_t piece_left_ = 0;  // bytes until the piece is whole
  uint32_t piece_index_ = 0;
};

}  // namespace millet
