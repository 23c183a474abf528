// check_books: reads everything once, beside the code that wrote it.
#include "ledger/server/log_tree.h"
#include "ledger/server/state.h"

namespace millet {
namespace {

constexpr uint64_t k_records_checked_max = 4096;  // records at the end of the log; an audit reads all of them

Error unbalanced(const std::string& what) {
  return {Errc::io, "the ledger's books do not add up: " + what + ". Restore a copy; do not go on with this one"};
}

// Calls visit(key, value) for every entry of a table. Errors: of the store, and of visit.
template <typename Visit>
Status for_each(StoreTransaction& store, const char* table, Visit visit) {
  std::vector<uint8_t> from;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, store.seek(table, from));
    if (!entry) return ok;
    from.assign(entry->key.begin(), entry->key.end());
    from.push_back(0);  // the next key in order
    TRY(visit(entry->key, entry->value));
  }
}

template <typename Row>
Result<Row> decode_row(const char* table, Bytes value) {
  auto row = decode_fields<Row>(value);
  if (!row) return unbalanced(std::string("a row of table ") + table + " can't be read");
  return *row;
}

Status add_to(Amount& sum, Amount amount) {
  auto more = sum.plus(amount);
  if (!more) return unbalanced("there is more than the supply");
  sum = *more;
  return ok;
}

struct Totals {
  Amount available;
  Amount in_channels;
  Amount escrow;
  uint64_t payer_channels = 0;
  uint64_t open_channels = 0;
  uint64_t expiry_rows = 0;
};

Status total_accounts(StoreTransaction& store, Totals& totals) {
  return for_each(store, k_table_accounts, [&](Bytes, Bytes value) -> Status {
    TRY_ASSIGN(AccountRow row, decode_row<AccountRow>(k_table_accounts, value));
    TRY(add_to(totals.available, row.available));
    TRY(add_to(totals.in_channels, row.in_channels));
    auto whole = row.available.plus(row.in_channels);
    if (!whole || row.spend_only > *whole) return unbalanced("an account holds back more than it has");
    totals.payer_channels += row.open_channels;
    return ok;
  });
}

Status total_channels(StoreTransaction& store, Totals& totals) {
  return for_each(store, k_table_channels, [&](Bytes key, Bytes value) -> Status {
    TRY_ASSIGN(ChannelRow row, decode_row<ChannelRow>(k_table_channels, value));
    if (key.size() != 32 || ChannelId::from_bytes(key) != channel_id(row.terms)) return unbalanced("a channel is not the one of its id");
    if (row.claimed > row.terms.capacity) return unbalanced("more is claimed than a channel holds");
    totals.open_channels += row.is_open() ? 1 : 0;
    return add_to(totals.escrow, row.escrow());
  });
}

// What was drawn is what is missing: nothing goes into a pool with terms.
Status check_pools(StoreTransaction& store) {
  std::vector<std::pair<std::vector<uint8_t>, PoolRow>> pools;
  TRY(for_each(store, k_table_pools, [&](Bytes key, Bytes value) -> Status {
    TRY_ASSIGN(PoolRow row, decode_row<PoolRow>(k_table_pools, value));
    pools.emplace_back(std::vector<uint8_t>(key.begin(), key.end()), row);
    return ok;
  }));
  for (const auto& [key, row] : pools) {
    if (!equal(key, pool_account(row.terms).bytes())) return unbalanced("a pool is not the one of its account");
    TRY_ASSIGN(std::optional<AccountRow> account, read_row<AccountRow>(store, k_table_accounts, key));
    auto left = row.terms.issued.minus(row.drawn);
    if (!account || !left || account->available != *left) return unbalanced("a pool has not what it was issued less what was drawn");
  }
  return ok;
}

// Every open channel will expire: there are as many rows, and each names an open channel at its place.
Status check_expiry(StoreTransaction& store, Totals& totals) {
  std::vector<std::vector<uint8_t>> keys;
  TRY(for_each(store, k_table_expiry, [&](Bytes key, Bytes) -> Status {
    keys.emplace_back(key.begin(), key.end());
    return ok;
  }));
  totals.expiry_rows = keys.size();
  for (const std::vector<uint8_t>& key : keys) {
    if (key.size() != 40) return unbalanced("a row of table expiry can't be read");
    ChannelId id = ChannelId::from_bytes(Bytes(key).subspan(8));
    TRY_ASSIGN(std::optional<ChannelRow> row, read_row<ChannelRow>(store, k_table_channels, id.bytes()));
    if (!row || !row->is_open() || !equal(expiry_key(*row, id), key)) return unbalanced("table expiry names a channel that is not open");
  }
  return ok;
}

// The records at the end are those that the tree was made over, and the tree is the one of the noted root.
Status check_log(StoreTransaction& store, const LedgerRow& row) {
  if (row.records == 0) return unbalanced("the log is empty");
  TRY_ASSIGN(std::optional<StoreTransaction::Entry> last, store.last(k_table_log));
  if (!last || !equal(last->key, log_key(row.records - 1))) return unbalanced("the log does not end where it should");
  LogTreeReader tree(store);
  TRY_ASSIGN(Hash32 root, merkle_root(tree, row.records));
  if (root != row.root) return unbalanced("the log's tree has another root than the noted one");
  uint64_t first = row.records > k_records_checked_max ? row.records - k_records_checked_max : 0;
  for (uint64_t index = row.records; index-- > first;) {
    TRY_ASSIGN(Hash32 expected, tree.node(0, index));
    TRY_ASSIGN(std::optional<Bytes> bytes, store.get(k_table_log, log_key(index)));
    if (!bytes || merkle_leaf(*bytes) != expected) return unbalanced("record " + std::to_string(index) + " of the log was changed");
    auto record = decode_record(*bytes);
    if (!record || record->head.index != index) return unbalanced("record " + std::to_string(index) + " of the log can't be read");
  }
  return ok;
}

}  // namespace

Result<LedgerBooks> check_books(Store& of) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> store, of.begin_read());
  TRY_ASSIGN(LedgerRow row, read_ledger_row(*store));
  Totals totals;
  TRY(total_accounts(*store, totals));
  TRY(total_channels(*store, totals));
  TRY(check_pools(*store));
  TRY(check_expiry(*store, totals));
  TRY(check_log(*store, row));
  auto sum = totals.available.plus(totals.escrow);
  if (!sum || *sum != Amount::supply()) return unbalanced("accounts and channels are not the supply");
  if (totals.available != row.accounts_sum || totals.escrow != row.escrow_sum) return unbalanced("a sum is not the one that was noted");
  if (totals.in_channels != totals.escrow) return unbalanced("accounts and channels differ about what is in channels");
  if (totals.payer_channels != totals.open_channels || totals.expiry_rows != totals.open_channels) {
    return unbalanced("the number of open channels differs between tables");
  }
  return LedgerBooks{totals.available, totals.escrow, totals.open_channels};
}

}  // namespace millet
