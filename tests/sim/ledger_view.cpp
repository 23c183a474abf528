#include "sim/ledger_view.h"

#include <cstring>

namespace millet::simtest {
namespace {

bool is(const StoreChange& change, const char* table) { return std::strcmp(change.table, table) == 0; }

// Every row of a table, in order. False if the store failed.
template <typename Use>
bool each_row(StoreTransaction& transaction, const char* table, Use use) {
  std::vector<uint8_t> from = {0};
  for (;;) {
    auto entry = transaction.seek(table, from);
    if (!entry) return false;
    if (!*entry) return true;
    if (!use((*entry)->key, (*entry)->value)) return false;
    from.assign((*entry)->key.begin(), (*entry)->key.end());
    from.push_back(0);
  }
}

}  // namespace

LedgerView::LedgerView(sim::World& world, MemoryStore& store, MoneyChecker& wire, Report& report)
    : store_(store), wire_(wire), report_(report) {
  world.add_observer(*this);
  store_.set_watch(this);
  report_.require(read_all(), "the ledger's books can't be read");
}

void LedgerView::on_commit(const StoreBatch& changes) {
  for (const StoreChange& change : changes) {
    if (is(change, k_table_ledger) || is(change, k_table_accounts) || is(change, k_table_channels)) fresh_.push_back(change);
  }
}

void LedgerView::after_event(Instant) {
  if (fresh_.empty()) return;
  LedgerTime before = row_.time;
  uint64_t records = row_.records;
  for (const StoreChange& change : fresh_) {
    if (Status taken = take(change); !taken) report_.breach("a row of the ledger can't be read: " + taken.error().reason);
  }
  fresh_.clear();
  report_.require(row_.time >= before, "ledger time went back");
  report_.require(row_.records >= records, "the ledger's log became shorter");
  check_sums();
}

void LedgerView::check_sums() {
  report_.require(available_ + escrow_ == k_supply_micro,
                  "accounts hold " + std::to_string(available_) + " and channels " + std::to_string(escrow_) + ", which is not the supply");
  report_.require(row_.accounts_sum.in_micro() == available_ && row_.escrow_sum.in_micro() == escrow_, "the ledger's own sums are wrong");
}

Status LedgerView::take(const StoreChange& change) {
  if (is(change, k_table_ledger) && change.value) {
    TRY_ASSIGN(row_, decode_fields<LedgerRow>(*change.value));
  } else if (is(change, k_table_accounts)) {
    std::optional<AccountRow> row;
    if (change.value) {
      TRY_ASSIGN(row, decode_fields<AccountRow>(*change.value));
    }
    take_account(PublicKey::from_bytes(change.key), row ? &*row : nullptr);
  } else if (is(change, k_table_channels) && change.value) {
    TRY_ASSIGN(ChannelRow row, decode_fields<ChannelRow>(*change.value));
    take_channel(ChannelId::from_bytes(change.key), row);
  }
  return ok;
}

void LedgerView::take_account(const PublicKey& key, const AccountRow* row) {
  AccountRow& account = accounts_[key];
  available_ -= account.available.in_micro();
  account = row == nullptr ? AccountRow() : *row;
  available_ += account.available.in_micro();
}

void LedgerView::take_channel(const ChannelId& id, const ChannelRow& row) {
  check_channel(id, row);
  auto known = channels_.find(id);
  if (known != channels_.end()) {
    escrow_ -= known->second.row.escrow().in_micro();
    open_channels_ -= known->second.ended() ? 0 : 1;
  }
  channels_[id].row = row;
  escrow_ += row.escrow().in_micro();
  open_channels_ += row.is_open() ? 1 : 0;
}

bool LedgerView::read_all() {
  Result<std::unique_ptr<StoreTransaction>> transaction = store_.begin_read();
  if (!transaction) return false;
  for (const char* table : {k_table_ledger, k_table_accounts, k_table_channels}) {
    bool good = each_row(**transaction, table, [&](Bytes key, Bytes value) {
      return take({table, {key.begin(), key.end()}, std::vector<uint8_t>(value.begin(), value.end())}).has_value();
    });
    if (!good) return false;
  }
  return true;
}

void LedgerView::check_all() {
  accounts_.clear();
  available_ = 0;
  report_.require(read_all(), "the ledger's books can't be read");
  check_sums();
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
  if (row.is_open()) return;
  wire_.channel_ended(id, row.claimed);
  // However it ended: a provider that keeps the rules gets in time what it has called its own.
  if (seen == wire_.channels().end() || !wire_.is_honest(row.terms.payee)) return;
  bool closed = row.status == static_cast<uint8_t>(ChannelStatusCode::closed);
  report_.require(row.claimed >= seen->second.acked_durable,
                  name + (closed ? ": closed at " : ": expired at ") + std::to_string(row.claimed.in_micro()) +
                      ", below what was acknowledged as durable: " + std::to_string(seen->second.acked_durable.in_micro()));
}

Amount LedgerView::balance(const PublicKey& key) const {
  auto found = accounts_.find(key);
  return found == accounts_.end() ? Amount() : found->second.available;
}

// Whoever has nothing to get from a channel may have forgotten it in a crash, or never have heard of it: the ledger ends it in time.
bool LedgerView::payee_must_end(const ChannelId& id, const Channel& channel) const {
  if (channel.ended() || !wire_.is_honest(channel.row.terms.payee)) return false;
  auto seen = wire_.channels().find(id);
  return seen != wire_.channels().end() && !seen->second.acked_durable.is_zero();
}

uint64_t LedgerView::unsettled_channels() const {
  uint64_t count = 0;
  for (const auto& [id, channel] : channels_) count += payee_must_end(id, channel) ? 1 : 0;
  return count;
}

}  // namespace millet::simtest
