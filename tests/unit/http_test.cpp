// codec: HTTP/1.1 heads and bodies (RFC 9110, 9112).
#include "codec/http.h"

#include <string>

#include "unit/test.h"

using namespace millet;
using namespace millet::http;

namespace {

constexpr size_t k_body_max = 1000;
using Role = Reader::Role;

// What a reader makes of a stream that comes in pieces of `step` bytes and then ends: "METHOD target|status [keep] body;" per message,
// "!" and the reason at an error.
std::string read_all(Role role, std::string_view stream, size_t step = 1000000) {
  Reader reader(role, k_body_max);
  std::string out;
  auto note = [&] {
    out += role == Role::requests ? std::string(reader.method()) + " " + std::string(reader.target()) : std::to_string(reader.status());
    out += (reader.keeps_alive() ? " keep " : " close ") + std::string(as_text(reader.body())) + ";";
    reader.start();
  };
  for (size_t at = 0; at < stream.size(); at += step) {
    std::string_view input = stream.substr(at, step);
    while (!input.empty()) {
      Result<size_t> taken = reader.feed(as_bytes(input));
      if (!taken) return out + "!" + taken.error().reason;
      input.remove_prefix(*taken);
      if (reader.is_complete()) note();
    }
  }
  if (reader.is_idle()) return out;
  Status ended = reader.end();
  if (!ended) return out + "!" + ended.error().reason;
  note();
  return out;
}

bool is_error(const std::string& text) { return text.find('!') != std::string::npos; }

const std::string k_post = "POST /v1/op HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
const std::string k_chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: r\r\n\r\n";

}  // namespace

static void requests_are_read_however_the_stream_is_cut(void**) {
  std::string stream = "\r\nGET /a?b HTTP/1.1\r\nhost:h\r\n\r\n" + k_post + "GET / HTTP/1.0\r\n\r\n" +
                       "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nConnection: x, Close\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
  for (size_t step = 1; step <= stream.size(); ++step) {
    assert_string_equal(read_all(Role::requests, stream, step).c_str(),
                        "GET /a?b keep ;POST /v1/op keep hello;GET / close ;PUT /c close hi;");
  }
}

static void responses_are_read_however_the_stream_is_cut(void**) {
  std::string stream = "HTTP/1.1 100 Continue\r\n\r\n" + k_chunked +
                       "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 404\r\nContent-Length: 0\r\n\r\n" +
                       "HTTP/1.0 200 OK\nContent-Length: 2\nConnection: Keep-Alive\n\nhiHTTP/1.1 200 \r\n\r\nuntil the end";
  for (size_t step = 1; step <= stream.size(); ++step) {
    assert_string_equal(read_all(Role::responses, stream, step).c_str(),
                        "200 keep abc0123456789;204 keep ;404 keep ;200 keep hi;200 close until the end;");
  }
}

static void headers_are_found_in_any_case(void**) {
  Reader reader(Role::responses, k_body_max);
  std::string text = "HTTP/1.1 200 OK\r\nX-Empty:\r\ncontent-TYPE: \t text/plain \r\nTwo: 1\r\nTwo: 2\r\nContent-Length: 0\r\n\r\n";
  assert_int_equal(*reader.feed(as_bytes(text)), text.size());
  assert_true(reader.is_complete());
  assert_true(reader.header("Content-Type") == "text/plain");
  assert_true(reader.header("x-empty") == "");
  assert_true(reader.header("TWO") == "1");
  assert_false(reader.header("absent").has_value());
}

static void what_two_readers_could_understand_differently_is_refused(void**) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\n";
  for (const char* rest : {"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
                           "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
                           "Content-Length: 5, 5\r\n\r\n",
                           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                           "Transfer-Encoding: gzip, chunked\r\n\r\n",
                           "Transfer-Encoding: identity\r\n\r\n",
                           "Transfer-Encoding: xchunked\r\n\r\n",
                           "Content-Length: +5\r\n\r\n",
                           "Content-Length: -1\r\n\r\n",
                           "Content-Length: 0x5\r\n\r\n",
                           "Content-Length: 5 5\r\n\r\n",
                           "Content-Length:\r\n\r\n",
                           "Content-Length: 99999999999999999999\r\n\r\n",
                           "Content-Length : 5\r\n\r\n",
                           " Content-Length: 5\r\n\r\n",
                           "X: y\r\n folded\r\n\r\n",
                           "X\r\n\r\n",
                           ": y\r\n\r\n",
                           "X y: z\r\n\r\n",
                           "X: a\rb\r\n\r\n",
                           "X: a\nY: b\r\n\r\n",
                           "Host: h\r\n\r\n",
                           "X: \x7f\r\n\r\n",
                           "X: \x01\r\n\r\n"}) {
    std::string got = read_all(Role::requests, head + rest);
    if (!is_error(got)) print_message("taken: '%s' as '%s'\n", rest, got.c_str());
    assert_true(is_error(got));
  }
  std::string zero = head + "X: a" + std::string(1, '\0') + "\r\n\r\n";
  assert_true(is_error(read_all(Role::requests, zero)));
}

static void malformed_start_lines_are_refused(void**) {
  for (const char* bad :
       {"GET / HTTP/1.1\n\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.2\r\n\r\n", "GET /\r\n\r\n", "GET\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\n\r\n", "GET * HTTP/1.1\r\n\r\n", "GET / x HTTP/1.1\r\n\r\n", " / HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n", "GET /\xc3\xa9 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\r\n"}) {
    assert_true(is_error(read_all(Role::requests, bad)));
  }
  for (const char* bad : {"\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
                          "HTTP/1.1  200\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 600 x\r\n\r\n", "HTTP/1.1 101 x\r\n\r\n",
                          "ICY 200 OK\r\n\r\n", "<html>\r\n", "d8:intervali1e\n"}) {
    assert_true(is_error(read_all(Role::responses, bad)));
  }
}

static void chunks_are_checked(void**) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* bad : {"\r\n", "g\r\n", "-1\r\n", "0x5\r\n", "5 5\r\n", "100000000\r\n", "3\r\nabcd\r\n0\r\n\r\n",
                          "3\r\nab\r\n\r\n0\r\n\r\n", "3e9\r\n", "1\r\na\r\n", "0\r\n", "0\r\nT: \x01\r\n\r\n"}) {
    assert_true(is_error(read_all(Role::responses, head + bad)));
  }
  assert_string_equal(read_all(Role::responses, head + "003\r\nabc\r\n0\r\n\r\n").c_str(), "200 keep abc;");
  // A bare LF in a request's chunk lines is where two readers part.
  assert_true(is_error(read_all(Role::requests, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n")));
  assert_true(is_error(read_all(Role::requests, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")));
}

static void every_bound_holds(void**) {
  auto code = [](Role role, const std::string& text) {
    Reader reader(role, k_body_max);
    Result<size_t> taken = reader.feed(as_bytes(text));
    return taken ? Errc::io : taken.error().code;
  };
  const std::string ok_head = "HTTP/1.1 200 OK\r\n";
  assert_true(code(Role::responses, ok_head + "X: " + std::string(k_head_size_max, 'x')) == Errc::no_room);
  assert_true(code(Role::requests, "GET /" + std::string(k_head_size_max, 'x')) == Errc::no_room);
  assert_true(code(Role::requests, std::string(k_head_size_max / 2 + 1, '\r')) == Errc::io);
  std::string headers;
  for (size_t i = 0; i < k_header_count_max; ++i) headers += "A: b\r\n";
  assert_true(code(Role::responses, ok_head + headers + "\r\n") == Errc::io);
  assert_true(code(Role::responses, ok_head + headers + "A: b\r\n\r\n") == Errc::no_room);
  assert_true(code(Role::responses, ok_head + "Content-Length: 1000\r\n\r\n") == Errc::io);
  assert_true(code(Role::responses, ok_head + "Content-Length: 1001\r\n\r\n") == Errc::no_room);
  assert_true(code(Role::responses, ok_head + "\r\n" + std::string(1001, 'x')) == Errc::no_room);
  const std::string chunked = ok_head + "Transfer-Encoding: chunked\r\n\r\n";
  assert_true(code(Role::responses, chunked + "3e8\r\n" + std::string(1000, 'x') + "\r\n1\r\n") == Errc::no_room);
  assert_true(code(Role::responses, chunked + "ffffffff\r\n") == Errc::no_room);
  assert_true(code(Role::responses, chunked + "1;" + std::string(k_chunk_line_size_max, 'x')) == Errc::no_room);
  std::string trailers;
  for (int i = 0; i < 2000; ++i) trailers += "A: b\r\n";
  assert_true(code(Role::responses, chunked + "0\r\n" + trailers) == Errc::no_room);
  std::string interim;
  for (size_t i = 0; i <= k_interim_count_max; ++i) interim += "HTTP/1.1 102 Processing\r\n\r\n";
  assert_true(code(Role::responses, interim) == Errc::no_room);
}

static void the_end_of_the_connection_counts(void**) {
  for (size_t size = 1; size < k_post.size(); ++size) assert_true(is_error(read_all(Role::requests, k_post.substr(0, size))));
  for (size_t size = 1; size < k_chunked.size(); ++size) assert_true(is_error(read_all(Role::responses, k_chunked.substr(0, size))));
  Reader idle(Role::responses, k_body_max);
  assert_true(idle.is_idle());
  assert_string_equal(idle.end().error().reason.c_str(), "HTTP: the connection ended before a message");
}

static void what_we_send_is_what_we_read(void**) {
  Url url = *Url::parse("http://[::1]:7411/v1/op?x");
  std::vector<uint8_t> out;
  encode(Request{}, url, out);
  assert_string_equal(std::string(as_text(out)).c_str(),
                      "GET /v1/op?x HTTP/1.1\r\nHost: [::1]:7411\r\nUser-Agent: millet\r\nAccept: */*\r\nConnection: close\r\n\r\n");
  out.clear();
  encode(Request{"POST", "application/octet-stream", as_bytes("body")}, url, out);
  assert_string_equal(read_all(Role::requests, as_text(out)).c_str(), "POST /v1/op?x close body;");
  out.clear();
  encode(Response{404, "application/json", {}, as_bytes("{}"), true}, out);
  encode(Response{200, "text/plain", "X-One: 1\r\nX-Two: 2\r\n", {}, false}, out);
  assert_string_equal(read_all(Role::responses, as_text(out)).c_str(), "404 keep {};200 close ;");
}

static void mutations_are_survived_and_read_the_same_in_any_cut(void**) {
  for (const auto& [role, text] : {std::pair(Role::requests, k_post + k_post), std::pair(Role::responses, k_chunked)}) {
    for (size_t at = 0; at < text.size(); ++at) {
      for (int value = 0; value < 256; ++value) {
        std::string changed = text;
        changed[at] = static_cast<char>(value);
        assert_string_equal(read_all(role, changed).c_str(), read_all(role, changed, 1 + at % 7).c_str());
      }
    }
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(requests_are_read_however_the_stream_is_cut),
      cmocka_unit_test(responses_are_read_however_the_stream_is_cut),
      cmocka_unit_test(headers_are_found_in_any_case),
      cmocka_unit_test(what_two_readers_could_understand_differently_is_refused),
      cmocka_unit_test(malformed_start_lines_are_refused),
      cmocka_unit_test(chunks_are_checked),
      cmocka_unit_test(every_bound_holds),
      cmocka_unit_test(the_end_of_the_connection_counts),
      cmocka_unit_test(what_we_send_is_what_we_read),
      cmocka_unit_test(mutations_are_survived_and_read_the_same_in_any_cut),
  };
  return RUN_TESTS(tests);
}
