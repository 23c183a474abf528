#include "ledger/common/api.h"

namespace millet {
namespace {

constexpr std::string_view k_query_tag = "BTT1QURY";
constexpr size_t k_signature_size = Signature::k_size;

template <typename Q>
void append_query(std::vector<uint8_t>& out, const Q& query) {
  append_fields(out, query);
}
void append_query(std::vector<uint8_t>& out, const CaptchaQuery& query) {
  CHECK(!query.response.empty() && query.response.size() <= k_captcha_response_max);
  ByteWriter(out).u16(static_cast<uint16_t>(query.response.size())).bytes(query.response);
}
template <typename Q>
Status take_query_fields(ByteReader& in, Q& query) {
  return take_fields_into(in, query);
}
Status take_query_fields(ByteReader& in, CaptchaQuery& query) {
  size_t size = in.u16();
  if (size == 0 || size > k_captcha_response_max) return error(Errc::bad_input, "answer to a CAPTCHA is empty or too long");
  Bytes response = in.take(size);
  if (!in.ok()) return error(Errc::bad_input, "answer to a CAPTCHA is cut off");
  query.response.assign(response.begin(), response.end());
  return ok;
}

void append_body(std::vector<uint8_t>& out, const QueryRequest& request) {
  ByteWriter writer(out);
  writer.u8(k_ledger_api_version).bytes(request.nonce).bytes(request.key.bytes()).u64(request.valid_until.in_seconds());
  writer.u8(static_cast<uint8_t>(request.queries.size()));
  for (const Query& query : request.queries) {
    std::visit(
        [&](const auto& q) {
          out.push_back(q.k_kind);
          append_query(out, q);
        },
        query);
  }
}

template <size_t I = 0>
Status take_query(uint8_t kind, ByteReader& in, Query& query) {
  if constexpr (I == std::variant_size_v<Query>) {
    return error(Errc::bad_input, "query of unknown kind " + std::to_string(kind));
  } else {
    using Q = std::variant_alternative_t<I, Query>;
    if (kind != Q::k_kind) return take_query<I + 1>(kind, in, query);
    return take_query_fields(in, query.emplace<Q>());
  }
}

// The version of a request or reply, and its count of items.
Status check_version(uint8_t version) {
  if (version == k_ledger_api_version) return ok;
  return error(Errc::bad_input, "version " + std::to_string(version) + " of the ledger's protocol is not known");
}
Status check_count(size_t count, size_t count_max) {
  if (count == 0) return error(Errc::bad_input, "nothing is asked");
  if (count > count_max) return error(Errc::no_room, std::to_string(count) + " items are above the limit of " + std::to_string(count_max));
  return ok;
}

template <typename Body>
void append_result_body(std::vector<uint8_t>& out, const Body& body) {
  append_fields(out, body);
}
void append_result_body(std::vector<uint8_t>&, const std::monostate&) {}
void append_result_body(std::vector<uint8_t>& out, const ClosedPage& page) {
  CHECK(page.channels.size() <= k_closed_page_max);
  out.push_back(page.more ? 1 : 0);
  out.push_back(static_cast<uint8_t>(page.channels.size()));
  for (const ChannelState& channel : page.channels) append_fields(out, channel);
}

void append_path(std::vector<uint8_t>& out, const MerklePath& path) {
  CHECK(path.size() <= k_consistency_path_max);
  out.push_back(static_cast<uint8_t>(path.size()));
  for (const Hash32& hash : path) ByteWriter(out).bytes(hash);
}
void append_result_body(std::vector<uint8_t>& out, const InclusionProof& proof) {
  ByteWriter(out).u64(proof.record).u64(proof.size).bytes(proof.leaf);
  append_path(out, proof.path);
}
void append_result_body(std::vector<uint8_t>& out, const ConsistencyProof& proof) {
  ByteWriter(out).u64(proof.from).u64(proof.to);
  append_path(out, proof.path);
}
void append_proven(std::vector<uint8_t>& out, const ProvenRecord& proven) {
  CHECK(proven.record.size() <= k_record_size_max);
  ByteWriter(out).u16(static_cast<uint16_t>(proven.record.size())).bytes(proven.record);
  append_path(out, proven.path);
}
void append_result_body(std::vector<uint8_t>& out, const RecordPage& page) {
  CHECK(page.records.size() <= UINT8_MAX);
  out.push_back(static_cast<uint8_t>(page.records.size()));
  for (const AccountRecord& record : page.records) {
    append_proven(out, record.entry);
    CHECK(record.context || !record.claim);
    out.push_back(static_cast<uint8_t>((record.context ? 1 : 0) + (record.claim ? 1 : 0)));
    if (record.context) append_proven(out, *record.context);
    if (record.claim) append_proven(out, *record.claim);
  }
}

Result<MerklePath> take_path(ByteReader& in, size_t size_max) {
  size_t count = in.u8();
  if (count > size_max) return error(Errc::bad_input, "proof is too long");
  MerklePath path;
  for (size_t i = 0; i < count; ++i) path.push_back(in.array<32>());
  if (!in.ok()) return error(Errc::bad_input, "proof is cut off");
  return path;
}
Result<InclusionProof> take_inclusion(ByteReader& in) {
  InclusionProof proof;
  proof.record = in.u64();
  proof.size = in.u64();
  proof.leaf = in.array<32>();
  TRY_ASSIGN(proof.path, take_path(in, k_inclusion_path_max));
  return proof;
}
Result<ConsistencyProof> take_consistency(ByteReader& in) {
  ConsistencyProof proof;
  proof.from = in.u64();
  proof.to = in.u64();
  TRY_ASSIGN(proof.path, take_path(in, k_consistency_path_max));
  return proof;
}
Result<ProvenRecord> take_proven(ByteReader& in) {
  ProvenRecord proven;
  size_t size = in.u16();
  if (size > k_record_size_max) return error(Errc::bad_input, "record is too long");
  Bytes record = in.take(size);
  proven.record.assign(record.begin(), record.end());
  TRY_ASSIGN(proven.path, take_path(in, k_inclusion_path_max));
  return proven;
}
Result<RecordPage> take_record_page(ByteReader& in) {
  RecordPage page;
  for (size_t count = in.u8(); count > 0; --count) {
    AccountRecord& record = page.records.emplace_back();
    TRY_ASSIGN(record.entry, take_proven(in));
    uint8_t more = in.u8();
    if (more > 2) return error(Errc::bad_input, "page of records is malformed");
    if (more >= 1) {
      TRY_ASSIGN(record.context, take_proven(in));
    }
    if (more == 2) {
      TRY_ASSIGN(record.claim, take_proven(in));
    }
  }
  return page;
}

Result<ClosedPage> take_closed_page(ByteReader& in) {
  ClosedPage page;
  uint8_t more = in.u8();
  size_t count = in.u8();
  if (!in.ok() || more > 1 || count > k_closed_page_max) return error(Errc::bad_input, "closed feed is malformed");
  page.more = more == 1;
  for (size_t i = 0; i < count; ++i) {
    TRY(take_fields_into(in, page.channels.emplace_back()));
  }
  return page;
}

template <typename Body>
Status take_result_body(ByteReader& in, QueryResult& result) {
  return take_fields_into(in, result.body.emplace<Body>());
}

Status take_query_result(ByteReader& in, QueryResult& result) {
  result.kind = in.u8();
  result.code = static_cast<LedgerCode>(in.u16());
  if (!in.ok()) return error(Errc::bad_input, "result of a query is missing");
  if (result.code != LedgerCode::done) return ok;
  switch (result.kind) {
    case LedgerParams::k_kind: return take_result_body<LedgerParams>(in, result);
    case Balance::k_kind: return take_result_body<Balance>(in, result);
    case ChannelState::k_kind: return take_result_body<ChannelState>(in, result);
    case PoolState::k_kind: return take_result_body<PoolState>(in, result);
    case PolicyState::k_kind: return take_result_body<PolicyState>(in, result);
    case CaptchaAnswer::k_kind: return take_result_body<CaptchaAnswer>(in, result);
    case FaucetChallenge::k_kind: return take_result_body<FaucetChallenge>(in, result);
    case ClosedPage::k_kind: {
      TRY_ASSIGN(result.body, take_closed_page(in));
      return ok;
    }
    case InclusionProof::k_kind: {
      TRY_ASSIGN(result.body, take_inclusion(in));
      return ok;
    }
    case ConsistencyProof::k_kind: {
      TRY_ASSIGN(result.body, take_consistency(in));
      return ok;
    }
    case RecordPage::k_kind: {
      TRY_ASSIGN(result.body, take_record_page(in));
      return ok;
    }
    default: return error(Errc::bad_input, "result of unknown kind " + std::to_string(result.kind));
  }
}

}  // namespace

std::vector<uint8_t> encode_request(const OperationRequest& request) {
  CHECK(!request.operations.empty() && request.operations.size() <= k_operations_max);
  std::vector<uint8_t> out;
  ByteWriter(out).u8(k_ledger_api_version).bytes(request.nonce).u8(static_cast<uint8_t>(request.operations.size()));
  for (const Operation& operation : request.operations) append_operation(out, operation);
  return out;
}

std::vector<uint8_t> encode_request(const QueryRequest& request) {
  CHECK(!request.queries.empty() && request.queries.size() <= k_queries_max);
  std::vector<uint8_t> out;
  append_body(out, request);
  ByteWriter(out).bytes(request.signature.bytes());
  return out;
}

std::vector<uint8_t> query_preimage(const QueryRequest& request, const LedgerId& ledger) {
  std::vector<uint8_t> out;
  ByteWriter(out).text(k_query_tag).bytes(ledger.bytes());
  append_body(out, request);
  return out;
}

Result<OperationRequest> decode_operation_request(Bytes body) {
  ByteReader in(body);
  TRY(check_version(in.u8()));
  OperationRequest request;
  request.nonce = in.array<16>();
  size_t count = in.u8();
  TRY(check_count(count, k_operations_max));
  for (size_t i = 0; i < count; ++i) {
    TRY_ASSIGN(Operation operation, take_operation(in));
    request.operations.push_back(std::move(operation));
  }
  if (!in.done()) return error(Errc::bad_input, "bytes follow the last operation");
  return request;
}

Result<QueryRequest> decode_query_request(Bytes body) {
  ByteReader in(body);
  TRY(check_version(in.u8()));
  QueryRequest request;
  request.nonce = in.array<16>();
  request.key.raw = in.array<32>();
  request.valid_until = LedgerTime::from_seconds(in.u64());
  size_t count = in.u8();
  TRY(check_count(count, k_queries_max));
  size_t pages = 0;
  size_t captchas = 0;
  for (size_t i = 0; i < count; ++i) {
    uint8_t kind = in.u8();
    Query& query = request.queries.emplace_back();
    TRY(take_query(kind, in, query));
    pages += std::holds_alternative<RecordsQuery>(query) ? 1 : 0;
    captchas += std::holds_alternative<CaptchaQuery>(query) ? 1 : 0;
  }
  if (pages > 1 || captchas > 1) return error(Errc::no_room, "more than one RECORDS or CAPTCHA in a request");
  request.signature.raw = in.array<k_signature_size>();
  if (!in.done()) return error(Errc::bad_input, "request has the wrong size");
  return request;
}

std::vector<uint8_t> encode_reply(const Reply& reply) {
  CHECK(reply.operations.empty() || reply.queries.empty());
  CHECK(reply.head.count == reply.operations.size() + reply.queries.size());
  std::vector<uint8_t> out;
  append_fields(out, reply.head);
  for (const OperationResult& result : reply.operations) append_fields(out, result);
  for (const QueryResult& result : reply.queries) {
    CHECK((result.code == LedgerCode::done) != std::holds_alternative<std::monostate>(result.body));
    ByteWriter(out).u8(result.kind).u16(static_cast<uint16_t>(result.code));
    std::visit([&](const auto& body) { append_result_body(out, body); }, result.body);
  }
  CHECK(out.size() + k_signature_size <= k_reply_size_max);
  return out;
}

size_t encoded_size(const AccountRecord& record) {
  auto size_of = [](const ProvenRecord& proven) { return 3 + proven.record.size() + proven.path.size() * sizeof(Hash32); };
  return 1 + size_of(record.entry) + (record.context ? size_of(*record.context) : 0) + (record.claim ? size_of(*record.claim) : 0);
}

std::vector<uint8_t> reply_preimage(Bytes unsigned_reply) {
  std::vector<uint8_t> out;
  out.reserve(k_reply_tag.size() + unsigned_reply.size());
  ByteWriter(out).text(k_reply_tag).bytes(unsigned_reply);
  return out;
}

Result<SealedReply> split_reply(Bytes body) {
  if (body.size() < k_fields_size<ReplyHead> + k_signature_size || body.size() > k_reply_size_max) {
    return error(Errc::bad_input, "reply of " + std::to_string(body.size()) + " bytes is none of a ledger's");
  }
  size_t content_size = body.size() - k_signature_size;
  return SealedReply{body.first(content_size), Signature::from_bytes(body.subspan(content_size))};
}

Result<ReplyHead> decode_reply_head(Bytes content) {
  ByteReader in(content);
  TRY_ASSIGN(ReplyHead head, take_fields<ReplyHead>(in));
  TRY(check_version(head.version));
  return head;
}

Result<Reply> decode_reply(Bytes content, ReplyKind kind) {
  Reply reply;
  TRY_ASSIGN(reply.head, decode_reply_head(content));
  ByteReader in(content.subspan(k_fields_size<ReplyHead>));
  for (size_t i = 0; i < reply.head.count; ++i) {
    if (kind == ReplyKind::operations) {
      TRY(take_fields_into(in, reply.operations.emplace_back()));
    } else {
      TRY(take_query_result(in, reply.queries.emplace_back()));
    }
  }
  if (!in.done()) return error(Errc::bad_input, "bytes follow the last result");
  return reply;
}

}  // namespace millet
