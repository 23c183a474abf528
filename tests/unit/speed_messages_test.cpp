// speed/messages.h: the vectors of PROTOCOL.md section 13, which were made independently of this code; round trips and mutations.
#include "speed/messages.h"

#include "base/random.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;

namespace {

template <size_t N>
std::array<uint8_t, N> filled(uint8_t byte) {
  std::array<uint8_t, N> out;
  out.fill(byte);
  return out;
}

const SigningKey& payer() {
  static const SigningKey key = SigningKey::from_seed(filled<32>(1));
  return key;
}
const SigningKey& payee() {
  static const SigningKey key = SigningKey::from_seed(filled<32>(2));
  return key;
}
LedgerId ledger() { return LedgerId{filled<32>(0x11)}; }

ChannelTerms terms() {
  ChannelTerms t;
  t.ledger = ledger();
  t.payer = payer().public_key();
  t.payee = payee().public_key();
  t.capacity = Amount::micro(1'000'000);
  t.expiry = LedgerTime::from_seconds(1'800'000'000);
  t.nonce.fill(0x33);
  t.valid_until = LedgerTime::from_seconds(1'799'996'400);
  return t;
}
ChannelId channel() { return ChannelId{blake2b_256(preimage(terms()))}; }

ProofStatement proof_of_payer() {
  ProofStatement p;
  p.ledger = ledger();
  p.role = 1;
  p.signer = payer().public_key();
  p.other = payee().public_key();
  p.signer_nonce.fill(0x44);
  p.other_nonce.fill(0x55);
  p.info_hash.raw.fill(0x66);
  p.signer_peer = PeerId::from_bytes(as_bytes("-ML0100-aaaaaaaaaaaa"));
  p.other_peer = PeerId::from_bytes(as_bytes("-ML0100-bbbbbbbbbbbb"));
  return p;
}

Signature pay_signature() { return payer().sign(preimage(PayStatement{ledger(), channel(), 1, Amount::micro(4096)})); }

void expect_vector(const Message& message, const char* hex) {
  std::vector<uint8_t> bytes = encode(message);
  assert_string_equal(to_hex(bytes).c_str(), hex);
  Result<Message> back = decode(bytes);
  assert_true(back.has_value());
  assert_true(*back == message);
}

void signed_vectors_hold(void**) {
  auto fund_key = SigningKey::from_seed(filled<32>(3));
  assert_string_equal(fund_key.public_key().hex().c_str(), "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1");
  assert_string_equal(channel().hex().c_str(), "33b24830f6d557b1af578380b51f728f539d7df8bc34726ad58ca407bd038603");
  ProofStatement mine = proof_of_payer();
  assert_int_equal(preimage(mine).size(), 229);
  assert_string_equal(payer().sign(preimage(mine)).hex().c_str(),
                      "ecf08c607db042b48e7859a326519e01788d0583437c6d1cd76de1ad543f84a5"
                      "560e0bd9d0c1434c45f64be693842a18e99db79602960bd94ed5b228c98b1e00");
  ProofStatement theirs = mine;
  theirs.role = 2;
  std::swap(theirs.signer, theirs.other);
  std::swap(theirs.signer_nonce, theirs.other_nonce);
  std::swap(theirs.signer_peer, theirs.other_peer);
  assert_string_equal(payee().sign(preimage(theirs)).hex().c_str(),
                      "3f63fc26abfedd3c638da35115bf559acf86ea59f5ef6b5375c2c6a0d45ecbf6"
                      "aed35565ec770a0b3682fa11d84b54a5eb8c6d90dea06769528de727efd56802");
  assert_string_equal(pay_signature().hex().c_str(),
                      "12e44d262b8afe1ee8d726b7eac83394b0f71f358bf191607e0374b0142516f2"
                      "7c93f87a5a70a592e1dc0c5e2808271bf1441f28d4d76fc2aadc534c5527fc0f");
  assert_string_equal(payee().sign(preimage(ClaimStatement{ledger(), channel(), 1, Amount::micro(4096)})).hex().c_str(),
                      "16c35a2773c44b1b08280a71b3203259856c81f93a84a7aa95a11c8585be06ca"
                      "a72b83d78ecfcaca68c48b036c4ad8ef2e6be64c1944d547f954c3c10f92f80b");
  FundStatement fund{ledger(), payer().public_key(), Amount::micro(5'000'000), LedgerTime::from_seconds(1'799'990'000)};
  assert_string_equal(fund_key.sign(preimage(fund)).hex().c_str(),
                      "2f80752daf5aa0b835c39bdb9037a5710c0ddc306cc26925978ef0a78f0e6a2d"
                      "1f1caf1927323949f4df0ffce99c5a750e39282db4acdd62f91e421ffcaa0e06");
}

// Attack 4: no signature of one purpose is good for another, because no two signed layouts can be equal.
void signed_layouts_differ_in_their_first_eight_bytes(void**) {
  std::vector<std::string_view> tags = {ProofStatement::k_tag, ChannelTerms::k_tag,   PayStatement::k_tag,
                                        CloseStatement::k_tag, ClaimStatement::k_tag, FundStatement::k_tag};
  for (size_t i = 0; i < tags.size(); ++i) {
    assert_int_equal(tags[i].size(), 8);
    for (size_t j = i + 1; j < tags.size(); ++j) assert_true(tags[i] != tags[j]);
  }
  Signature as_close = payee().sign(preimage(CloseStatement{ledger(), channel(), 1, Amount::micro(4096)}));
  assert_false(verify(payee().public_key(), preimage(PayStatement{ledger(), channel(), 1, Amount::micro(4096)}), as_close));
}

void messages_match_the_vectors(void**) {
  expect_vector(BidMessage{7, 0, Rate::pico_per_byte(14'000)}, "01000000070000000000000036b0");
  expect_vector(BidMessage{8, BidMessage::k_flag_withdraw, Rate()}, "0100000008010000000000000000");
  expect_vector(RateMessage{1, 7, Rate::pico_per_byte(9000), 0, 262'144, 30, 1'048'576},
                "02000000010000000700000000000023280000040000001e0000000000100000");
  expect_vector(ChannelMessage{0, terms().capacity, terms().expiry, terms().nonce, terms().valid_until},
                "030000000000000f4240000000006b49d20033333333333333333333333333333333000000006b49c3f0");
  expect_vector(PayMessage{0, 1, Amount::micro(4096), pay_signature()},
                "04000000000000000001000000000000100012e44d262b8afe1ee8d726b7eac83394b0f71f358bf191607e0374b0142516f2"
                "7c93f87a5a70a592e1dc0c5e2808271bf1441f28d4d76fc2aadc534c5527fc0f");
  expect_vector(AckMessage{0, 0, 1, Amount::micro(4096), Amount::micro(2048), Amount::micro(12)},
                "050000000000000000000100000000000010000000000000000800000000000000000c");
  expect_vector(ResumeMessage{0, channel(), 1, Amount::micro(4096), pay_signature()},
                "060033b24830f6d557b1af578380b51f728f539d7df8bc34726ad58ca407bd03860300000000000000010000000000001000"
                "12e44d262b8afe1ee8d726b7eac83394b0f71f358bf191607e0374b0142516f27c93f87a5a70a592e1dc0c5e2808271bf1441f28d4d76fc2"
                "aadc534c5527fc0f");
  expect_vector(CloseMessage{channel(), 0, 1, Amount::micro(4096)},
                "0733b24830f6d557b1af578380b51f728f539d7df8bc34726ad58ca407bd0386030000000000000000010000000000001000");
  expect_vector(StopMessage{1, 60}, "08010000003c");
  expect_vector(HelloMessage{1, ledger(), payer().public_key(), filled<32>(0x44), k_service_requester},
                "090111111111111111111111111111111111111111111111111111111111111111118a88e3dd7409f195fd52db2d3cba5d72ca67"
                "09bf1d94121bf3748801b40f6f5c444444444444444444444444444444444444444444444444444444444444444400000002");
  expect_vector(ProveMessage{payer().sign(preimage(proof_of_payer()))},
                "0aecf08c607db042b48e7859a326519e01788d0583437c6d1cd76de1ad543f84a5560e0bd9d0c1434c45f64be693842a18e99db7"
                "9602960bd94ed5b228c98b1e00");
  Signature fund;
  fund =
      SigningKey::from_seed(filled<32>(3))
          .sign(preimage(FundStatement{ledger(), payer().public_key(), Amount::micro(5'000'000), LedgerTime::from_seconds(1'799'990'000)}));
  expect_vector(FundsMessage{Amount::micro(5'000'000), LedgerTime::from_seconds(1'799'990'000), fund},
                "0b00000000004c4b40000000006b49aaf02f80752daf5aa0b835c39bdb9037a5710c0ddc306cc26925978ef0a78f0e6a2d1f1caf"
                "1927323949f4df0ffce99c5a750e39282db4acdd62f91e421ffcaa0e06");
  expect_vector(HoldMessage{17}, "0c00000011");
  expect_vector(AcceptMessage{3}, "0d00000003");
}

// Fills a message at random, within the ranges of its fields.
template <typename M>
Message random_message(Random& random) {
  std::vector<uint8_t> body(k_fields_size<M>);
  for (;;) {
    for (uint8_t& byte : body) byte = static_cast<uint8_t>(random.next() >> 56);
    // Amounts and rates fill only part of their 64 bits: clear random prefixes until all fields are in range.
    for (size_t i = 0; i < body.size(); ++i) {
      if (random.below(2) == 0) body[i] = 0;
    }
    std::vector<uint8_t> payload = {M::k_type};
    payload.insert(payload.end(), body.begin(), body.end());
    Result<Message> message = decode(payload);
    if (message) return *message;
  }
}
template <typename... Ms>
std::vector<Message> random_of_each(Random& random, const std::variant<std::monostate, Ms...>*) {
  return {random_message<Ms>(random)...};
}

void every_message_survives_a_round_trip(void**) {
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    for (const Message& message : random_of_each(random, static_cast<const Message*>(nullptr))) {
      std::vector<uint8_t> bytes = encode(message);
      Result<Message> back = decode(bytes);
      assert_true(back.has_value());
      assert_true(*back == message);
      assert_true(encode(*back) == bytes);
      assert_true(describe(message).size() > 3);
    }
  }
}

// Attack 24: whatever the bytes, decoding gives a message that encodes to the same bytes, or a protocol error.
void mutated_messages_decode_to_themselves_or_are_refused(void**) {
  Random random(2);
  uint32_t refused = 0, accepted = 0;
  for (int i = 0; i < 3000; ++i) {
    for (const Message& message : random_of_each(random, static_cast<const Message*>(nullptr))) {
      std::vector<uint8_t> bytes = encode(message);
      bytes[1 + random.below(bytes.size() - 1)] = static_cast<uint8_t>(random.next() >> 56);
      Result<Message> back = decode(bytes);
      if (back) {
        assert_true(encode(*back) == bytes);
        ++accepted;
      } else {
        assert_true(back.error().code == Errc::protocol);
        ++refused;
      }
    }
  }
  assert_true(refused > 1000 && accepted > 1000);
}

void a_wrong_length_is_a_protocol_error(void**) {
  Random random(3);
  for (const Message& message : random_of_each(random, static_cast<const Message*>(nullptr))) {
    std::vector<uint8_t> bytes = encode(message);
    for (size_t size = 1; size < bytes.size(); ++size) assert_false(decode(Bytes(bytes).first(size)).has_value());
    bytes.push_back(0);
    assert_false(decode(bytes).has_value());
  }
  assert_false(decode({}).has_value());
}

void unknown_subtypes_are_ignored_up_to_4096_bytes(void**) {
  std::vector<uint8_t> payload(k_payload_size_max, 0);
  payload[0] = 200;
  Result<Message> message = decode(payload);
  assert_true(message.has_value() && std::holds_alternative<std::monostate>(*message));
  payload.push_back(0);
  assert_false(decode(payload).has_value());
  assert_true(std::holds_alternative<std::monostate>(*decode(Bytes(payload).first(1))));
}

void a_tree_head_may_follow_hello(void**) {
  std::vector<uint8_t> bytes = encode(HelloMessage{});
  bytes.resize(bytes.size() + k_tree_head_size, 7);
  Result<Message> message = decode(bytes);
  HelloMessage hello;
  hello.tree_head.emplace().fill(7);
  assert_true(message.has_value() && std::get<HelloMessage>(*message) == hello);
  assert_true(encode(*message) == bytes);
  bytes.pop_back();
  assert_false(decode(bytes).has_value());
}

// Attack 24.
void values_out_of_range_are_refused(void**) {
  auto refuse = [](const char* hex) {
    std::vector<uint8_t> bytes(strlen(hex) / 2);
    return from_hex(hex, bytes).has_value() && !decode(bytes).has_value();
  };
  assert_true(refuse("010000000700ffffffffffffffff"));                                                          // BID: rate 2^64 - 1
  assert_true(refuse("0100000007000000400000000001"));                                                          // BID: rate 2^46 + 1
  assert_true(refuse("010000000702000000000000ffff"));                                                          // BID: unknown flag
  assert_true(refuse("02000000010000000700000000000023280300040000001e0000000000100000"));                      // RATE: kind 3
  assert_true(refuse("02000000010000000700000000000023280100040000001e0000000000100000"));                      // RATE: free, but not 0
  assert_true(refuse("030800000000000f4240000000006b49d20033333333333333333333333333333333000000006b49c3f0"));  // CHANNEL: slot 8
  assert_true(refuse("03008000000000000000000000006b49d20033333333333333333333333333333333000000006b49c3f0"));  // CHANNEL: 2^63
  assert_true(refuse("050000000000000000000100000000000010000000000000001001000000000000000c"));  // ACK: durable above counted
}

void a_log_line_names_message_and_fields(void**) {
  assert_string_equal(describe(BidMessage{7, 0, Rate::pico_per_byte(14'000)}).c_str(), "bid bid_seq=7 flags=0 rate=14000");
  assert_string_equal(describe(HoldMessage{17}).c_str(), "hold piece=17");
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(signed_vectors_hold),
      cmocka_unit_test(signed_layouts_differ_in_their_first_eight_bytes),
      cmocka_unit_test(messages_match_the_vectors),
      cmocka_unit_test(every_message_survives_a_round_trip),
      cmocka_unit_test(mutated_messages_decode_to_themselves_or_are_refused),
      cmocka_unit_test(a_wrong_length_is_a_protocol_error),
      cmocka_unit_test(unknown_subtypes_are_ignored_up_to_4096_bytes),
      cmocka_unit_test(a_tree_head_may_follow_hello),
      cmocka_unit_test(values_out_of_range_are_refused),
      cmocka_unit_test(a_log_line_names_message_and_fields),
  };
  return RUN_TESTS(tests);
}
