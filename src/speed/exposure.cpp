#include "speed/exposure.h"

#include <algorithm>

namespace millet::speed {

// ---- Debt ----

Debt Debt::restore(const DebtState& state) {
  Debt debt;
  debt.settled_ = state.settled;
  debt.paid_ = state.paid;
  debt.sent_ = state.open_bytes;
  debt.total_ = state.settled;
  if (state.open_bytes > 0) {
    debt.runs_.push_back({state.open_bytes, state.open});
    Status added = debt.total_.add(state.open);
    CHECK(added.has_value());
  }
  return debt;
}

DebtState Debt::state() const {
  DebtState state;
  state.settled = settled_;
  state.paid = paid_;
  for (const Run& run : runs_) {
    Status added = state.open.add(run.cost);
    CHECK(added.has_value());  // on_sent kept the sum of all below the supply
    state.open_bytes += run.bytes;
  }
  CHECK(state.open_bytes == unpaid_bytes());
  return state;
}

Status Debt::on_sent(Rate rate, uint32_t bytes) {
  TRY(total_.add(rate, bytes));
  if (runs_.empty() || runs_.back().bytes + bytes > k_run_bytes) runs_.push_back({0, Meter()});
  Status added = runs_.back().cost.add(rate, bytes);
  CHECK(added.has_value());
  runs_.back().bytes += bytes;
  sent_ += bytes;
  // A few bytes may cost no more than earlier payments were rounded up: the payer owes nothing for them and will not pay.
  settle();
  return ok;
}

uint64_t Debt::settle() {
  uint64_t bytes = 0;
  size_t covered = 0;
  for (; covered < runs_.size(); ++covered) {
    Meter next = settled_;
    Status added = next.add(runs_[covered].cost);
    CHECK(added.has_value());
    if (next.due() > paid_) break;
    settled_ = next;
    bytes += runs_[covered].bytes;
  }
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(covered));
  settled_bytes_ += bytes;
  return bytes;
}

Result<uint64_t> Debt::on_paid(Amount amount) {
  std::optional<Amount> paid = paid_.plus(amount);
  if (!paid || *paid == Amount::supply()) return error(Errc::no_room, "the payments of one payer would pass the supply");
  paid_ = *paid;
  uint64_t bytes = settle();
  // due = max(due, paid): the smallest exact due that rounds up to what was paid, so that the payer's own exact sum is never below ours
  // and the fractions of a micro-BTT on both sides can't drift apart.
  if (runs_.empty() && settled_.due() < paid_) total_ = settled_ = Meter::restore(paid_.in_micro() - 1, 1);
  return bytes;
}

Debt::WrittenOff Debt::write_off(uint64_t bytes) {
  WrittenOff out;
  Amount before = due();
  while (!runs_.empty() && out.bytes < bytes) {
    out.bytes += runs_.front().bytes;
    settled_bytes_ += runs_.front().bytes;
    runs_.erase(runs_.begin());
  }
  total_ = settled_;
  for (const Run& run : runs_) {
    Status added = total_.add(run.cost);
    CHECK(added.has_value());
  }
  out.amount = before.minus_or_zero(due());
  settle();  // what came after may be covered already
  return out;
}

// ---- UnknownBucket ----

uint64_t UnknownBucket::capacity(uint32_t piece_size) { return std::max<uint64_t>(k_bytes_min, uint64_t{2} * piece_size); }

void UnknownBucket::add(const IpAddress& network, uint64_t bytes) {
  if (bytes == 0) return;
  taken_ += bytes;
  per_network_[network] += bytes;
}

void UnknownBucket::remove(const IpAddress& network, uint64_t bytes) {
  auto it = per_network_.find(network);
  if (bytes == 0) return;
  CHECK(it != per_network_.end() && it->second >= bytes && taken_ >= bytes);
  it->second -= bytes;
  taken_ -= bytes;
  if (it->second == 0) per_network_.erase(it);
}

void UnknownBucket::refill(Instant now) {
  if (lost_.empty()) {
    refilled_ = now;
    return;
  }
  if (now <= refilled_ || refill_ == 0) return;
  // At most an hour at once: keeps the product in 64 bits.
  uint64_t us = static_cast<uint64_t>(std::min((now - refilled_).in_us(), Duration::hours(1).in_us()));
  uint64_t bytes = refill_ / 1'000'000 * us + refill_ % 1'000'000 * us / 1'000'000;
  if (bytes == 0) return;
  refilled_ = now;
  while (bytes > 0 && !lost_.empty()) {
    uint64_t part = std::min(bytes, lost_.front().bytes);
    remove(lost_.front().network, part);
    lost_.front().bytes -= part;
    bytes -= part;
    if (lost_.front().bytes == 0) lost_.pop_front();
  }
}

bool UnknownBucket::take(Instant now, const IpAddress& network, uint32_t piece_size) {
  refill(now);
  uint64_t limit = capacity(piece_size);
  if (taken_ + piece_size > limit) return false;
  uint64_t share = std::max<uint64_t>(limit / k_network_share, piece_size);
  auto it = per_network_.find(network);
  if (it != per_network_.end() && it->second + piece_size > share) return false;
  add(network, piece_size);
  return true;
}

void UnknownBucket::give_back(const IpAddress& network, uint64_t bytes) { remove(network, bytes); }

void UnknownBucket::lose(Instant now, const IpAddress& network, uint64_t bytes) {
  if (bytes == 0) return;
  refill(now);
  if (!lost_.empty() && lost_.back().network == network)
    lost_.back().bytes += bytes;
  else
    lost_.push_back({network, bytes});
}

void UnknownBucket::set_refill(Instant now, uint64_t refill_rate) {
  refill(now);
  refill_ = refill_rate;
}

}  // namespace millet::speed
