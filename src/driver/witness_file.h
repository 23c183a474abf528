// What protects a ledger against its own old backups: a file beside the database that remembers how long the log has been, and its Merkle
// root then. A database that is shorter, or has other records, is not served: clients hold receipts of what it lacks. It lies best on
// another disk than the database, and is never part of a backup.
//
//   "millet-ledger-witness 1" ledger id, size of the log, root; one line, hexadecimal and decimal
#pragma once

#include <string>

#include "base/ids.h"
#include "crypto/hash.h"
#include "store/store.h"

namespace millet {

inline constexpr const char* k_witness_file_name = "witness";  // in the state folder, if no other place is named

class WitnessFile {
 public:
  WitnessFile(std::string path, const LedgerId& ledger) : path_(std::move(path)), ledger_(ledger) {}

  // Holds the store's log against the file; without a file there is nothing to hold against.
  // Errors: conflict (an old copy, or another history), bad_input (the file can't be read), io.
  Status check(Store& store) const;
  // Writes down how far the store's log has come; durable when it returns. Errors: io, no_room, denied.
  Status note(Store& store);

 private:
  struct Seen {
    uint64_t size = 0;
    Hash32 root{};
  };
  Status write(const Seen& seen) const;

  std::string path_;
  LedgerId ledger_;
  uint64_t noted_ = 0;  // size of the log when it was written last
};

}  // namespace millet
