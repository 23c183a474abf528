#include "driver/witness_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cinttypes>

#include "ledger/server/log_tree.h"
#include "ledger/server/transaction.h"

namespace millet {
namespace {

constexpr size_t k_text_max = 256;
constexpr const char* k_title = "millet-ledger-witness 1";

Error system_error(const std::string& path, const char* doing) {
  int number = errno;
  Errc code = number == EACCES || number == EPERM || number == EROFS ? Errc::denied
              : number == ENOSPC || number == EDQUOT                 ? Errc::no_room
                                                                     : Errc::io;
  return error(code, std::string("can't ") + doing + " the witness file " + path + ": " + strerror(number));
}

Status sync_path(const std::string& path, int flags) {
  int fd = open(path.c_str(), flags | O_CLOEXEC);
  bool good = fd >= 0 && fsync(fd) == 0;
  Status status = good ? Status(ok) : Status(system_error(path, "make durable"));
  if (fd >= 0) close(fd);
  return status;
}

Result<LedgerRow> log_end(StoreTransaction& transaction) {
  TRY_ASSIGN(std::optional<LedgerRow> row, read_row<LedgerRow>(transaction, k_table_ledger, as_bytes(k_ledger_row_key)));
  if (!row) return error(Errc::io, "the ledger's state has lost its state row");
  return *row;
}

}  // namespace

Status WitnessFile::check(Store& store) const {
  int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return ok;
  if (fd < 0) return system_error(path_, "open");
  char text[k_text_max + 1] = {};
  ssize_t size = read(fd, text, k_text_max);
  close(fd);
  if (size < 0) return system_error(path_, "read");
  char ledger_text[65] = {}, root_text[65] = {};
  Seen seen;
  LedgerId ledger;
  bool good = strncmp(text, k_title, strlen(k_title)) == 0 &&
              sscanf(text + strlen(k_title), " %64[0-9a-f] %" SCNu64 " %64[0-9a-f]", ledger_text, &seen.size, root_text) == 3 &&
              from_hex(ledger_text, ledger.raw).has_value() && from_hex(root_text, seen.root).has_value();
  if (!good)
    return error(Errc::bad_input, "the witness file " + path_ +
                                      " can't be read: restore it, or move it away if you know that the ledger's state is the newest");
  if (ledger != ledger_)
    return error(Errc::conflict,
                 "the witness file " + path_ + " belongs to the ledger " + ledger.hex() + ": name another with ledgerd.witness");

  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  TRY_ASSIGN(LedgerRow row, log_end(*transaction));
  if (row.records < seen.size) {
    return error(Errc::conflict, "the ledger's log has " + std::to_string(row.records) + " records, but the witness file " + path_ +
                                     " has seen " + std::to_string(seen.size) +
                                     ": this is an old copy, and what is missing was acknowledged. Restore the newest state");
  }
  LogTreeReader tree(*transaction);
  TRY_ASSIGN(Hash32 root, merkle_root(tree, seen.size));
  if (root == seen.root) return ok;
  return error(Errc::conflict, "the ledger's log has other records than the witness file " + path_ +
                                   " has seen: it went on from an old copy. Restore the newest state of the log that was served");
}

Status WitnessFile::note(Store& store) {
  LedgerRow row;
  {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
    TRY_ASSIGN(row, log_end(*transaction));
  }
  if (row.records == noted_) return ok;
  TRY(write({row.records, row.root}));
  noted_ = row.records;
  return ok;
}

Status WitnessFile::write(const Seen& seen) const {
  std::string text = std::string(k_title) + " " + ledger_.hex() + " " + std::to_string(seen.size) + " " + to_hex(seen.root) + "\n";
  std::string draft = path_ + ".new";
  int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return system_error(draft, "create");
  bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  Status status = written ? Status(ok) : Status(system_error(draft, "write"));
  close(fd);
  TRY(status);
  if (rename(draft.c_str(), path_.c_str()) != 0) return system_error(path_, "replace");
  size_t slash = path_.rfind('/');
  return sync_path(slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash), O_RDONLY | O_DIRECTORY);
}

}  // namespace millet
