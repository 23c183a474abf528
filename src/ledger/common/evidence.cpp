#include "ledger/common/evidence.h"

#include "crypto/sign.h"

namespace millet {
namespace {

constexpr std::string_view k_file_tag = "BTT1EVID";

std::string text_of(const SignedTreeHead& head) {
  return std::to_string(head.size) + " records with root " + to_hex(head.root) + " at time " + std::to_string(head.time.in_seconds());
}

// Two tree heads that no honest log can have.
std::optional<std::string> compare(const SignedTreeHead& a, const SignedTreeHead& b) {
  if (a.size == b.size && a.root != b.root) return "two logs of one size: " + text_of(a) + ", and " + text_of(b);
  const SignedTreeHead& older = a.time < b.time ? a : b;
  const SignedTreeHead& newer = a.time < b.time ? b : a;
  if (older.time < newer.time && older.size > newer.size) return "the log became shorter: " + text_of(older) + ", then " + text_of(newer);
  return std::nullopt;
}

std::optional<Hash32> root_of(const std::vector<SignedTreeHead>& heads, uint64_t size) {
  for (const SignedTreeHead& head : heads) {
    if (head.size == size) return head.root;
  }
  return std::nullopt;
}

class Examination {
 public:
  Examination(const Evidence& evidence, std::span<const OpenedExchange> opened)
      : evidence_(evidence), opened_(opened), heads_(evidence.heads) {
    for (const OpenedExchange& exchange : opened) heads_.push_back(exchange.reply.head.tree);
  }

  Findings run() {
    for (size_t i = 0; i < heads_.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (auto found = compare(heads_[i], heads_[j])) note(*found);
      }
    }
    for (const OpenedExchange& exchange : opened_) {
      Page& page = pages_.emplace_back();
      for (size_t i = 0; i < exchange.reply.queries.size() && i < exchange.request.queries.size(); ++i) {
        std::visit([&](const auto& query) { check(exchange, query, exchange.reply.queries[i], page); }, exchange.request.queries[i]);
      }
      check_balance(exchange, page);
      check_receipt_in_chain(exchange, page);
    }
    for (size_t i = 0; i < pages_.size(); ++i) {
      for (size_t j = 0; j < pages_.size(); ++j) {
        if (i != j && opened_[i].request.key == opened_[j].request.key) compare_pages(i, j);
      }
    }
    for (Page& page : pages_) out_.pages.push_back(std::move(page.chain));
    return std::move(out_);
  }

 private:
  struct Page {
    bool asked = false;
    uint64_t from = k_no_record;
    ChainPage chain;
  };
  static uint64_t told_size(const OpenedExchange& exchange) { return exchange.reply.head.tree.size; }
  void note(const std::string& what) {
    if (!out_.contradiction) out_.contradiction = what;
  }
  template <typename Q>
  void check(const OpenedExchange&, const Q&, const QueryResult&, Page&) {}

  void check(const OpenedExchange& exchange, const ConsistencyQuery& query, const QueryResult& result, Page&) {
    uint64_t to = query.to == 0 ? told_size(exchange) : query.to;
    std::optional<Hash32> older = root_of(heads_, query.from), newer = root_of(heads_, to);
    if (!older || !newer || query.from > to || to > told_size(exchange)) return;
    std::string between = "the log of " + std::to_string(query.from) + " records and the one of " + std::to_string(to) + " records";
    if (result.code == LedgerCode::beyond_log) return note("the ledger signed " + between + ", but says that it has no such log");
    const auto* proof = std::get_if<ConsistencyProof>(&result.body);
    if (proof == nullptr) return;
    if (!consistency_holds({query.from, *older}, {to, *newer}, proof->path)) note("it proves no way between " + between);
  }

  std::string promise() const {
    const SignedReceipt& receipt = evidence_.receipt->receipt;
    return "its receipt promises record " + std::to_string(receipt.record) + " for operation " + receipt.operation.hex();
  }

  void check(const OpenedExchange& exchange, const InclusionQuery& query, const QueryResult& result, Page&) {
    uint64_t size = query.size == 0 ? told_size(exchange) : query.size;
    std::optional<Hash32> root = root_of(heads_, size);
    if (!evidence_.receipt || !root || query.record >= size || size > told_size(exchange)) return;
    const SignedReceipt& receipt = evidence_.receipt->receipt;
    if (receipt.record != query.record) return;
    if (result.code == LedgerCode::beyond_log) return note(promise() + ", but it says that its log has no such record");
    const auto* proof = std::get_if<InclusionProof>(&result.body);
    if (proof == nullptr) return;
    if (inclusion_holds(receipt.record_hash, receipt.record, size, proof->path, *root)) return;
    note(promise() + ", but its log of " + std::to_string(size) + " records holds another record there");
  }

  void check(const OpenedExchange& exchange, const RecordsQuery& query, const QueryResult& result, Page& out) {
    const auto* page = std::get_if<RecordPage>(&result.body);
    if (page == nullptr) return;
    ChainOwner owner{evidence_.ledger, exchange.request.key};
    Result<ChainPage> checked = check_record_page(owner, exchange.reply.head.tree.tree(), query.from, *page);
    if (!checked) return note("the records of account " + owner.account.hex() + " contradict each other: " + checked.error().reason);
    if (checked->entries.empty() && query.from != k_no_record) return note("it gives no record where it gave one before");
    out_.owed.insert(out_.owed.end(), checked->signatures.begin(), checked->signatures.end());
    out = {true, query.from, std::move(*checked)};
  }

  // The account's balance, told together with its newest record.
  void check_balance(const OpenedExchange& exchange, const Page& page) {
    if (!page.asked || page.from != k_no_record) return;
    Amount expected = page.chain.entries.empty() ? Amount() : page.chain.entries[0].balance;
    for (const QueryResult& result : exchange.reply.queries) {
      const auto* balance = std::get_if<Balance>(&result.body);
      if (balance == nullptr || balance->available == expected) continue;
      note("it calls the balance of account " + exchange.request.key.hex() + " " + balance->available.to_btt() +
           " BTT, but the account's last record in the log leaves " + expected.to_btt() + " BTT");
    }
  }

  // An operation that the account signed touches it: its record is one of the account's.
  void check_receipt_in_chain(const OpenedExchange& exchange, const Page& page) {
    if (!page.asked || !evidence_.receipt || !is_signed_by(*evidence_.receipt, exchange.request.key)) return;
    const SignedReceipt& receipt = evidence_.receipt->receipt;
    ChainPlace place = place_in_chain(page.chain, page.from, told_size(exchange), receipt.record, receipt.record_hash);
    if (place == ChainPlace::contradicted) note(promise() + ", but it is not among the records of the account");
  }

  // What was a record of the account once stays one.
  void compare_pages(size_t i, size_t j) {
    if (!pages_[i].asked) return;
    for (const ChainPage::Entry& entry : pages_[j].chain.entries) {
      ChainPlace place = place_in_chain(pages_[i].chain, pages_[i].from, told_size(opened_[i]), entry.record, entry.leaf);
      if (place == ChainPlace::contradicted) {
        note("record " + std::to_string(entry.record) + " touched account " + opened_[i].request.key.hex() +
             ", but is left out among the records of the account");
      }
    }
  }

  const Evidence& evidence_;
  std::span<const OpenedExchange> opened_;
  std::vector<SignedTreeHead> heads_;
  std::vector<Page> pages_;
  Findings out_;
};

Error not_signed(const char* what) { return error(Errc::bad_input, std::string(what) + " is not signed by this ledger"); }

Status check_signatures(const Evidence& evidence, std::span<const OpenedExchange> opened) {
  for (const SignedTreeHead& head : evidence.heads) {
    if (!verify(evidence.key, preimage(head.statement(evidence.ledger)), head.signature)) return not_signed("a tree head");
  }
  if (evidence.receipt) {
    const SignedReceipt& receipt = evidence.receipt->receipt;
    if (!verify(evidence.key, preimage(receipt.statement(evidence.ledger)), receipt.signature)) return not_signed("the receipt");
  }
  for (size_t i = 0; i < opened.size(); ++i) {
    TRY_ASSIGN(SealedReply sealed, split_reply(evidence.exchanges[i].reply));
    if (!verify(evidence.key, reply_preimage(sealed.content), sealed.signature)) return not_signed("a reply");
    const ReplyHead& head = opened[i].reply.head;
    if (head.ledger != evidence.ledger || head.key != evidence.key) return not_signed("a reply");
  }
  return ok;
}

}  // namespace

Result<OpenedExchange> open_exchange(const QueryExchange& exchange) {
  TRY_ASSIGN(QueryRequest request, decode_query_request(exchange.request));
  TRY_ASSIGN(SealedReply sealed, split_reply(exchange.reply));
  TRY_ASSIGN(Reply reply, decode_reply(sealed.content, ReplyKind::queries));
  if (reply.head.request_hash != blake2b_256(exchange.request)) return error(Errc::bad_input, "the reply is to another request");
  return OpenedExchange{std::move(request), std::move(reply)};
}

bool is_signed_by(const HeldReceipt& held, const PublicKey& account) {
  ByteReader in(held.operation);
  Result<Operation> operation = take_operation(in);
  return operation && in.done() && operation_id(*operation) == held.receipt.operation && operation_signer(*operation) == account;
}

ChainPlace place_in_chain(const ChainPage& page, uint64_t from, uint64_t size, uint64_t record, const Hash32& leaf) {
  if (record >= size) return ChainPlace::elsewhere;
  if (from == k_no_record && (page.entries.empty() || page.entries[0].record < record)) return ChainPlace::contradicted;
  for (const ChainPage::Entry& entry : page.entries) {
    if (entry.record == record) return entry.leaf == leaf ? ChainPlace::found : ChainPlace::contradicted;
    if (entry.record > record && (entry.previous == k_no_record || entry.previous < record)) return ChainPlace::contradicted;
  }
  return ChainPlace::elsewhere;
}

Findings examine(const Evidence& evidence, std::span<const OpenedExchange> opened) {
  CHECK(opened.size() == evidence.exchanges.size());
  return Examination(evidence, opened).run();
}

Result<std::string> judge_evidence(const Evidence& evidence) {
  std::vector<OpenedExchange> opened;
  for (const QueryExchange& exchange : evidence.exchanges) {
    TRY_ASSIGN(OpenedExchange one, open_exchange(exchange));
    opened.push_back(std::move(one));
  }
  TRY(check_signatures(evidence, opened));
  Findings findings = examine(evidence, opened);
  if (findings.contradiction) return *findings.contradiction;
  for (const OwedSignature& owed : findings.owed) {
    if (!verify(owed.key, owed.message, owed.signature)) {
      return "record " + std::to_string(owed.record) + " takes money from account " + owed.key.hex() + " without its signature";
    }
  }
  return error(Errc::not_found, "everything is signed by the ledger, and nothing contradicts");
}

std::vector<uint8_t> encode_evidence(const Evidence& evidence) {
  CHECK(evidence.heads.size() <= k_evidence_heads_max && evidence.exchanges.size() <= k_evidence_exchanges_max);
  std::vector<uint8_t> out;
  ByteWriter(out).text(k_file_tag).bytes(evidence.ledger.bytes()).bytes(evidence.key.bytes());
  out.push_back(static_cast<uint8_t>(evidence.heads.size()));
  for (const SignedTreeHead& head : evidence.heads) append_fields(out, head);
  out.push_back(evidence.receipt ? 1 : 0);
  if (evidence.receipt) {
    append_fields(out, evidence.receipt->receipt);
    const std::vector<uint8_t>& operation = evidence.receipt->operation;
    ByteWriter(out).u16(static_cast<uint16_t>(operation.size())).bytes(operation);
  }
  out.push_back(static_cast<uint8_t>(evidence.exchanges.size()));
  for (const QueryExchange& exchange : evidence.exchanges) {
    for (const std::vector<uint8_t>* part : {&exchange.request, &exchange.reply}) {
      ByteWriter(out).u32(static_cast<uint32_t>(part->size())).bytes(*part);
    }
  }
  CHECK(out.size() <= k_evidence_size_max);
  return out;
}

Result<Evidence> decode_evidence(Bytes bytes) {
  const Error malformed = error(Errc::bad_input, "this is no evidence against a ledger, or it is cut off");
  if (bytes.size() > k_evidence_size_max) return malformed;
  ByteReader in(bytes);
  if (as_text(in.take(k_file_tag.size())) != k_file_tag) return malformed;
  Evidence evidence;
  evidence.ledger.raw = in.array<32>();
  evidence.key.raw = in.array<32>();
  size_t heads = in.u8();
  if (heads > k_evidence_heads_max) return malformed;
  for (size_t i = 0; i < heads; ++i) {
    TRY_ASSIGN(SignedTreeHead head, take_fields<SignedTreeHead>(in));
    evidence.heads.push_back(head);
  }
  uint8_t has_receipt = in.u8();
  if (has_receipt > 1) return malformed;
  if (has_receipt == 1) {
    evidence.receipt.emplace();
    TRY_ASSIGN(evidence.receipt->receipt, take_fields<SignedReceipt>(in));
    Bytes operation = in.take(in.u16());
    evidence.receipt->operation.assign(operation.begin(), operation.end());
  }
  size_t exchanges = in.u8();
  if (exchanges > k_evidence_exchanges_max) return malformed;
  for (size_t i = 0; i < exchanges; ++i) {
    QueryExchange& exchange = evidence.exchanges.emplace_back();
    for (std::vector<uint8_t>* part : {&exchange.request, &exchange.reply}) {
      size_t size = in.u32();
      if (size > bytes.size()) return malformed;
      Bytes content = in.take(size);
      part->assign(content.begin(), content.end());
    }
  }
  if (!in.done()) return malformed;
  return evidence;
}

}  // namespace millet
