#include "ledger/client/client.h"

namespace millet {
namespace {

constexpr const char* k_path_operations = "/v1/op";
constexpr const char* k_path_queries = "/v1/query";

// A refusal of the whole request, as an error that a caller can act on.
Error refusal(uint16_t number) {
  LedgerCode code = static_cast<LedgerCode>(number);
  bool later = code == LedgerCode::busy || code == LedgerCode::unavailable;
  return error(later ? Errc::unavailable : Errc::bad_input,
               std::string("the ledger refuses the request: ") + ledger_code_name(code) + ": " + ledger_code_reason(code));
}

}  // namespace

LedgerClient::LedgerClient(const PublicKey& ledger_key, const PublicKey& own_key, SecureRandom& random)
    : ledger_key_(ledger_key), own_key_(own_key), random_(random) {}

std::optional<LedgerClient::Ticket> LedgerClient::begin(LedgerCallId id, ReplyKind kind) {
  if (calls_.size() >= k_calls_max) {
    out_.push_back(LedgerAnswer{id, error(Errc::no_room, "too many calls to the ledger at once")});
    return std::nullopt;
  }
  Call call;
  call.id = id;
  call.kind = kind;
  random_.fill(call.nonce);
  calls_.emplace(++last_ticket_, std::move(call));
  return last_ticket_;
}

void LedgerClient::query_params(LedgerCallId id) {
  std::optional<Ticket> ticket = begin(id, ReplyKind::queries);
  if (!ticket) return;
  Call& call = calls_.at(*ticket);
  QueryRequest request;
  request.nonce = call.nonce;
  request.queries = {ParamsQuery{}};
  post(*ticket, call, k_path_queries, encode_request(request));
}

void LedgerClient::query(LedgerCallId id, const std::vector<Query>& queries, LedgerTime valid_until) {
  CHECK(ledger_ && !queries.empty() && queries.size() <= k_queries_max);
  std::optional<Ticket> ticket = begin(id, ReplyKind::queries);
  if (!ticket) return;
  Call& call = calls_.at(*ticket);
  call.query.nonce = call.nonce;
  call.query.key = own_key_;
  call.query.valid_until = valid_until;
  call.query.queries = queries;
  out_.push_back(SignBytes{*ticket, query_preimage(call.query, *ledger_)});
}

void LedgerClient::submit(LedgerCallId id, const std::vector<Operation>& operations) {
  CHECK(!operations.empty() && operations.size() <= k_operations_max);
  std::optional<Ticket> ticket = begin(id, ReplyKind::operations);
  if (!ticket) return;
  Call& call = calls_.at(*ticket);
  post(*ticket, call, k_path_operations, encode_request(OperationRequest{call.nonce, operations}));
}

void LedgerClient::post(Ticket ticket, Call& call, const char* path, std::vector<uint8_t> body) {
  call.request_hash = blake2b_256(body);
  if (call.kind == ReplyKind::queries) call.request = body;
  out_.push_back(PostBody{ticket, path, std::move(body)});
}

void LedgerClient::on_signed(Ticket ticket, const Signature& signature) {
  auto found = calls_.find(ticket);
  if (found == calls_.end()) return;
  Call& call = found->second;
  call.query.signature = signature;
  post(ticket, call, k_path_queries, encode_request(call.query));
}

Status LedgerClient::check_head(const Call& call, const ReplyHead& head) const {
  if (head.key != ledger_key_) {
    return error(Errc::denied, "the ledger answers with the key " + head.key.hex() + ", but ledger.key pins " + ledger_key_.hex() +
                                   ": check ledger.url and ledger.key");
  }
  if (head.request_hash != call.request_hash) return error(Errc::denied, "the ledger's reply is to another request");
  // A ledger that could not read the request can't repeat its nonce; the hash binds the reply to the request all the same.
  bool refused = static_cast<LedgerCode>(head.code) != LedgerCode::done;
  if (head.nonce != call.nonce && !refused) return error(Errc::denied, "the ledger's reply is to another request");
  if (ledger_ && head.ledger != *ledger_) {
    return error(Errc::denied, "the ledger calls itself " + head.ledger.hex() + ", but was " + ledger_->hex() +
                                   " before: it was made anew, and does not know the accounts of the old one");
  }
  return ok;
}

void LedgerClient::on_reply(Ticket ticket, Result<std::vector<uint8_t>> body, std::optional<LedgerTime> tls_not_after) {
  auto found = calls_.find(ticket);
  if (found == calls_.end()) return;
  Call& call = found->second;
  call.tls_not_after = tls_not_after;
  if (!body && body.error().code == Errc::denied) {
    return finish(ticket, error(Errc::denied, "what answers at ledger.url is not the ledger: " + body.error().reason));
  }
  if (!body)
    return finish(ticket, error(Errc::unavailable, "the ledger can't be reached: " + body.error().reason +
                                                       ": check ledger.url, and that millet-ledgerd runs there"));
  Result<SealedReply> sealed = split_reply(*body);
  if (!sealed) return finish(ticket, error(Errc::denied, "what answers at ledger.url is no ledger: " + sealed.error().reason));
  Result<ReplyHead> head = decode_reply_head(sealed->content);
  if (!head) return finish(ticket, error(Errc::denied, "what answers at ledger.url is no ledger: " + head.error().reason));
  Status good = check_head(call, *head);
  if (!good) return finish(ticket, std::move(good).error());
  out_.push_back(VerifyBytes{ticket, ledger_key_, reply_preimage(sealed->content), sealed->signature});
  call.body = std::move(*body);
}

void LedgerClient::on_verified(Ticket ticket, bool valid) {
  auto found = calls_.find(ticket);
  if (found == calls_.end()) return;
  Call& call = found->second;
  if (!valid) return finish(ticket, error(Errc::denied, "the ledger's reply has a wrong signature: check ledger.url and ledger.key"));
  Result<SealedReply> sealed = split_reply(call.body);
  CHECK(sealed.has_value());
  Result<Reply> reply = decode_reply(sealed->content, call.kind);
  if (!reply) return finish(ticket, error(Errc::bad_input, "the ledger's reply can't be read: " + reply.error().reason));
  ReplyHead head = reply->head;
  if (call.tls_not_after && head.time >= *call.tls_not_after) {
    return finish(ticket, error(Errc::denied, "the certificate over which the ledger answered counted until the ledger time " +
                                                  std::to_string(call.tls_not_after->in_seconds()) + ", and it is " +
                                                  std::to_string(head.time.in_seconds()) + ": somebody may stand between"));
  }
  ledger_ = head.ledger;
  bool done = static_cast<LedgerCode>(head.code) == LedgerCode::done;
  finish(ticket, done ? std::move(reply) : Result<Reply>(refusal(head.code)), &head);
}

// `head`: of a reply that the ledger signed.
void LedgerClient::finish(Ticket ticket, Result<Reply> reply, const ReplyHead* head) {
  auto found = calls_.find(ticket);
  CHECK(found != calls_.end());
  LedgerAnswer answer{found->second.id, std::move(reply)};
  if (head != nullptr) {
    answer.time = head->time;
    answer.refused = static_cast<LedgerCode>(head->code);
  }
  if (answer.reply && found->second.kind == ReplyKind::queries) {
    answer.request = std::move(found->second.request);
    answer.signed_reply = std::move(found->second.body);
  }
  out_.push_back(std::move(answer));
  calls_.erase(found);
}

bool LedgerClient::poll(Output& out) {
  if (out_.empty()) return false;
  out = std::move(out_.front());
  out_.pop_front();
  return true;
}

}  // namespace millet
