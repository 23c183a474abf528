#include "ledger/server/tables.h"

namespace millet {
namespace {

std::array<uint8_t, 40> number_first(uint64_t number, Bytes id) {
  std::array<uint8_t, 40> key;
  store_be<uint64_t>(key.data(), number);
  std::memcpy(key.data() + 8, id.data(), 32);
  return key;
}

}  // namespace

std::array<uint8_t, 40> expiry_key(const ChannelRow& row, const ChannelId& id) { return number_first(row.expiry_order(), id.bytes()); }

std::array<uint8_t, 40> closed_key(const PublicKey& party, uint64_t record) {
  std::array<uint8_t, 40> key;
  std::memcpy(key.data(), party.raw.data(), 32);
  store_be<uint64_t>(key.data() + 32, record);
  return key;
}

std::array<uint8_t, 40> executed_key(LedgerTime valid_until, const OperationId& id) {
  return number_first(valid_until.in_seconds(), id.bytes());
}

std::array<uint8_t, 8> log_key(uint64_t index) {
  std::array<uint8_t, 8> key;
  store_be<uint64_t>(key.data(), index);
  return key;
}

std::vector<uint8_t> encode_record(const LogRecord& record) {
  CHECK(record.operation.size() <= UINT16_MAX && record.touched.size() <= UINT8_MAX);
  std::vector<uint8_t> out;
  append_fields(out, record.head);
  ByteWriter(out)
      .u16(static_cast<uint16_t>(record.operation.size()))
      .bytes(record.operation)
      .u8(static_cast<uint8_t>(record.touched.size()));
  for (const TouchedAccount& touched : record.touched) append_fields(out, touched);
  return out;
}

Result<LogRecord> decode_record(Bytes bytes) {
  ByteReader in(bytes);
  LogRecord record;
  TRY_ASSIGN(record.head, take_fields<RecordHead>(in));
  Bytes operation = in.take(in.u16());
  record.operation.assign(operation.begin(), operation.end());
  for (size_t count = in.u8(); count > 0; --count) {
    TRY_ASSIGN(TouchedAccount touched, take_fields<TouchedAccount>(in));
    record.touched.push_back(touched);
  }
  if (!in.done()) return error(Errc::bad_input, "record of the log has the wrong size");
  return record;
}

Hash32 record_hash(Bytes encoded) {
  std::vector<uint8_t> message;
  message.reserve(8 + encoded.size());
  ByteWriter(message).text("BTT1RECD").bytes(encoded);
  return blake2b_256(message);
}

}  // namespace millet
