#include "driver/witness_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/sign.h"
#include "driver/file_error.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/transaction.h"

namespace millet {
namespace {

constexpr size_t k_sector_size = 512;
constexpr size_t k_file_size_max = 16 * k_sector_size;  // a file of somebody else's may have some lines more
static_assert(k_head_text_max < k_sector_size);

Error witness_error(const std::string& path, const char* doing) {
  return file_error(std::string("can't ") + doing + " the witness file " + path);
}

Result<std::string> read_file(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return witness_error(path, "open");
  std::string text(k_file_size_max, '\0');
  ssize_t size = read(fd, text.data(), text.size());
  int code = errno;
  close(fd);
  errno = code;
  if (size < 0) return witness_error(path, "read");
  text.resize(static_cast<size_t>(size));
  return text;
}

// A whole sector: it is written in one go or not at all.
std::string sector_of(const HeadText& head) {
  std::string text = write_head_text(head);
  CHECK(text.size() < k_sector_size);
  text.resize(k_sector_size - 1, ' ');
  return text + "\n";
}

}  // namespace

WitnessFile::~WitnessFile() { close_file(); }

void WitnessFile::close_file() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Status WitnessFile::check(Store& store) const {
  TRY_ASSIGN(std::string text, read_file(path_));
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  bool any = false, forged = false;
  for (size_t at = text.find(k_head_title); at != std::string::npos; at = text.find(k_head_title, at + 1)) {
    std::string_view line = std::string_view(text).substr(at);
    Result<HeadText> seen = parse_head_text(line.substr(0, line.find('\n')));
    if (!seen) continue;  // the sector that power was cut over
    if (seen->ledger != ledger_) {
      return error(Errc::conflict,
                   "the witness file " + path_ + " belongs to the ledger " + seen->ledger.hex() + ": name another with ledgerd.witness");
    }
    if (!verify(key_, preimage(seen->head.statement(ledger_)), seen->head.signature)) {
      forged = true;
      continue;
    }
    any = true;
    TRY(check_head(*transaction, seen->head));
  }
  if (any) return ok;
  return error(Errc::bad_input, "the witness file " + path_ + (forged ? " has no tree head that this ledger signed" : " can't be read") +
                                    ": restore it, or move it away if you know that the ledger's state is the newest");
}

Status WitnessFile::check_head(StoreTransaction& transaction, const SignedTreeHead& seen) const {
  TRY_ASSIGN(std::optional<LedgerRow> row, read_row<LedgerRow>(transaction, k_table_ledger, as_bytes(k_ledger_row_key)));
  if (!row) return error(Errc::io, "the ledger's state has lost its state row");
  if (row->records < seen.size) {
    return error(Errc::conflict, "the ledger's log has " + std::to_string(row->records) + " records, but the witness file " + path_ +
                                     " has seen " + std::to_string(seen.size) +
                                     ": this is an old copy, and what is missing was acknowledged. Restore the newest state");
  }
  LogTreeReader tree(transaction);
  TRY_ASSIGN(Hash32 root, merkle_root(tree, seen.size));
  if (root != seen.root) {
    return error(Errc::conflict, "the ledger's log has other records than the witness file " + path_ +
                                     " has seen: it went on from an old copy. Restore the newest state of the log that was served");
  }
  return ok;
}

Status WitnessFile::note(const SignedTreeHead& head, bool sync) {
  // Whoever moves the file away or replaces it wants another one.
  struct stat info {};
  if (sync && fd_ >= 0 && (fstat(fd_, &info) != 0 || info.st_nlink == 0)) close_file();
  bool known = fd_ >= 0 && head == noted_;
  if (known && (synced_ || !sync)) return ok;
  if (!known) {
    std::string sector = sector_of({ledger_, head});
    synced_ = false;
    if (fd_ < 0) {
      TRY(make(sector));
      synced_ = true;
    } else if (pwrite(fd_, sector.data(), sector.size(), static_cast<off_t>(next_sector_ * k_sector_size)) !=
               static_cast<ssize_t>(sector.size())) {
      Error failed = witness_error(path_, "write");
      close_file();
      return failed;
    }
    next_sector_ ^= 1;
    noted_ = head;
  }
  if (!sync || synced_) return ok;
  if (fdatasync(fd_) != 0) {
    Error failed = witness_error(path_, "make durable");
    close_file();
    return failed;
  }
  synced_ = true;
  return ok;
}

// A new file, under its name when it is whole on the disk.
Status WitnessFile::make(const std::string& sector) {
  std::string draft = path_ + ".new", text = sector + std::string(k_sector_size - 1, ' ') + "\n";
  int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return witness_error(draft, "create");
  bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  Status status = written ? Status(ok) : Status(witness_error(draft, "write"));
  if (status && rename(draft.c_str(), path_.c_str()) != 0) status = witness_error(path_, "replace");
  if (status) status = sync_folder_of(path_, "the witness file " + path_);
  if (!status) {
    close(fd);
    return status;
  }
  fd_ = fd;
  next_sector_ = 0;  // becomes 1
  return ok;
}

}  // namespace millet
