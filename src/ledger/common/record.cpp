#include "ledger/common/record.h"

namespace millet {
namespace {

template <typename Op>
OperationId id_of(const Op& op) {
  return statement_id(op.statement);
}
OperationId id_of(const GenesisOperation& op) { return statement_id(op); }
OperationId id_of(const ExpireOperation& op) { return statement_id(op); }
OperationId id_of(const ExtendOperation& op) { return statement_id(op); }
OperationId id_of(const PoolOperation& op) { return statement_id(op); }

template <size_t I = 0>
Status decode_of_kind(uint8_t kind, Bytes fields, LoggedOperation& operation) {
  if constexpr (I == std::variant_size_v<LoggedOperation>) {
    return error(Errc::bad_input, "operation of unknown kind " + std::to_string(kind));
  } else {
    using Op = std::variant_alternative_t<I, LoggedOperation>;
    if (kind != Op::k_kind) return decode_of_kind<I + 1>(kind, fields, operation);
    Status decoded = decode_fields_into(fields, operation.emplace<Op>());
    if (!decoded) return std::move(decoded).error().in(Op::k_name);
    return ok;
  }
}

}  // namespace

std::vector<uint8_t> encode_record(const LogRecord& record) {
  CHECK(record.operation.size() <= UINT16_MAX && record.touched.size() <= UINT8_MAX);
  std::vector<uint8_t> out;
  append_fields(out, record.head);
  ByteWriter(out)
      .u16(static_cast<uint16_t>(record.operation.size()))
      .bytes(record.operation)
      .u8(static_cast<uint8_t>(record.touched.size()));
  for (const TouchedAccount& touched : record.touched) append_fields(out, touched);
  CHECK(out.size() <= k_record_size_max);
  return out;
}

Result<LogRecord> decode_record(Bytes bytes) {
  ByteReader in(bytes);
  LogRecord record;
  TRY(take_fields_into(in, record.head));
  Bytes operation = in.take(in.u16());
  record.operation.assign(operation.begin(), operation.end());
  for (size_t count = in.u8(); count > 0; --count) {
    TRY(take_fields_into(in, record.touched.emplace_back()));
  }
  if (!in.done() || bytes.size() > k_record_size_max) return error(Errc::bad_input, "record of the log has the wrong size");
  return record;
}

Result<LoggedOperation> decode_logged_operation(Bytes bytes) {
  if (bytes.empty()) return error(Errc::bad_input, "operation is missing");
  LoggedOperation operation;
  TRY(decode_of_kind(bytes[0], bytes.subspan(1), operation));
  return operation;
}

OperationId logged_operation_id(const LoggedOperation& operation) {
  return std::visit([](const auto& op) { return id_of(op); }, operation);
}

}  // namespace millet
