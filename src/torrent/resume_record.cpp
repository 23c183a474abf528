#include "torrent/resume_record.h"

#include <algorithm>
#include <span>

namespace millet {
namespace {

constexpr uint8_t k_version = 1;
constexpr uint8_t k_flag_all = 1;
constexpr uint8_t k_flag_seed = 2;

constexpr uint64_t TransferCounters::*k_counters[] = {
    &TransferCounters::uploaded,  &TransferCounters::downloaded, &TransferCounters::paid_up, &TransferCounters::free_up,
    &TransferCounters::paid_down, &TransferCounters::free_down,  &TransferCounters::earned,
};

std::span<std::optional<FileState>> range_of(FileStates& files, uint32_t index) {
  CHECK(index < file_record_count(files.size()));
  size_t begin = size_t{index} * k_files_per_record;
  return std::span(files).subspan(begin, std::min<size_t>(k_files_per_record, files.size() - begin));
}

}  // namespace

std::vector<uint8_t> encode_resume(const ResumeRecord& record) {
  std::vector<uint8_t> out;
  ByteWriter writer(out);
  bool all = record.have.all();
  writer.u8(k_version).u8(static_cast<uint8_t>((all ? k_flag_all : 0) | (record.seed ? k_flag_seed : 0))).u32(record.have.size());
  for (auto counter : k_counters) writer.u64(record.counters.*counter);
  if (!all) writer.bytes(record.have.wire());
  writer.u32(static_cast<uint32_t>(record.leased.size()));
  for (uint32_t piece : record.leased) {
    CHECK(!record.have.test(piece));
    writer.u32(piece);
  }
  return out;
}

Result<ResumeRecord> decode_resume(Bytes bytes, uint32_t piece_count) {
  ByteReader reader(bytes);
  if (reader.u8() != k_version) return error(Errc::bad_input, "resume record of an unknown version");
  uint8_t flags = reader.u8();
  if (reader.u32() != piece_count) return error(Errc::bad_input, "resume record for another number of pieces");
  ResumeRecord record;
  record.seed = (flags & k_flag_seed) != 0;
  for (auto counter : k_counters) record.counters.*counter = reader.u64();
  record.have = Bitfield(piece_count);
  if (flags & k_flag_all) {
    record.have.set_all();
  } else {
    Bytes bits = reader.take(record.have.wire().size());
    if (!reader.ok()) return error(Errc::bad_input, "resume record is cut short");
    TRY_ASSIGN(record.have, Bitfield::from_wire(bits, piece_count));
  }
  uint32_t leased_count = reader.u32();
  if (leased_count > piece_count) return error(Errc::bad_input, "resume record leases more pieces than there are");
  for (uint32_t i = 0; i < leased_count; ++i) {
    uint32_t piece = reader.u32();
    bool ascending = record.leased.empty() || record.leased.back() < piece;
    if (piece >= piece_count || !ascending || record.have.test(piece)) return error(Errc::bad_input, "resume record leases a wrong piece");
    record.leased.push_back(piece);
  }
  if (!reader.done()) return error(Errc::bad_input, "resume record has the wrong size");
  return record;
}

std::vector<uint8_t> encode_files(const FileStates& files, uint32_t index) {
  std::vector<uint8_t> out;
  ByteWriter writer(out);
  writer.u8(k_version);
  size_t begin = size_t{index} * k_files_per_record;
  CHECK(begin < files.size());
  size_t end = std::min<size_t>(files.size(), begin + k_files_per_record);
  for (size_t i = begin; i < end; ++i) {
    FileState state = files[i].value_or(FileState{});
    writer.u8(files[i].has_value() ? 1 : 0).u64(state.size).u64(static_cast<uint64_t>(state.modified_ns));
  }
  return out;
}

Status decode_files(Bytes bytes, uint32_t index, FileStates& files) {
  ByteReader reader(bytes);
  if (reader.u8() != k_version) return error(Errc::bad_input, "file record of an unknown version");
  for (std::optional<FileState>& file : range_of(files, index)) {
    bool there = reader.u8() != 0;
    FileState state{reader.u64(), 0};
    state.modified_ns = static_cast<int64_t>(reader.u64());
    file = there ? std::optional(state) : std::nullopt;
  }
  if (!reader.done()) return error(Errc::bad_input, "file record has the wrong size");
  return ok;
}

}  // namespace millet
