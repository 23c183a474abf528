#include "apps/genesis_command.h"

#include <cstdio>

#include "apps/terminal.h"
#include "hal/linux/files.h"
#include "ledger/server/genesis.h"
#include "ledger/server/genesis_file.h"

namespace millet {

Result<std::vector<PoolTerms>> read_genesis_file(const std::string& path, LedgerTime time) {
  hal::LinuxFiles files;
  TRY_ASSIGN(std::vector<uint8_t> bytes, files.read_file(path, k_genesis_file_size_max));
  Result<std::vector<PoolTerms>> pools = parse_genesis_file(as_text(bytes), time);
  if (!pools) return std::move(pools).error().in(path);
  return pools;
}

Status make_ledger(Store& store, const SigningKey& key, std::vector<PoolTerms> pools, LedgerTime time) {
  NewLedger ledger = new_ledger(key, time, std::move(pools));
  TRY(create_ledger(store, ledger));
  Table table({"POOL", ">BTT", ">VESTED NOW", ">ALL VESTED", ">KEYS", "ACCOUNT"});
  for (const PoolTerms& terms : ledger.pools) {
    const Vesting& vesting = terms.vesting;
    LedgerTime end = vesting.begin.plus_seconds(uint64_t{vesting.period_s} * vesting.periods);
    size_t keys = 0;
    for (const PublicKey& signer : terms.keys.keys) keys += signer.is_zero() ? 0 : 1;
    table.add({k_pool_names[terms.index], terms.issued.to_btt(), vested(terms.issued, vesting, time).to_btt(),
               end <= time ? "now" : local_time(end.in_seconds()),
               keys == 0 ? "none" : std::to_string(terms.keys.threshold) + " of " + std::to_string(keys), pool_account(terms).hex()});
  }
  std::printf("ledger  %s\nkey     %s\nsupply  %s BTT\n\n%s", ledger_id(ledger.genesis).hex().c_str(), key.public_key().hex().c_str(),
              Amount::supply().to_btt().c_str(), table.text().c_str());
  return ok;
}

}  // namespace millet
