// What a server of TLS says about itself: 'c' a certificate, 's' the ledger's statement in it. Only the one statement that the pinned key
// signed for the certificate's own key is believed.
#include "fuzz/fuzz.h"
#include "ledger/common/tls_key.h"

using namespace millet;

namespace {

struct FixedRandom final : SecureRandom {
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(state = state * 1103515245 + 12345, state >> 16);
  }
  uint32_t state = 7;
};

SigningKey ledger_key() {
  std::array<uint8_t, 32> seed{};
  seed[0] = 3;
  return SigningKey::from_seed(seed);
}

const std::vector<uint8_t>& certificate() {
  static const std::vector<uint8_t> der = [] {
    CHECK(crypto_init());
    FixedRandom random;
    auto made = make_tls_server(ledger_key(), LedgerId(), LedgerTime::from_seconds(1000), random);
    CHECK(made.has_value());
    Bytes bytes = (*made)->certificate();
    return std::vector<uint8_t>(bytes.begin(), bytes.end());
  }();
  return der;
}

void check(const TlsPeer& peer, const TlsPeer& real) {
  bool same = peer.statement == real.statement && peer.public_key_hash == real.public_key_hash;
  CHECK(check_tls_peer(peer, {ledger_key().public_key(), std::nullopt, LedgerTime()}).has_value() == same);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes input = Bytes(data, size).subspan(1);
  static const TlsPeer real = *read_certificate(certificate());
  if (data[0] == 's') {
    TlsPeer peer = real;
    peer.statement.assign(input.begin(), input.end());
    if (peer.statement.empty() || input.size() > TlsContext::k_statement_size_max) return 0;
    check(peer, real);
  } else {
    Result<TlsPeer> peer = read_certificate(input);
    if (peer) {
      CHECK(peer->statement.size() <= TlsContext::k_statement_size_max);
      check(*peer, real);
    }
  }
  return 0;
}

std::vector<std::string> fuzz_samples() {
  const TlsPeer real = *read_certificate(certificate());
  return {"c" + std::string(as_text(certificate())), "s" + std::string(as_text(real.statement))};
}
