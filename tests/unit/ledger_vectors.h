// Keys and messages of the ledger's golden vectors, shared by the ledger's tests. The known answers beside them were computed outside
// this project, with Python's hashlib and the `cryptography` package.
#pragma once

#include "crypto/sign.h"
#include "ledger/common/api.h"

namespace vectors {

using namespace millet;

template <size_t N>
std::array<uint8_t, N> filled(uint8_t byte) {
  std::array<uint8_t, N> out;
  out.fill(byte);
  return out;
}

inline SigningKey key(uint8_t seed) { return SigningKey::from_seed(filled<32>(seed)); }
inline SigningKey payer() { return key(1); }
inline SigningKey payee() { return key(2); }
inline SigningKey ledger_key() { return key(3); }
inline LedgerId ledger() { return LedgerId{filled<32>(0x11)}; }
inline LedgerTime at(uint64_t seconds) { return LedgerTime::from_seconds(seconds); }

inline OpenOperation open() {
  OpenOperation op;
  op.statement = {ledger(),          payer().public_key(), payee().public_key(), Amount::micro(1'000'000),
                  at(1'800'000'000), filled<16>(0x33),     at(1'799'996'400)};
  op.signature = payer().sign(preimage(op.statement));
  return op;
}
inline ChannelId channel() { return channel_id(open().statement); }
inline Signature pay_signature() { return payer().sign(preimage(PayStatement{ledger(), channel(), 1, Amount::micro(4096)})); }
inline CloseOperation close() {
  CloseOperation op{{ledger(), channel(), 1, Amount::micro(4096)}, payer().public_key(), payee().public_key(), pay_signature(), {}};
  op.signature = payee().sign(preimage(op.statement));
  return op;
}
inline ClaimOperation claim() {
  ClaimOperation op{{ledger(), channel(), 1, Amount::micro(4096)}, payer().public_key(), payee().public_key(), pay_signature(), {}};
  op.signature = payee().sign(preimage(op.statement));
  return op;
}
inline TransferOperation transfer() {
  TransferOperation op;
  op.statement = {ledger(), payer().public_key(), payee().public_key(), Amount::micro(123'456'789), filled<16>(0x44), at(1'799'996'400),
                  {}};
  op.signature = payer().sign(preimage(op.statement));
  return op;
}
inline FaucetOperation faucet() {
  FaucetOperation op;
  op.statement = {ledger(), payer().public_key(), 2'999'994, 5, 77, at(1'799'996'400)};
  op.signature = payer().sign(preimage(op.statement));
  return op;
}
inline DrawOperation draw() {
  DrawOperation op;
  op.statement = {ledger(), PublicKey{filled<32>(0x88)}, payee().public_key(), Amount::micro(5), filled<16>(0x44), at(1'799'996'400), {}};
  op.keys.threshold = 1;
  op.keys.keys[0] = payer().public_key();
  op.signatures[0] = payer().sign(preimage(op.statement));
  return op;
}
inline PolicyOperation policy() {
  PolicyOperation op;
  op.statement = {ledger(),         PublicKey{filled<32>(0x88)}, {}, at(1'799'996'000), at(1'899'996'000), 86'400, Amount::micro(5),
                  Amount::micro(9), payee().public_key(),        {}, at(1'799'996'400)};
  op.keys = draw().keys;
  op.signatures[0] = payer().sign(preimage(op.statement));
  return op;
}
inline GrantOperation grant() {
  GrantOperation op;
  op.statement = {ledger(), statement_id(policy().statement), 1, payer().public_key(), Amount::micro(3), {}, at(1'799'996'400)};
  op.granter = payee().public_key();
  op.signature = payee().sign(preimage(op.statement));
  return op;
}
inline TicketFaucetOperation ticket_faucet() {
  TicketFaucetOperation op;
  op.statement = {ledger(), payer().public_key(), 2'999'994, 5, 77, {at(1'799'999'000), filled<32>(0x99)}, at(1'799'996'400)};
  op.signature = payer().sign(preimage(op.statement));
  return op;
}
inline std::vector<Operation> one_of_each() {
  return {open(), close(), claim(), transfer(), faucet(), draw(), policy(), grant(), ticket_faucet()};
}

inline QueryRequest query() {
  QueryRequest request{filled<16>(0x66), payer().public_key(), at(1'799'996'400), {BalanceQuery{}, ChannelQuery{channel()}}, {}};
  request.signature = payer().sign(query_preimage(request, ledger()));
  return request;
}

}  // namespace vectors
