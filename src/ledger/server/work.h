// What the ledger's service has worker threads do: check a request's signatures and proof of work, sign a reply. Pure functions.
#pragma once

#include "ledger/server/state.h"

namespace millet {

// Checks everything about a request that needs no state.
struct CheckWork {
  uint64_t request = 0;
  CheckContext context;
  std::variant<OperationRequest, QueryRequest, GetRequest> body;
  // What an earlier check of the same FAUCET operation found: its work is not done twice.
  std::optional<LedgerCode> faucet_known;
  // Bit i: operation i names an account (new_account_of) that an earlier check has found good.
  uint64_t accounts_known = 0;
};
static_assert(k_operations_max <= 64);
struct CheckedRequest {
  uint64_t request = 0;
  LedgerCode code = LedgerCode::done;  // of the whole request
  BatchItem item;
};
CheckedRequest run_check(CheckWork work);
// What it costs to check the body of a POST, good or bad: its operations, each with its signatures; at least 1, also for a malformed one.
uint64_t check_cost(std::string_view path, Bytes body);

// Writes and signs the answer to a GET: write_get().
struct WriteWork {
  uint64_t request = 0;
  GetRequest get;
  GetAnswer answer;
};

// Signs a reply: receipts and FUND statements first, then all of it.
struct SealWork {
  uint64_t request = 0;
  int status = 200;  // of HTTP
  Reply reply;
  PublicKey asked_by;  // of queries
};
std::vector<uint8_t> run_seal(const SigningKey& key, SealWork work);

// The id of the one operation of a request that asks for an initial balance; nothing if there is none.
std::optional<OperationId> find_faucet(const std::vector<Operation>& operations);
bool asks_for_initial_balance(const Operation& operation);

}  // namespace millet
