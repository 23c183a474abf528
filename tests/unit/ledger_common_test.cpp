// ledger/common: golden vectors, round trips, and that no other bytes pass.
#include <iterator>

#include "base/random.h"
#include "unit/ledger_vectors.h"
#include "unit/test.h"
#include "unit/text_file.h"

using namespace millet;

namespace {

void operation_ids_and_signatures_match_the_golden_vectors(void**) {
  assert_string_equal(operation_id(vectors::open()).hex().c_str(), "33b24830f6d557b1af578380b51f728f539d7df8bc34726ad58ca407bd038603");
  assert_string_equal(operation_id(vectors::close()).hex().c_str(), "ccf4c54d63ccd4e47b71619b6b756db4dc26554ca15e8e352c84853105286e18");
  assert_string_equal(operation_id(vectors::claim()).hex().c_str(), "53accd313cff47eb4776492e1c223a5e1987502eb102932481737c1bd8952773");
  assert_string_equal(operation_id(vectors::transfer()).hex().c_str(), "edda285a3f68897d82c065c2820f97ecb3f016eeb266bbcf306cf2019ed675fe");
  assert_string_equal(operation_id(vectors::faucet()).hex().c_str(), "efcfcc37fb305cb2476f3c912c7c7893c4d2e992daffb9da590340812618b457");
  assert_string_equal(vectors::claim().signature.hex().c_str(),
                      "16c35a2773c44b1b08280a71b3203259856c81f93a84a7aa95a11c8585be06ca"
                      "a72b83d78ecfcaca68c48b036c4ad8ef2e6be64c1944d547f954c3c10f92f80b");
  assert_string_equal(vectors::transfer().signature.hex().c_str(),
                      "573eec0a9051e34a12c0b797a55512285ffa01ec5a861a839c3c9d3c7df1d2c0"
                      "e6a3826c5f68bb795d193efcc64bdb2e767a1f712dbd78d5ba128751a0b15c04");
  assert_string_equal(vectors::faucet().signature.hex().c_str(),
                      "8da2ccde859b23a57204c98ca6884f5ac7484651b57c96c555de5d31a5bbe799"
                      "7a587dffa1a694ecc4e7ac9e9c5120e4fda2dedb16a38d25f3a242d93529c609");
}

void the_ledgers_statements_match_the_golden_vectors(void**) {
  FundStatement fund{vectors::ledger(), vectors::payer().public_key(), Amount::micro(1'000'000), vectors::at(1'799'996'000)};
  assert_string_equal(vectors::ledger_key().sign(preimage(fund)).hex().c_str(),
                      "c8b88980b9adab851ef82dc60ea85a3a1df89e6533e6774033406496925c1b4d"
                      "c46901cceee1978d06e9c18166ac95de4b02f71b02f7cb9c78e01da398896504");
  ReceiptStatement receipt{vectors::ledger(), operation_id(vectors::open()), 42, vectors::filled<32>(0x55), vectors::at(1'799'996'000)};
  assert_string_equal(vectors::ledger_key().sign(preimage(receipt)).hex().c_str(),
                      "634bd2b837c8cb2191d4b3d3ffe060eefd1092b3fc02beccbb33c311ed25bab4"
                      "acdcbf21ea6fa82e60e02564e525fd2ba0db1c71511009081edeb47b36631d08");
}

void a_tree_head_matches_the_golden_vector(void**) {
  TreeHeadStatement tree{vectors::ledger(), 43, vectors::filled<32>(0x77), vectors::at(1'799'995'990)};
  assert_string_equal(vectors::ledger_key().sign(preimage(tree)).hex().c_str(),
                      "e64572423ffce1eb390a86051ab7430b3465a69ada3ed901d0d0a05bf9e4ccce"
                      "802c74d93b70f11d45a76cb9d21aa3ea8a0eb3aa927a987df55729b1ffe7e303");
}

Reply golden_reply() {
  Reply reply;
  reply.head.request_hash = blake2b_256(encode_request(vectors::query()));
  reply.head.nonce = vectors::filled<16>(0x66);
  reply.head.ledger = vectors::ledger();
  reply.head.key = vectors::ledger_key().public_key();
  reply.head.time = vectors::at(1'799'996'000);
  reply.head.tree = {43, vectors::filled<32>(0x77), vectors::at(1'799'995'990), {}};
  reply.head.tree.signature = vectors::ledger_key().sign(preimage(reply.head.tree.statement(vectors::ledger())));
  reply.head.count = 2;
  FundStatement fund{vectors::ledger(), vectors::payer().public_key(), Amount::micro(1'000'000), reply.head.time};
  Balance balance{
      fund.available, Amount::micro(5), 1, 1, Amount::micro(4), vectors::at(1'799'999'000), vectors::ledger_key().sign(preimage(fund))};
  reply.queries = {{BalanceQuery::k_kind, LedgerCode::done, balance}, {ChannelQuery::k_kind, LedgerCode::unknown_channel, {}}};
  return reply;
}

void a_query_and_its_signed_reply_match_the_golden_vectors(void**) {
  assert_string_equal(vectors::query().signature.hex().c_str(),
                      "77357342f03a7889b86f422b977facdcd56d2863fe4a01a8426ce2121a0f421b"
                      "c143f44d25353ff40d014b7ceb41121430004f3ce04d01e2bf7868970bfbff04");
  assert_string_equal(to_hex(blake2b_256(encode_request(vectors::query()))).c_str(),
                      "95224e38c75eafa717a86bf17312fc083580b4b246631d984d39156cb74c7381");
  auto bytes = encode_reply(golden_reply());
  assert_int_equal(bytes.size(), 343);
  assert_string_equal(vectors::ledger_key().sign(reply_preimage(bytes)).hex().c_str(),
                      "f8fdb9371dba1c6699700c3c5e888b32abe391184da16d9d0bf68193cc62f021"
                      "00c1b308091ba820e333a1fd82df04fd25d1378a42da630eb08b706f3b769809");
}

// Attack 4: no bytes that are signed for one purpose begin like those of another.
void domain_tags_are_all_different(void**) {
  const std::string_view tags[] = {ChannelTerms::k_tag,
                                   PayStatement::k_tag,
                                   CloseStatement::k_tag,
                                   ClaimStatement::k_tag,
                                   FundStatement::k_tag,
                                   TransferStatement::k_tag,
                                   FaucetStatement::k_tag,
                                   GenesisOperation::k_tag,
                                   ExpireOperation::k_tag,
                                   ExtendOperation::k_tag,
                                   DrawStatement::k_tag,
                                   PoolOperation::k_tag,
                                   PoolTerms::k_tag,
                                   PolicyStatement::k_tag,
                                   TicketFaucetStatement::k_tag,
                                   "BTT1TICK",
                                   GrantStatement::k_tag,
                                   ReceiptStatement::k_tag,
                                   TreeHeadStatement::k_tag,
                                   "BTT1EVID",
                                   k_reply_tag,
                                   "BTT1QURY",
                                   "BTT1CASH",
                                   "BTT1CHAL"};
  for (size_t i = 0; i < std::size(tags); ++i) {
    assert_int_equal(tags[i].size(), 8);
    for (size_t j = 0; j < i; ++j) assert_true(tags[i] != tags[j]);
  }
}

// Every signature of one kind of statement, tried as every other kind by the same key: none passes.
void no_signature_passes_as_another_kind(void**) {
  ChannelId channel = vectors::channel();
  PayStatement pay{vectors::ledger(), channel, 1, Amount::micro(4096)};
  Signature as_pay = vectors::payer().sign(preimage(pay));
  PublicKey payer = vectors::payer().public_key();
  CloseOperation close = vectors::close();
  assert_false(verify(payer, preimage(close.statement), as_pay));
  Signature as_close = vectors::payer().sign(preimage(close.statement));
  assert_false(verify(payer, preimage(pay), as_close));
  assert_false(verify(payer, preimage(vectors::claim().statement), as_close));
  Signature as_transfer = vectors::transfer().signature;
  assert_false(verify(payer, preimage(pay), as_transfer));
  assert_false(verify(payer, preimage(vectors::open().statement), as_transfer));
  assert_false(verify(payer, preimage(vectors::faucet().statement), as_transfer));
}

bool refuses_every_shorter_and_longer(Bytes bytes, bool (*decodes)(Bytes)) {
  for (size_t size = 0; size < bytes.size(); ++size) {
    if (decodes(bytes.first(size))) return false;
  }
  std::vector<uint8_t> longer(bytes.begin(), bytes.end());
  longer.push_back(0);
  return decodes(bytes) && !decodes(longer);
}

bool decodes_operations(Bytes bytes) { return decode_operation_request(bytes).has_value(); }
bool decodes_query(Bytes bytes) { return decode_query_request(bytes).has_value(); }
bool decodes_operation_reply(Bytes bytes) { return decode_reply(bytes, ReplyKind::operations).has_value(); }
bool decodes_query_reply(Bytes bytes) { return decode_reply(bytes, ReplyKind::queries).has_value(); }

Reply operation_reply() {
  Reply reply = golden_reply();
  reply.queries.clear();
  reply.operations.resize(2);
  reply.operations[0] = {0,
                         operation_id(vectors::open()),
                         7,
                         vectors::filled<32>(9),
                         vectors::at(5),
                         Amount::micro(1),
                         Amount::micro(2),
                         vectors::pay_signature()};
  reply.operations[1].code = static_cast<uint16_t>(LedgerCode::insufficient);
  return reply;
}

Reply every_query_reply() {
  Reply reply = golden_reply();
  ChannelState state{vectors::open().statement, 1, Amount::micro(4096), vectors::at(1'800'000'060), vectors::at(1'799'999'999), 12};
  ClosedPage page;
  page.channels.assign(k_closed_page_max, state);
  page.more = true;
  reply.queries.push_back({ChannelQuery::k_kind, LedgerCode::done, state});
  reply.queries.push_back({ClosedQuery::k_kind, LedgerCode::done, page});
  reply.queries.push_back(
      {ChallengeQuery::k_kind, LedgerCode::done, FaucetChallenge{vectors::filled<32>(1), 3, vectors::at(9), {}, Amount::micro(10)}});
  reply.queries.push_back(
      {ParamsQuery::k_kind, LedgerCode::done, LedgerParams{Amount::micro(1), 600, 2'592'000, 1000, Amount::micro(3), {}}});
  PoolState pool{vectors::payer().public_key(), Amount::micro(9), Amount::micro(8), Amount::micro(7), 1, vectors::draw().keys, {}};
  reply.queries.push_back({PoolQuery::k_kind, LedgerCode::done, pool});
  reply.queries.push_back({PolicyQuery::k_kind, LedgerCode::done, PolicyState{vectors::policy().statement, 5, 1, 6, Amount::micro(7)}});
  reply.queries.push_back({CaptchaQuery::k_kind, LedgerCode::done, CaptchaAnswer{{vectors::at(7), vectors::filled<32>(8)}, 1}});
  reply.head.count = static_cast<uint8_t>(reply.queries.size());
  return reply;
}

void every_message_round_trips_and_no_other_length_decodes(void**) {
  OperationRequest request{vectors::filled<16>(7), vectors::one_of_each()};
  auto bytes = encode_request(request);
  assert_true(decode_operation_request(bytes)->operations == request.operations);
  assert_true(decode_operation_request(bytes)->nonce == request.nonce);
  assert_true(refuses_every_shorter_and_longer(bytes, decodes_operations));

  QueryRequest query = vectors::query();
  query.queries = {ParamsQuery{},
                   BalanceQuery{},
                   ChannelQuery{vectors::channel()},
                   ClosedQuery{77},
                   ChallengeQuery{},
                   PoolQuery{7},
                   PolicyQuery{OperationId{vectors::filled<32>(4)}}};
  bytes = encode_request(query);
  assert_true(encode_request(*decode_query_request(bytes)) == bytes);
  assert_true(refuses_every_shorter_and_longer(bytes, decodes_query));

  bytes = encode_reply(operation_reply());
  assert_true(*decode_reply(bytes, ReplyKind::operations) == operation_reply());
  assert_true(refuses_every_shorter_and_longer(bytes, decodes_operation_reply));

  bytes = encode_reply(every_query_reply());
  assert_true(*decode_reply(bytes, ReplyKind::queries) == every_query_reply());
  assert_true(refuses_every_shorter_and_longer(bytes, decodes_query_reply));
}

// A changed byte is either refused or means something else: there are no two encodings of one message.
void every_encoding_is_the_only_one(void**) {
  Random random(3);
  auto operations = encode_request(OperationRequest{vectors::filled<16>(7), vectors::one_of_each()});
  auto query = encode_request(vectors::query());
  auto replies = encode_reply(every_query_reply());
  bool good = true;
  for (int i = 0; i < 20'000 && good; ++i) {
    std::vector<uint8_t> bytes = i % 3 == 0 ? operations : i % 3 == 1 ? query : replies;
    for (uint64_t n = 1 + random.below(3); n > 0; --n) bytes[random.below(bytes.size())] = static_cast<uint8_t>(random.next());
    if (auto back = decode_operation_request(bytes)) good = good && encode_request(*back) == bytes;
    if (auto back = decode_query_request(bytes)) good = good && encode_request(*back) == bytes;
    if (auto back = decode_reply(bytes, ReplyKind::queries)) good = good && encode_reply(*back) == bytes;
    static_cast<void>(decode_reply(bytes, ReplyKind::operations));
  }
  assert_true(good);
}

void counts_above_the_limits_are_refused(void**) {
  std::vector<uint8_t> bytes(18, 0);
  bytes[0] = k_ledger_api_version;
  assert_int_equal(decode_operation_request(bytes).error().code, Errc::bad_input);  // nothing is asked
  bytes[17] = k_operations_max + 1;
  assert_int_equal(decode_operation_request(bytes).error().code, Errc::no_room);
  OperationRequest full{{}, std::vector<Operation>(k_operations_max, Operation(vectors::close()))};
  assert_true(encode_request(full).size() <= k_request_size_max);
}

void leading_zeros_are_counted_in_bits(void**) {
  Hash32 hash{};
  assert_true(has_leading_zeros(hash, 256));
  hash[2] = 0x10;
  assert_true(has_leading_zeros(hash, 19));
  assert_false(has_leading_zeros(hash, 20));
  hash[0] = 0x80;
  assert_true(has_leading_zeros(hash, 0));
  assert_false(has_leading_zeros(hash, 1));
}

// Known answers: the reference `argon2` program and Python's hashlib.
void faucet_work_matches_the_golden_vectors(void**) {
  Hash32 challenge = vectors::filled<32>(0x77);
  FaucetWork work{12, 2, 64};
  assert_false(*memory_work_holds(work, challenge, 0));  // 49bdc182...
  assert_false(*memory_work_holds(work, challenge, 1));  // 6c2a7225...
  assert_true(*memory_work_holds(work, challenge, 2));   // 2ca1a6cb...
  work.memory_bits = 3;
  assert_false(*memory_work_holds(work, challenge, 2));
  assert_true(hashcash_holds(work, challenge, {3, 1525}));
  for (uint64_t nonce = 0; nonce < 1525; ++nonce) assert_false(hashcash_holds(work, challenge, {3, nonce}));
}

void the_solver_finds_what_the_ledger_accepts(void**) {
  FaucetWork work{10, 3, 64};
  Hash32 challenge = vectors::filled<32>(0x78);
  auto solver = FaucetSolver::make(work, challenge);
  std::optional<FaucetSolution> solution;
  for (int i = 0; i < 1000 && !solution; ++i) solution = *solver->step();
  assert_true(solution.has_value());
  assert_true(hashcash_holds(work, challenge, *solution));
  assert_true(*memory_work_holds(work, challenge, solution->memory_nonce));
  FaucetSolution other = *solution;
  ++other.memory_nonce;
  assert_false(hashcash_holds(work, challenge, other) && *memory_work_holds(work, challenge, other.memory_nonce));
}

void unreasonable_work_is_refused(void**) {
  assert_false(FaucetSolver::make({200, 4, 1024}, {}).has_value());
  assert_false(FaucetSolver::make({10, 33, 1024}, {}).has_value());
  assert_false(FaucetSolver::make({10, 4, 1u << 31}, {}).has_value());
  assert_false(FaucetSolver::make({10, 4, 0}, {}).has_value());
}

void codes_have_names_and_reasons(void**) {
  assert_string_equal(ledger_code_name(LedgerCode::insufficient), "insufficient");
  assert_string_equal(ledger_code_name(static_cast<LedgerCode>(9999)), "unknown_code");
  assert_non_null(ledger_code_reason(static_cast<LedgerCode>(9999)));
}

// The text that others implement says the same as the code: every code, tag and vector.
void the_protocol_text_agrees(void**) {
  std::string text = read_text_file(MILLET_SOURCE_DIR "/src/ledger/PROTOCOL.md");
  assert_true(text.size() > 1000);
  size_t known = 0;
  for (uint16_t number = 0; number < 1000; ++number) {
    std::string name = ledger_code_name(static_cast<LedgerCode>(number));
    if (name == "unknown_code") continue;
    ++known;
    std::string row = "\n| " + std::to_string(number) + " | " + name + " | ";
    assert_true(text.find(row) != std::string::npos);
  }
  assert_int_equal(known, 41);
  for (const std::string& value : {vectors::channel().hex(), vectors::open().signature.hex(), vectors::pay_signature().hex(),
                                   vectors::close().signature.hex(), vectors::claim().signature.hex(), vectors::transfer().signature.hex(),
                                   vectors::faucet().signature.hex(), vectors::query().signature.hex()}) {
    assert_true(text.find(value) != std::string::npos);
  }
  auto has_row = [&](std::string_view tag, size_t size) {
    size_t at = text.find("\n| `" + std::string(tag) + "` | ");
    size_t end = at == std::string::npos ? at : text.find('\n', at + 1);
    return end != std::string::npos && text.substr(at, end - at).find(" | " + std::to_string(size) + " | ") != std::string::npos;
  };
  assert_true(has_row("BTT1OPEN", 8 + k_fields_size<ChannelTerms>));
  assert_true(has_row("BTT1PAY\\0", 8 + k_fields_size<PayStatement>));
  assert_true(has_row("BTT1CLOS", 8 + k_fields_size<CloseStatement>));
  assert_true(has_row("BTT1CLAM", 8 + k_fields_size<ClaimStatement>));
  assert_true(has_row("BTT1XFER", 8 + k_fields_size<TransferStatement>));
  assert_true(has_row("BTT1FAUC", 8 + k_fields_size<FaucetStatement>));
  assert_true(has_row("BTT1RCPT", 8 + k_fields_size<ReceiptStatement>));
  assert_true(has_row("BTT1FUND", 8 + k_fields_size<FundStatement>));
  assert_true(has_row("BTT1GENE", 8 + k_fields_size<GenesisOperation>));
  assert_true(has_row("BTT1EXPR", 8 + k_fields_size<ExpireOperation>));
  assert_true(has_row("BTT1EXTD", 8 + k_fields_size<ExtendOperation>));
  assert_true(has_row("BTT1DRAW", 8 + k_fields_size<DrawStatement>));
  assert_true(has_row("BTT1FAUT", 8 + k_fields_size<TicketFaucetStatement>));
  assert_true(has_row("BTT1PLCY", 8 + k_fields_size<PolicyStatement>));
  assert_true(has_row("BTT1GRNT", 8 + k_fields_size<GrantStatement>));
  assert_true(has_row("BTT1POOT", 8 + k_fields_size<PoolOperation>));
  assert_true(has_row("BTT1PACC", 8 + k_fields_size<PoolTerms>));
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(operation_ids_and_signatures_match_the_golden_vectors),
      cmocka_unit_test(the_ledgers_statements_match_the_golden_vectors),
      cmocka_unit_test(a_tree_head_matches_the_golden_vector),
      cmocka_unit_test(a_query_and_its_signed_reply_match_the_golden_vectors),
      cmocka_unit_test(domain_tags_are_all_different),
      cmocka_unit_test(no_signature_passes_as_another_kind),
      cmocka_unit_test(every_message_round_trips_and_no_other_length_decodes),
      cmocka_unit_test(every_encoding_is_the_only_one),
      cmocka_unit_test(counts_above_the_limits_are_refused),
      cmocka_unit_test(leading_zeros_are_counted_in_bits),
      cmocka_unit_test(faucet_work_matches_the_golden_vectors),
      cmocka_unit_test(the_solver_finds_what_the_ledger_accepts),
      cmocka_unit_test(unreasonable_work_is_refused),
      cmocka_unit_test(codes_have_names_and_reasons),
      cmocka_unit_test(the_protocol_text_agrees),
  };
  return RUN_TESTS(tests);
}
