// What an account's owner can check about the records that touched it (PROTOCOL.md "What a client checks"): that they are in the log, that
// each names the one before, that the balance moved by what the operation says and by nothing else, and that money left only with the
// owner's signature. Pure; signatures are handed out to be checked elsewhere.
#pragma once

#include "ledger/common/api.h"

namespace millet {

// A signature without which the record is a lie.
struct OwedSignature {
  PublicKey key;
  std::vector<uint8_t> message;
  Signature signature;
  uint64_t record;
};

struct ChainOwner {
  LedgerId ledger;
  PublicKey account;
};

// What a good page said. Records go from newest to oldest.
struct ChainPage {
  struct Entry {
    uint64_t record;
    Hash32 leaf;
    uint64_t previous;
    Amount balance;
  };
  std::vector<Entry> entries;
  std::vector<OwedSignature> signatures;
};

// Checks one answer to RECORDS asked from `from` (k_no_record: the newest), against the tree head of its reply. The balance of the oldest
// entry is taken as given, unless it is the account's first: ask for the next page from that entry. Errors: conflict, with what the ledger
// contradicts itself in.
Result<ChainPage> check_record_page(const ChainOwner& owner, const MerkleRoot& tree, uint64_t from, const RecordPage& page);

}  // namespace millet
