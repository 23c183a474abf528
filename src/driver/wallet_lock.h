// The lock of a wallet whose node was started without the passphrase (key_file.h): whoever brings it gets the key opened by a worker, since
// that takes 8 MiB and up to seconds. One try at a time, and none right after a wrong one. What begins with the key is the driver's matter.
#pragma once

#include <string>

#include "base/time.h"
#include "crypto/secret.h"
#include "hal/clock.h"
#include "hal/executor.h"

namespace millet {

class WalletLockEvents {
 public:
  virtual ~WalletLockEvents() = default;
  // Once for each try. Errors: denied (a wrong passphrase), conflict (the file has the key of another account), as read_key_file, as
  // open_key.
  virtual void on_key_opened(Result<SigningKey> key) = 0;
};

class WalletLock {
 public:
  static constexpr Duration k_pause = Duration::seconds(2);  // after a wrong passphrase

  // Requires: executor, clock and events live until the last job is done.
  WalletLock(std::string key_file, const PublicKey& address, hal::Executor& executor, hal::Clock& clock, WalletLockEvents& events)
      : key_file_(std::move(key_file)), address_(address), executor_(executor), clock_(clock), events_(events) {}
  WalletLock(const WalletLock&) = delete;

  // Begins a try with what the key file has now. Errors: conflict (one is under way), unavailable (too soon after a wrong one).
  Status open(Secret passphrase);

 private:
  class OpenJob;
  void on_done(Result<SigningKey> key);

  const std::string key_file_;
  const PublicKey address_;
  hal::Executor& executor_;
  hal::Clock& clock_;
  WalletLockEvents& events_;
  bool is_trying_ = false;
  Instant next_try_;
};

}  // namespace millet
