// Money and prices (src/speed/PROTOCOL.md). Money is a type with checked addition and subtraction and no other arithmetic; a price is in
// pBTT per byte, which is micro-BTT per 10^6 bytes. No floating point, no 128-bit integers (32-bit MIPS has none).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace millet {

// 990,000,000,000 BTT of six decimals: the white paper's total supply, in micro-BTT. No amount is larger.
inline constexpr uint64_t k_supply_micro = 990'000'000'000'000'000;

class Amount {
 public:
  constexpr Amount() = default;
  // Errors: bad_input above the supply.
  static Result<Amount> from_micro(uint64_t micro);
  // For constants and sums that are known to be within the supply. Requires: micro <= supply.
  static constexpr Amount micro(uint64_t value) {
    if (value > k_supply_micro) check_failed("amount <= supply", __FILE__, __LINE__);
    return Amount(value);
  }
  // "12.5" BTT, at most six decimals. Errors: bad_input.
  static Result<Amount> parse_btt(std::string_view text);
  static constexpr Amount supply() { return Amount(k_supply_micro); }

  constexpr uint64_t in_micro() const { return micro_; }
  constexpr bool is_zero() const { return micro_ == 0; }
  constexpr auto operator<=>(const Amount&) const = default;

  // Nothing if the sum is above the supply.
  [[nodiscard]] constexpr std::optional<Amount> plus(Amount other) const {
    if (other.micro_ > k_supply_micro - micro_) return std::nullopt;
    return Amount(micro_ + other.micro_);
  }
  // Nothing if the difference is below zero.
  [[nodiscard]] constexpr std::optional<Amount> minus(Amount other) const {
    if (other.micro_ > micro_) return std::nullopt;
    return Amount(micro_ - other.micro_);
  }
  // The difference, or zero where it would be below: for what is left of a budget.
  [[nodiscard]] constexpr Amount minus_or_zero(Amount other) const {
    return other.micro_ > micro_ ? Amount() : Amount(micro_ - other.micro_);
  }

  // BTT with up to six decimals and no trailing zeros: "12.5".
  std::string to_btt() const;

 private:
  explicit constexpr Amount(uint64_t value) : micro_(value) {}
  uint64_t micro_ = 0;
};

// A price per byte in pBTT (10^-12 BTT). 1 BTT per GB (10^9 bytes) is 1000 pBTT per byte.
class Rate {
 public:
  // 2^46 pBTT per byte (70 BTT per byte): a block of 2^17 bytes at this rate still fits 63 bits.
  static constexpr uint64_t k_max = uint64_t{1} << 46;
  constexpr Rate() = default;
  // Errors: bad_input above k_max.
  static Result<Rate> from_pico_per_byte(uint64_t value);
  // Requires: value <= k_max.
  static constexpr Rate pico_per_byte(uint64_t value) {
    if (value > k_max) check_failed("rate <= maximum", __FILE__, __LINE__);
    return Rate(value);
  }
  // "1.5" BTT per GB, at most three decimals (one pBTT per byte). Errors: bad_input.
  static Result<Rate> parse_btt_per_gb(std::string_view text);

  constexpr uint64_t in_pico_per_byte() const { return pico_; }
  constexpr bool is_zero() const { return pico_ == 0; }
  constexpr auto operator<=>(const Rate&) const = default;
  std::string to_btt_per_gb() const;

 private:
  explicit constexpr Rate(uint64_t value) : pico_(value) {}
  uint64_t pico_ = 0;
};

// What bytes cost so far, exactly: the remainder below one micro-BTT is carried, so that both sides of a connection compute the same
// number over millions of blocks. At most 1 micro-BTT is rounded up, once.
class Meter {
 public:
  // Largest `bytes` per call: one block, the larger of what any client sends.
  static constexpr uint32_t k_bytes_max = 1u << 17;

  // Adds the price of `bytes` bytes. Errors: no_room if the total would pass the supply (nothing is added then).
  // Requires: bytes <= k_bytes_max.
  Status add(Rate rate, uint32_t bytes);
  // Adds what another meter counted. Errors: as add().
  Status add(const Meter& other);
  // The total, rounded up to the next micro-BTT.
  Amount due() const { return Amount::micro(micro_ + (rest_ != 0 ? 1 : 0)); }

  uint64_t whole_micro() const { return micro_; }
  uint32_t rest() const { return rest_; }
  bool is_zero() const { return micro_ == 0 && rest_ == 0; }
  // Requires: micro < supply, rest < 10^6.
  static Meter restore(uint64_t micro, uint32_t rest);

 private:
  uint64_t micro_ = 0;
  uint32_t rest_ = 0;  // millionths of a micro-BTT
};

// What `bytes` bytes cost at `rate`, rounded up; saturates at the supply. For estimates and limits, not for accounting.
Amount price_of(Rate rate, uint64_t bytes);

}  // namespace millet
