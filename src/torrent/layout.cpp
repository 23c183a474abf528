#include "torrent/layout.h"

#include <algorithm>

namespace millet {

Result<PieceLayout> PieceLayout::make(uint32_t piece_size, const std::vector<uint64_t>& file_sizes) {
  if (piece_size == 0) return error(Errc::bad_input, "the piece size is zero");
  PieceLayout layout;
  layout.piece_size_ = piece_size;
  layout.ends_.reserve(file_sizes.size());
  uint64_t total = 0;
  for (uint64_t size : file_sizes) {
    if (size > k_total_size_max - total) return error(Errc::bad_input, "the files are together larger than 2^62 bytes");
    total += size;
    layout.ends_.push_back(total);
  }
  uint64_t pieces = total / piece_size + (total % piece_size != 0 ? 1 : 0);
  if (pieces > UINT32_MAX) return error(Errc::bad_input, "the piece size is too small: more than 2^32 - 1 pieces");
  layout.piece_count_ = static_cast<uint32_t>(pieces);
  return layout;
}

uint32_t PieceLayout::piece_size(uint32_t piece) const {
  CHECK(piece < piece_count_);
  uint64_t begin = uint64_t{piece} * piece_size_;
  return static_cast<uint32_t>(std::min<uint64_t>(piece_size_, total_size() - begin));
}

uint32_t PieceLayout::block_size(uint32_t piece, uint32_t block) const {
  CHECK(block < block_count(piece));
  return std::min(k_block_size, piece_size(piece) - block * k_block_size);
}

bool PieceLayout::contains(uint32_t piece, uint32_t begin, uint32_t length) const {
  if (piece >= piece_count_) return false;
  uint32_t size = piece_size(piece);
  return begin <= size && length <= size - begin;
}

ExtentWalk PieceLayout::extents(uint32_t piece, uint32_t begin, uint32_t length) const {
  CHECK(contains(piece, begin, length));
  return ExtentWalk(*this, uint64_t{piece} * piece_size_ + begin, length);
}

PieceLayout::PieceRange PieceLayout::pieces_of_file(uint32_t file) const {
  if (file_size(file) == 0) return {};
  return {static_cast<uint32_t>(file_begin(file) / piece_size_), static_cast<uint32_t>((end_of(file) - 1) / piece_size_)};
}

ExtentWalk::ExtentWalk(const PieceLayout& layout, uint64_t at, uint32_t left) : layout_(&layout), at_(at), left_(left) {
  // The first file that ends after `at`; empty files before it end at or before `at`.
  auto found = std::upper_bound(layout.ends_.begin(), layout.ends_.end(), at);
  file_ = static_cast<uint32_t>(found - layout.ends_.begin());
}

bool ExtentWalk::next(FileExtent& extent) {
  if (left_ == 0) return false;
  while (layout_->end_of(file_) <= at_) ++file_;
  uint64_t in_file = layout_->end_of(file_) - at_;
  extent.file = file_;
  extent.offset = at_ - layout_->file_begin(file_);
  extent.length = static_cast<uint32_t>(std::min<uint64_t>(in_file, left_));
  at_ += extent.length;
  left_ -= extent.length;
  return true;
}

}  // namespace millet
