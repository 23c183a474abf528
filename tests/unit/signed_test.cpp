// codec/fields.h and codec/signed.h: the golden vectors of the channel's signed bytes, and what must never be valid as something else.
#include "codec/signed.h"

#include "crypto/hash.h"
#include "crypto/sign.h"
#include "unit/test.h"

using namespace millet;

namespace {

std::array<uint8_t, 32> filled(uint8_t byte) {
  std::array<uint8_t, 32> out;
  out.fill(byte);
  return out;
}

SigningKey payer_key() { return SigningKey::from_seed(filled(1)); }
SigningKey payee_key() { return SigningKey::from_seed(filled(2)); }

ChannelTerms golden_terms() {
  ChannelTerms terms;
  terms.ledger.raw = filled(0x11);
  terms.payer = payer_key().public_key();
  terms.payee = payee_key().public_key();
  terms.capacity = Amount::micro(1'000'000);
  terms.expiry = LedgerTime::from_seconds(1'800'000'000);
  terms.nonce.fill(0x33);
  terms.valid_until = LedgerTime::from_seconds(1'799'996'400);
  return terms;
}

ChannelId golden_channel() { return ChannelId{blake2b_256(preimage(golden_terms()))}; }

PayStatement golden_pay() { return {golden_terms().ledger, golden_channel(), 1, Amount::micro(4096)}; }

// The known answers were made with libsodium, independently of this code.
void golden_channel_vectors_hold(void**) {
  assert_string_equal(payer_key().public_key().hex().c_str(), "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
  assert_string_equal(payee_key().public_key().hex().c_str(), "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394");
  assert_string_equal(golden_channel().hex().c_str(), "33b24830f6d557b1af578380b51f728f539d7df8bc34726ad58ca407bd038603");
  assert_string_equal(payer_key().sign(preimage(golden_terms())).hex().c_str(),
                      "745760981107fc404ef76f3f9636948bf913ef4103d866d880527fc7e1ca03da"
                      "a0f1568b844230cbf539f87a0b66d3f7ac0b26090cf3a8db4f7dd543777e3b0b");
  assert_string_equal(to_hex(preimage(golden_pay())).c_str(),
                      "4254543150415900"
                      "1111111111111111111111111111111111111111111111111111111111111111"
                      "33b24830f6d557b1af578380b51f728f539d7df8bc34726ad58ca407bd038603"
                      "00000000000000010000000000001000");
  assert_string_equal(payer_key().sign(preimage(golden_pay())).hex().c_str(),
                      "12e44d262b8afe1ee8d726b7eac83394b0f71f358bf191607e0374b0142516f2"
                      "7c93f87a5a70a592e1dc0c5e2808271bf1441f28d4d76fc2aadc534c5527fc0f");
  CloseStatement close{golden_terms().ledger, golden_channel(), 1, Amount::micro(4096)};
  assert_string_equal(payee_key().sign(preimage(close)).hex().c_str(),
                      "90af01c10d9818652fbabeef493583ba76a8e26dd861ae942aa7fd701685dc07"
                      "96ffe05c0091b6b264ae90c8abef66f1f0060a5397e09086316821f28b2e4900");
}

void a_signature_is_good_for_one_ledger_channel_amount_and_kind_only(void**) {
  PayStatement pay = golden_pay();
  Signature signature = payer_key().sign(preimage(pay));
  PublicKey payer = payer_key().public_key();
  assert_true(verify(payer, preimage(pay), signature));
  PayStatement other = pay;
  other.ledger.raw[31] ^= 1;
  assert_false(verify(payer, preimage(other), signature));
  other = pay;
  other.channel.raw[0] ^= 1;
  assert_false(verify(payer, preimage(other), signature));
  other = pay;
  other.cum = Amount::micro(4097);
  assert_false(verify(payer, preimage(other), signature));
  assert_false(verify(payer, preimage(CloseStatement{pay.ledger, pay.channel, pay.seq, pay.cum}), signature));
  assert_false(verify(payer, preimage(ClaimStatement{pay.ledger, pay.channel, pay.seq, pay.cum}), signature));
  assert_false(verify(payee_key().public_key(), preimage(pay), signature));
}

// Attack 5: a second form of the same signature, and a key that would verify anything.
void malleated_signatures_and_small_order_keys_are_refused(void**) {
  PayStatement pay = golden_pay();
  Signature signature = payer_key().sign(preimage(pay));
  // The order of the curve's base point, little-endian: S + L verifies where S is not checked to be canonical.
  const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                             0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
  unsigned carry = 0;
  for (size_t i = 0; i < 32; ++i) {
    carry += signature.raw[32 + i] + order[i];
    signature.raw[32 + i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  assert_false(verify(payer_key().public_key(), preimage(pay), signature));
  PublicKey identity;
  identity.raw[0] = 1;
  Signature trivial;
  trivial.raw[0] = 1;  // R = identity, S = 0
  assert_false(verify(identity, preimage(pay), trivial));
  assert_false(verify(PublicKey(), preimage(pay), Signature()));
}

template <typename Message>
void round_trips_and_refuses_other_sizes(const Message& message, bool& good) {
  auto bytes = encode_fields(message);
  auto back = decode_fields<Message>(bytes);
  good = good && back && *back == message;
  std::vector<uint8_t> longer(bytes.begin(), bytes.end());
  longer.push_back(0);
  good = good && !decode_fields<Message>(longer);
  for (size_t size = 0; size < bytes.size(); ++size) good = good && !decode_fields<Message>(Bytes(bytes).first(size));
}

void every_statement_round_trips_and_no_other_size_decodes(void**) {
  bool good = true;
  LedgerId ledger = golden_terms().ledger;
  round_trips_and_refuses_other_sizes(golden_terms(), good);
  round_trips_and_refuses_other_sizes(golden_pay(), good);
  round_trips_and_refuses_other_sizes(CloseStatement{ledger, golden_channel(), 7, Amount::supply()}, good);
  round_trips_and_refuses_other_sizes(ClaimStatement{ledger, golden_channel(), UINT64_MAX, Amount()}, good);
  round_trips_and_refuses_other_sizes(FundStatement{ledger, golden_terms().payer, Amount::micro(5), LedgerTime::from_seconds(UINT64_MAX)},
                                      good);
  assert_true(good);
}

// Attack 24.
void amounts_above_the_supply_are_refused_by_name(void**) {
  auto bytes = encode_fields(golden_pay());
  store_be<uint64_t>(bytes.data() + 72, k_supply_micro + 1);
  auto pay = decode_fields<PayStatement>(bytes);
  assert_false(pay.has_value());
  assert_string_equal(pay.error().reason.c_str(), "field cum is out of range");
  store_be<uint64_t>(bytes.data() + 72, UINT64_MAX);
  assert_false(decode_fields<PayStatement>(bytes).has_value());
}

void ledger_time_saturates(void**) {
  assert_true(LedgerTime::from_seconds(UINT64_MAX).plus_seconds(1) == LedgerTime::from_seconds(UINT64_MAX));
  assert_int_equal(LedgerTime::from_seconds(5).seconds_since(LedgerTime::from_seconds(9)), 0);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(golden_channel_vectors_hold),
      cmocka_unit_test(a_signature_is_good_for_one_ledger_channel_amount_and_kind_only),
      cmocka_unit_test(malleated_signatures_and_small_order_keys_are_refused),
      cmocka_unit_test(every_statement_round_trips_and_no_other_size_decodes),
      cmocka_unit_test(amounts_above_the_supply_are_refused_by_name),
      cmocka_unit_test(ledger_time_saturates),
  };
  return RUN_TESTS(tests);
}
