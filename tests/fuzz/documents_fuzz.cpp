// What people, programs and operators hand in as text or as a file of ours; the first byte chooses. 'j' a request of the control socket,
// 'b' base64, 'a' an address, 'o' an option, 'g' a genesis document, 'p' a policy, 'r' a torrent's resume record.
#include "apps/policy_file.h"
#include "control/base64.h"
#include "control/json.h"
#include "control/options.h"
#include "fuzz/fuzz.h"
#include "ledger/common/address.h"
#include "ledger/server/genesis_file.h"
#include "torrent/resume_record.h"

using namespace millet;

namespace {

constexpr uint32_t k_pieces = 21;

void set(std::string_view text) {
  static Settings settings = default_settings();
  for (Program program : {Program::milletd, Program::ledgerd}) {
    if (set_from_argument(settings, program, text)) CHECK(!print_config(settings, program).empty());
  }
}

void read_resume(Bytes input) {
  Result<ResumeRecord> record = decode_resume(input, k_pieces);
  if (record) CHECK(decode_resume(encode_resume(*record), k_pieces).has_value());
  FileStates files(3);
  (void)decode_files(input, 0, files).has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes input = Bytes(data, size).subspan(1);
  const std::string_view text = as_text(input);
  switch (data[0]) {
    case 'j':
      if (Result<Json> json = Json::parse_object(text)) CHECK(Json::parse_object(json->dump()).has_value());
      break;
    case 'b':
      if (Result<std::vector<uint8_t>> bytes = from_base64(text))
        CHECK(from_base64(to_base64(*bytes)) && *from_base64(to_base64(*bytes)) == *bytes);
      break;
    case 'a':
      if (Result<PublicKey> key = parse_address(text)) CHECK(parse_address(address_of(*key)) && *parse_address(address_of(*key)) == *key);
      break;
    case 'o': set(text); break;
    case 'g': (void)parse_genesis_file(text, LedgerTime::from_seconds(1'800'000'000)).has_value(); break;
    case 'p': (void)parse_policy_file(text, LedgerTime::from_seconds(1'800'000'000)).has_value(); break;
    default: read_resume(input);
  }
  return 0;
}

std::vector<std::string> fuzz_samples() {
  PublicKey key;
  key.raw.fill(7);
  ResumeRecord record;
  record.have = Bitfield(k_pieces);
  record.leased = {3, 9};
  std::vector<std::string> out = {
      "j{\"method\":\"add\",\"params\":{\"torrent\":\"ZA==\",\"peers\":[\"192.0.2.1:1\",null,1.5e3]},\"id\":[true,\"\\u00e4\"]}",
      "bTWlsbGV0IQ==",
      "a" + address_of(key),
      "onode.upload_rate=1000000",
      "ospeed.max_rate=2.5",
      "oledger.key=" + key.hex(),
      "onode.listen=[::]:6881",
      "gconfig pool 'ecosystem'\n\toption account '" + key.hex() + "'\n\toption vests_months '72'\n",
      "pconfig policy\n\toption pool 'ecosystem'\n\toption per_period '10'\n\toption begin '2027-01-01'\n",
      "r" + std::string(as_text(encode_resume(record)))};
  return out;
}
