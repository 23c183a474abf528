// Where a torrent's pieces lie in its files (BEP 3): the files in the order of the metainfo are one run of bytes, cut into pieces of equal
// size, the last one shorter. Arithmetic only; paths and reading are the driver's.
//
//   files    |------a------|-b-|(c: empty)|-----------d-----------|
//   pieces   |----0----|----1----|----2----|----3----|--4--|
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace millet {

inline constexpr uint32_t k_block_size = 16 * 1024;  // BEP 3: the transfer unit that every client requests

// A run of bytes within one file.
struct FileExtent {
  uint32_t file = 0;    // index in the order of the metainfo
  uint64_t offset = 0;  // in the file
  uint32_t length = 0;  // never 0
  bool operator==(const FileExtent&) const = default;
};

class PieceLayout;

// The extents of one range, in order. Valid as long as its layout.
class ExtentWalk {
 public:
  // The next extent; false at the end. Empty files have none.
  bool next(FileExtent& extent);

 private:
  friend class PieceLayout;
  ExtentWalk(const PieceLayout& layout, uint64_t at, uint32_t left);
  const PieceLayout* layout_;
  uint64_t at_;
  uint32_t left_;
  uint32_t file_;
};

class PieceLayout {
 public:
  // What offsets in files can express (off_t); also keeps every sum below in 64 bits.
  static constexpr uint64_t k_total_size_max = uint64_t{1} << 62;

  // No files, no pieces.
  PieceLayout() = default;
  // Errors: bad_input if the piece size is zero, the sizes sum up above k_total_size_max, or there are more than 2^32 - 1 pieces.
  static Result<PieceLayout> make(uint32_t piece_size, const std::vector<uint64_t>& file_sizes);

  uint64_t total_size() const { return ends_.empty() ? 0 : ends_.back(); }
  uint32_t piece_count() const { return piece_count_; }
  // Of every piece but the last.
  uint32_t nominal_piece_size() const { return piece_size_; }
  // Requires: piece < piece_count().
  uint32_t piece_size(uint32_t piece) const;
  // Blocks of k_block_size in a piece, the last one shorter. Requires: piece < piece_count().
  uint32_t block_count(uint32_t piece) const { return (piece_size(piece) - 1) / k_block_size + 1; }
  // Requires: piece < piece_count(), block < block_count(piece).
  uint32_t block_size(uint32_t piece, uint32_t block) const;

  // True if the range lies within one piece: what every use below requires, to be asked first where the numbers come from a peer.
  bool contains(uint32_t piece, uint32_t begin, uint32_t length) const;
  // The extents of a range within one piece. Requires: contains(piece, begin, length).
  ExtentWalk extents(uint32_t piece, uint32_t begin, uint32_t length) const;

  uint32_t file_count() const { return static_cast<uint32_t>(ends_.size()); }
  // Requires: file < file_count().
  uint64_t file_begin(uint32_t file) const { return file == 0 ? 0 : end_of(file - 1); }
  uint64_t file_size(uint32_t file) const { return end_of(file) - file_begin(file); }
  // The pieces that have bytes in a file: [first, last], nothing (first > last) for an empty file. Requires: file < file_count().
  struct PieceRange {
    uint32_t first = 1;
    uint32_t last = 0;
    bool empty() const { return first > last; }
  };
  PieceRange pieces_of_file(uint32_t file) const;

 private:
  friend class ExtentWalk;
  uint64_t end_of(uint32_t file) const {
    CHECK(file < ends_.size());
    return ends_[file];
  }
  std::vector<uint64_t> ends_;  // offset in the torrent of the byte after each file; never decreases
  uint32_t piece_size_ = 0;
  uint32_t piece_count_ = 0;
};

}  // namespace millet
