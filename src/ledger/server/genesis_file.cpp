#include "ledger/server/genesis_file.h"

#include <algorithm>
#include <charconv>

#include "codec/uci.h"
#include "crypto/sign.h"
#include "ledger/common/address.h"
#include "ledger/server/genesis.h"

namespace millet {
namespace {

constexpr size_t k_pools = k_onchain_pool;             // those before ONCHAIN
constexpr uint64_t k_period_s_max = 10 * 366 * 86400;  // longer ones are milliseconds that somebody took for seconds
constexpr uint64_t k_periods_max = 100'000;

Error refuse(const uci::Entry& entry, const std::string& what) {
  return error(Errc::bad_input, "line " + std::to_string(entry.line) + ": " + what);
}

std::string names_of_pools() {
  std::string out;
  for (size_t i = 0; i < k_pools; ++i) out += (i == 0 ? "" : ", ") + std::string(k_genesis_pools[i].name);
  return out;
}

Result<uint64_t> parse_number(const uci::Entry& entry, uint64_t most) {
  uint64_t out = 0;
  const char* end = entry.value.data() + entry.value.size();
  auto [stopped, failure] = std::from_chars(entry.value.data(), end, out);
  if (entry.value.empty() || failure != std::errc() || stopped != end || out > most) {
    return refuse(entry, entry.option + " '" + printable(entry.value) + "' is no whole number from 0 to " + std::to_string(most));
  }
  return out;
}

Result<Amount> parse_amount(const uci::Entry& entry) {
  Result<Amount> amount = Amount::parse_btt(entry.value);
  if (!amount) return refuse(entry, entry.option + ": " + amount.error().reason);
  return amount;
}

Result<PublicKey> parse_key(const uci::Entry& entry) {
  auto key = PublicKey::from_hex(entry.value);
  if (!key) key = parse_address(entry.value);
  if (key && is_public_key(*key)) return *key;
  return refuse(entry, "key '" + printable(entry.value) + "' is no account; write the address that `millet wallet create` prints");
}

// One pool while its lines are read: which line said what.
struct Draft {
  PoolTerms terms;
  const uci::Entry* amount = nullptr;
  const uci::Entry* at_start = nullptr;
  const uci::Entry* begin = nullptr;
  const uci::Entry* period = nullptr;
  const uci::Entry* periods = nullptr;
  const uci::Entry* threshold = nullptr;
  std::vector<const uci::Entry*> keys;
};

class Reader {
 public:
  Status take(const uci::Entry& entry) {
    if (entry.section_type != "pool") {
      return refuse(entry, "section '" + entry.section_type + "' is none of a genesis; each pool is written: config pool 'NAME'");
    }
    TRY_ASSIGN(Draft * draft, find(entry));
    if (entry.option == "key") return take_key(entry, *draft);
    const uci::Entry** place = entry.option == "amount"      ? &draft->amount
                               : entry.option == "at_start"  ? &draft->at_start
                               : entry.option == "begin"     ? &draft->begin
                               : entry.option == "period"    ? &draft->period
                               : entry.option == "periods"   ? &draft->periods
                               : entry.option == "threshold" ? &draft->threshold
                                                             : nullptr;
    if (place == nullptr) {
      return refuse(entry, "a pool has no option '" + entry.option + "'; it has amount, at_start, begin, period, periods, key, threshold");
    }
    if (entry.is_list) return refuse(entry, entry.option + " is one value: write option " + entry.option + " 'VALUE'");
    if (*place != nullptr) {
      return refuse(entry, entry.option + " of pool " + entry.section_name + " was given in line " + std::to_string((*place)->line) +
                               "; leave one of them");
    }
    *place = &entry;
    return ok;
  }

  Result<std::vector<PoolTerms>> finish(LedgerTime time) {
    for (size_t i = 0; i < k_pools; ++i) TRY(finish_pool(i, time));
    std::vector<PoolTerms> out;
    for (size_t i = 0; i < k_pools; ++i) {
      make_keyless(pools_[i].terms);
      out.push_back(pools_[i].terms);
    }
    return out;
  }

 private:
  Result<Draft*> find(const uci::Entry& entry) {
    for (size_t i = 0; i < k_pools; ++i) {
      if (entry.section_name == k_genesis_pools[i].name) return &pools_[i];
    }
    return refuse(entry, "there is no pool '" + entry.section_name + "'; the white paper has " + names_of_pools());
  }

  Status take_key(const uci::Entry& entry, Draft& draft) {
    if (!entry.is_list) return refuse(entry, "a pool may have several keys: write list key 'ADDRESS'");
    if (draft.keys.size() == k_pool_keys_max) {
      return refuse(entry, "pool " + entry.section_name + " has more than " + std::to_string(k_pool_keys_max) + " keys");
    }
    TRY_ASSIGN(PublicKey key, parse_key(entry));
    const auto& known = draft.terms.keys.keys;
    if (std::find(known.begin(), known.end(), key) != known.end()) {
      return refuse(entry, "the key stands twice in pool " + entry.section_name + ": a threshold would count one signature as two");
    }
    draft.terms.keys.keys[draft.keys.size()] = key;
    draft.keys.push_back(&entry);
    return ok;
  }

  Status finish_pool(size_t index, LedgerTime time) {
    Draft& draft = pools_[index];
    const std::string name = k_genesis_pools[index].name;
    draft.terms.index = static_cast<uint8_t>(index);
    if (draft.amount == nullptr) {
      return error(Errc::bad_input, "pool " + name + " is missing, or has no amount; write config pool '" + name +
                                        "' with option amount '" + issued_to(k_genesis_pools[index]).to_btt() + "'");
    }
    TRY_ASSIGN(draft.terms.issued, parse_amount(*draft.amount));
    // All nine as in the table are the supply, to the micro-BTT (genesis.cpp).
    if (Amount share = issued_to(k_genesis_pools[index]); draft.terms.issued != share) {
      return refuse(*draft.amount, "pool " + name + " has " + draft.terms.issued.to_btt() +
                                       " BTT, but the white paper (BTT Token Issuance) gives it " + share.to_btt() +
                                       " BTT, or the pools are not the supply of " + Amount::supply().to_btt() + " BTT");
    }
    TRY(finish_vesting(draft, name, time));
    return finish_keys(draft, name, index == k_faucet_pool);
  }

  static Status finish_vesting(Draft& draft, const std::string& name, LedgerTime time) {
    Vesting& vesting = draft.terms.vesting;
    vesting.begin = time;
    if (draft.begin != nullptr) {
      TRY_ASSIGN(uint64_t begin, parse_number(*draft.begin, uint64_t{1} << 40));
      if (begin != 0) vesting.begin = LedgerTime::from_seconds(begin);
    }
    if ((draft.period == nullptr) != (draft.periods == nullptr)) {
      return refuse(draft.period != nullptr ? *draft.period : *draft.periods, "pool " + name + " needs both period and periods, or none");
    }
    if (draft.period != nullptr) {
      TRY_ASSIGN(uint64_t period_s, parse_number(*draft.period, k_period_s_max));
      TRY_ASSIGN(uint64_t periods, parse_number(*draft.periods, k_periods_max));
      if ((period_s == 0) != (periods == 0)) {
        return refuse(*draft.period, "pool " + name + ": period and periods are both above zero, or both zero");
      }
      vesting.period_s = static_cast<uint32_t>(period_s);
      vesting.periods = static_cast<uint32_t>(periods);
    }
    if (draft.at_start == nullptr) return ok;
    TRY_ASSIGN(vesting.at_start, parse_amount(*draft.at_start));
    if (vesting.at_start > draft.terms.issued) return refuse(*draft.at_start, "pool " + name + " has less than that");
    return ok;
  }

  static Status finish_keys(Draft& draft, const std::string& name, bool of_faucet) {
    size_t keys = draft.keys.size();
    uint64_t threshold = keys == 0 ? 0 : 1;
    if (draft.threshold != nullptr) {
      TRY_ASSIGN(threshold, parse_number(*draft.threshold, k_pool_keys_max));
      if (threshold > keys || (threshold == 0 && keys > 0)) {
        return refuse(*draft.threshold, "threshold " + std::to_string(threshold) + " of pool " + name + ", which has " +
                                            std::to_string(keys) + " keys; it is the number of keys that must sign");
      }
    }
    if (keys == 0 && !of_faucet) {
      return refuse(*draft.amount, "pool " + name + " has no key, so nobody could ever draw from it; add list key 'ADDRESS'");
    }
    draft.terms.keys.threshold = static_cast<uint8_t>(threshold);
    return ok;
  }

  std::array<Draft, k_pools> pools_{};
};

}  // namespace

Result<std::vector<PoolTerms>> parse_genesis_file(std::string_view text, LedgerTime time) {
  TRY_ASSIGN(std::vector<uci::Entry> entries, uci::parse(text));
  Reader reader;
  for (const uci::Entry& entry : entries) TRY(reader.take(entry));
  return reader.finish(time);
}

}  // namespace millet
