// The control socket's commands against a real node: what each takes, what it answers, and how it refuses.
#include "control/rpc.h"

#include "control/base64.h"
#include "ledger/common/address.h"
#include "store/memory_store.h"
#include "unit/test.h"

using namespace millet;

namespace {

class FixedRandom final : public SecureRandom {
 public:
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(source_.next());
  }

 private:
  Random source_{1};
};

std::string torrent_named(const std::string& name, uint32_t pieces = 1) {
  std::string info = "d6:lengthi" + std::to_string(16384 * pieces) + "e4:name" + std::to_string(name.size()) + ":" + name +
                     "12:piece lengthi16384e6:pieces" + std::to_string(20 * pieces) + ":" + std::string(20 * pieces, 'h') + "e";
  return "d8:announce21:http://192.0.2.1/ann.4:info" + info + "e";
}

// A node that nobody drives: commands and listings work, nothing moves.
struct Fixture {
  Fixture() {
    Result<std::unique_ptr<StoreTransaction>> transaction = store.begin_read();
    CHECK(transaction.has_value());
    CHECK(node.restore(now, WallTime(), **transaction).has_value());
  }
  static Settings settings() {
    Settings settings = default_settings();
    settings.node.data = "/payload";
    settings.node.upload_slots = 4;
    fit_to_machine(settings, 0);
    return settings;
  }
  // The reply's `result`, or its `error`; the other is missing.
  Json ask(const std::string& method, const std::string& params = "{}") {
    Result<Json> reply = Json::parse_object(rpc.handle(now, "{\"method\":\"" + method + "\",\"params\":" + params + "}"));
    CHECK(reply.has_value());
    json_t* part = reply->get("result") != nullptr ? reply->get("result") : reply->get("error");
    CHECK(part != nullptr);
    Json out = Json::object();
    json_object_update(out.raw(), part);
    return out;
  }
  std::string code(const std::string& method, const std::string& params = "{}") {
    return std::string(json_text(ask(method, params).raw(), "code"));
  }
  std::string message(const std::string& method, const std::string& params = "{}") {
    return std::string(json_text(ask(method, params).raw(), "message"));
  }
  Json add(const std::string& name, const std::string& more = "") {
    return ask("add", "{\"torrent\":\"" + to_base64(as_bytes(torrent_named(name))) + "\"" + more + "}");
  }
  static std::string hash_param(const Json& torrent, size_t digits = 40) {
    return "{\"hash\":\"" + std::string(json_text(torrent.raw(), "info_hash").substr(0, digits)) + "\"}";
  }

  Instant now = Instant::from_us(1'000'000);
  FixedRandom random;
  NullLog log;
  MemoryStore store;
  Node node{settings().node, NodeIdentity{}, random, log};
  Rpc rpc{node, settings()};
};

struct FixedTransport final : TransportSource {
  TransportStatus transport_status() const override {
    TransportStatus out;
    out.tcp_connections = 3;
    out.tcp_background = "rate";
    out.udp_send_way = "offload";
    out.udp_sent = 1000;
    out.udp_send_calls = 10;
    out.udp_receive_overflows = 7;
    out.utp_payload_again = 1448;
    return out;
  }
};

void stats_tell_what_the_transports_do(void**) {
  Fixture f;
  assert_true(f.ask("stats").get("transport") == nullptr);
  FixedTransport transport;
  Rpc rpc{f.node, Fixture::settings(), &transport};
  Result<Json> reply = Json::parse_object(rpc.handle(f.now, "{\"method\":\"stats\"}"));
  assert_true(reply.has_value());
  const json_t* shown = json_object_get(reply->get("result"), "transport");
  assert_int_equal(json_number(shown, "tcp_connections"), 3);
  assert_true(json_text(shown, "tcp_background") == "rate");
  assert_true(json_text(shown, "udp_send_way") == "offload");
  assert_int_equal(json_number(shown, "udp_sent"), 1000);
  assert_int_equal(json_number(shown, "udp_send_calls"), 10);
  assert_int_equal(json_number(shown, "udp_receive_overflows"), 7);
  assert_int_equal(json_number(shown, "utp_payload_again"), 1448);
}

size_t listed(const Json& reply, const char* key) { return json_array_size(reply.get(key)); }

void resume_without_a_hash_is_for_all_that_are_not_paused(void**) {
  Fixture f;
  f.add("one", ",\"paused\":true");
  f.add("two");
  Json resumed = f.ask("resume");
  assert_int_equal(listed(resumed, "torrents"), 2);
  size_t index;
  json_t* row;
  json_array_foreach(resumed.get("torrents"), index, row)
      assert_int_equal(json_text(row, "state") == "paused", json_text(row, "name") == "one");
}

void a_torrent_is_added_shown_listed_and_removed(void**) {
  Fixture f;
  Json added = f.add("one", ",\"peers\":[\"192.0.2.1:6881\",\"[2001:db8::1]:1\"],\"budget\":\"2.5\",\"max_rate\":\"7\",\"paused\":true");
  assert_int_equal(json_text(added.raw(), "info_hash").size(), 40);
  assert_true(json_text(added.raw(), "name") == "one");
  assert_true(json_text(added.raw(), "root") == "/payload");
  assert_true(json_text(added.raw(), "state") == "paused");
  assert_int_equal(json_number(added.raw(), "size"), 16384);
  assert_true(json_text(added.raw(), "budget_btt") == "2.5");
  assert_int_equal(json_number(added.raw(), "budget_micro"), 2'500'000);
  assert_int_equal(json_number(added.raw(), "max_rate_pico_per_byte"), 7000);
  f.add("two", ",\"root\":\"/elsewhere\"");
  assert_int_equal(listed(f.ask("list"), "torrents"), 2);

  Json shown = f.ask("show", Fixture::hash_param(added, 10));
  assert_string_equal(shown.dump().c_str(), f.ask("show", Fixture::hash_param(added)).dump().c_str());
  assert_true(json_text(f.ask("resume", Fixture::hash_param(added)).raw(), "state") != "paused");
  assert_true(json_text(f.ask("pause", Fixture::hash_param(added)).raw(), "state") == "paused");
  Json removed = f.ask("remove", Fixture::hash_param(added));
  assert_true(json_text(removed.raw(), "name") == "one");
  assert_int_equal(listed(f.ask("list"), "torrents"), 1);
  assert_string_equal(f.code("show", Fixture::hash_param(added)).c_str(), "not_found");
}

void what_changes_the_state_is_answered_when_it_is_durable(void**) {
  Fixture f;
  f.ask("list");
  assert_int_equal(f.rpc.awaited(), 0);
  Json added = f.add("one");
  assert_int_equal(f.rpc.awaited(), f.node.commands_commit());
  assert_true(f.node.commands_commit() > f.node.durable_commit());
  f.ask("show", Fixture::hash_param(added));
  assert_int_equal(f.rpc.awaited(), 0);
  // What is refused changes nothing.
  assert_true(f.code("pause", "{\"hash\":\"0000\"}") == "not_found");
  assert_int_equal(f.rpc.awaited(), 0);
  f.node.on_durable(f.now, f.node.commands_commit());
  f.ask("pause", Fixture::hash_param(added));
  assert_true(f.rpc.awaited() > f.node.durable_commit());
  assert_string_equal(Rpc::not_saved("{\"id\": 5, \"result\": {}}", error(Errc::no_room, "full")).c_str(),
                      "{\"id\":5,\"error\":{\"code\":\"no_room\",\"message\":\"done, but not saved: full; saving is tried again, and until "
                      "then a restart undoes it\"}}");
}

// The reply is ready before the outcome is known, and becomes an error with the same id.
void unlock_begins_and_its_reply_waits_for_the_outcome(void**) {
  struct Opener final : WalletOpener {
    Status unlock(Secret passphrase) override {
      given = passphrase.text;
      return answer;
    }
    std::string given;
    Status answer = ok;
  } opener;
  Fixture f;
  assert_string_equal(f.code("unlock", "{\"passphrase\":\"eA==\"}").c_str(), "conflict");  // nothing is locked
  Rpc rpc(f.node, Fixture::settings(), nullptr, &opener);
  auto ask = [&](const char* params) {
    return rpc.handle(f.now, std::string("{\"method\":\"unlock\",\"id\":7,\"params\":") + params + "}");
  };
  for (const char* params : {"{}", "{\"passphrase\":\"\"}", "{\"passphrase\":\"x\"}", "{\"passphrase\":5}"}) {
    assert_non_null(strstr(ask(params).c_str(), "bad_input"));
    assert_true(!rpc.awaits_unlock() && opener.given.empty());
  }
  const std::string reply = ask("{\"passphrase\":\"/28A\"}");
  assert_true(rpc.awaits_unlock() && opener.given == std::string("\xff\x6f\0", 3));
  assert_string_equal(reply.c_str(), "{\"id\":7,\"result\":{\"wallet_locked\":false}}");
  assert_string_equal(Rpc::failed(reply, error(Errc::denied, "wrong")).c_str(),
                      "{\"id\":7,\"error\":{\"code\":\"denied\",\"message\":\"wrong\"}}");
  opener.answer = error(Errc::unavailable, "wait");
  assert_non_null(strstr(ask("{\"passphrase\":\"eA==\"}").c_str(), "wait"));
  assert_false(rpc.awaits_unlock());
}

void a_torrent_is_named_by_so_many_digits_that_only_one_begins_with_them(void**) {
  Fixture f;
  // Among 17 torrents two begin with the same digit, but hardly with the same four; one digit is refused whatever it hits.
  for (int i = 0; i < 17; ++i) f.add("torrent " + std::to_string(i), ",\"root\":\"/r" + std::to_string(i) + "\"");
  Json list = f.ask("list");
  size_t index;
  json_t* row;
  json_array_foreach(list.get("torrents"), index, row) {
    std::string hash(json_text(row, "info_hash"));
    assert_true(json_text(f.ask("show", "{\"hash\":\"" + hash.substr(0, 12) + "\"}").raw(), "info_hash") == hash);
    for (char& c : hash) c = static_cast<char>(c >= 'a' ? c - 'a' + 'A' : c);
    assert_string_equal(f.code("show", "{\"hash\":\"" + hash + "\"}").c_str(), "");
  }
  for (const char* wrong : {"", "abc", "xyzw", "00112233445566778899aabbccddeeff001122334", "../../.."}) {
    assert_string_equal(f.code("show", std::string("{\"hash\":\"") + wrong + "\"}").c_str(), "bad_input");
  }
  assert_string_equal(f.code("show", "{\"hash\":\"ffffffffffffffffffffffffffffffffffffffff\"}").c_str(), "not_found");
}

void every_listing_is_there_and_empty_at_first(void**) {
  Fixture f;
  assert_int_equal(listed(f.ask("list"), "torrents"), 0);
  assert_int_equal(listed(f.ask("peers"), "peers"), 0);
  assert_int_equal(listed(f.ask("channels"), "channels"), 0);
  Json bids = f.ask("bids");
  assert_true(json_is_array(bids.get("auctions")) && json_is_array(bids.get("own_bids")));
  Json stats = f.ask("stats");
  assert_int_equal(json_number(stats.raw(), "torrents", 99), 0);
  assert_true(json_text(stats.raw(), "earned_btt") == "0");
  assert_int_equal(json_text(stats.raw(), "public_key").size(), 64);
  assert_true(json_text(stats.raw(), "address") == address_of(PublicKey{}));
}

void set_changes_live_options_all_or_none(void**) {
  Fixture f;
  Json set = f.ask("set", "{\"options\":{\"node.upload_rate\":\"1000\",\"speed.reserve\":\"2.5\"}}");
  assert_true(json_text(json_object_get(set.raw(), "options"), "node.upload_rate") == "1000");
  assert_int_equal(f.node.config().upload_rate, 1000);
  assert_int_equal(f.node.config().reserve.in_pico_per_byte(), 2500);
  // One wrong value: nothing changes.
  assert_string_equal(f.code("set", "{\"options\":{\"node.upload_rate\":\"2000\",\"node.upload_slots\":\"none\"}}").c_str(), "bad_input");
  assert_int_equal(f.node.config().upload_rate, 1000);
  assert_string_equal(f.code("set", "{\"options\":{\"node.listen\":\"[::]:1\"}}").c_str(), "unsupported");
  assert_string_equal(f.code("set", "{\"options\":{\"ledgerd.store\":\"lmdb:\"}}").c_str(), "unsupported");
  assert_string_equal(f.code("set", "{\"options\":{\"discovery.dht\":\"1\"}}").c_str(), "unsupported");
  assert_string_equal(f.code("set", "{\"options\":{\"speed.enabled\":\"1\",\"speed.free_slots\":\"4\"}}").c_str(), "bad_input");
  assert_false(f.node.config().speed_enabled);
  assert_string_equal(f.code("set", "{\"options\":{\"node.upload_rate\":1000}}").c_str(), "bad_input");
  assert_string_equal(f.code("set", "{\"options\":{}}").c_str(), "bad_input");
  assert_string_equal(f.code("set").c_str(), "bad_input");
}

void set_of_one_torrent_takes_only_what_a_torrent_has(void**) {
  Fixture f;
  Json added = f.add("one");
  const std::string hash(json_text(added.raw(), "info_hash"));
  Json set = f.ask("set", "{\"hash\":\"" + hash + "\",\"options\":{\"speed.budget\":\"12\",\"speed.max_rate\":\"3\"}}");
  assert_int_equal(json_number(set.raw(), "budget_micro"), 12'000'000);
  assert_int_equal(json_number(set.raw(), "max_rate_pico_per_byte"), 3000);
  assert_true(f.node.config().budget.is_zero());
  assert_true(f.message("set", "{\"hash\":\"" + hash + "\",\"options\":{\"node.upload_rate\":\"1\"}}").find("the whole node's") !=
              std::string::npos);
}

void what_is_not_a_request_is_refused_with_its_reason(void**) {
  Fixture f;
  struct {
    const char* request;
    const char* code;
  } rows[] = {{"", "bad_input"},
              {"{", "bad_input"},
              {"[]", "bad_input"},
              {"{}", "bad_input"},
              {"{\"method\":1}", "bad_input"},
              {"{\"method\":\"list\",\"method\":\"list\"}", "bad_input"},
              {"{\"method\":\"list\",\"params\":[]}", "bad_input"},
              {"{\"method\":\"nothing\"}", "not_found"},
              {"{\"method\":\"list\",\"params\":{\"colour\":1}}", "bad_input"},
              {"{\"method\":\"add\"}", "bad_input"},
              {"{\"method\":\"add\",\"params\":{\"torrent\":\"!!!!\"}}", "bad_input"},
              {"{\"method\":\"add\",\"params\":{\"torrent\":\"ZGU=\"}}", "bad_input"},
              {"{\"method\":\"remove\",\"params\":{\"hash\":\"ffff\",\"delete_data\":\"yes\"}}", "not_found"}};
  for (const auto& row : rows) {
    Result<Json> reply = Json::parse_object(f.rpc.handle(f.now, row.request));
    assert_true(reply.has_value());
    json_t* failure = reply->get("error");
    assert_non_null(failure);
    assert_true(json_text(failure, "code") == row.code);
    assert_false(json_text(failure, "message").empty());
  }
  assert_true(f.rpc.handle(f.now, std::string(k_rpc_request_bytes_max + 1, 'x')).find("no_room") != std::string::npos);
  assert_true(f.rpc.handle(f.now, std::string(1 << 20, '[')).find("bad_input") != std::string::npos);
  // An id comes back, whatever it is.
  assert_true(f.rpc.handle(f.now, "{\"method\":\"stats\",\"id\":[1,\"a\"]}").find("\"id\":[1,\"a\"]") != std::string::npos);
  for (const char* wrong : {",\"peers\":\"x\"", ",\"peers\":[1]", ",\"peers\":[\"host\"]", ",\"peers\":[\"192.0.2.1:0\"]", ",\"paused\":1",
                            ",\"budget\":\"\"", ",\"budget\":\"-1\"", ",\"budget\":5", ",\"max_rate\":\"1000001\"", ",\"root\":1"}) {
    assert_true(json_text(f.add("x", wrong).raw(), "code") == "bad_input");
  }
  assert_int_equal(listed(f.ask("list"), "torrents"), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(stats_tell_what_the_transports_do),
      cmocka_unit_test(what_changes_the_state_is_answered_when_it_is_durable),
      cmocka_unit_test(a_torrent_is_added_shown_listed_and_removed),
      cmocka_unit_test(resume_without_a_hash_is_for_all_that_are_not_paused),
      cmocka_unit_test(a_torrent_is_named_by_so_many_digits_that_only_one_begins_with_them),
      cmocka_unit_test(every_listing_is_there_and_empty_at_first),
      cmocka_unit_test(unlock_begins_and_its_reply_waits_for_the_outcome),
      cmocka_unit_test(set_changes_live_options_all_or_none),
      cmocka_unit_test(set_of_one_torrent_takes_only_what_a_torrent_has),
      cmocka_unit_test(what_is_not_a_request_is_refused_with_its_reason),
  };
  return RUN_TESTS(tests);
}
