// What a provider has given on trust (PROTOCOL.md sections 7 and 8): the debt of one payer, exactly, in money and in bytes, and the bucket
// from which payers that it does not know are served. Strict exposure only: no window is earned here.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/amount.h"
#include "base/endpoint.h"
#include "base/fifo.h"
#include "base/time.h"

namespace millet::speed {

// A Debt as it is stored with the voucher; `due` and `paid` are dropped together.
struct DebtState {
  Meter settled;  // what is paid for, exactly; rounded up it is at most `paid`
  Meter open;     // what is due beyond it
  uint64_t open_bytes = 0;
  Amount paid;
};

// due and paid of one payer, over all channels and connections. Payments cover the oldest block first; a block is covered when the whole
// of it is. There is no credit.
class Debt {
 public:
  Debt() = default;
  static Debt restore(const DebtState& state);
  DebtState state() const;

  // A block went out at this rate; what earlier payments were rounded up by may cover it. Errors: no_room if the sum would pass the supply.
  // Requires: bytes <= Meter::k_bytes_max, rate not zero.
  Status on_sent(Rate rate, uint32_t bytes);
  // A payment counted. The bytes that it covered. Errors: no_room if the sum of all payments would pass the supply.
  Result<uint64_t> on_paid(Amount amount);

  // Sent and neither covered nor written off: what the window bounds.
  uint64_t unpaid_bytes() const { return sent_ - settled_bytes_; }
  // Everything due so far, rounded up, and what of it is not paid.
  Amount due() const { return total_.due(); }
  Amount owed() const { return due().minus_or_zero(paid_); }
  Amount paid() const { return paid_; }

  // Takes the oldest open blocks off the books, at least `bytes` of them if there are so many. What was taken.
  struct WrittenOff {
    uint64_t bytes = 0;
    Amount amount;
  };
  WrittenOff write_off(uint64_t bytes);

 private:
  // Neighbours of the same kind share a run until it has this size: a peer that asks for single bytes costs no memory.
  static constexpr uint32_t k_run_bytes = 16 * 1024;
  struct Run {
    uint64_t bytes;
    Meter cost;
  };
  uint64_t settle();

  Meter settled_;
  std::vector<Run> runs_;  // oldest first
  Meter total_;            // settled_ and all runs
  Amount paid_;
  uint64_t sent_ = 0;           // bytes, since the start of this object
  uint64_t settled_bytes_ = 0;  // of them, covered or written off
};

// One bucket of bytes for all payers that have not paid for 16 pieces yet, so that new identities without end get no more than it holds.
class UnknownBucket {
 public:
  static constexpr uint64_t k_bytes_min = 32u << 20;
  static constexpr uint32_t k_network_share = 8;  // at most an eighth per /24 or /48

  // `refill`: bytes per second that come back of what was lost.
  explicit UnknownBucket(uint64_t refill) : refill_(refill) {}

  // Takes a window of one piece for a payer in this network. False: there is not enough.
  bool take(Instant now, const IpAddress& network, uint32_t piece_size);
  // Gives back what was taken: paid, or never used.
  void give_back(const IpAddress& network, uint64_t bytes);
  // What was taken will not be paid; it comes back with time.
  void lose(Instant now, const IpAddress& network, uint64_t bytes);
  // Debt of earlier connections that a restart brought back.
  void restore(const IpAddress& network, uint64_t bytes) { add(network, bytes); }

  uint64_t taken() const { return taken_; }
  static uint64_t capacity(uint32_t piece_size);
  void set_refill(Instant now, uint64_t refill);

 private:
  void refill(Instant now);
  void add(const IpAddress& network, uint64_t bytes);
  void remove(const IpAddress& network, uint64_t bytes);

  struct Loss {
    IpAddress network;
    uint64_t bytes;
  };
  uint64_t taken_ = 0;                         // in use and lost
  std::map<IpAddress, uint64_t> per_network_;  // of it
  Fifo<Loss> lost_;                            // of it, oldest first
  uint64_t refill_;
  Instant refilled_;
};

}  // namespace millet::speed
