#include "ledger/server/faucet_networks.h"

#include <cstring>

#include "ledger/server/rule_parts.h"

namespace millet {
namespace {

constexpr size_t k_forget_max = 64;  // with each grant: a day's rows go faster than they came

// day u64 | 4 or 6 | the network's address in 16 bytes
using NetworkKey = std::array<uint8_t, 25>;

NetworkKey network_key(uint64_t day, const IpAddress& from) {
  NetworkKey key{};
  const IpAddress network = from.network();
  store_be<uint64_t>(key.data(), day);
  key[8] = network.is_v4() ? 4 : 6;
  std::memcpy(key.data() + 9, network.raw().data(), network.raw().size());
  return key;
}

uint64_t day_of(const LedgerTransaction& transaction) { return transaction.time().in_seconds() / rule_parts::k_seconds_per_day; }

// The rows of earlier days, which stand first.
Status forget_networks(LedgerTransaction& transaction) {
  for (size_t i = 0; i < k_forget_max; ++i) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> first, transaction.store().seek(k_table_networks, {}));
    if (!first || first->key.size() < 8 || load_be<uint64_t>(first->key.data()) >= day_of(transaction)) return ok;
    std::vector<uint8_t> key(first->key.begin(), first->key.end());
    TRY(transaction.store().erase(k_table_networks, key));
  }
  return ok;
}

}  // namespace

Result<bool> count_grant(LedgerTransaction& transaction, const IpAddress& from, uint32_t limit) {
  const NetworkKey key = network_key(day_of(transaction), from);
  TRY_ASSIGN(std::optional<Bytes> found, transaction.store().get(k_table_networks, key));
  if (found && found->size() != 4) return error(Errc::io, "the ledger's table networks is damaged");
  uint32_t count = found ? load_be<uint32_t>(found->data()) : 0;
  if (count >= limit) return false;
  std::array<uint8_t, 4> value;
  store_be<uint32_t>(value.data(), count + 1);
  TRY(transaction.store().put(k_table_networks, key, value));
  TRY(forget_networks(transaction));
  return true;
}

}  // namespace millet
