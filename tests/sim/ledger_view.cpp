#include "sim/ledger_view.h"

namespace millet::simtest {
namespace {

// Every row of a table, in order. False if the store failed or a row could not be read.
template <typename Row, typename Use>
bool each_row(StoreTransaction& transaction, const char* table, Use use) {
  std::vector<uint8_t> from = {0};
  for (;;) {
    auto entry = transaction.seek(table, from);
    if (!entry) return false;
    if (!*entry) return true;
    Result<Row> row = decode_fields<Row>((*entry)->value);
    if (!row) return false;
    use((*entry)->key, *row);
    from.assign((*entry)->key.begin(), (*entry)->key.end());
    from.push_back(0);
  }
}

}  // namespace

LedgerView::LedgerView(sim::World& world, MemoryStore& store, MoneyChecker& wire, Report& report)
    : store_(store), wire_(wire), report_(report) {
  world.add_observer(*this);
}

void LedgerView::after_event(Instant) {
  if (store_.commit_count() == seen_commits_) return;
  seen_commits_ = store_.commit_count();
  read();
}

void LedgerView::read() {
  LedgerTime before = row_.time;
  uint64_t records = row_.records;
  if (!read_rows()) return report_.breach("the ledger's books can't be read");
  report_.require(row_.time >= before, "ledger time went back");
  report_.require(row_.records >= records, "the ledger's log became shorter");
  uint64_t available = 0;
  for (const auto& [key, account] : accounts_) available += account.available.in_micro();
  uint64_t escrow = 0;
  for (const auto& [id, channel] : channels_) escrow += channel.row.escrow().in_micro();
  report_.require(available + escrow == k_supply_micro,
                  "accounts hold " + std::to_string(available) + " and channels " + std::to_string(escrow) + ", which is not the supply");
  report_.require(row_.accounts_sum.in_micro() == available && row_.escrow_sum.in_micro() == escrow, "the ledger's own sums are wrong");
}

bool LedgerView::read_rows() {
  Result<std::unique_ptr<StoreTransaction>> transaction = store_.begin_read();
  if (!transaction) return false;
  bool found = false;
  bool good = each_row<LedgerRow>(**transaction, k_table_ledger, [&](Bytes, const LedgerRow& row) {
    row_ = row;
    found = true;
  });
  accounts_.clear();
  good = good && each_row<AccountRow>(**transaction, k_table_accounts,
                                      [&](Bytes key, const AccountRow& row) { accounts_[PublicKey::from_bytes(key)] = row; });
  return good && found && each_row<ChannelRow>(**transaction, k_table_channels, [&](Bytes key, const ChannelRow& row) {
           ChannelId id = ChannelId::from_bytes(key);
           check_channel(id, row);
           channels_[id].row = row;
         });
}

void LedgerView::check_channel(const ChannelId& id, const ChannelRow& row) {
  std::string name = "channel " + id.hex().substr(0, 8);
  report_.require(row.claimed <= row.terms.capacity, name + ": claimed above its capacity");
  auto known = channels_.find(id);
  if (known != channels_.end()) {
    const ChannelRow& before = known->second.row;
    report_.require(row.claimed >= before.claimed, name + ": claimed went back");
    report_.require(before.is_open() || (row.status == before.status && row.claimed == before.claimed), name + " ended twice");
  } else {
    report_.require(row.is_open(), name + " ended before it was opened");
  }
  auto seen = wire_.channels().find(id);
  Amount signed_cum = seen == wire_.channels().end() ? Amount() : seen->second.signed_cum;
  report_.require(row.claimed <= signed_cum, name + ": the payee got " + std::to_string(row.claimed.in_micro()) + ", signed were " +
                                                 std::to_string(signed_cum.in_micro()));
  if (!row.is_open()) wire_.channel_ended(id, row.claimed);
  bool closed = row.status == static_cast<uint8_t>(ChannelStatusCode::closed);
  if (!closed || seen == wire_.channels().end()) return;
  report_.require(row.claimed >= seen->second.acked_durable,
                  name + ": closed at " + std::to_string(row.claimed.in_micro()) +
                      ", below what was acknowledged as durable: " + std::to_string(seen->second.acked_durable.in_micro()));
}

Amount LedgerView::balance(const PublicKey& key) const {
  auto found = accounts_.find(key);
  return found == accounts_.end() ? Amount() : found->second.available;
}

uint64_t LedgerView::open_channels() const {
  uint64_t count = 0;
  for (const auto& [id, channel] : channels_) count += channel.ended() ? 0 : 1;
  return count;
}

}  // namespace millet::simtest
