// Signatures that cost next to nothing, for worlds of hundreds of nodes, where Ed25519 would be most of the work: a signature is a hash of
// the signer's public key and the message. Everybody could forge one; in these worlds nobody does but by guessing, as with real ones.
//
// The programs know nothing of it: the linker puts these functions in the place of libsodium's (--wrap), and they do what those do unless
// this is switched on.
#pragma once

namespace millet::simtest {

// While one exists, signatures are cheap. Keys, stores and signatures of the two kinds do not mix: it outlives the world.
class CheapSignatures {
 public:
  CheapSignatures();
  ~CheapSignatures();
  CheapSignatures(const CheapSignatures&) = delete;
};

}  // namespace millet::simtest
