// What one uTP stream has been offered and its peer has not acknowledged, so that any range of the stream can be had again: message bytes
// as they are, payload as names of blocks, which are read from the disk's cache when a packet goes out. 32 bytes for each block of 16 KiB.
//
//   offset   begin            begin + head_size
//            |   head bytes   |   block (maybe none)   |   next entry ...
#pragma once

#include <optional>
#include <vector>

#include "node/io.h"

namespace millet {

class UtpJournal {
 public:
  // Appends an item of the node (SendItem). Requires: it is not empty.
  void add(Bytes head, const std::optional<BlockRef>& block);
  // Bytes of the stream so far.
  uint64_t end() const { return end_; }
  // The stream up to here will not be asked for again.
  void trim(uint64_t acknowledged);
  size_t memory() const { return entries_.capacity() * sizeof(Entry) + heads_.capacity(); }
  // Something in it has to be read from a disk.
  bool has_blocks() const { return blocks_ != 0; }

  // The stream from `offset` on: message bytes are copied into `out`, each run of payload is appended to `blocks` with its place in `out`.
  // Requires: the range is neither trimmed nor past the end.
  void gather(uint64_t offset, MutBytes out, std::vector<BlockRef>& blocks, std::vector<MutBytes>& places) const;

 private:
  static constexpr size_t k_heads_kept_max = 4096;  // capacity that stays when it is empty; a bitfield may have needed more
  struct Entry {
    uint64_t begin = 0;
    uint64_t head_at = 0;  // in all head bytes ever
    uint32_t head_size = 0;
    BlockRef block;  // length 0: none
    uint64_t end() const { return begin + head_size + block.length; }
  };

  std::vector<Entry> entries_;
  size_t first_ = 0;  // entries before it are trimmed
  std::vector<uint8_t> heads_;
  uint64_t heads_begin_ = 0;  // of heads_[0], in all head bytes ever
  uint64_t end_ = 0;
  size_t blocks_ = 0;  // entries with a block
};

}  // namespace millet
