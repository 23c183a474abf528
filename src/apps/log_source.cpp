#include "apps/log_source.h"

#include <errno.h>
#include <unistd.h>

#include <cstring>

#include "ledger/server/tables.h"

namespace millet {
namespace {

constexpr std::string_view k_log_file_tag = "BTT1LOGF";

Error file_error(const std::string& path, const char* doing) {
  int code = errno;
  return error(code == ENOSPC ? Errc::no_room : Errc::io, std::string("can't ") + doing + " " + path + ": " + std::strerror(code));
}

Status put(std::FILE* file, Bytes bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) return error(Errc::io, "short write");
  return ok;
}

Status write_all(std::FILE* file, const PublicKey& key, const SignedTreeHead& head, LogSource& log) {
  std::vector<uint8_t> bytes;
  ByteWriter(bytes).text(k_log_file_tag).bytes(key.bytes());
  append_fields(bytes, head);
  TRY(put(file, bytes));
  std::vector<uint8_t> record;
  for (;;) {
    TRY_ASSIGN(bool more, log.next(record));
    if (!more) return ok;
    bytes.clear();
    ByteWriter(bytes).u16(static_cast<uint16_t>(record.size())).bytes(record);
    TRY(put(file, bytes));
  }
}

}  // namespace

Result<bool> StoreLogSource::next(std::vector<uint8_t>& record) {
  if (next_ == size_) return false;
  TRY_ASSIGN(std::optional<Bytes> bytes, store_.get(k_table_log, log_key(next_)));
  if (!bytes) return error(Errc::bad_input, "record " + std::to_string(next_) + " is missing");
  record.assign(bytes->begin(), bytes->end());
  ++next_;
  return true;
}

FileLogSource::~FileLogSource() { std::fclose(file_); }

Status FileLogSource::read(MutBytes out) {
  if (std::fread(out.data(), 1, out.size(), file_) == out.size()) return ok;
  if (std::ferror(file_) != 0) return file_error(path_, "read");
  return error(Errc::bad_input, path_ + " is cut off");
}

Result<std::unique_ptr<FileLogSource>> FileLogSource::open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return file_error(path, "open");
  std::unique_ptr<FileLogSource> source(new FileLogSource(file, path));
  std::array<uint8_t, 8 + PublicKey::k_size + k_fields_size<SignedTreeHead>> start;
  Status read = source->read(start);
  if (!read || as_text(Bytes(start).first(8)) != k_log_file_tag) {
    return error(Errc::bad_input, path + " is no log of a ledger: millet-ledgerd export FILE writes one");
  }
  source->key_ = PublicKey::from_bytes(Bytes(start).subspan(8, PublicKey::k_size));
  TRY_ASSIGN(source->head_, decode_fields<SignedTreeHead>(Bytes(start).subspan(8 + PublicKey::k_size)));
  return source;
}

Result<bool> FileLogSource::next(std::vector<uint8_t>& record) {
  if (next_ == head_.size) {
    if (std::fgetc(file_) != EOF) return error(Errc::bad_input, path_ + " goes on after its last record");
    return false;
  }
  std::array<uint8_t, 2> size;
  TRY(read(size));
  record.resize(load_be<uint16_t>(size.data()));
  if (record.size() > k_record_size_max) return error(Errc::bad_input, "record " + std::to_string(next_) + " is too long");
  TRY(read(record));
  ++next_;
  return true;
}

Status write_log_file(const std::string& path, const PublicKey& key, const SignedTreeHead& head, LogSource& log) {
  const std::string made = path + ".new";
  std::FILE* file = std::fopen(made.c_str(), "wbe");
  if (file == nullptr) return file_error(made, "write");
  Status written = write_all(file, key, head, log);
  if (written && (std::fflush(file) != 0 || fsync(fileno(file)) != 0)) written = file_error(made, "write");
  if (std::fclose(file) != 0 && written) written = file_error(made, "write");
  if (written && std::rename(made.c_str(), path.c_str()) != 0) written = file_error(path, "replace");
  if (!written) std::remove(made.c_str());
  return written;
}

}  // namespace millet
