// What protects a ledger against its own old backups: a file beside the database that remembers the newest tree head that was signed. A
// database whose log is shorter, or has other records, is not served: clients hold receipts of what it lacks. It lies best on another disk
// than the database, and is never part of a backup. A copy that lacks only time is served: its log has all that was promised. Tree heads
// that others kept (`millet ledger head`) are held against it in the same way.
//
// Two sectors with a line each (ledger/common/head_text.h), written in turn: one of them is whole whenever power is cut. Every head is
// written before anybody is answered from it, but goes to the disk only now and then: what a restore could take back unseen is what
// followed the last of those, and only if power was cut meanwhile.
#pragma once

#include <string>

#include "ledger/common/head_text.h"
#include "store/store.h"

namespace millet {

inline constexpr const char* k_witness_file_name = "witness";  // in the state folder, if no other place is named

class WitnessFile {
 public:
  WitnessFile(std::string path, const LedgerId& ledger, const PublicKey& key) : path_(std::move(path)), ledger_(ledger), key_(key) {}
  ~WitnessFile();
  WitnessFile(const WitnessFile&) = delete;
  WitnessFile& operator=(const WitnessFile&) = delete;

  // Holds the store's log against the file. Errors: conflict (an old copy, another history, another ledger), bad_input (the file can't be
  // read, or the ledger has signed nothing in it), not_found (no file: there is nothing to hold against), io.
  Status check(Store& store) const;
  // Writes a head down. `sync`: durable when it returns. Requires: the store has that log. Errors: io, no_room, denied.
  Status note(const SignedTreeHead& head, bool sync);

 private:
  Status check_head(StoreTransaction& transaction, const SignedTreeHead& seen) const;
  Status make(const std::string& sector);
  void close_file();

  std::string path_;
  LedgerId ledger_;
  PublicKey key_;
  SignedTreeHead noted_;
  bool synced_ = false;
  int fd_ = -1;
  unsigned next_sector_ = 0;
};

}  // namespace millet
