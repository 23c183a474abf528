// What the programs of the ledger's bench have in common: they end with one line at the first thing that fails, and sign transfers.
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <array>
#include <string>

#include "crypto/sign.h"
#include "ledger/common/operation.h"

namespace millet {

constexpr uint64_t k_bench_valid_s = 500;  // of an operation; the ledger takes at most 600 ahead of its time

[[noreturn]] inline void stop(const std::string& why) {
  fprintf(stderr, "%s: %s\n", program_invocation_short_name, why.c_str());
  exit(1);
}

template <typename T>
T take(Result<T> result, const char* what) {
  if (!result) stop(std::string(what) + ": " + result.error().reason);
  return std::move(*result);
}

inline uint64_t number(const char* text) {
  char* end = nullptr;
  unsigned long long value = strtoull(text, &end, 10);
  if (*text == 0 || *end != 0) stop(std::string("'") + text + "' is not a number");
  return value;
}

inline TransferOperation make_transfer(const LedgerId& ledger, const SigningKey& from, const PublicKey& to, uint64_t micro,
                                       const std::array<uint8_t, 16>& nonce, LedgerTime now) {
  TransferOperation op;
  op.statement = {ledger, from.public_key(), to, Amount::micro(micro), nonce, now.plus_seconds(k_bench_valid_s), {}};
  op.signature = from.sign(preimage(op.statement));
  return op;
}

// CLAIM or CLOSE of a channel by its payee: `cum` in micro BTT.
template <typename Op>
Op make_redemption(const LedgerId& ledger, const ChannelId& channel, const SigningKey& payer, const SigningKey& payee, uint64_t cum) {
  Op op;
  op.statement.ledger = ledger;
  op.statement.channel = channel;
  op.statement.seq = cum;
  op.statement.cum = Amount::micro(cum);
  op.payer = payer.public_key();
  op.payee = payee.public_key();
  op.payer_signature = payer.sign(preimage(PayStatement{ledger, channel, cum, op.statement.cum}));
  op.signature = payee.sign(preimage(op.statement));
  return op;
}

inline OpenOperation make_open(const LedgerId& ledger, const SigningKey& payer, const PublicKey& payee, uint64_t micro, uint64_t life_s,
                               const std::array<uint8_t, 16>& nonce, LedgerTime now) {
  OpenOperation op;
  op.statement = {
      ledger, payer.public_key(), payee, Amount::micro(micro), now.plus_seconds(life_s), nonce, now.plus_seconds(k_bench_valid_s)};
  op.signature = payer.sign(preimage(op.statement));
  return op;
}

}  // namespace millet
