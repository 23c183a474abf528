// HTTP/1.1 messages (RFC 9110, 9112), as much as a client of trackers and of the ledger needs and a small server that has to withstand
// strangers: one message at a time into bounded memory. No pipelining of answers, no content codings, no upgrades, no trailers' content.
//
//     GET /announce?... HTTP/1.1 CRLF            start line
//     Host: tracker.example CRLF                 headers: k_header_count_max lines, k_head_size_max bytes in all
//     CRLF
//     body: Content-Length, chunked, or (responses only) until the connection closes
//
// Whatever two readers could understand differently is refused: two lengths, a length with chunks, folded lines, bare CR, a space before
// the colon (request smuggling). Responses may end lines with a bare LF, as some trackers do; requests may not.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "codec/url.h"

namespace millet::http {

inline constexpr size_t k_head_size_max = 8 * 1024;  // start line and headers, or the trailers; what servers everywhere accept
inline constexpr size_t k_header_count_max = 64;
inline constexpr size_t k_chunk_line_size_max = 256;  // a chunk's size, and extensions that nobody sends
inline constexpr size_t k_interim_count_max = 4;      // "100 Continue" and the like before the response

// Reads one message after another from a stream.
class Reader {
 public:
  enum class Role : uint8_t { requests, responses };
  // A body of more than body_size_max bytes is an error as soon as that is known.
  Reader(Role role, size_t body_size_max);

  // Takes bytes from the front of the input, up to the end of the message; returns how many.
  // Errors: protocol if it is malformed; no_room beyond a bound. The stream is lost then.
  Result<size_t> feed(Bytes input);
  // The connection has ended. Errors: protocol if that cut the message off.
  Status end();
  // The next message on the same connection. Requires: is_complete().
  void start();

  bool has_head() const { return state_ != State::head; }
  bool is_complete() const { return state_ == State::complete; }
  // True if not a byte of the message has come: an idle connection, whose end is no error.
  bool is_idle() const { return state_ == State::head && head_.empty(); }

  // Of a request; empty before has_head().
  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  // Of a response: 200 to 599; 0 before has_head().
  int status() const { return status_; }
  // The value of a header, its name in any case. The first of several. Valid until the next call of a function that is not const.
  std::optional<std::string_view> header(std::string_view name) const;
  // The sender keeps the connection open for another message.
  bool keeps_alive() const { return keeps_alive_; }
  const std::vector<uint8_t>& body() const { return body_; }
  std::vector<uint8_t> take_body() { return std::move(body_); }

 private:
  enum class State : uint8_t { head, length_body, open_body, chunk_size, chunk_data, chunk_end, trailers, complete };
  struct HeaderSpan {
    uint16_t name_at, name_size, value_at, value_size;  // in head_
  };
  bool is_request() const { return role_ == Role::requests; }
  Status take_head_byte(char c);
  Status end_line(size_t begin, size_t end);
  Status parse_request_line(std::string_view line);
  Status parse_status_line(std::string_view line);
  Status add_header(size_t begin, std::string_view line);
  Status finish_head();
  Status read_connection_header();
  Status choose_body();
  Status append_body(Bytes bytes);
  Error body_too_large() const;
  Status take_chunk_byte(char c);
  Status begin_chunk(std::string_view line);
  std::string_view view(uint16_t at, uint16_t size) const { return std::string_view(head_).substr(at, size); }

  const Role role_;
  const size_t body_size_max_;
  State state_ = State::head;
  std::string head_;
  size_t line_begin_ = 0;
  bool has_start_line_ = false;
  std::vector<HeaderSpan> headers_;
  size_t interim_count_ = 0;

  std::string method_;
  std::string target_;
  int status_ = 0;
  bool is_http_1_0_ = false;
  bool keeps_alive_ = false;

  std::string chunk_line_;  // also the current trailer line
  size_t trailers_size_ = 0;
  uint64_t body_left_ = 0;  // of the Content-Length, or of the chunk
  std::vector<uint8_t> body_;
};

// A whole request on a connection of its own. A body is sent if there is a content type.
struct Request {
  std::string_view method = "GET";
  std::string_view content_type;
  Bytes body;
};
void encode(const Request& request, const Url& url, std::vector<uint8_t>& out);

// A whole response with its body, always with Content-Length.
struct Response {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string_view headers;  // more of them, each ending with CR LF
  Bytes body;
  bool keep_alive = true;
};
void encode(const Response& response, std::vector<uint8_t>& out);

// "Not Found" for 404; "Unknown" for what we never send.
const char* reason_of(int status);

}  // namespace millet::http
