#include "ledger/common/operation.h"

namespace millet {
namespace {

const PublicKey& signer(const OpenOperation& op) { return op.statement.payer; }
const PublicKey& signer(const CloseOperation& op) { return op.payee; }
const PublicKey& signer(const ClaimOperation& op) { return op.payee; }
const PublicKey& signer(const TransferOperation& op) { return op.statement.from; }
const PublicKey& signer(const FaucetOperation& op) { return op.statement.key; }
const PublicKey& signer(const DrawOperation& op) { return op.keys.keys[0]; }
const PublicKey& signer(const PolicyOperation& op) { return op.keys.keys[0]; }
const PublicKey& signer(const TicketFaucetOperation& op) { return op.statement.key; }
const PublicKey& signer(const GrantOperation& op) { return op.granter; }

template <size_t I = 0>
Status take_of_kind(uint8_t kind, ByteReader& in, Operation& operation) {
  if constexpr (I == std::variant_size_v<Operation>) {
    return error(Errc::bad_input, "operation of unknown kind " + std::to_string(kind));
  } else {
    using Op = std::variant_alternative_t<I, Operation>;
    if (kind != Op::k_kind) return take_of_kind<I + 1>(kind, in, operation);
    Status taken = take_fields_into(in, operation.emplace<Op>());
    if (!taken) return std::move(taken).error().in(Op::k_name);
    return ok;
  }
}

}  // namespace

bool PolicyStatement::allows(const PublicKey& to) const {
  bool anybody = true;
  for (const PublicKey& recipient : recipients) {
    if (recipient.is_zero()) continue;
    if (recipient == to) return true;
    anybody = false;
  }
  return anybody;
}

OperationId operation_id(const Operation& operation) {
  return std::visit([](const auto& op) { return statement_id(op.statement); }, operation);
}

const PublicKey& operation_signer(const Operation& operation) {
  return std::visit([](const auto& op) -> const PublicKey& { return signer(op); }, operation);
}

const LedgerId& operation_ledger(const Operation& operation) {
  return std::visit([](const auto& op) -> const LedgerId& { return op.statement.ledger; }, operation);
}

const char* operation_name(const Operation& operation) {
  return std::visit([](const auto& op) { return std::remove_cvref_t<decltype(op)>::k_name; }, operation);
}

void append_operation(std::vector<uint8_t>& out, const Operation& operation) {
  std::visit([&](const auto& op) { append_operation(out, op); }, operation);
}

Result<Operation> take_operation(ByteReader& in) {
  uint8_t kind = in.u8();
  if (!in.ok()) return error(Errc::bad_input, "operation is missing");
  Operation operation;
  TRY(take_of_kind(kind, in, operation));
  return operation;
}

}  // namespace millet
