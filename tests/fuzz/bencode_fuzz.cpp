// Bencode: what strict parsing accepts, the writer writes again; what it accepts, lenient parsing accepts.
#include "codec/bencode.h"
#include "fuzz/fuzz.h"

using namespace millet;
using namespace millet::bencode;

namespace {

void rewrite(const Value& value, Writer& out) {
  Value item;
  Bytes key;
  switch (value.kind()) {
    case Kind::none: break;
    case Kind::integer: out.raw(value.encoded()); break;
    case Kind::string: out.string(*value.string()); break;
    case Kind::list: {
      out.begin_list();
      for (ListCursor cursor(value); cursor.next(item);) rewrite(item, out);
      out.end();
      break;
    }
    case Kind::dict: {
      out.begin_dict();
      for (DictCursor cursor(value); cursor.next(key, item);) {
        out.key(as_text(key));
        rewrite(item, out);
      }
      out.end();
      break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  // As deep as the writer goes.
  Result<Value> lenient = parse(input, {4096, 7, 1000, false});
  Result<Value> strict = parse(input, {4096, 7, 1000, true});
  CHECK(!strict || lenient);
  if (!strict) return 0;
  std::vector<uint8_t> out;
  Writer writer(out);
  rewrite(*strict, writer);
  CHECK(equal(out, input));
  return 0;
}

std::vector<std::string> fuzz_samples() {
  return {"d5:counti-7e4:listl1:a2:bci0ed0:0:ee4:morei1e4:name4:spam4:treed1:xlleleeee",
          "i9223372036854775807e",
          "llllleeeee",
          "d1:ad1:bd1:clleeee",
          "0:",
          "d1:b0:1:a0:e"};
}
