// Targets of GET and Authorization headers, one line each: only what the routes name is taken, and a token reads back to itself.
#include "fuzz/fuzz.h"
#include "ledger/server/get.h"

using namespace millet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text = as_text(Bytes(data, size));
  size_t end = text.find('\n');
  std::string_view header = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  ParsedGet parsed = parse_get(text.substr(0, end), header);
  bool private_path =
      parsed.request.kind == GetKind::account || parsed.request.kind == GetKind::closed || parsed.request.kind == GetKind::channel;
  if (parsed.code == LedgerCode::done) {
    CHECK(text.starts_with("/v1/") && private_path == parsed.request.token.has_value());
    if (private_path && parsed.request.kind != GetKind::channel) CHECK(parsed.request.token->key == parsed.request.account);
  }
  Result<ReadToken> token = parse_read_token(header);
  if (token) CHECK(*parse_read_token(encode_read_token(*token)) == *token);
  return 0;
}

std::vector<std::string> fuzz_samples() {
  std::string key(64, 'a');
  std::string token = "\nBearer " + key + std::string(16, '0') + std::string(128, 'b');
  return {"/v1/records?from=3&limit=20", "/v1/tree/inclusion?record=1&size=2", "/v1/accounts/" + key + token,
          "/v1/accounts/" + key + "/closed?after=5" + token, "/v1/channels/" + key + token};
}
