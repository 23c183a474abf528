// codec: the extension handshake (BEP 10, 21).
#include "codec/extension.h"

#include <string>

#include "codec/peer_wire.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::wire;

static ExtensionHandshake sample() {
  ExtensionHandshake out;
  out.btt_speed = 3;
  out.listen_port = 6881;
  out.request_count_max = 250;
  out.upload_only = true;
  out.your_address = IpAddress::v4({192, 0, 2, 1});
  out.client = "millet 0.1";
  return out;
}

static std::string encoded(const ExtensionHandshake& handshake) {
  std::vector<uint8_t> out;
  encode(handshake, out);
  return std::string(as_text(out));
}

static void extension_handshake_round_trips(void**) {
  std::string bytes = encoded(sample());
  assert_true(bytes == std::string("d1:md9:btt_speedi3ee1:pi6881e4:reqqi250e11:upload_onlyi1e1:v10:millet 0.16:yourip4:\xc0\0\x02\x01"
                                   "e",
                                   88));
  Result<ExtensionHandshake> out = decode_extension_handshake(as_bytes(bytes));
  assert_true(out.has_value());
  assert_true(out->btt_speed == 3 && out->listen_port == 6881 && out->request_count_max == 250u && out->upload_only == true);
  assert_true(out->your_address == IpAddress::v4({192, 0, 2, 1}) && out->client == "millet 0.1");
  assert_true(encoded(*out) == bytes);
  assert_string_equal(encoded(ExtensionHandshake{}).c_str(), "d1:mdee");
}

static void handshakes_of_other_clients_are_read(void**) {
  // Keys out of order, extensions and keys that we do not know, an IPv6 address.
  std::string text =
      "d1:v5:other12:complete_agoi1e1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei500e6:yourip16:" + std::string(15, '\0') +
      "\x01"
      "e";
  Result<ExtensionHandshake> out = decode_extension_handshake(as_bytes(text));
  assert_true(out.has_value());
  assert_false(out->btt_speed.has_value());
  assert_false(out->upload_only.has_value());
  assert_string_equal(out->client.c_str(), "other");
  assert_true(out->your_address->is_loopback());
  assert_true(decode_extension_handshake(as_bytes("de")).has_value());
}

static void btt_speed_zero_withdraws_and_absence_does_not(void**) {
  assert_true(decode_extension_handshake(as_bytes("d1:md9:btt_speedi0eee"))->btt_speed == 0);
  assert_false(decode_extension_handshake(as_bytes("d1:mdee"))->btt_speed.has_value());
}

static void values_out_of_range_count_as_absent(void**) {
  for (const char* text : {"d1:md9:btt_speedi256eee", "d1:md9:btt_speedi-1eee", "d1:pi0ee", "d1:pi65536ee", "d4:reqqi0ee", "d4:reqqi-5ee",
                           "d4:reqqi4294967296ee", "d6:yourip3:abce"}) {
    Result<ExtensionHandshake> out = decode_extension_handshake(as_bytes(text));
    assert_true(out.has_value());
    assert_string_equal(encoded(*out).c_str(), "d1:mdee");
  }
}

static void a_clients_name_is_printable_and_bounded(void**) {
  std::string name = "\n\x1b[31m" + std::string(500, 'x');
  Result<ExtensionHandshake> out = decode_extension_handshake(as_bytes("d1:v" + std::to_string(name.size()) + ":" + name + "e"));
  assert_true(out->client.find("\\x0a\\x1b[31m") == 0);
  assert_true(out->client.size() <= k_client_size_max + 3);
}

static void broken_handshakes_are_refused(void**) {
  for (const char* bad : {"", "le", "i1e", "d", "d1:mi1ee", "d1:p1:xe", "d1:pi1e1:pi2ee", "d1:vi1ee", "d1:mlee"}) {
    assert_false(decode_extension_handshake(as_bytes(bad)).has_value());
  }
  std::string deep = "d1:x" + std::string(2000, 'l') + std::string(2000, 'e') + "e";
  assert_false(decode_extension_handshake(as_bytes(deep)).has_value());
  std::string large = "d1:x5000:" + std::string(5000, 'x') + "e";
  assert_false(decode_extension_handshake(as_bytes(large)).has_value());
}

static void truncations_are_refused_and_mutations_survived(void**) {
  std::string bytes = encoded(sample());
  for (size_t size = 0; size < bytes.size(); ++size) assert_false(decode_extension_handshake(as_bytes(bytes.substr(0, size))).has_value());
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      Result<ExtensionHandshake> out = decode_extension_handshake(as_bytes(changed));
      if (!out) continue;
      out->client.clear();  // made printable: not the same bytes again
      std::string again = encoded(*out);
      assert_true(encoded(*decode_extension_handshake(as_bytes(again))) == again);
    }
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(extension_handshake_round_trips),
      cmocka_unit_test(handshakes_of_other_clients_are_read),
      cmocka_unit_test(btt_speed_zero_withdraws_and_absence_does_not),
      cmocka_unit_test(values_out_of_range_count_as_absent),
      cmocka_unit_test(a_clients_name_is_printable_and_bounded),
      cmocka_unit_test(broken_handshakes_are_refused),
      cmocka_unit_test(truncations_are_refused_and_mutations_survived),
  };
  return RUN_TESTS(tests);
}
