#include "apps/sent_note.h"

#include <unistd.h>

#include <cstdio>

#include "codec/fields.h"
#include "crypto/hash.h"
#include "driver/file_error.h"

namespace millet {

SentNote::SentNote(const std::string& folder, const TransferStatement& transfer) {
  TransferStatement terms = transfer;
  terms.nonce = {};
  terms.valid_until = {};
  path_ = folder + "/wallet.send-" + to_hex(Bytes(blake2b_256(preimage(terms))).first(8));
}

bool SentNote::take_up(TransferStatement& transfer, LedgerTime now) const {
  FILE* file = std::fopen(path_.c_str(), "re");
  if (file == nullptr) return false;
  char nonce[2 * 16 + 1] = "";
  unsigned long long seconds = 0;
  int fields = std::fscanf(file, "%32s %llu", nonce, &seconds);
  std::fclose(file);
  TransferStatement kept = transfer;
  kept.valid_until = LedgerTime::from_seconds(seconds);
  if (fields != 2 || !from_hex(nonce, kept.nonce) || kept.valid_until <= now) return false;
  transfer = kept;
  return true;
}

// In place: what is torn was not sent, and what is replaced can't be executed any more.
Status SentNote::keep(const TransferStatement& transfer) const {
  std::string what = "can't write " + path_;
  FILE* file = std::fopen(path_.c_str(), "we");
  if (file == nullptr) return file_error(what);
  std::fprintf(file, "%s %llu\n", to_hex(transfer.nonce).c_str(), static_cast<unsigned long long>(transfer.valid_until.in_seconds()));
  bool written = std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  Error failed = file_error(what);
  std::fclose(file);
  if (!written) return failed;
  return sync_folder_of(path_, path_);
}

void SentNote::drop() const { unlink(path_.c_str()); }

}  // namespace millet
