// Who judges CAPTCHAs: an HTTP service that takes what hCaptcha, Turnstile and reCAPTCHA call siteverify (a form with secret, response and
// remoteip; JSON with "success" back). What is no clear yes or no, or comes too late, or is too long, is none: nobody gets a ticket for it.
#pragma once

#include <string>

#include "base/log.h"
#include "driver/http_client.h"
#include "ledger/common/codes.h"

namespace millet {

class CaptchaEvents {
 public:
  virtual ~CaptchaEvents() = default;
  // done, captcha_failed or captcha_unavailable. Never before ask() returns.
  virtual void on_captcha_judged(uint64_t request, LedgerCode code) = 0;
};

class CaptchaHook final : private HttpEvents {
 public:
  static constexpr uint32_t k_timeout_ms = 5000;
  static constexpr uint32_t k_reply_size_max = 64 * 1024;

  struct Options {
    std::string url;     // http
    std::string secret;  // that the service gave for this site
  };
  // Requires: all outlive it.
  CaptchaHook(hal::System& system, Options options, CaptchaEvents& events, LogSink& log);

  // Answered once. Requires: no other ask() with this number is under way.
  void ask(Instant now, uint64_t request, Bytes response, const std::optional<IpAddress>& from);

  // The client that owns some of the machine's streams.
  HttpClient& http() { return http_; }

 private:
  void on_http_done(Ticket ticket, const Result<HttpReply>& reply) override;

  Options options_;
  CaptchaEvents& events_;
  LogSink& log_;
  bool failing_ = false;  // one line in the log for a row of failures
  HttpClient http_;
};

// What an answer of the service means. `why`: what to tell the operator, where it is captcha_unavailable.
LedgerCode judge_captcha_reply(const Result<HttpReply>& reply, std::string& why);

}  // namespace millet
