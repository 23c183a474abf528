// Signing with the node's key and checking signatures, on a worker: one check takes milliseconds on a router.
#pragma once

#include "crypto/sign.h"
#include "hal/executor.h"
#include "node/io.h"

namespace millet {

class CryptoEvents {
 public:
  virtual ~CryptoEvents() = default;
  virtual void on_signed(Ticket ticket, const Signature& signature) = 0;
  virtual void on_verified(Ticket ticket, bool valid) = 0;
};

// Each request is answered once, in any order. Requires: key, executor and events live until the last job is done.
void submit_sign(hal::Executor& executor, CryptoEvents& events, const SigningKey& key, SignBytes request);
void submit_verify(hal::Executor& executor, CryptoEvents& events, VerifyBytes request);

}  // namespace millet
