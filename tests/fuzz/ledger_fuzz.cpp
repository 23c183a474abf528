// What a ledger, a client or a file may say about the log: records, requests, replies and evidence. Whatever is accepted is written back
// as the bytes that it was read from, and judging it never ends the process.
#include "fuzz/fuzz.h"
#include "ledger/common/evidence.h"

using namespace millet;

namespace {

void check_record(Bytes input) {
  Result<LogRecord> record = decode_record(input);
  if (!record) return;
  CHECK(equal(encode_record(*record), input));
  Result<LoggedOperation> operation = decode_logged_operation(record->operation);
  if (operation) (void)logged_operation_id(*operation);
}

void check_reply(Bytes input) {
  for (ReplyKind kind : {ReplyKind::operations, ReplyKind::queries}) {
    Result<Reply> reply = decode_reply(input, kind);
    bool whole = reply && input.size() + Signature::k_size <= k_reply_size_max;
    if (whole) CHECK(equal(encode_reply(*reply), input));
    if (!reply) continue;
    for (const QueryResult& result : reply->queries) {
      const auto* page = std::get_if<RecordPage>(&result.body);
      if (page != nullptr)
        (void)check_record_page(ChainOwner{reply->head.ledger, reply->head.key}, reply->head.tree.tree(), k_no_record, *page);
    }
  }
}

void check_evidence(Bytes input) {
  Result<Evidence> evidence = decode_evidence(input);
  if (!evidence) return;
  CHECK(equal(encode_evidence(*evidence), input));
  std::vector<OpenedExchange> opened;
  for (const QueryExchange& exchange : evidence->exchanges) {
    Result<OpenedExchange> one = open_exchange(exchange);
    if (!one) return;
    opened.push_back(std::move(*one));
  }
  (void)examine(*evidence, opened);
}

// A transfer to `account`, alone in its log.
LogRecord sample_record() {
  LogRecord record;
  TransferOperation transfer;
  transfer.statement.to.raw[0] = 1;
  record.head.operation = statement_id(transfer.statement);
  append_operation(record.operation, transfer);
  record.touched = {{transfer.statement.from, Amount(), k_no_record}, {transfer.statement.to, Amount(), k_no_record}};
  return record;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Bytes input(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0: check_record(input); break;
    case 1: check_reply(input); break;
    case 2: check_evidence(input); break;
    default: {
      Result<QueryRequest> request = decode_query_request(input);
      if (request) CHECK(equal(encode_request(*request), input));
    }
  }
  return 0;
}

std::vector<std::string> fuzz_samples() {
  LogRecord record = sample_record();
  std::vector<uint8_t> bytes = encode_record(record);
  Reply reply;
  reply.head.key = record.touched[1].account;
  reply.head.tree.size = 1;
  reply.head.tree.root = merkle_leaf(bytes);
  RecordPage page;
  page.records.push_back({{bytes, {}}, ProvenRecord{bytes, {Hash32{}}}, std::nullopt});
  reply.queries = {{RecordPage::k_kind, LedgerCode::done, page},
                   {InclusionProof::k_kind, LedgerCode::done, InclusionProof{0, 1, reply.head.tree.root, {Hash32{}}}},
                   {ConsistencyProof::k_kind, LedgerCode::done, ConsistencyProof{1, 2, {Hash32{}}}},
                   {Balance::k_kind, LedgerCode::done, Balance{}},
                   {ConsistencyQuery::k_kind, LedgerCode::beyond_log, {}}};
  reply.head.count = static_cast<uint8_t>(reply.queries.size());
  QueryRequest request;
  request.queries = {RecordsQuery{}, InclusionQuery{0, 1}, ConsistencyQuery{1, 2}, BalanceQuery{}, ConsistencyQuery{3, 0}};
  std::vector<uint8_t> asked = encode_request(request);
  reply.head.request_hash = blake2b_256(asked);
  std::vector<uint8_t> told = encode_reply(reply);
  Evidence evidence;
  evidence.heads = {reply.head.tree, reply.head.tree};
  evidence.receipt = HeldReceipt{{record.head.operation, 0, reply.head.tree.root, {}, {}}, record.operation};
  std::vector<uint8_t> sealed = told;
  sealed.resize(sealed.size() + Signature::k_size);
  evidence.exchanges = {{asked, sealed}};
  auto sample = [](char kind, const std::vector<uint8_t>& body) { return kind + std::string(as_text(body)); };
  return {sample(0, bytes), sample(1, told), sample(2, encode_evidence(evidence)), sample(3, asked)};
}
