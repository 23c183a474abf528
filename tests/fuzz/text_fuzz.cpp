// HTTP messages, URLs and UCI files: the first byte chooses. A stream means the same however it is cut; a URL prints to what parses to it.
#include "codec/http.h"
#include "codec/uci.h"
#include "fuzz/fuzz.h"

using namespace millet;

namespace {

constexpr size_t k_body_max = 256;

std::string read(http::Reader::Role role, Bytes input, size_t step) {
  http::Reader reader(role, k_body_max);
  std::string out;
  for (size_t at = 0; at < input.size(); at += step) {
    Bytes part = input.subspan(at, std::min(step, input.size() - at));
    while (!part.empty()) {
      Result<size_t> taken = reader.feed(part);
      if (!taken) return out + "!" + taken.error().reason;
      CHECK(*taken > 0 && reader.body().size() <= k_body_max);
      part = part.subspan(*taken);
      if (!reader.is_complete()) continue;
      out += std::string(reader.method()) + std::string(reader.target()) + std::to_string(reader.status()) +
             std::string(as_text(reader.body())) + ";";
      reader.start();
    }
  }
  return reader.is_idle() || reader.end() ? out : out + "?";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes input = Bytes(data, size).subspan(1);
  if (data[0] == 'u') {
    Result<Url> url = Url::parse(as_text(input));
    if (url) CHECK(Url::parse(url->to_string()) && Url::parse(url->to_string())->to_string() == url->to_string() && url->port != 0);
  } else if (data[0] == 'c') {
    (void)uci::parse(as_text(input)).has_value();
  } else {
    auto role = data[0] == 'q' ? http::Reader::Role::requests : http::Reader::Role::responses;
    const std::string whole = read(role, input, std::max<size_t>(input.size(), 1));
    for (size_t step : {1, 3, 50}) CHECK(read(role, input, step) == whole);
  }
  return 0;
}

std::vector<std::string> fuzz_samples() {
  return {"uhttp://Tracker.example:6969/announce?a=b#c",
          "uhttp://[2001:db8::1]:80",
          "cconfig t 'n'\noption a \"b\\\"c\" # d\nlist e 'f';option g h\\ i\n",
          "qPOST /v1/op HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
          "qPUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: r\r\n\r\n",
          "rHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
          "rHTTP/1.0 200 OK\nContent-Length: 2\n\nhiHTTP/1.1 404\r\n\r\nuntil the end"};
}
