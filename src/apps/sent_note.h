// A transfer that was signed and has no answer yet, in a file of the wallet's folder: `millet wallet send`, given the same amount and
// receiver again, sends the same bytes, which the ledger executes once. Signatures are deterministic: nonce and validity are all that must
// be kept.
//
//   wallet.send-HASH    HASH: of ledger, accounts and amount    one line: NONCE VALID_UNTIL
#pragma once

#include <string>

#include "ledger/common/operation.h"

namespace millet {

class SentNote {
 public:
  // `transfer` has ledger, accounts and amount.
  SentNote(const std::string& folder, const TransferStatement& transfer);
  // Puts in what an earlier command had signed, if that may still be executed. False: there is nothing.
  bool take_up(TransferStatement& transfer, LedgerTime now) const;
  // Before it is sent for the first time; durable. Errors: denied, io, no_room.
  Status keep(const TransferStatement& transfer) const;
  // It has an answer.
  void drop() const;

 private:
  std::string path_;
};

}  // namespace millet
