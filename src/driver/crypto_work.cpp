#include "driver/crypto_work.h"

namespace millet {
namespace {

class SignJob final : public hal::Job {
 public:
  SignJob(CryptoEvents& events, const SigningKey& key, SignBytes request) : events_(events), key_(key), request_(std::move(request)) {}
  void run() override { signature_ = key_.sign(request_.message); }
  void done() override { events_.on_signed(request_.ticket, signature_); }

 private:
  CryptoEvents& events_;
  const SigningKey& key_;
  SignBytes request_;
  Signature signature_;
};

class VerifyJob final : public hal::Job {
 public:
  VerifyJob(CryptoEvents& events, VerifyBytes request) : events_(events), request_(std::move(request)) {}
  void run() override { valid_ = verify(request_.key, request_.message, request_.signature); }
  void done() override { events_.on_verified(request_.ticket, valid_); }

 private:
  CryptoEvents& events_;
  VerifyBytes request_;
  bool valid_ = false;
};

}  // namespace

void submit_sign(hal::Executor& executor, CryptoEvents& events, const SigningKey& key, SignBytes request) {
  executor.submit(hal::Queue::compute, std::make_unique<SignJob>(events, key, std::move(request)));
}

void submit_verify(hal::Executor& executor, CryptoEvents& events, VerifyBytes request) {
  executor.submit(hal::Queue::compute, std::make_unique<VerifyJob>(events, std::move(request)));
}

}  // namespace millet
