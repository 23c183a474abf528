#include "base/amount.h"

namespace millet {
namespace {

constexpr uint64_t k_million = 1'000'000;

// A decimal number with up to `decimals` digits after the point, times 10^decimals. Errors: bad_input.
Result<uint64_t> parse_decimal(std::string_view text, int decimals, uint64_t max) {
  uint64_t value = 0;
  int after_point = -1;
  bool digits = false;
  auto refuse = [&](const char* why) { return error(Errc::bad_input, "'" + std::string(text.substr(0, 40)) + "' " + why); };
  auto push = [&](uint64_t digit) {
    if (value > (max - digit) / 10) return false;
    value = value * 10 + digit;
    return true;
  };
  for (char c : text) {
    if (c == '.' && after_point < 0) {
      after_point = 0;
      continue;
    }
    if (c < '0' || c > '9') return refuse("is not a decimal number");
    if (after_point >= 0 && ++after_point > decimals) return refuse("has too many decimals");
    digits = true;
    if (!push(static_cast<uint64_t>(c - '0'))) return refuse("is too large");
  }
  if (!digits) return refuse("is not a decimal number");
  for (int i = after_point < 0 ? 0 : after_point; i < decimals; ++i) {
    if (!push(0)) return refuse("is too large");
  }
  return value;
}

std::string format_decimal(uint64_t value, int decimals) {
  uint64_t unit = 1;
  for (int i = 0; i < decimals; ++i) unit *= 10;
  std::string out = std::to_string(value / unit);
  uint64_t fraction = value % unit;
  if (fraction == 0) return out;
  std::string digits = std::to_string(fraction);
  digits.insert(0, static_cast<size_t>(decimals) - digits.size(), '0');
  while (digits.back() == '0') digits.pop_back();
  return out + "." + digits;
}

}  // namespace

Result<Amount> Amount::from_micro(uint64_t micro) {
  if (micro > k_supply_micro) return error(Errc::bad_input, "amount is above the total supply");
  return Amount(micro);
}

Result<Amount> Amount::parse_btt(std::string_view text) {
  TRY_ASSIGN(uint64_t micro, parse_decimal(text, 6, k_supply_micro));
  return Amount(micro);
}

std::string Amount::to_btt() const { return format_decimal(micro_, 6); }

Result<Rate> Rate::from_pico_per_byte(uint64_t value) {
  if (value > k_max) return error(Errc::bad_input, "rate is above the maximum of 2^46 pBTT per byte");
  return Rate(value);
}

Result<Rate> Rate::parse_btt_per_gb(std::string_view text) {
  TRY_ASSIGN(uint64_t pico, parse_decimal(text, 3, k_max));
  return Rate(pico);
}

std::string Rate::to_btt_per_gb() const { return format_decimal(pico_, 3); }

Status Meter::add(Rate rate, uint32_t bytes) {
  CHECK(bytes <= k_bytes_max);
  uint64_t product = rate.in_pico_per_byte() * bytes + rest_;
  uint64_t micro = product / k_million;
  if (micro >= k_supply_micro - micro_) return error(Errc::no_room, "the amount due would pass the supply");
  micro_ += micro;
  rest_ = static_cast<uint32_t>(product % k_million);
  return ok;
}

Status Meter::add(const Meter& other) {
  uint32_t rest = rest_ + other.rest_;
  uint64_t carry = rest / k_million;
  if (other.micro_ + carry >= k_supply_micro - micro_) return error(Errc::no_room, "the amount due would pass the supply");
  micro_ += other.micro_ + carry;
  rest_ = static_cast<uint32_t>(rest % k_million);
  return ok;
}

Meter Meter::restore(uint64_t micro, uint32_t rest) {
  CHECK(micro < k_supply_micro && rest < k_million);
  Meter meter;
  meter.micro_ = micro;
  meter.rest_ = rest;
  return meter;
}

Amount price_of(Rate rate, uint64_t bytes) {
  uint64_t pico = rate.in_pico_per_byte();
  if (pico == 0 || bytes == 0) return Amount();
  // rate * bytes / 10^6 without 128 bits: whole millions of bytes first, then the rest (below 2^46 * 2^20).
  uint64_t millions = bytes / k_million;
  if (millions != 0 && pico > k_supply_micro / millions) return Amount::supply();
  uint64_t micro = pico * millions;
  uint64_t rest = pico / k_million * (bytes % k_million) + (pico % k_million * (bytes % k_million) + k_million - 1) / k_million;
  if (rest > k_supply_micro - micro) return Amount::supply();
  return Amount::micro(micro + rest);
}

}  // namespace millet
