// The records of the ledger's log (PROTOCOL.md "The log"): what happened, in which order, and what it did to every account that it touched.
//
//   head[72] | operation size u16 | operation (kind and fields) | touched count u8 | touched[48] x count
#pragma once

#include "ledger/common/merkle.h"
#include "ledger/common/operation.h"

namespace millet {

// "None" where a record's index stands.
inline constexpr uint64_t k_no_record = UINT64_MAX;
// The genesis is the largest: its operation, and ten accounts.
inline constexpr size_t k_record_size_max = 1024;

struct TouchedAccount {
  PublicKey account;
  Amount balance;                   // available, after the operation
  uint64_t previous = k_no_record;  // the record that touched the account before
  static constexpr auto k_fields = field_list(field("account", &TouchedAccount::account), field("balance", &TouchedAccount::balance),
                                                   field("previous", &TouchedAccount::previous));
  bool operator==(const TouchedAccount&) const = default;
};

struct RecordHead {
  uint64_t index = 0;
  LedgerTime time;
  OperationId operation;
  Amount paid;  // as in OperationResult
  Amount refunded;
  uint64_t channel_previous = k_no_record;  // of CLAIM, CLOSE and EXPIRE: the record before about the same channel
  static constexpr auto k_fields = field_list(
      field("index", &RecordHead::index), field("time", &RecordHead::time), field("operation", &RecordHead::operation),
      field("paid", &RecordHead::paid), field("refunded", &RecordHead::refunded), field("channel_previous", &RecordHead::channel_previous));
  bool operator==(const RecordHead&) const = default;
};

struct LogRecord {
  RecordHead head;
  std::vector<uint8_t> operation;
  std::vector<TouchedAccount> touched;
  bool operator==(const LogRecord&) const = default;

  // What the record says about one account; null if it does not touch it.
  const TouchedAccount* of(const PublicKey& account) const {
    for (const TouchedAccount& t : touched) {
      if (t.account == account) return &t;
    }
    return nullptr;
  }
};
std::vector<uint8_t> encode_record(const LogRecord& record);
// Errors: bad_input.
Result<LogRecord> decode_record(Bytes bytes);

// What a record may hold: what clients send, and what the ledger makes itself.
using LoggedOperation =
    std::variant<OpenOperation, CloseOperation, ClaimOperation, TransferOperation, FaucetOperation, DrawOperation, PolicyOperation,
                 GrantOperation, TicketFaucetOperation, GenesisOperation, ExpireOperation, ExtendOperation, PoolOperation>;
// Kind and fields, exactly. Errors: bad_input.
Result<LoggedOperation> decode_logged_operation(Bytes bytes);
// BLAKE2b-256 of the tag and what is signed, or would be.
OperationId logged_operation_id(const LoggedOperation& operation);

}  // namespace millet
