// What the ledger keeps in its store: the rows of its tables, each declared once, and how they are found.
//
//   ledger     "state"                      LedgerRow
//   accounts   key[32]                      AccountRow
//   channels   id[32]                       ChannelRow; for ever, so that a channel can't be opened twice
//   expiry     order u64 | id[32]           nothing; open channels by effective expiry (see ChannelRow::expiry_order)
//   closed     party[32] | record u64       channel id; channels that ended, for the closed feed of payer and payee
//   executed   valid_until u64 | id[32]     record u64; transfers and grants, until no repetition is possible any more
//   pools      account[32]                  PoolRow; pools that have terms
//   policies   operation id[32]             PolicyRow
//   networks   day u64 | network[17]        u32; initial balances that it had on that day (faucet_networks.h)
//   log        index u64                    record (common/record.h)
//   tree       tile level u8 | index u64    hashes of the log's Merkle tree (log_tree.h)
#pragma once

#include "ledger/common/api.h"
#include "ledger/common/record.h"

namespace millet {

inline constexpr const char* k_table_ledger = "ledger";
inline constexpr const char* k_table_accounts = "accounts";
inline constexpr const char* k_table_channels = "channels";
inline constexpr const char* k_table_expiry = "expiry";
inline constexpr const char* k_table_closed = "closed";
inline constexpr const char* k_table_executed = "executed";
inline constexpr const char* k_table_pools = "pools";
inline constexpr const char* k_table_policies = "policies";
inline constexpr const char* k_table_networks = "networks";
inline constexpr const char* k_table_log = "log";
inline constexpr std::string_view k_ledger_row_key = "state";

inline constexpr uint16_t k_ledger_format = 2;

struct LedgerRow {
  uint16_t format = k_ledger_format;
  LedgerTime time;           // of the last commit; never goes back
  uint64_t extension_s = 0;  // all outages since the start of the ledger
  uint64_t records = 0;      // in the log
  Hash32 root{};             // of the log's Merkle tree
  Amount accounts_sum;
  Amount escrow_sum;        // capacity - claimed of open channels; both sums are the supply
  uint64_t faucet_day = 0;  // ledger time in days
  Amount faucet_spent;      // on that day
  static constexpr auto k_fields =
      field_list(field("format", &LedgerRow::format), field("time", &LedgerRow::time), field("extension_s", &LedgerRow::extension_s),
                      field("records", &LedgerRow::records), field("root", &LedgerRow::root),
                      field("accounts_sum", &LedgerRow::accounts_sum), field("escrow_sum", &LedgerRow::escrow_sum),
                      field("faucet_day", &LedgerRow::faucet_day), field("faucet_spent", &LedgerRow::faucet_spent));
};

struct AccountRow {
  Amount available;
  Amount in_channels;          // escrow of the open channels that it pays over
  uint32_t open_channels = 0;  // that it pays over
  uint8_t granted = 0;         // 1: the faucet has paid
  Amount spend_only;           // of the grant, not paid out yet; at most available + in_channels
  LedgerTime spend_only_until;
  uint64_t last_record = k_no_record;
  static constexpr auto k_fields =
      field_list(field("available", &AccountRow::available), field("in_channels", &AccountRow::in_channels),
                      field("open_channels", &AccountRow::open_channels), field("granted", &AccountRow::granted),
                      field("spend_only", &AccountRow::spend_only), field("spend_only_until", &AccountRow::spend_only_until),
                      field("last_record", &AccountRow::last_record));

  bool is_spend_only(LedgerTime time) const { return !spend_only.is_zero() && time < spend_only_until; }
};

struct ChannelRow {
  ChannelTerms terms;
  uint8_t status = 0;  // ChannelStatusCode
  Amount claimed;
  uint64_t extension_open_s = 0;  // LedgerRow::extension_s when it was opened
  uint64_t extension_end_s = 0;   // and when it ended
  LedgerTime ended;
  uint64_t open_record = 0;
  uint64_t last_record = 0;
  static constexpr auto k_fields = field_list(
      field("terms", &ChannelRow::terms), field("status", &ChannelRow::status), field("claimed", &ChannelRow::claimed),
      field("extension_open_s", &ChannelRow::extension_open_s), field("extension_end_s", &ChannelRow::extension_end_s),
      field("ended", &ChannelRow::ended), field("open_record", &ChannelRow::open_record), field("last_record", &ChannelRow::last_record));

  bool is_open() const { return status == static_cast<uint8_t>(ChannelStatusCode::open); }
  // What the ledger holds for the channel. Requires: claimed <= capacity.
  Amount escrow() const {
    if (!is_open()) return Amount();
    auto rest = terms.capacity.minus(claimed);
    CHECK(rest.has_value());
    return *rest;
  }
  // Outages move all open channels alike, so their order is the one of terms.expiry less the outages before the opening.
  uint64_t expiry_order() const {
    uint64_t expiry = terms.expiry.in_seconds();
    return expiry > extension_open_s ? expiry - extension_open_s : 0;
  }
  // `extension_s` of now; for a channel that ended, of its end.
  LedgerTime effective_expiry(uint64_t extension_s) const {
    uint64_t until = is_open() ? extension_s : extension_end_s;
    CHECK(until >= extension_open_s);
    return terms.expiry.plus_seconds(until - extension_open_s);
  }
};

struct PoolRow {
  PoolTerms terms;
  Amount drawn;  // ever; the account has what is left of terms.issued
  static constexpr auto k_fields = field_list(field("terms", &PoolRow::terms), field("drawn", &PoolRow::drawn));
};

struct PolicyRow {
  PolicyStatement terms;
  uint64_t record = 0;
  uint8_t ended = 0;    // 1: another one has replaced it
  uint64_t grants = 0;  // the number of the last
  uint64_t period = 0;  // of the last grant
  Amount spent;         // in that period
  static constexpr auto k_fields =
      field_list(field("terms", &PolicyRow::terms), field("record", &PolicyRow::record), field("ended", &PolicyRow::ended),
                      field("grants", &PolicyRow::grants), field("period", &PolicyRow::period), field("spent", &PolicyRow::spent));

  // What grants may still take in the period of `time`.
  Amount left_at(LedgerTime time) const {
    if (time < terms.begin || terms.period_s == 0) return Amount();
    return terms.period_at(time) == period ? terms.per_period.minus_or_zero(spent) : terms.per_period;
  }
};

std::array<uint8_t, 40> expiry_key(const ChannelRow& row, const ChannelId& id);
std::array<uint8_t, 40> closed_key(const PublicKey& party, uint64_t record);
std::array<uint8_t, 40> executed_key(LedgerTime valid_until, const OperationId& id);
std::array<uint8_t, 8> log_key(uint64_t index);

}  // namespace millet
