// The ledger's service and the client against each other, without sockets: what goes through between them may be lost, changed or forged.
#include <deque>

#include "ledger/client/client.h"
#include "ledger/server/service.h"
#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using namespace ledger_world;

namespace {

class CountingRandom final : public SecureRandom {
 public:
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.next());
  }

 private:
  Random random_{5};
};

class LastLine final : public LogSink {
 public:
  LogLevel level() const override { return LogLevel::info; }
  void write(LogLevel, std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

// A world with its service. Work is done when it is asked for, in the order in which it was given.
class Server {
 public:
  explicit Server(const LedgerRules& rules = World::easy_rules())
      : world(StoreKind::memory, rules), service(world.state(), world.ledger_key().public_key(), log) {}

  // Does what the workers would, until nothing is left; `batches` of them at most.
  void settle(size_t batches = SIZE_MAX) {
    LedgerService::Output out;
    for (;;) {
      while (service.poll(out)) take(out);
      if (batches == 0 || held.empty()) return;
      --batches;
      LedgerBatch batch = std::move(held.front());
      held.pop_front();
      batch_sizes.push_back(batch.items.size());
      service.on_batch(now, world.state().apply(batch, world.now()));
    }
  }
  std::optional<LedgerReply> reply_to(std::optional<uint64_t> id) {
    if (!id) return std::nullopt;
    auto found = replies.find(*id);
    return found == replies.end() ? std::nullopt : std::optional(found->second);
  }
  LedgerReply post(std::string_view path, Bytes body, std::string_view method = "POST") {
    auto id = service.on_request(now, method, path, body);
    settle();
    auto reply = reply_to(id);
    CHECK(reply.has_value());
    return *reply;
  }
  // The reply's code and results, after the checks that a client makes.
  Reply read(const LedgerReply& reply, Bytes request, ReplyKind kind) {
    auto sealed = split_reply(reply.body);
    CHECK(sealed && verify(world.ledger_key().public_key(), reply_preimage(sealed->content), sealed->signature));
    auto decoded = decode_reply(sealed->content, kind);
    CHECK(decoded && decoded->head.request_hash == blake2b_256(request));
    return *decoded;
  }
  LedgerCode refusal(const LedgerReply& reply, Bytes request) {
    return static_cast<LedgerCode>(read(reply, request, ReplyKind::operations).head.code);
  }
  void advance(uint64_t seconds) {
    now = now + Duration::seconds(static_cast<int64_t>(seconds));
    world.now_s += seconds;
    if (service.next_deadline() <= now) service.on_timer(now);
    settle();
  }

  World world;
  LastLine log;
  LedgerService service;
  Instant now = Instant::from_us(1'000'000);
  std::map<uint64_t, LedgerReply> replies;
  std::deque<LedgerBatch> held;
  std::vector<size_t> batch_sizes;
  size_t checks = 0;
  std::deque<CheckWork> slow_checks;
  std::deque<CaptchaWork> captchas;
  bool hold_checks = false;

 private:
  void take(LedgerService::Output& out) {
    if (auto* check = std::get_if<CheckWork>(&out)) {
      ++checks;
      if (hold_checks)
        slow_checks.push_back(std::move(*check));
      else
        service.on_checked(now, run_check(std::move(*check)));
    } else if (auto* batch = std::get_if<LedgerBatch>(&out)) {
      held.push_back(std::move(*batch));
    } else if (auto* captcha = std::get_if<CaptchaWork>(&out)) {
      captchas.push_back(std::move(*captcha));
    } else if (auto* seal = std::get_if<SealWork>(&out)) {
      uint64_t id = seal->request;
      service.on_sealed(now, id, run_seal(world.ledger_key(), std::move(*seal)));
    } else if (auto* reply = std::get_if<LedgerReply>(&out)) {
      replies[reply->request] = std::move(*reply);
    }
  }
};

RequestNonce vectors_nonce() {
  RequestNonce nonce{};
  nonce[0] = 1;
  return nonce;
}

std::vector<uint8_t> request_of(const std::vector<Operation>& operations) {
  return encode_request(OperationRequest{vectors_nonce(), operations});
}

// A client of the server, with everything between them in one place.
class Caller {
 public:
  Caller(Server& server, uint32_t number)
      : server_(server), key_(numbered_key(number)), client(server.world.ledger_key().public_key(), key_.public_key(), random_) {}
  Caller(Server& server, uint32_t number, const PublicKey& pinned)
      : server_(server), key_(numbered_key(number)), client(pinned, key_.public_key(), random_) {}

  Result<Reply> turn() {
    LedgerClient::Output out;
    while (client.poll(out)) {
      if (auto* sign = std::get_if<LedgerClient::SignBytes>(&out)) {
        client.on_signed(sign->ticket, key_.sign(sign->message));
      } else if (auto* check = std::get_if<LedgerClient::VerifyBytes>(&out)) {
        client.on_verified(check->ticket, verify(check->key, check->message, check->signature));
      } else if (auto* post = std::get_if<LedgerClient::PostBody>(&out)) {
        if (lose) client.on_reply(post->ticket, error(Errc::unavailable, "lost"));
        std::vector<uint8_t> body = replay.empty() ? server_.post(post->path, post->body).body : replay;
        if (change_at < body.size()) body[change_at] ^= 0x40;
        last_body = body;
        client.on_reply(post->ticket, body);
      } else if (auto* answer = std::get_if<LedgerClient::LedgerAnswer>(&out)) {
        return std::move(answer->reply);
      }
    }
    return error(Errc::io, "no answer");
  }
  Result<Reply> params() { return client.query_params(1), turn(); }
  Result<Reply> ask(const Query& query) { return client.query(1, {query}, server_.world.in(300)), turn(); }
  Result<Reply> submit(const Operation& operation) { return client.submit(1, {operation}), turn(); }

 private:
  Server& server_;
  SigningKey key_;
  CountingRandom random_;

 public:
  LedgerClient client;
  bool lose = false;
  size_t change_at = SIZE_MAX;
  std::vector<uint8_t> replay, last_body;
};

void a_client_learns_the_ledger_and_reads_its_account(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  Caller caller(server, 1);
  assert_true(caller.params().has_value());
  assert_true(*caller.client.ledger() == server.world.id());
  auto reply = caller.ask(BalanceQuery{});
  assert_true(reply.has_value());
  const Balance& balance = std::get<Balance>(reply->queries[0].body);
  assert_int_equal(balance.available.in_micro(), 1000);
  FundStatement fund{server.world.id(), a.public_key(), balance.available, reply->head.time};
  assert_true(verify(server.world.ledger_key().public_key(), preimage(fund), balance.fund));
}

void operations_come_back_with_receipts_that_others_can_check(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  Caller caller(server, 1);
  OpenOperation open = server.world.open(a, numbered_key(2).public_key(), 600);
  auto reply = caller.submit(open);
  assert_true(reply.has_value());
  const OperationResult& result = reply->operations[0];
  assert_int_equal(result.code, LedgerCode::done);
  ReceiptStatement receipt{server.world.id(), OperationId{channel_id(open.statement).raw}, result.record, result.record_hash, result.time};
  assert_true(verify(server.world.ledger_key().public_key(), preimage(receipt), result.receipt));
  auto again = caller.submit(open);
  assert_true(again->operations[0] == result);
}

void another_key_than_the_pinned_one_is_named(void**) {
  Server server;
  Caller caller(server, 1, numbered_key(77).public_key());
  auto reply = caller.params();
  assert_false(reply.has_value());
  assert_int_equal(reply.error().code, Errc::denied);
  assert_non_null(strstr(reply.error().reason.c_str(), server.world.ledger_key().public_key().hex().c_str()));
  assert_non_null(strstr(reply.error().reason.c_str(), numbered_key(77).public_key().hex().c_str()));
}

void no_changed_byte_of_a_reply_is_believed(void**) {
  Server server;
  server.world.funded(1, 1000);
  Caller caller(server, 1);
  assert_true(caller.params().has_value());
  assert_true(caller.ask(BalanceQuery{}).has_value());
  size_t size = caller.last_body.size();
  bool good = true;
  for (size_t at = 0; at < size; ++at) {
    caller.change_at = at;
    good = good && !caller.ask(BalanceQuery{});
  }
  assert_true(good);
}

void a_reply_to_another_request_is_not_believed(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  Caller caller(server, 1);
  assert_true(caller.params().has_value());
  assert_true(caller.ask(BalanceQuery{}).has_value());
  caller.replay = caller.last_body;  // it says 1000
  server.world.apply(server.world.transfer(a, numbered_key(2).public_key(), 400));
  auto reply = caller.ask(BalanceQuery{});
  assert_false(reply.has_value());
  assert_int_equal(reply.error().code, Errc::denied);
}

// A refusal may lack the nonce, but not the hash of the request.
void an_old_refusal_is_not_believed(void**) {
  Server server;
  Caller caller(server, 1);
  std::vector<uint8_t> junk = {1, 2, 3};
  caller.replay = server.post("/v1/op", junk).body;
  auto reply = caller.params();
  assert_false(reply.has_value());
  assert_int_equal(reply.error().code, Errc::denied);
  assert_false(caller.client.ledger().has_value());
}

void a_lost_answer_is_asked_for_again_with_the_same_bytes(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  Caller caller(server, 1);
  TransferOperation transfer = server.world.transfer(a, numbered_key(2).public_key(), 100);
  caller.lose = true;  // the ledger has executed it, nobody heard
  assert_int_equal(caller.submit(transfer).error().code, Errc::unavailable);
  caller.lose = false;
  assert_int_equal(caller.submit(transfer)->operations[0].code, LedgerCode::done);
  assert_int_equal(server.world.available(a), 900);
}

void malformed_requests_are_refused_with_signed_codes(void**) {
  Server server;
  std::vector<uint8_t> junk = {9, 9, 9};
  assert_int_equal(server.refusal(server.post("/v1/op", junk), junk), LedgerCode::malformed);
  assert_int_equal(server.refusal(server.post("/v1/query", junk), junk), LedgerCode::malformed);
  assert_int_equal(server.refusal(server.post("/v2/op", junk), junk), LedgerCode::unknown_path);
  assert_int_equal(server.refusal(server.post("/v1/op", junk, "PUT"), junk), LedgerCode::unknown_path);
  assert_int_equal(server.post("/", {}, "GET").status, 404);
  std::vector<uint8_t> many(18, 0);
  many[0] = k_ledger_api_version;
  many[17] = 65;
  assert_int_equal(server.refusal(server.post("/v1/op", many), many), LedgerCode::too_large);
  auto id = server.service.on_oversized(server.now);
  server.settle();
  assert_int_equal(server.reply_to(id)->status, 413);
  assert_int_equal(server.refusal(*server.reply_to(id), {}), LedgerCode::too_large);
}

void queries_need_the_signature_of_the_asking_key_and_a_time(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  server.advance(1);
  QueryRequest request{vectors_nonce(), a.public_key(), server.world.in(300), {BalanceQuery{}}, {}};
  auto code_of = [&](const QueryRequest& r) {
    auto body = encode_request(r);
    return static_cast<LedgerCode>(server.read(server.post("/v1/query", body), body, ReplyKind::queries).head.code);
  };
  assert_int_equal(code_of(request), LedgerCode::bad_signature);
  request.signature = a.sign(query_preimage(request, server.world.id()));
  assert_int_equal(code_of(request), LedgerCode::done);
  QueryRequest other = request;
  other.queries = {ClosedQuery{0}};
  assert_int_equal(code_of(other), LedgerCode::bad_signature);
  other = request;
  other.valid_until = LedgerTime::from_seconds(World::k_start - 1);
  other.signature = a.sign(query_preimage(other, server.world.id()));
  assert_int_equal(code_of(other), LedgerCode::too_late);
  other.valid_until = server.world.in(661);
  other.signature = a.sign(query_preimage(other, server.world.id()));
  assert_int_equal(code_of(other), LedgerCode::too_early);
}

// One bad operation harms no other, in its request or in its batch.
void one_refused_operation_leaves_the_others(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  TransferOperation bad = server.world.transfer(a, numbered_key(2).public_key(), 1);
  bad.signature.raw[0] ^= 1;
  auto body = request_of({server.world.transfer(a, numbered_key(2).public_key(), 10), bad,
                          server.world.transfer(a, numbered_key(2).public_key(), 5000),
                          server.world.transfer(a, numbered_key(2).public_key(), 20)});
  Reply reply = server.read(server.post("/v1/op", body), body, ReplyKind::operations);
  const LedgerCode expected[] = {LedgerCode::done, LedgerCode::bad_signature, LedgerCode::insufficient, LedgerCode::done};
  for (size_t i = 0; i < 4; ++i) assert_int_equal(reply.operations[i].ledger_code(), expected[i]);
  assert_int_equal(server.world.available(a), 970);
}

// What somebody else sends again, or a signature that is not the key's, leaves the key its limit; what its owner has executed counts.
void a_key_pays_only_for_what_was_executed(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  server.advance(1);
  server.service.set_limits(0, 2);  // four at once
  auto status = [&](const TransferOperation& transfer, size_t copies) {
    auto body = request_of(std::vector<Operation>(copies, transfer));
    return server.post("/v1/op", body).status;
  };
  TransferOperation paid = server.world.transfer(a, numbered_key(2).public_key(), 1);
  assert_int_equal(status(paid, 1), 200);
  TransferOperation bad = server.world.transfer(a, numbered_key(2).public_key(), 1);
  bad.signature.raw[0] ^= 1;
  TransferOperation late = server.world.transfer(a, numbered_key(2).public_key(), 1);
  late.statement.valid_until = LedgerTime::from_seconds(World::k_start - 1);
  late.signature = a.sign(preimage(late.statement));
  for (int i = 0; i < 5; ++i) {
    assert_int_equal(status(paid, 64), 200);
    assert_int_equal(status(bad, 64), 200);
    assert_int_equal(status(late, 64), 200);
  }
  for (int i = 0; i < 3; ++i) assert_int_equal(status(server.world.transfer(a, numbered_key(2).public_key(), 1), 1), 200);
  assert_int_equal(status(server.world.transfer(a, numbered_key(2).public_key(), 1), 1), 429);
  assert_int_equal(server.world.available(a), 996);
}

void a_request_costs_what_it_takes_to_check_it(void**) {
  World world;
  SigningKey a = world.funded(1, 1000);
  TransferOperation transfer = world.transfer(a, numbered_key(2).public_key(), 1);
  transfer.signature.raw[0] ^= 1;
  assert_int_equal(check_cost("/v1/op", request_of(std::vector<Operation>(64, transfer))), 64);
  assert_int_equal(check_cost("/v1/op", request_of({transfer})), 1);
  assert_int_equal(check_cost("/v1/query", request_of(std::vector<Operation>(64, transfer))), 1);
  assert_int_equal(check_cost("/v1/op", {}), 1);
  std::vector<uint8_t> many(18, 0xff);  // malformed: nothing is checked, and nothing overflows
  assert_int_equal(check_cost("/v1/op", many), k_operations_max);
}

void what_waits_for_a_commit_goes_into_the_next_together(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1'000'000);
  std::vector<std::optional<uint64_t>> ids;
  std::vector<std::vector<uint8_t>> bodies;
  auto send = [&] {
    bodies.push_back(request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)}));
    ids.push_back(server.service.on_request(server.now, "POST", "/v1/op", bodies.back()));
    server.settle(0);
  };
  for (int i = 0; i < 50; ++i) send();
  assert_int_equal(server.held.size(), 1);  // the first one alone; the others wait for its commit
  for (auto& id : ids) assert_false(server.reply_to(id).has_value());
  server.settle();
  assert_int_equal(server.batch_sizes[0], 1);
  assert_int_equal(server.batch_sizes[1], 49);
  for (auto& id : ids) assert_int_equal(server.reply_to(id)->status, 200);
}

void batches_have_a_limit(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1'000'000);
  for (int i = 0; i < 20; ++i) {
    std::vector<Operation> full;
    for (size_t n = 0; n < k_operations_max; ++n) full.push_back(server.world.transfer(a, numbered_key(2).public_key(), 1));
    server.service.on_request(server.now, "POST", "/v1/op", request_of(full));
    server.settle(0);
  }
  server.settle();
  assert_int_equal(server.batch_sizes[1], LedgerService::k_operations_per_batch_max / k_operations_max);
  assert_int_equal(server.world.available(a), 1'000'000 - 20 * 64);
}

void more_requests_than_there_is_room_for_are_refused_and_then_dropped(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  auto body = request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)});
  server.hold_checks = true;
  std::vector<std::optional<uint64_t>> ids;
  for (size_t i = 0; i < LedgerService::k_requests_max; ++i) ids.push_back(server.service.on_request(server.now, "POST", "/v1/op", body));
  server.settle(0);
  auto refused = server.service.on_request(server.now, "POST", "/v1/op", body);
  std::vector<std::optional<uint64_t>> more;
  for (size_t i = 0; i < LedgerService::k_refusals_max + 5; ++i)
    more.push_back(server.service.on_request(server.now, "POST", "/v1/op", body));
  assert_false(more.back().has_value());
  server.settle(0);
  assert_int_equal(server.refusal(*server.reply_to(refused), body), LedgerCode::busy);
  assert_int_equal(server.reply_to(refused)->status, 503);
  server.hold_checks = false;
  for (CheckWork& check : server.slow_checks) server.service.on_checked(server.now, run_check(std::move(check)));
  server.settle();
  for (auto& id : ids) assert_int_equal(server.reply_to(id)->status, 200);
  assert_int_equal(server.world.available(a), 999);  // all the same operation
}

// Attack 27: a solution that is sent again and again costs one Argon2id evaluation.
void who_asks_too_much_is_told_so_about_its_request(void**) {
  Server server;
  std::vector<uint8_t> body = {1, 2, 3};
  auto id = server.service.on_limited(server.now, body);
  server.settle();
  auto reply = server.reply_to(id);
  assert_int_equal(reply->status, 429);
  assert_true(server.refusal(*reply, body) == LedgerCode::busy);  // read() checks that it names the request
}

void a_faucet_solution_is_evaluated_once(void**) {
  Server server;
  SigningKey a = numbered_key(9);
  server.advance(1);
  FaucetOperation op = server.world.faucet(a);
  auto body = request_of({op});
  assert_int_equal(server.read(server.post("/v1/op", body), body, ReplyKind::operations).operations[0].code, LedgerCode::done);
  LedgerService::Output out;
  auto id = server.service.on_request(server.now, "POST", "/v1/op", body);
  assert_true(server.service.poll(out));
  CheckWork* check = std::get_if<CheckWork>(&out);
  assert_non_null(check);
  assert_true(check->faucet_known == LedgerCode::done);
  server.service.on_checked(server.now, run_check(std::move(*check)));
  server.settle();
  assert_int_equal(server.read(*server.reply_to(id), body, ReplyKind::operations).operations[0].code, LedgerCode::done);
  auto two = request_of({op, server.world.faucet(numbered_key(10))});
  assert_int_equal(server.refusal(server.post("/v1/op", two), two), LedgerCode::too_large);
}

void few_faucet_solutions_are_evaluated_at_once(void**) {
  Server server;
  server.advance(1);
  server.hold_checks = true;
  std::vector<std::optional<uint64_t>> ids;
  for (uint32_t i = 0; i < LedgerService::k_faucet_checks_max + 1; ++i) {
    ids.push_back(server.service.on_request(server.now, "POST", "/v1/op", request_of({server.world.faucet(numbered_key(20 + i))})));
  }
  server.settle(0);
  assert_int_equal(server.slow_checks.size(), LedgerService::k_faucet_checks_max);
  assert_int_equal(server.reply_to(ids.back())->status, 503);
  server.hold_checks = false;
  for (CheckWork& check : server.slow_checks) server.service.on_checked(server.now, run_check(std::move(check)));
  server.settle();
  assert_int_equal(server.reply_to(ids[0])->status, 200);
  auto later = server.post("/v1/op", request_of({server.world.faucet(numbered_key(40))}));
  assert_int_equal(later.status, 200);
}

void an_idle_ledger_expires_channels_and_keeps_its_time_durable(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  OpenOperation open = server.world.open(a, numbered_key(2).public_key(), 600, 600);
  server.post("/v1/op", request_of({open}));
  for (int i = 0; i < 62; ++i) server.advance(10);
  assert_int_equal(server.world.channel(a, channel_id(open.statement)).status, ChannelStatusCode::expired);
  assert_true(server.world.channel(a, channel_id(open.statement)).effective_expiry == open.statement.expiry);  // no outage
  assert_true(server.world.restart().has_value());
  assert_true(server.world.now().seconds_since(server.world.state().opened_at()) <= LedgerState::k_heartbeat_s);
}

void a_store_that_fails_is_told_to_clients_and_logged_once(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  server.advance(1);
  auto body = request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)});
  server.world.memory.set_fault(StoreFault::full);
  for (int i = 0; i < 3; ++i) {
    Reply reply = server.read(server.post("/v1/op", body), body, ReplyKind::operations);
    assert_int_equal(reply.operations[0].code, LedgerCode::unavailable);
    server.advance(2);
  }
  assert_int_equal(server.log.lines.size(), 1);
  server.world.memory.set_fault(StoreFault::none);
  server.advance(2);
  assert_int_equal(server.log.lines.size(), 2);
  assert_int_equal(server.read(server.post("/v1/op", body), body, ReplyKind::operations).operations[0].code, LedgerCode::done);
}

// A database that takes a batch and never answers fails nothing, and yet nobody is served.
void a_store_that_hangs_is_not_ready(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  server.advance(1);
  assert_true(server.service.is_ready(server.now));
  auto body = request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)});
  auto id = server.service.on_request(server.now, "POST", "/v1/op", body);
  server.settle(0);
  server.now = server.now + LedgerService::k_batch_slow;
  assert_true(server.service.is_ready(server.now));
  server.now = server.now + Duration::ms(1);
  assert_false(server.service.is_ready(server.now));
  server.settle();
  assert_true(server.reply_to(id).has_value() && server.service.is_ready(server.now));
}

void a_shutdown_finishes_what_is_under_way_and_makes_the_time_durable(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1000);
  server.advance(1);
  auto body = request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)});
  server.hold_checks = true;
  auto id = server.service.on_request(server.now, "POST", "/v1/op", body);
  server.settle(0);
  server.world.now_s += 20;
  server.service.shut_down(server.now);
  auto late = server.service.on_request(server.now, "POST", "/v1/op", body);
  server.settle();
  assert_int_equal(server.reply_to(late)->status, 503);
  assert_false(server.service.is_ended());
  for (CheckWork& check : server.slow_checks) server.service.on_checked(server.now, run_check(std::move(check)));
  server.settle();
  assert_int_equal(server.reply_to(id)->status, 200);
  assert_true(server.service.is_ended());
  assert_true(server.world.restart().has_value());
  assert_true(server.world.state().opened_at() == server.world.now());
}

// While a worker still checks requests, the batch waits for them: a few milliseconds, or until it is worth a sync.
void a_batch_waits_a_little_for_what_is_being_checked(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1'000'000);
  server.advance(1);
  size_t before = server.batch_sizes.size();
  auto send = [&] {
    auto body = request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)});
    return server.service.on_request(server.now, "POST", "/v1/op", body);
  };
  auto finish_check = [&] {
    server.service.on_checked(server.now, run_check(std::move(server.slow_checks.front())));
    server.slow_checks.pop_front();
    server.settle();
  };
  server.hold_checks = true;
  std::vector<std::optional<uint64_t>> ids = {send(), send(), send()};
  server.settle();
  finish_check();
  finish_check();
  assert_int_equal(server.batch_sizes.size(), before);
  finish_check();
  assert_int_equal(server.batch_sizes.size(), before + 1);  // the last one was checked: no time has passed
  assert_int_equal(server.batch_sizes.back(), 3);
  for (auto& id : ids) assert_int_equal(server.reply_to(id)->status, 200);
  ids = {send(), send()};
  server.settle();
  finish_check();
  assert_true(server.service.next_deadline() == server.now + LedgerService::k_gather_max);
  server.now = server.service.next_deadline();
  server.service.on_timer(server.now);
  server.settle();
  assert_int_equal(server.reply_to(ids[0])->status, 200);
  assert_false(server.reply_to(ids[1]).has_value());
}

// Pages of others hold nobody's operation up for more than one turn.
void long_reads_are_answered_a_few_in_each_turn(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1'000'000);
  server.advance(1);
  size_t before = server.batch_sizes.size();
  QueryRequest pages{vectors_nonce(), a.public_key(), server.world.in(300), {ClosedQuery{0}, RecordsQuery{}}, {}};
  pages.signature = a.sign(query_preimage(pages, server.world.id()));
  std::vector<std::optional<uint64_t>> reads;
  for (int i = 0; i < 40; ++i) reads.push_back(server.service.on_request(server.now, "POST", "/v1/query", encode_request(pages)));
  auto operation =
      server.service.on_request(server.now, "POST", "/v1/op", request_of({server.world.transfer(a, numbered_key(2).public_key(), 1)}));
  server.settle(2);  // the first read was alone there
  assert_int_equal(server.reply_to(operation)->status, 200);
  assert_false(server.reply_to(reads.back()).has_value());
  server.settle();
  for (auto& id : reads) assert_int_equal(server.reply_to(id)->status, 200);
  const size_t of_one = LedgerService::k_rows_per_batch_max / 97;  // a turn; a request of these reads that many rows
  assert_int_equal(server.batch_sizes.size() - before, 1 + (39 + of_one - 1) / of_one);
}

// Whether a key is one takes as long to say as whether a signature is.
void whom_an_operation_pays_is_checked_once(void**) {
  Server server;
  SigningKey a = server.world.funded(1, 1'000'000);
  PublicKey no_key;
  no_key.raw[0] = 2;  // not on the curve
  server.hold_checks = true;
  auto known = [&](const PublicKey& to) {
    TransferOperation good = server.world.transfer(a, numbered_key(2).public_key(), 1);
    auto body = request_of({good, server.world.transfer(a, to, 1), server.world.open(a, to, 600)});
    auto id = server.service.on_request(server.now, "POST", "/v1/op", body);
    server.settle(0);
    uint64_t bits = server.slow_checks.front().accounts_known;
    server.service.on_checked(server.now, run_check(std::move(server.slow_checks.front())));
    server.slow_checks.pop_front();
    server.settle();
    Reply reply = server.read(*server.reply_to(id), body, ReplyKind::operations);
    LedgerCode expected = to == no_key ? LedgerCode::bad_account : LedgerCode::done;
    assert_int_equal(reply.operations[0].ledger_code(), LedgerCode::done);
    assert_int_equal(reply.operations[1].ledger_code(), expected);
    assert_int_equal(reply.operations[2].ledger_code(), expected);
    return bits;
  };
  assert_int_equal(known(no_key), 0);
  assert_int_equal(known(no_key), 1);  // of numbered_key(2) alone
  assert_int_equal(known(numbered_key(3).public_key()), 1);
  assert_int_equal(known(numbered_key(3).public_key()), 7);
  KnownKeys keys;
  for (uint64_t i = 0; i < 5 * KnownKeys::k_generation_max; ++i) {
    PublicKey key;
    store_be<uint64_t>(key.raw.data(), i);
    keys.add(key);
    assert_true(keys.contains(key));
    assert_true(keys.size() <= 2 * KnownKeys::k_generation_max);
  }
}

// Whoever judges CAPTCHAs may be slow: a few wait for it, everything else goes on, and the end waits for the answers.
void captchas_are_judged_beside_everything_else(void**) {
  LedgerRules rules = World::easy_rules();
  rules.captcha = CaptchaUse::instead_of_work;
  Server server(rules);
  auto ask = [&](uint32_t number) {
    SigningKey key = numbered_key(number);
    QueryRequest request;
    request.key = key.public_key();
    request.valid_until = server.world.in(300);
    request.queries = {CaptchaQuery{{'y', 'e', 's'}}};
    request.signature = key.sign(query_preimage(request, server.world.id()));
    return encode_request(request);
  };
  auto code_of = [&](uint64_t id, Bytes request) { return server.read(*server.reply_to(id), request, ReplyKind::queries).queries[0].code; };
  std::vector<uint64_t> ids;
  for (uint32_t i = 0; i < LedgerService::k_captchas_max + 1; ++i) {
    ids.push_back(*server.service.on_request(server.now, "POST", "/v1/query", ask(i + 1), *IpAddress::parse("192.0.2.1")));
    server.settle();
  }
  assert_int_equal(server.captchas.size(), LedgerService::k_captchas_max);
  assert_true(as_text(server.captchas[0].response) == "yes" && server.captchas[0].from.has_value());
  assert_true(code_of(ids.back(), ask(LedgerService::k_captchas_max + 1)) == LedgerCode::captcha_unavailable);
  assert_false(server.reply_to(ids[0]).has_value());
  assert_int_equal(server.post("/v1/op", request_of({server.world.transfer(numbered_key(1), numbered_key(2).public_key(), 1)})).status,
                   200);
  server.service.shut_down(server.now);
  server.settle();
  assert_false(server.service.is_ended());
  for (size_t i = 0; i < server.captchas.size(); ++i) {
    LedgerCode judged = i == 0 ? LedgerCode::done : i == 1 ? LedgerCode::captcha_failed : LedgerCode::captcha_unavailable;
    server.service.on_captcha(server.now, server.captchas[i].request, judged);
    server.settle();
    assert_true(code_of(ids[i], ask(static_cast<uint32_t>(i) + 1)) == judged);
  }
  assert_true(server.service.is_ended());
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_client_learns_the_ledger_and_reads_its_account),
      cmocka_unit_test(operations_come_back_with_receipts_that_others_can_check),
      cmocka_unit_test(another_key_than_the_pinned_one_is_named),
      cmocka_unit_test(no_changed_byte_of_a_reply_is_believed),
      cmocka_unit_test(a_reply_to_another_request_is_not_believed),
      cmocka_unit_test(an_old_refusal_is_not_believed),
      cmocka_unit_test(a_lost_answer_is_asked_for_again_with_the_same_bytes),
      cmocka_unit_test(malformed_requests_are_refused_with_signed_codes),
      cmocka_unit_test(queries_need_the_signature_of_the_asking_key_and_a_time),
      cmocka_unit_test(one_refused_operation_leaves_the_others),
      cmocka_unit_test(a_key_pays_only_for_what_was_executed),
      cmocka_unit_test(a_request_costs_what_it_takes_to_check_it),
      cmocka_unit_test(what_waits_for_a_commit_goes_into_the_next_together),
      cmocka_unit_test(batches_have_a_limit),
      cmocka_unit_test(a_batch_waits_a_little_for_what_is_being_checked),
      cmocka_unit_test(long_reads_are_answered_a_few_in_each_turn),
      cmocka_unit_test(whom_an_operation_pays_is_checked_once),
      cmocka_unit_test(more_requests_than_there_is_room_for_are_refused_and_then_dropped),
      cmocka_unit_test(who_asks_too_much_is_told_so_about_its_request),
      cmocka_unit_test(a_faucet_solution_is_evaluated_once),
      cmocka_unit_test(few_faucet_solutions_are_evaluated_at_once),
      cmocka_unit_test(an_idle_ledger_expires_channels_and_keeps_its_time_durable),
      cmocka_unit_test(a_store_that_fails_is_told_to_clients_and_logged_once),
      cmocka_unit_test(a_store_that_hangs_is_not_ready),
      cmocka_unit_test(a_shutdown_finishes_what_is_under_way_and_makes_the_time_durable),
      cmocka_unit_test(captchas_are_judged_beside_everything_else),
  };
  return RUN_TESTS(tests);
}
