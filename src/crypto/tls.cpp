#include "crypto/tls.h"

#include <mbedtls/asn1write.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif
#include <sodium.h>

#include <algorithm>
#include <cstdio>

#include "crypto/sign.h"

#if MBEDTLS_VERSION_NUMBER < 0x021c0000
#error "mbedTLS 2.28 or later is needed"
#endif

namespace millet {
namespace {

// 2.25.UUID (ITU-T X.667): an arc that needs no registration. The extension is an OCTET STRING with the statement.
constexpr char k_extension_oid[] = "\x69\x81\xde\xab\xbe\x87\xc7\xd8\xa2\xa9\xab\x9c\x87\xad\xee\x94\xe8\xf1\xbc\x02";
constexpr size_t k_extension_oid_size = sizeof k_extension_oid - 1;
constexpr size_t k_extensions_max = 32;          // of a certificate that somebody sends
constexpr size_t k_certificate_size_max = 4096;  // of our own
constexpr uint32_t k_ticket_life_s = 24 * 3600;  // what the client is told; the key of the tickets dies with its context
constexpr size_t k_read_size = 4096;

// Forward secrecy and authenticated encryption only. The first that both have: most routers have no instructions for AES.
const int k_ciphersuites[] = {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    0,
};
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
const uint16_t k_groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
#else
const mbedtls_ecp_group_id k_groups[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_NONE};
#endif

int draw(void* random, unsigned char* out, size_t size) {
  static_cast<SecureRandom*>(random)->fill(MutBytes(out, size));
  return 0;
}

Error failure(Errc code, const char* doing, int number) {
  const char* known = number == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE  ? ": the other side refuses the connection"
                      : number == MBEDTLS_ERR_SSL_INVALID_RECORD     ? ": not a record of TLS"
                      : number == MBEDTLS_ERR_SSL_INVALID_MAC        ? ": a record that was changed on its way"
                      : number == MBEDTLS_ERR_SSL_ALLOC_FAILED       ? ": out of memory"
                      : number == MBEDTLS_ERR_SSL_BAD_INPUT_DATA     ? ": used the wrong way"
                      : number == MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE ? ": a message out of turn"
                                                                     : "";
  char text[16];
  std::snprintf(text, sizeof text, "-0x%04x", static_cast<unsigned>(-number));
  return error(code, std::string("TLS: ") + doing + known + " (mbedTLS " + text + ")");
}

Hash32 hash_of_key(const mbedtls_pk_context& key, int& failed) {
  unsigned char der[256];
  int size = mbedtls_pk_write_pubkey_der(const_cast<mbedtls_pk_context*>(&key), der, sizeof der);
  failed = size < 0 ? size : 0;
  return failed != 0 ? Hash32{} : sha256(Bytes(der + sizeof der - size, static_cast<size_t>(size)));
}

// The content of a tag at the front of `in`, which moves behind it; nothing if there is another tag.
std::optional<Bytes> take_der(Bytes& in, int tag) {
  // mbedTLS reads only.
  unsigned char* at = const_cast<unsigned char*>(in.data());
  const unsigned char* end = at + in.size();
  size_t size = 0;
  if (in.empty() || mbedtls_asn1_get_tag(&at, end, &size, tag) != 0) return std::nullopt;
  Bytes content(at, size);
  in = in.subspan(static_cast<size_t>(at - in.data()) + size);
  return content;
}

// RFC 5280 4.1: SEQUENCE OF SEQUENCE { OID, BOOLEAN critical DEFAULT FALSE, OCTET STRING }.
std::vector<uint8_t> find_statement(Bytes extensions) {
  constexpr int k_sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  std::optional<Bytes> list = take_der(extensions, k_sequence);
  for (size_t i = 0; list && i < k_extensions_max; ++i) {
    std::optional<Bytes> extension = take_der(*list, k_sequence);
    if (!extension) break;
    std::optional<Bytes> oid = take_der(*extension, MBEDTLS_ASN1_OID);
    if (!oid || !equal(*oid, as_bytes(std::string_view(k_extension_oid, k_extension_oid_size)))) continue;
    take_der(*extension, MBEDTLS_ASN1_BOOLEAN);
    std::optional<Bytes> value = take_der(*extension, MBEDTLS_ASN1_OCTET_STRING);
    std::optional<Bytes> statement = value ? take_der(*value, MBEDTLS_ASN1_OCTET_STRING) : std::nullopt;
    if (statement && statement->size() <= TlsContext::k_statement_size_max) return {statement->begin(), statement->end()};
  }
  return {};
}

TlsPeer peer_of(const mbedtls_x509_crt& certificate) {
  TlsPeer peer;
  peer.public_key_hash = sha256(Bytes(certificate.pk_raw.p, certificate.pk_raw.len));
  peer.statement = find_statement(Bytes(certificate.v3_ext.p, certificate.v3_ext.len));
  return peer;
}

struct CertificateWriter {
  CertificateWriter() { mbedtls_x509write_crt_init(&crt); }
  ~CertificateWriter() { mbedtls_x509write_crt_free(&crt); }
  CertificateWriter(const CertificateWriter&) = delete;
  mbedtls_x509write_cert crt;
};

int set_serial(mbedtls_x509write_cert& crt, Bytes serial) {
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
  return mbedtls_x509write_crt_set_serial_raw(&crt, const_cast<unsigned char*>(serial.data()), serial.size());
#else
  mbedtls_mpi number;
  mbedtls_mpi_init(&number);
  int failed = mbedtls_mpi_read_binary(&number, serial.data(), serial.size());
  if (failed == 0) failed = mbedtls_x509write_crt_set_serial(&crt, &number);
  mbedtls_mpi_free(&number);
  return failed;
#endif
}

int set_statement(mbedtls_x509write_cert& crt, Bytes statement) {
  unsigned char value[TlsContext::k_statement_size_max + 8];
  unsigned char* at = value + sizeof value;
  int size = mbedtls_asn1_write_octet_string(&at, value, statement.data(), statement.size());
  if (size < 0) return size;
  return mbedtls_x509write_crt_set_extension(&crt, k_extension_oid, k_extension_oid_size, 0, at, static_cast<size_t>(size));
}

// Who has no clock can check no dates: the statement says until when the key counts, in ledger time (RFC 5280 4.1.2.5 for the end).
int write_certificate(mbedtls_pk_context& key, const Hash32& key_hash, Bytes statement, SecureRandom& random, std::vector<uint8_t>& der) {
  CertificateWriter writer;
  mbedtls_x509write_cert& crt = writer.crt;
  mbedtls_x509write_crt_set_version(&crt, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(&crt, MBEDTLS_MD_SHA256);
  mbedtls_x509write_crt_set_subject_key(&crt, &key);
  mbedtls_x509write_crt_set_issuer_key(&crt, &key);
  std::array<uint8_t, 16> serial;
  std::copy_n(key_hash.begin(), serial.size(), serial.begin());
  serial[0] = static_cast<uint8_t>((serial[0] & 0x3f) | 0x40);  // positive, and no zeros in front
  int failed = set_serial(crt, serial);
  if (failed == 0) failed = mbedtls_x509write_crt_set_subject_name(&crt, "CN=millet-ledgerd");
  if (failed == 0) failed = mbedtls_x509write_crt_set_issuer_name(&crt, "CN=millet-ledgerd");
  if (failed == 0) failed = mbedtls_x509write_crt_set_validity(&crt, "19700101000000", "99991231235959");
  if (failed == 0) failed = set_statement(crt, statement);
  if (failed != 0) return failed;
  unsigned char buffer[k_certificate_size_max];
  int size = mbedtls_x509write_crt_der(&crt, buffer, sizeof buffer, draw, &random);
  if (size < 0) return size;
  der.assign(buffer + sizeof buffer - size, buffer + sizeof buffer);
  return 0;
}

}  // namespace

struct TlsKey::State {
  State() { mbedtls_pk_init(&key); }
  ~State() { mbedtls_pk_free(&key); }
  State(const State&) = delete;
  mbedtls_pk_context key;
};

TlsKey::TlsKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsKey::TlsKey(TlsKey&& other) noexcept = default;
TlsKey::~TlsKey() = default;

Result<TlsKey> TlsKey::generate(SecureRandom& random) {
  auto state = std::make_unique<State>();
  int failed = mbedtls_pk_setup(&state->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (failed == 0) failed = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(state->key), draw, &random);
  if (failed != 0) return failure(Errc::io, "can't make a key", failed);
  TlsKey key(std::move(state));
  key.hash_ = hash_of_key(key.state_->key, failed);
  if (failed != 0) return failure(Errc::io, "can't write a key", failed);
  return key;
}

struct TlsContext::State {
  explicit State(SecureRandom& source) : random(source) {
    mbedtls_ssl_config_init(&config);
    mbedtls_x509_crt_init(&certificate);
    random.fill(ticket_key);
  }
  ~State() {
    mbedtls_ssl_config_free(&config);
    mbedtls_x509_crt_free(&certificate);
    wipe(ticket_key);
  }
  State(const State&) = delete;

  int configure(int endpoint);
  // A ticket: nonce[24], the session in XChaCha20-Poly1305.
  static int write_ticket(void* context, const mbedtls_ssl_session* session, unsigned char* start, const unsigned char* end, size_t* size,
                          uint32_t* life_s);
  static int parse_ticket(void* context, mbedtls_ssl_session* session, unsigned char* ticket, size_t size);

  SecureRandom& random;
  bool is_server = false;
  mbedtls_ssl_config config;
  mbedtls_x509_crt certificate;
  std::unique_ptr<TlsKey::State> key;
  std::vector<uint8_t> der;
  std::array<uint8_t, crypto_secretbox_KEYBYTES> ticket_key{};
};

int TlsContext::State::write_ticket(void* context, const mbedtls_ssl_session* session, unsigned char* start, const unsigned char* end,
                                    size_t* size, uint32_t* life_s) {
  State& state = *static_cast<State*>(context);
  constexpr size_t k_overhead = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
  size_t room = static_cast<size_t>(end - start);
  if (room < k_overhead) return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
  unsigned char* sealed = start + crypto_secretbox_NONCEBYTES;
  size_t plain = 0;
  int failed = mbedtls_ssl_session_save(session, sealed, room - k_overhead, &plain);
  if (failed != 0) return failed;
  state.random.fill(MutBytes(start, crypto_secretbox_NONCEBYTES));
  if (crypto_secretbox_easy(sealed, sealed, plain, start, state.ticket_key.data()) != 0) return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
  *size = plain + k_overhead;
  *life_s = k_ticket_life_s;
  return 0;
}

int TlsContext::State::parse_ticket(void* context, mbedtls_ssl_session* session, unsigned char* ticket, size_t size) {
  State& state = *static_cast<State*>(context);
  constexpr size_t k_nonce = crypto_secretbox_NONCEBYTES;
  // Not ours, or of a key before this one: a full handshake follows.
  if (size < k_nonce + crypto_secretbox_MACBYTES) return MBEDTLS_ERR_SSL_INVALID_MAC;
  unsigned char* sealed = ticket + k_nonce;
  if (crypto_secretbox_open_easy(sealed, sealed, size - k_nonce, ticket, state.ticket_key.data()) != 0) return MBEDTLS_ERR_SSL_INVALID_MAC;
  size_t plain = size - k_nonce - crypto_secretbox_MACBYTES;
  int failed = mbedtls_ssl_session_load(session, sealed, plain);
  wipe(MutBytes(sealed, plain));
  return failed == 0 ? 0 : MBEDTLS_ERR_SSL_INVALID_MAC;
}

int TlsContext::State::configure(int endpoint) {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
  // TLS 1.3 works through PSA, which has randomness of its own.
  if (psa_crypto_init() != PSA_SUCCESS) return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
#endif
  int failed = mbedtls_ssl_config_defaults(&config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
  if (failed != 0) return failed;
  is_server = endpoint == MBEDTLS_SSL_IS_SERVER;
#if MBEDTLS_VERSION_NUMBER >= 0x03020000
  mbedtls_ssl_conf_min_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_2);
  mbedtls_ssl_conf_groups(&config, k_groups);
#else
  mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);  // "3.3" is TLS 1.2
  mbedtls_ssl_conf_curves(&config, k_groups);
#endif
  mbedtls_ssl_conf_rng(&config, draw, &random);
  mbedtls_ssl_conf_ciphersuites(&config, k_ciphersuites);
  // No authority vouches for the server: the caller checks peer() before it sends anything.
  mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
  if (is_server) {
    mbedtls_ssl_conf_session_tickets_cb(&config, write_ticket, parse_ticket, this);
    return mbedtls_ssl_conf_own_cert(&config, &certificate, &key->key);
  }
  mbedtls_ssl_conf_session_tickets(&config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
  // Replies come in short records, and a server that can do that keeps small buffers for us (RFC 6066 4).
  return mbedtls_ssl_conf_max_frag_len(&config, MBEDTLS_SSL_MAX_FRAG_LEN_4096);
}

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;
bool TlsContext::is_server() const { return state_->is_server; }
Bytes TlsContext::certificate() const { return state_->der; }

Result<std::unique_ptr<TlsContext>> TlsContext::server(TlsKey key, Bytes statement, SecureRandom& random) {
  CHECK(statement.size() <= k_statement_size_max);
  auto state = std::make_unique<State>(random);
  state->key = std::move(key.state_);
  int failed = write_certificate(state->key->key, key.hash_, statement, random, state->der);
  if (failed != 0) return failure(Errc::io, "can't write a certificate", failed);
  failed = mbedtls_x509_crt_parse_der(&state->certificate, state->der.data(), state->der.size());
  if (failed == 0) failed = state->configure(MBEDTLS_SSL_IS_SERVER);
  if (failed != 0) return failure(Errc::io, "can't set up a server", failed);
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(state)));
}

Result<std::unique_ptr<TlsContext>> TlsContext::client(SecureRandom& random) {
  auto state = std::make_unique<State>(random);
  int failed = state->configure(MBEDTLS_SSL_IS_CLIENT);
  if (failed != 0) return failure(Errc::io, "can't set up a client", failed);
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(state)));
}

struct TlsConnection::State {
  State() { mbedtls_ssl_init(&ssl); }
  ~State() { mbedtls_ssl_free(&ssl); }
  State(const State&) = delete;

  static int take(void* context, unsigned char* to, size_t size) {
    State& state = *static_cast<State*>(context);
    if (state.in.empty()) return MBEDTLS_ERR_SSL_WANT_READ;
    size = std::min(size, state.in.size());
    std::memcpy(to, state.in.data(), size);
    state.in = state.in.subspan(size);
    return static_cast<int>(size);
  }
  static int give(void* context, const unsigned char* from, size_t size) {
    ByteWriter(static_cast<State*>(context)->out).bytes(Bytes(from, size));
    return static_cast<int>(size);
  }
  Status shake_hands();
  void learn_peer();

  mbedtls_ssl_context ssl;
  bool is_server = false;
  Bytes in;  // during receive()
  std::vector<uint8_t> out;
  bool open = false;
  bool ended = false;
  bool resumed = false;  // a client's; asked for until the handshake shows otherwise
  TlsPeer peer;
};

// The certificate of this handshake, else of the session that it took up: only the server that made the session can do that.
void TlsConnection::State::learn_peer() {
  const mbedtls_x509_crt* certificate = mbedtls_ssl_get_peer_cert(&ssl);
  if (certificate != nullptr)
    peer = peer_of(*certificate);
  else if (!resumed)
    peer = {};
}

Status TlsConnection::State::shake_hands() {
  while (!open) {
    int result = mbedtls_ssl_handshake_step(&ssl);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int state = ssl.MBEDTLS_PRIVATE(state);
#else
    int state = ssl.state;
#endif
    if (state == MBEDTLS_SSL_SERVER_CERTIFICATE) resumed = false;  // only a full handshake gets there
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) return ok;
    if (result != 0) return failure(Errc::protocol, "no handshake", result);
    open = state == MBEDTLS_SSL_HANDSHAKE_OVER;
  }
  if (!is_server) learn_peer();
  return ok;
}

TlsConnection::TlsConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsConnection::~TlsConnection() = default;
std::vector<uint8_t>& TlsConnection::out() { return state_->out; }
bool TlsConnection::is_open() const { return state_->open; }
bool TlsConnection::has_ended() const { return state_->ended; }
bool TlsConnection::is_resumed() const { return state_->resumed; }
const char* TlsConnection::version() const { return mbedtls_ssl_get_version(&state_->ssl); }
const TlsPeer& TlsConnection::peer() const { return state_->peer; }

Result<std::unique_ptr<TlsConnection>> TlsConnection::make(TlsContext& context, const TlsSession* resume) {
  auto state = std::make_unique<State>();
  state->is_server = context.is_server();
  int failed = mbedtls_ssl_setup(&state->ssl, &context.state_->config);
  if (failed != 0) return failure(Errc::io, "can't begin a connection", failed);
  mbedtls_ssl_set_bio(&state->ssl, state.get(), State::give, State::take, nullptr);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
  // 3.6 wants to hear that no name is checked: the ledger's statement names no host.
  if (!state->is_server) mbedtls_ssl_set_hostname(&state->ssl, nullptr);
#endif
  if (resume != nullptr && !state->is_server) {
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    bool taken = mbedtls_ssl_session_load(&session, resume->bytes.data(), resume->bytes.size()) == 0 &&
                 mbedtls_ssl_set_session(&state->ssl, &session) == 0;
    mbedtls_ssl_session_free(&session);
    state->resumed = taken;
    if (taken) state->peer = resume->peer;
  }
  return std::unique_ptr<TlsConnection>(new TlsConnection(std::move(state)));
}

Status TlsConnection::receive(Bytes bytes, std::vector<uint8_t>& plain) {
  State& state = *state_;
  state.in = bytes;
  if (!state.open) TRY(state.shake_hands());
  while (state.open && !state.ended) {
    size_t at = plain.size();
    plain.resize(at + k_read_size);
    int result = mbedtls_ssl_read(&state.ssl, plain.data() + at, k_read_size);
    plain.resize(at + (result > 0 ? static_cast<size_t>(result) : 0));
    if (result > 0) continue;
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) break;
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) continue;
#endif
    if (result != 0 && result != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return failure(Errc::protocol, "the connection is broken", result);
    state.ended = true;
  }
  state.in = {};
  return ok;
}

Status TlsConnection::send(Bytes plain) {
  CHECK(state_->open);
  while (!plain.empty()) {
    int result = mbedtls_ssl_write(&state_->ssl, plain.data(), plain.size());
    if (result < 0) return failure(Errc::io, "can't send", result);
    plain = plain.subspan(static_cast<size_t>(result));
  }
  return ok;
}

void TlsConnection::close() {
  CHECK(state_->open);
  mbedtls_ssl_close_notify(&state_->ssl);
}

std::optional<TlsSession> TlsConnection::session() const {
  CHECK(state_->open && !state_->is_server);
  mbedtls_ssl_session session;
  mbedtls_ssl_session_init(&session);
  TlsSession out;
  size_t size = 0;
  if (mbedtls_ssl_get_session(&state_->ssl, &session) == 0) {
    mbedtls_ssl_session_save(&session, nullptr, 0, &size);
    out.bytes.resize(size);
    if (mbedtls_ssl_session_save(&session, out.bytes.data(), out.bytes.size(), &size) != 0) size = 0;
  }
  mbedtls_ssl_session_free(&session);
  if (size == 0) return std::nullopt;
  out.peer = state_->peer;
  return out;
}

Result<TlsPeer> read_certificate(Bytes der) {
  mbedtls_x509_crt certificate;
  mbedtls_x509_crt_init(&certificate);
  int failed = mbedtls_x509_crt_parse_der(&certificate, der.data(), der.size());
  TlsPeer peer;
  if (failed == 0) peer = peer_of(certificate);
  mbedtls_x509_crt_free(&certificate);
  if (failed != 0) return failure(Errc::bad_input, "not a certificate", failed);
  return peer;
}

}  // namespace millet
