#include "driver/wallet_lock.h"

#include "driver/key_file.h"

namespace millet {
namespace {

// The passphrase may have been changed or taken away since the node began.
Result<SigningKey> open_key_file(const std::string& path, const PublicKey& address, Bytes passphrase) {
  TRY_ASSIGN(StoredKey stored, read_key_file(path));
  if (stored.public_key() != address) return error(Errc::conflict, "the key file " + path + " has the key of another account now");
  if (stored.open) return std::move(*stored.open);
  return open_key(*stored.sealed, passphrase);
}

}  // namespace

class WalletLock::OpenJob final : public hal::Job {
 public:
  OpenJob(WalletLock& lock, Secret passphrase) : lock_(lock), passphrase_(std::move(passphrase)) {}
  void run() override {
    key_.emplace(open_key_file(lock_.key_file_, lock_.address_, passphrase_.bytes()));
    wipe_text(passphrase_.text);  // the job itself stays until everybody was told
  }
  void done() override { lock_.on_done(std::move(*key_)); }

 private:
  WalletLock& lock_;
  Secret passphrase_;
  std::optional<Result<SigningKey>> key_;
};

Status WalletLock::open(Secret passphrase) {
  if (is_trying_) return error(Errc::conflict, "another passphrase is being tried: wait for it");
  if (clock_.now() < next_try_) return error(Errc::unavailable, "the last passphrase was wrong: try again in two seconds");
  is_trying_ = true;
  executor_.submit(hal::Queue::compute, std::make_unique<OpenJob>(*this, std::move(passphrase)));
  return ok;
}

void WalletLock::on_done(Result<SigningKey> key) {
  is_trying_ = false;
  if (!key && key.error().code == Errc::denied) next_try_ = clock_.now() + k_pause;
  events_.on_key_opened(std::move(key));
}

}  // namespace millet
