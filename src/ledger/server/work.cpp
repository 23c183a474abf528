#include "ledger/server/work.h"

#include <algorithm>

namespace millet {
namespace {

// version u8, nonce[16], then how many operations follow (common/api.h).
constexpr size_t k_operation_count_at = 17;

CheckedRequest check(const CheckWork& work, OperationRequest& request) {
  CheckedRequest checked;
  for (size_t i = 0; i < request.operations.size(); ++i) {
    Operation& operation = request.operations[i];
    bool known = work.faucet_known && asks_for_initial_balance(operation);
    bool known_account = (work.accounts_known >> i & 1) != 0;
    LedgerCode code = known ? *work.faucet_known : check_operation(work.context, operation, known_account);
    checked.item.operations.push_back({std::move(operation), code});
  }
  return checked;
}

CheckedRequest check(const CheckWork& work, QueryRequest& request) {
  CheckedRequest checked;
  checked.code = check_query_request(work.context, request);
  checked.item.key = request.key;
  checked.item.queries = std::move(request.queries);
  return checked;
}

CheckedRequest check(const CheckWork& work, GetRequest& request) {
  CheckedRequest checked;
  checked.code = check_get(work.context, request);
  checked.item.get = std::move(request);
  return checked;
}

}  // namespace

CheckedRequest run_check(CheckWork work) {
  CheckedRequest checked = std::visit([&](auto& body) { return check(work, body); }, work.body);
  checked.request = checked.item.request = work.request;
  return checked;
}

uint64_t check_cost(std::string_view path, Bytes body) {
  if (path != "/v1/op" || body.size() <= k_operation_count_at) return 1;
  return std::clamp<uint64_t>(body[k_operation_count_at], 1, k_operations_max);
}

std::vector<uint8_t> run_seal(const SigningKey& key, SealWork work) {
  const ReplyHead& head = work.reply.head;
  for (OperationResult& result : work.reply.operations) {
    if (result.ledger_code() != LedgerCode::done) continue;
    result.receipt = key.sign(preimage(ReceiptStatement{head.ledger, result.operation, result.record, result.record_hash, result.time}));
  }
  for (QueryResult& result : work.reply.queries) {
    Balance* balance = std::get_if<Balance>(&result.body);
    if (balance == nullptr) continue;
    balance->fund = key.sign(preimage(FundStatement{head.ledger, work.asked_by, balance->available, head.time}));
  }
  std::vector<uint8_t> bytes = encode_reply(work.reply);
  Signature signature = key.sign(reply_preimage(bytes));
  ByteWriter(bytes).bytes(signature.bytes());
  return bytes;
}

bool asks_for_initial_balance(const Operation& operation) {
  return std::holds_alternative<FaucetOperation>(operation) || std::holds_alternative<TicketFaucetOperation>(operation);
}

std::optional<OperationId> find_faucet(const std::vector<Operation>& operations) {
  for (const Operation& operation : operations) {
    if (asks_for_initial_balance(operation)) return operation_id(operation);
  }
  return std::nullopt;
}

}  // namespace millet
