// TLS over memory: handshakes, what a certificate says, what is refused.
#include "crypto/tls.h"

#include <malloc.h>

#include "hal/linux/random.h"
#include "ledger/common/tls_key.h"
#include "unit/test.h"

using namespace millet;

namespace {

template <typename T>
T take(Result<T> made) {
  return std::move(made).value();
}

struct Ledger {
  explicit Ledger(uint8_t seed = 3) { seed_[0] = seed; }
  std::unique_ptr<TlsContext> server(uint64_t not_after = 1000) {
    auto made = make_tls_server(key(), id, LedgerTime::from_seconds(not_after), random);
    assert_true(made.has_value());
    return std::move(*made);
  }
  SigningKey key() const { return SigningKey::from_seed(seed_); }
  LedgerPin pin(uint64_t time = 10) const { return {key().public_key(), id, LedgerTime::from_seconds(time)}; }

  hal::LinuxRandom random;
  LedgerId id = LedgerId::from_bytes(std::vector<uint8_t>(32, 0x11));
  std::array<uint8_t, 32> seed_{};
};

// A client and a server of one connection.
struct Pair {
  Pair(TlsContext& server_context, TlsContext& client_context, const TlsSession* resume = nullptr)
      : server(take(TlsConnection::make(server_context))), client(take(TlsConnection::make(client_context, resume))) {
    client_status = client->receive({}, client_plain);
  }
  // Carries what there is both ways, `step` bytes at a time, until nobody says anything.
  bool carry(size_t step = SIZE_MAX) {
    while (client_status && server_status && (!client->out().empty() || !server->out().empty())) {
      server_status = deliver(*client, *server, server_plain, step);
      client_status = deliver(*server, *client, client_plain, step);
    }
    return client_status && server_status;
  }
  static Status deliver(TlsConnection& from, TlsConnection& to, std::vector<uint8_t>& plain, size_t step) {
    std::vector<uint8_t> bytes = std::move(from.out());
    from.out().clear();
    for (size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size() - at)) {
      TRY(to.receive(Bytes(bytes).subspan(at, std::min(step, bytes.size() - at)), plain));
    }
    return ok;
  }
  std::unique_ptr<TlsConnection> server, client;
  std::vector<uint8_t> server_plain, client_plain;
  Status server_status = ok, client_status = ok;
};

std::unique_ptr<TlsContext> make_client() {
  static hal::LinuxRandom random;
  return take(TlsContext::client(random));
}

std::string text_of(const std::vector<uint8_t>& bytes) { return std::string(as_text(bytes)); }

void bytes_go_both_ways_however_they_are_cut(void**) {
  Ledger ledger;
  auto server = ledger.server();
  auto client = make_client();
  for (size_t step : {size_t{1}, size_t{7}, SIZE_MAX}) {
    Pair pair(*server, *client);
    assert_true(pair.carry(step));
    assert_true(pair.client->is_open() && pair.server->is_open());
    std::string large(50'000, 'x');
    assert_true(pair.client->send(as_bytes("question")).has_value());
    assert_true(pair.server->send(as_bytes(large)).has_value());
    assert_true(pair.carry(step));
    assert_string_equal(text_of(pair.server_plain).c_str(), "question");
    assert_true(text_of(pair.client_plain) == large);
    pair.client->close();
    assert_true(pair.carry(step));
    assert_true(pair.server->has_ended());
  }
}

void a_certificate_that_the_pinned_key_authorised_is_believed(void**) {
  Ledger ledger;
  auto server = ledger.server(1000);
  auto client = make_client();
  Pair pair(*server, *client);
  assert_true(pair.carry());
  Result<LedgerTime> until = check_tls_peer(pair.client->peer(), ledger.pin());
  assert_true(until.has_value());
  assert_int_equal(until->in_seconds(), 1000);
  LedgerPin unknown = ledger.pin(0);
  unknown.ledger.reset();
  assert_true(check_tls_peer(pair.client->peer(), unknown).has_value());
}

bool denied(const TlsPeer& peer, const LedgerPin& pin, const char* why) {
  Result<LedgerTime> checked = check_tls_peer(peer, pin);
  return !checked && checked.error().code == Errc::denied && checked.error().reason.find(why) != std::string::npos;
}

void statements_that_do_not_count_are_denied_by_name(void**) {
  Ledger ledger;
  Ledger other(4);
  auto server = ledger.server(1000);
  TlsPeer peer = *read_certificate(server->certificate());
  assert_true(check_tls_peer(peer, ledger.pin(999)).has_value());
  assert_true(denied(peer, ledger.pin(1000), "counted until"));
  assert_true(denied(peer, other.pin(), "not authorised"));
  LedgerPin anew = ledger.pin();
  anew.ledger = LedgerId::from_bytes(std::vector<uint8_t>(32, 0x12));
  assert_true(denied(peer, anew, "of the ledger"));
  // Somebody else's certificate with the ledger's statement in it.
  TlsKey key = take(TlsKey::generate(ledger.random));
  auto thief = take(TlsContext::server(std::move(key), peer.statement, ledger.random));
  assert_true(denied(*read_certificate(thief->certificate()), ledger.pin(), "for another key"));
  TlsPeer bare = peer;
  bare.statement.clear();
  assert_true(denied(bare, ledger.pin(), "no statement"));
  for (size_t size = 1; size < peer.statement.size(); size += 9) {
    TlsPeer cut = peer;
    cut.statement.resize(size);
    assert_true(denied(cut, ledger.pin(), "can't be read"));
  }
  for (size_t at = 0; at < peer.statement.size(); ++at) {
    TlsPeer changed = peer;
    changed.statement[at] ^= 1;
    assert_false(check_tls_peer(changed, ledger.pin()).has_value());
  }
}

void a_session_is_taken_up_by_the_server_that_gave_it_and_by_no_other(void**) {
  Ledger ledger;
  auto server = ledger.server();
  auto client = make_client();
  Pair first(*server, *client);
  assert_true(first.carry());
  assert_false(first.client->is_resumed());
  std::optional<TlsSession> session = first.client->session();
  if (std::string(first.client->version()) != "TLSv1.2") return;  // tickets of TLS 1.3 come later; whole handshakes do
  assert_true(session.has_value());
  Pair second(*server, *client, &*session);
  assert_true(second.carry());
  assert_true(second.client->is_resumed());
  assert_true(check_tls_peer(second.client->peer(), ledger.pin()).has_value());
  assert_true(second.client->send(as_bytes("again")).has_value() && second.carry());
  assert_string_equal(text_of(second.server_plain).c_str(), "again");
  // A key that replaced it makes a whole handshake, and is known by its own certificate.
  auto next = ledger.server(2000);
  Pair third(*next, *client, &*session);
  assert_true(third.carry());
  assert_false(third.client->is_resumed());
  assert_int_equal(check_tls_peer(third.client->peer(), ledger.pin())->in_seconds(), 2000);
}

void changed_and_truncated_records_end_the_connection(void**) {
  Ledger ledger;
  auto server = ledger.server();
  auto client = make_client();
  Pair pair(*server, *client);
  assert_true(pair.carry());
  assert_true(pair.client->send(as_bytes("a payment")).has_value());
  std::vector<uint8_t> record = pair.client->out();
  // All but the last byte says nothing yet; what was cut off is not made up.
  assert_true(pair.server->receive(Bytes(record).first(record.size() - 1), pair.server_plain).has_value());
  assert_true(pair.server_plain.empty());
  assert_false(pair.server->has_ended());
  uint8_t wrong = record.back() ^ 1;
  Status status = pair.server->receive(Bytes(&wrong, 1), pair.server_plain);
  assert_false(status.has_value());
  assert_int_equal(static_cast<int>(status.error().code), static_cast<int>(Errc::protocol));
  assert_true(pair.server_plain.empty());
  assert_false(pair.server->out().empty());  // the alert
}

void what_is_not_tls_is_refused(void**) {
  Ledger ledger;
  auto server = ledger.server();
  hal::LinuxRandom random;
  // A request of HTTP, a version before TLS, and data before any handshake.
  for (std::string_view text : {std::string_view("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), std::string_view("\x15\x02\x00\x00\x02\x01\x00", 7),
                                std::string_view("\x17\x03\x03\x00\x05hello", 10)}) {
    auto connection = take(TlsConnection::make(*server));
    std::vector<uint8_t> plain;
    assert_false(connection->receive(as_bytes(text), plain).has_value());
    assert_true(plain.empty() && !connection->is_open());
  }
  for (int i = 0; i < 300; ++i) {
    auto connection = take(TlsConnection::make(*server));
    std::vector<uint8_t> noise(200), plain;
    random.fill(noise);
    noise[0] = 0x16;
    noise[1] = 3;
    noise[2] = 3;
    noise[3] = 0;
    (void)connection->receive(noise, plain).has_value();
    assert_false(connection->is_open());
  }
}

// A buffer for a record each way, as Debian's mbedTLS has it, and the state of the session.
void the_memory_of_an_idle_connection_is_bounded(void**) {
#if defined(MILLET_SANITIZED) || !defined(__GLIBC__)
  skip();  // no figure of the heap
#else
  constexpr size_t k_pairs = 50;
  constexpr size_t k_bytes_max = 48 * 1024;
  Ledger ledger;
  auto server = ledger.server();
  auto client = make_client();
  std::vector<std::unique_ptr<TlsConnection> > kept;
  {
    Pair warm(*server, *client);
    assert_true(warm.carry());
  }
  size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (size_t i = 0; i < k_pairs; ++i) {
    Pair pair(*server, *client);
    assert_true(pair.carry());
    kept.push_back(std::move(pair.server));
  }
  size_t each = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / k_pairs;
  print_message("an idle connection of a server: %zu bytes\n", each);
  assert_true(each < k_bytes_max);
#endif
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(bytes_go_both_ways_however_they_are_cut),
      cmocka_unit_test(a_certificate_that_the_pinned_key_authorised_is_believed),
      cmocka_unit_test(statements_that_do_not_count_are_denied_by_name),
      cmocka_unit_test(a_session_is_taken_up_by_the_server_that_gave_it_and_by_no_other),
      cmocka_unit_test(changed_and_truncated_records_end_the_connection),
      cmocka_unit_test(what_is_not_tls_is_refused),
      cmocka_unit_test(the_memory_of_an_idle_connection_is_bounded),
  };
  return RUN_TESTS(tests);
}
