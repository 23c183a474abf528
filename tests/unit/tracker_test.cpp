// codec: http URLs and the HTTP tracker protocol (BEP 3, 7, 23).
#include "codec/tracker.h"

#include <string>

#include "codec/url.h"
#include "unit/test.h"

using namespace millet;

namespace {

AnnounceRequest sample() {
  AnnounceRequest out;
  for (uint8_t i = 0; i < 20; ++i) out.info_hash.raw[i] = static_cast<uint8_t>(i * 13);
  out.peer_id = PeerId::from_bytes(as_bytes("-MI0100-abcdefghijkl"));
  out.port = 6881;
  out.uploaded = 5'000'000'000;
  out.downloaded = 1;
  out.left = UINT64_MAX;
  out.event = AnnounceEvent::started;
  out.key = 0xab12;
  out.peers_wanted = 80;
  return out;
}

std::string peers_of(const AnnounceReply& reply) {
  std::string out;
  for (const Endpoint& peer : reply.peers) out += peer.to_string() + " ";
  return out;
}

}  // namespace

static void urls_are_taken_apart(void**) {
  struct {
    const char* text;
    const char* host;
    int port;
    const char* target;
    const char* again;
  } table[] = {
      {"http://tracker.example", "tracker.example", 80, "/", "http://tracker.example/"},
      {"HTTP://Tracker.Example:6969/announce", "tracker.example", 6969, "/announce", "http://tracker.example:6969/announce"},
      {"http://127.0.0.1:80/a?b=c&d", "127.0.0.1", 80, "/a?b=c&d", "http://127.0.0.1/a?b=c&d"},
      {"http://[2001:db8::1]:8080/x", "2001:db8::1", 8080, "/x", "http://[2001:db8::1]:8080/x"},
      {"http://[::1]", "::1", 80, "/", "http://[::1]/"},
      {"http://h?q", "h", 80, "/?q", "http://h/?q"},
      {"http://h/p#part", "h", 80, "/p", "http://h/p"},
      {"http://h#part", "h", 80, "/", "http://h/"},
      {"http://a_b-c.d/", "a_b-c.d", 80, "/", "http://a_b-c.d/"},
      {"http://h/p@q:r", "h", 80, "/p@q:r", "http://h/p@q:r"},
  };
  for (const auto& row : table) {
    Result<Url> url = Url::parse(row.text);
    assert_true(url.has_value());
    assert_string_equal(url->host.c_str(), row.host);
    assert_int_equal(url->port, row.port);
    assert_string_equal(url->target.c_str(), row.target);
    assert_string_equal(url->to_string().c_str(), row.again);
  }
}

static void urls_that_would_have_to_be_guessed_are_refused(void**) {
  for (const char* bad : {"",
                          "tracker",
                          "http:",
                          "http:/",
                          "http:/h",
                          "http://",
                          "http:///p",
                          "http://:80/",
                          "://h",
                          "http://user@h/",
                          "http://user:pw@h/",
                          "http://h:/",
                          "http://h:0/",
                          "http://h:65536/",
                          "http://h:080808/",
                          "http://h:-1/",
                          "http://h:8x/",
                          "http://[::1",
                          "http://[::1]x/",
                          "http://[127.0.0.1]/",
                          "http://[]/",
                          "http://[::g]/",
                          "http://::1/",
                          "http://a b/",
                          "http://h/a b",
                          "http://h/\n",
                          "http://h\r\nX: y/",
                          "http://h/\xc3\xa9",
                          "http://h\\x",
                          "http://h%20/",
                          "http://h\x7f/",
                          " http://h/",
                          "javascript:alert(1)"}) {
    Result<Url> url = Url::parse(bad);
    if (url) print_message("taken: '%s'\n", bad);
    assert_false(url.has_value());
  }
  assert_false(Url::parse("http://h/" + std::string(k_url_size_max, 'x')).has_value());
  assert_false(Url::parse("http://" + std::string(k_host_size_max + 1, 'x') + "/").has_value());
}

static void other_schemes_are_unsupported_by_name(void**) {
  for (const char* text : {"https://h/", "udp://h:80", "wss://h", "ftp://h/"}) {
    Result<Url> url = Url::parse(text);
    assert_true(url.error().code == Errc::unsupported);
  }
  assert_string_equal(Url::parse("https://h/a").error().reason.c_str(), "URL 'https://h/a': https is not supported, only http");
}

static void announce_url_has_every_field_escaped(void**) {
  AnnounceRequest request = sample();
  Result<std::string> url = announce_url("http://t:6969/announce", request);
  assert_string_equal(
      url->c_str(),
      "http://t:6969/announce?info_hash=%00%0D%1A%274AN%5Bhu%82%8F%9C%A9%B6%C3%D0%DD%EA%F7&peer_id=-MI0100-abcdefghijkl&port=6881"
      "&uploaded=5000000000&downloaded=1&left=18446744073709551615&compact=1&numwant=80&key=0000ab12&event=started");
}

static void announce_url_keeps_a_query_and_leaves_out_what_is_empty(void**) {
  AnnounceRequest request = sample();
  request.event = AnnounceEvent::none;
  request.tracker_id = "a&b=c";
  std::string url = *announce_url("http://t/announce.php?passkey=x%20y", request);
  assert_true(url.find("http://t/announce.php?passkey=x%20y&info_hash=") == 0);
  assert_true(url.find("event=") == std::string::npos);
  assert_true(url.find("&trackerid=a%26b%3Dc") != std::string::npos);
  assert_true(announce_url("http://t/a?x&", request)->find("a?x&info_hash=") != std::string::npos);
  assert_true(announce_url("http://t/a?", request)->find("a?info_hash=") != std::string::npos);
  request.tracker_id.clear();
  assert_true(announce_url("http://t/a#x", request)->find("trackerid") == std::string::npos);
  assert_true(announce_url("udp://t/a", request).error().code == Errc::unsupported);
  assert_false(announce_url("http://t/" + std::string(4000, 'x'), request).has_value());
}

static void compact_replies_are_read(void**) {
  std::string text = "d8:completei3e10:incompletei4e8:intervali1800e12:min intervali60e5:peers12:" +
                     std::string("\x0a\0\0\x01\x1a\xe1\x0a\0\0\x02\0\x50", 12) +
                     "6:peers618:" + std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1", 18) +
                     "10:tracker id3:abc15:warning message4:slowe";
  Result<AnnounceReply> reply = parse_announce_reply(as_bytes(text));
  assert_true(reply.has_value());
  assert_false(reply->failure.has_value());
  assert_true(reply->interval_s == 1800u && reply->min_interval_s == 60u && reply->complete == 3u && reply->incomplete == 4u);
  assert_string_equal(reply->warning.c_str(), "slow");
  assert_true(reply->tracker_id == "abc");
  assert_string_equal(peers_of(*reply).c_str(), "10.0.0.1:6881 10.0.0.2:80 [2001:db8::1]:6881 ");
}

static void dictionary_replies_are_read(void**) {
  Result<AnnounceReply> reply =
      parse_announce_reply(as_bytes("d8:intervali900e5:peersld2:ip8:10.0.0.17:peer "
                                    "id20:aaaaaaaaaaaaaaaaaaaa4:porti6881eed2:ip3:::14:porti1eed2:ip11:example.org4:porti1eeee"));
  assert_true(reply.has_value());
  assert_string_equal(peers_of(*reply).c_str(), "10.0.0.1:6881 [::1]:1 ");
}

static void a_failure_is_said_in_the_trackers_words(void**) {
  Result<AnnounceReply> reply = parse_announce_reply(as_bytes("d14:failure reason16:not \x1b[registered8:intervali5ee"));
  assert_string_equal(reply->failure->c_str(), "not \\x1b[registered");
  assert_false(reply->interval_s.has_value());
  std::string text = "d14:failure reason1000:" + std::string(1000, 'x') + "e";
  assert_true(parse_announce_reply(as_bytes(text))->failure->size() < 210);
}

static void unusable_peers_are_dropped(void**) {
  std::string raw(
      "\0\0\0\0\x1a\xe1"
      "\x0a\0\0\x01\0\0"
      "\xe0\0\0\x01\x1a\xe1"
      "\xff\xff\xff\xff\x1a\xe1"
      "\x0a\0\0\x02\0\x01",
      30);
  Result<AnnounceReply> reply = parse_announce_reply(as_bytes("d5:peers30:" + raw + "e"));
  assert_string_equal(peers_of(*reply).c_str(), "10.0.0.2:1 ");
  reply = parse_announce_reply(as_bytes("d5:peersld2:ip8:10.0.0.14:porti0eed2:ip8:10.0.0.14:porti65536eed2:ip8:10.0.0.14:porti-1eeee"));
  assert_true(reply.has_value() && reply->peers.empty());
}

static void numbers_are_bounded(void**) {
  Result<AnnounceReply> reply = parse_announce_reply(as_bytes("d8:completei-1e8:intervali9223372036854775807e12:min intervali-60ee"));
  assert_true(reply->interval_s == k_tracker_interval_max_s);
  assert_false(reply->min_interval_s.has_value());
  assert_false(reply->complete.has_value());
  std::string many;
  for (int i = 0; i < 5000; ++i) many += std::string("\x0a\0\0\x01\0\x50", 6);
  assert_int_equal(parse_announce_reply(as_bytes("d5:peers30000:" + many + "e"))->peers.size(), k_tracker_peers_max);
}

static void garbage_is_refused(void**) {
  for (const char* bad : {"", "<html>404</html>", "i1e", "le", "d5:peers5:abcdee", "d5:peersi1ee", "d6:peers65:abcdee", "d5:peersli1eee",
                          "d5:peersld2:ip1:aeee", "d8:interval1:xe", "d8:intervali1e8:intervali2ee", "d14:failure reasoni1ee"}) {
    Result<AnnounceReply> reply = parse_announce_reply(as_bytes(bad));
    if (reply) print_message("taken: '%s'\n", bad);
    assert_false(reply.has_value());
  }
  assert_false(parse_announce_reply(as_bytes("d1:a" + std::string(10000, 'l'))).has_value());
  std::string large = "d1:a300000:" + std::string(300000, 'x') + "e";
  assert_true(parse_announce_reply(as_bytes(large)).error().code == Errc::no_room);
}

static void truncations_are_refused_and_mutations_survived(void**) {
  std::string text =
      "d8:completei3e8:intervali1800e5:peers6:\x0a\x01\x01\x01\x1a\xe1"
      "6:peers60:10:tracker id3:abce";
  assert_true(parse_announce_reply(as_bytes(text)).has_value());
  for (size_t size = 0; size < text.size(); ++size) assert_false(parse_announce_reply(as_bytes(text.substr(0, size))).has_value());
  size_t accepted = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = text;
      changed[at] = static_cast<char>(value);
      accepted += parse_announce_reply(as_bytes(changed)).has_value();
    }
  }
  assert_true(accepted > 1000);
}

static void url_mutations_parse_to_what_prints_the_same(void**) {
  const std::string text = "http://[2001:db8::1]:8080/a?b#c";
  for (size_t at = 0; at < text.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = text;
      changed[at] = static_cast<char>(value);
      Result<Url> url = Url::parse(changed);
      if (url) assert_string_equal(Url::parse(url->to_string())->to_string().c_str(), url->to_string().c_str());
    }
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(urls_are_taken_apart),
      cmocka_unit_test(urls_that_would_have_to_be_guessed_are_refused),
      cmocka_unit_test(other_schemes_are_unsupported_by_name),
      cmocka_unit_test(announce_url_has_every_field_escaped),
      cmocka_unit_test(announce_url_keeps_a_query_and_leaves_out_what_is_empty),
      cmocka_unit_test(compact_replies_are_read),
      cmocka_unit_test(dictionary_replies_are_read),
      cmocka_unit_test(a_failure_is_said_in_the_trackers_words),
      cmocka_unit_test(unusable_peers_are_dropped),
      cmocka_unit_test(numbers_are_bounded),
      cmocka_unit_test(garbage_is_refused),
      cmocka_unit_test(truncations_are_refused_and_mutations_survived),
      cmocka_unit_test(url_mutations_parse_to_what_prints_the_same),
  };
  return RUN_TESTS(tests);
}
