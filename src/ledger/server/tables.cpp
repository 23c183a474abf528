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

}  // namespace millet
