#include "codec/http.h"

#include <algorithm>

namespace millet::http {
namespace {

Error refuse(const std::string& wrong) { return error(Errc::protocol, "HTTP: " + wrong); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_token_character(char c) {
  bool is_letter = lower(c) >= 'a' && lower(c) <= 'z';
  return is_digit(c) || is_letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character); }
// What a header's value may have: everything printable, tabs, and bytes above ASCII.
bool is_value_character(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// True if a comma-separated list has this word.
bool list_has(std::string_view list, std::string_view word) {
  while (true) {
    size_t comma = list.find(',');
    if (equals_ignoring_case(trimmed(list.substr(0, comma)), word)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

bool parse_decimal(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18 || !std::all_of(text.begin(), text.end(), is_digit)) return false;
  out = 0;
  for (char c : text) out = out * 10 + static_cast<uint64_t>(c - '0');
  return true;
}

// "HTTP/1.0" or "HTTP/1.1".
bool parse_version(std::string_view text, bool& is_1_0) {
  if (text != "HTTP/1.0" && text != "HTTP/1.1") return false;
  is_1_0 = text.back() == '0';
  return true;
}

}  // namespace

Reader::Reader(Role role, size_t body_size_max) : role_(role), body_size_max_(body_size_max) {}

void Reader::start() {
  CHECK(is_complete());
  state_ = State::head;
  head_.clear();
  line_begin_ = 0;
  has_start_line_ = false;
  headers_.clear();
  interim_count_ = 0;
  method_.clear();
  target_.clear();
  status_ = 0;
  is_http_1_0_ = false;
  keeps_alive_ = false;
  chunk_line_.clear();
  trailers_size_ = 0;
  body_left_ = 0;
  body_.clear();
}

Result<size_t> Reader::feed(Bytes input) {
  size_t at = 0;
  while (at < input.size() && state_ != State::complete) {
    switch (state_) {
      case State::head: TRY(take_head_byte(static_cast<char>(input[at++]))); break;
      case State::chunk_size:
      case State::chunk_end:
      case State::trailers: TRY(take_chunk_byte(static_cast<char>(input[at++]))); break;
      case State::open_body:
        TRY(append_body(input.subspan(at)));
        at = input.size();
        break;
      case State::length_body:
      case State::chunk_data: {
        size_t taken = static_cast<size_t>(std::min<uint64_t>(body_left_, input.size() - at));
        TRY(append_body(input.subspan(at, taken)));
        at += taken;
        body_left_ -= taken;
        if (body_left_ == 0) state_ = state_ == State::length_body ? State::complete : State::chunk_end;
        break;
      }
      case State::complete: break;
    }
  }
  return at;
}

Status Reader::end() {
  if (state_ == State::open_body) state_ = State::complete;
  if (state_ == State::complete) return ok;
  return refuse(is_idle() ? "the connection ended before a message" : "the connection ended inside a message");
}

std::optional<std::string_view> Reader::header(std::string_view name) const {
  if (!has_head()) return std::nullopt;
  for (const HeaderSpan& span : headers_) {
    if (equals_ignoring_case(view(span.name_at, span.name_size), name)) return view(span.value_at, span.value_size);
  }
  return std::nullopt;
}

Status Reader::take_head_byte(char c) {
  if (head_.size() >= k_head_size_max)
    return error(Errc::no_room, "HTTP: a head of more than " + std::to_string(k_head_size_max) + " bytes");
  head_ += c;
  if (c != '\n') return ok;
  size_t begin = line_begin_;
  size_t end = head_.size() - 1;
  line_begin_ = head_.size();
  if (end > begin && head_[end - 1] == '\r')
    --end;
  else if (is_request())
    return refuse("a line that ends without CR LF");
  return end_line(begin, end);
}

// A whole line of the head, without its end.
Status Reader::end_line(size_t begin, size_t end) {
  std::string_view line = std::string_view(head_).substr(begin, end - begin);
  if (!std::all_of(line.begin(), line.end(), is_value_character)) return refuse("a control character in the head");
  if (line.empty()) {
    // RFC 9112 2.2: an empty line before a request is skipped.
    if (has_start_line_) return finish_head();
    if (is_request()) return ok;
    return refuse("a response that begins with an empty line");
  }
  if (has_start_line_) return add_header(begin, line);
  has_start_line_ = true;
  return is_request() ? parse_request_line(line) : parse_status_line(line);
}

Status Reader::parse_request_line(std::string_view line) {
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return refuse("a request line that is not METHOD TARGET VERSION");
  std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  if (!is_token(method)) return refuse("a request line without a method");
  if (!parse_version(line.substr(last + 1), is_http_1_0_)) return refuse("a version other than HTTP/1.0 and HTTP/1.1");
  bool printable_target = std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (target.empty() || target[0] != '/' || !printable_target) return refuse("a target that is no path");
  method_ = method;
  target_ = target;
  return ok;
}

Status Reader::parse_status_line(std::string_view line) {
  if (line.size() < 12 || !parse_version(line.substr(0, 8), is_http_1_0_) || line[8] != ' ') return refuse("no HTTP/1 response");
  std::string_view code = line.substr(9, 3);
  if (!std::all_of(code.begin(), code.end(), is_digit) || (line.size() > 12 && line[12] != ' '))
    return refuse("a response without a status");
  status_ = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
  if (status_ < 100 || status_ > 599 || status_ == 101) return refuse("a response with status " + std::string(code));
  return ok;
}

Status Reader::add_header(size_t begin, std::string_view line) {
  if (headers_.size() == k_header_count_max)
    return error(Errc::no_room, "HTTP: more than " + std::to_string(k_header_count_max) + " headers");
  if (line[0] == ' ' || line[0] == '\t') return refuse("a folded header");
  size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return refuse("a header without a proper name");
  std::string_view value = trimmed(line.substr(colon + 1));
  size_t value_at = value.empty() ? begin + colon + 1 : static_cast<size_t>(value.data() - head_.data());
  auto narrow = [](size_t at) { return static_cast<uint16_t>(at); };  // k_head_size_max fits
  headers_.push_back({narrow(begin), narrow(colon), narrow(value_at), narrow(value.size())});
  return ok;
}

Status Reader::finish_head() {
  if (!is_request() && status_ < 200) {
    if (++interim_count_ > k_interim_count_max) return error(Errc::no_room, "HTTP: too many interim responses");
    head_.clear();
    headers_.clear();
    line_begin_ = 0;
    has_start_line_ = false;
    status_ = 0;
    return ok;
  }
  TRY(read_connection_header());
  return choose_body();
}

Status Reader::read_connection_header() {
  size_t hosts = 0;
  keeps_alive_ = !is_http_1_0_;
  for (const HeaderSpan& span : headers_) {
    std::string_view name = view(span.name_at, span.name_size);
    std::string_view value = view(span.value_at, span.value_size);
    if (equals_ignoring_case(name, "host")) ++hosts;
    if (!equals_ignoring_case(name, "connection")) continue;
    if (list_has(value, "close"))
      keeps_alive_ = false;
    else if (is_http_1_0_ && list_has(value, "keep-alive"))
      keeps_alive_ = true;
  }
  if (is_request() && (hosts > 1 || (hosts == 0 && !is_http_1_0_)))
    return refuse("a request with " + std::to_string(hosts) + " Host headers");
  return ok;
}

// RFC 9112 6.3, refusing instead of choosing wherever it would have to choose.
Status Reader::choose_body() {
  size_t lengths = 0;
  size_t codings = 0;
  uint64_t length = 0;
  for (const HeaderSpan& span : headers_) {
    std::string_view name = view(span.name_at, span.name_size);
    std::string_view value = view(span.value_at, span.value_size);
    if (equals_ignoring_case(name, "content-length")) {
      ++lengths;
      if (!parse_decimal(value, length)) return refuse("a Content-Length that is no number");
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
      ++codings;
      if (!equals_ignoring_case(value, "chunked")) return refuse("a Transfer-Encoding other than chunked");
    }
  }
  if (lengths > 1 || codings > 1 || (lengths == 1 && codings == 1)) return refuse("more than one statement of the body's length");
  if (codings == 1 && is_http_1_0_) return refuse("chunks in HTTP/1.0");
  if (status_ == 204 || status_ == 304) {
    state_ = State::complete;
  } else if (codings == 1) {
    state_ = State::chunk_size;
  } else if (lengths == 1) {
    if (length > body_size_max_) return body_too_large();
    body_left_ = length;
    state_ = length == 0 ? State::complete : State::length_body;
  } else {
    state_ = is_request() ? State::complete : State::open_body;
    if (!is_request()) keeps_alive_ = false;
  }
  return ok;
}

Error Reader::body_too_large() const {
  return error(Errc::no_room, "HTTP: a body of more than " + std::to_string(body_size_max_) + " bytes");
}

Status Reader::append_body(Bytes bytes) {
  if (bytes.size() > body_size_max_ - body_.size()) return body_too_large();
  body_.insert(body_.end(), bytes.begin(), bytes.end());
  return ok;
}

// A byte of a chunk's size line, of the CR LF behind a chunk, or of the trailers.
Status Reader::take_chunk_byte(char c) {
  if (state_ == State::trailers && ++trailers_size_ > k_head_size_max) return error(Errc::no_room, "HTTP: trailers too large");
  if (c != '\n') {
    size_t max = state_ == State::trailers ? k_head_size_max : k_chunk_line_size_max;
    if (chunk_line_.size() >= max) return error(Errc::no_room, "HTTP: a chunk's line is too long");
    chunk_line_ += c;
    return ok;
  }
  if (!chunk_line_.empty() && chunk_line_.back() == '\r')
    chunk_line_.pop_back();
  else if (is_request())
    return refuse("a line that ends without CR LF");
  std::string line = std::move(chunk_line_);
  chunk_line_.clear();
  if (!std::all_of(line.begin(), line.end(), is_value_character)) return refuse("a control character in a chunk's line");
  switch (state_) {
    case State::chunk_size: return begin_chunk(line);
    case State::chunk_end:
      if (!line.empty()) return refuse("a chunk that is longer than its size");
      state_ = State::chunk_size;
      return ok;
    default:
      if (line.empty()) state_ = State::complete;
      return ok;
  }
}

Status Reader::begin_chunk(std::string_view line) {
  std::string_view digits = trimmed(line.substr(0, line.find(';')));
  if (digits.empty() || digits.size() > 8) return refuse("a chunk without a proper size");
  uint64_t size = 0;
  for (char c : digits) {
    char l = lower(c);
    if (!is_digit(c) && (l < 'a' || l > 'f')) return refuse("a chunk without a proper size");
    size = size * 16 + static_cast<uint64_t>(is_digit(c) ? c - '0' : l - 'a' + 10);
  }
  if (size > body_size_max_ - body_.size()) return body_too_large();
  body_left_ = size;
  state_ = size == 0 ? State::trailers : State::chunk_data;
  return ok;
}

void encode(const Request& request, const Url& url, std::vector<uint8_t>& out) {
  ByteWriter writer(out);
  writer.text(request.method).text(" ").text(url.target).text(" HTTP/1.1\r\nHost: ").text(url.authority());
  writer.text("\r\nUser-Agent: millet\r\nAccept: */*\r\nConnection: close\r\n");
  if (!request.content_type.empty()) {
    writer.text("Content-Type: ").text(request.content_type);
    writer.text("\r\nContent-Length: ").text(std::to_string(request.body.size())).text("\r\n");
  }
  writer.text("\r\n").bytes(request.body);
}

void encode(const Response& response, std::vector<uint8_t>& out) {
  ByteWriter writer(out);
  writer.text("HTTP/1.1 ").text(std::to_string(response.status)).text(" ").text(reason_of(response.status));
  writer.text("\r\nContent-Type: ").text(response.content_type);
  writer.text("\r\nContent-Length: ").text(std::to_string(response.body.size()));
  writer.text(response.keep_alive ? "\r\nConnection: keep-alive\r\n" : "\r\nConnection: close\r\n");
  writer.text(response.headers).text("\r\n").bytes(response.body);
}

const char* reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Unknown";
  }
}

}  // namespace millet::http
