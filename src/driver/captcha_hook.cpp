#include "driver/captcha_hook.h"

#include "codec/url.h"
#include "control/json.h"

namespace millet {

CaptchaHook::CaptchaHook(hal::System& system, Options options, CaptchaEvents& events, LogSink& log)
    : options_(std::move(options)), events_(events), log_(log), http_(system, IpAddress(), *this) {}

void CaptchaHook::ask(Instant now, uint64_t request, Bytes response, const std::optional<IpAddress>& from) {
  std::string form = "secret=";
  append_percent_encoded(options_.secret, form);
  form += "&response=";
  append_percent_encoded(as_text(response), form);
  if (from) {
    form += "&remoteip=";
    append_percent_encoded(from->to_string(), form);
  }
  Bytes body = as_bytes(form);
  HttpExchange exchange{};
  exchange.ticket = request;
  exchange.url = options_.url;
  exchange.body.assign(body.begin(), body.end());
  exchange.reply_size_max = k_reply_size_max;
  exchange.timeout_ms = k_timeout_ms;
  exchange.content_type = "application/x-www-form-urlencoded";
  http_.start(now, std::move(exchange));
}

void CaptchaHook::on_http_done(Ticket ticket, const Result<HttpReply>& reply) {
  std::string why;
  LedgerCode code = judge_captcha_reply(reply, why);
  bool fails = code == LedgerCode::captcha_unavailable;
  if (fails && !failing_) LogLine(log_, LogLevel::error, "captcha_failed").add("url", options_.url).add("reason", why);
  if (!fails && failing_) LogLine(log_, LogLevel::info, "captcha_works_again");
  failing_ = fails;
  events_.on_captcha_judged(ticket, code);
}

LedgerCode judge_captcha_reply(const Result<HttpReply>& reply, std::string& why) {
  if (!reply) {
    why = reply.error().reason;
    return LedgerCode::captcha_unavailable;
  }
  if (reply->status != 200) {
    why = "it answers with status " + std::to_string(reply->status);
    return LedgerCode::captcha_unavailable;
  }
  Result<Json> answer = Json::parse_object(as_text(reply->body));
  json_t* success = answer ? answer->get("success") : nullptr;
  if (success == nullptr || !json_is_boolean(success)) {
    why = "its answer is no JSON object with a boolean 'success'";
    return LedgerCode::captcha_unavailable;
  }
  return json_is_true(success) ? LedgerCode::done : LedgerCode::captcha_failed;
}

}  // namespace millet
