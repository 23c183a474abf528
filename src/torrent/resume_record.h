// What a torrent keeps across restarts, as bytes: which pieces are verified, which may be half written, counters, and how each file looked
// when it was last known to be good. Read by the next version too: the first byte is the version of the form.
//
//   resume   1:u8 flags:u8 pieces:u32 counters:u64[8] bits[(pieces+7)/8] leased_count:u32 leased:u32[]
//            flags: 1 all pieces are there (no bits follow), 2 the payload was there before us (ResumeRecord::seed)
//   files    1:u8 { there:u8 size:u64 modified_ns:u64 }[]       k_files_per_record files a record, so that a change rewrites little
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bitfield.h"

namespace millet {

// How a payload file looks from outside.
struct FileState {
  uint64_t size = 0;
  int64_t modified_ns = 0;  // since 1970
  bool operator==(const FileState&) const = default;
};
// Of all files of a torrent, in the order of the metainfo; nothing: there is no such file.
using FileStates = std::vector<std::optional<FileState>>;

// Since the torrent was added. Bytes of payload; amounts in micro-BTT.
struct TransferCounters {
  uint64_t uploaded = 0;
  uint64_t downloaded = 0;
  uint64_t paid_up = 0;
  uint64_t free_up = 0;
  uint64_t paid_down = 0;
  uint64_t free_down = 0;
  uint64_t earned = 0;
  bool operator==(const TransferCounters&) const = default;
};

struct ResumeRecord {
  Bitfield have;                 // verified, and durable on the disk
  std::vector<uint32_t> leased;  // ascending; may be half written, and none of them is in `have`
  bool seed = false;             // the payload is the owner's: never written over without being asked
  TransferCounters counters;
};

std::vector<uint8_t> encode_resume(const ResumeRecord& record);
// Errors: bad_input if it is no such record, or one for another number of pieces.
Result<ResumeRecord> decode_resume(Bytes bytes, uint32_t piece_count);

inline constexpr uint32_t k_files_per_record = 128;
constexpr uint32_t file_record_count(size_t files) { return static_cast<uint32_t>((files + k_files_per_record - 1) / k_files_per_record); }
// The record of files [index * k_files_per_record, ...). Requires: index < file_record_count(files.size()).
std::vector<uint8_t> encode_files(const FileStates& files, uint32_t index);
// Fills that range of `files`, which has its final size. Errors: bad_input.
Status decode_files(Bytes bytes, uint32_t index, FileStates& files);

}  // namespace millet
