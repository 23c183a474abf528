#include "apps/pool_command.h"

#include <cstdio>

#include "apps/client.h"
#include "apps/ledger_place.h"
#include "apps/policy_file.h"
#include "apps/terminal.h"
#include "driver/key_file.h"
#include "hal/linux/files.h"
#include "hal/linux/random.h"
#include "ledger/common/address.h"

namespace millet {
namespace {


struct PoolWords {
  const CommandContext& context;
  std::vector<std::string> words;  // the command and its plain arguments
  std::vector<std::string> key_files;
  LedgerPlace ledger;
  hal::LinuxRandom random;
};

// Nobody in particular may ask about pools.
Result<LedgerSession> open_session(PoolWords& pool) {
  return open_ledger(pool.context, pool.ledger, SigningKey::generate(pool.random), pool.random);
}

Amount left_of(const PoolState& pool) { return pool.vested.minus_or_zero(pool.issued.minus_or_zero(pool.available)); }

Json pool_json(size_t index, const PoolState& pool) {
  Json row = Json::object();
  row.set("pool", k_pool_names[index]).set("account", address_of(pool.account)).set("issued", pool.issued);
  row.set("available", pool.available).set("vested", pool.vested).set("can_be_drawn", left_of(pool));
  row.set("threshold", uint64_t{pool.keys.threshold}).set("has_terms", pool.has_terms != 0);
  return row;
}

Status list(PoolWords& words) {
  TRY_ASSIGN(LedgerSession session, open_session(words));
  Json rows = Json::array();
  Table table({"POOL", ">ISSUED", ">LEFT", ">CAN BE DRAWN", ">KEYS"});
  for (uint8_t i = 0; i < k_policy_pools; ++i) {
    TRY_ASSIGN(PoolState pool, session.ask<PoolState>(PoolQuery{i}));
    rows.append(pool_json(i, pool));
    size_t keys = 0;
    for (const PublicKey& key : pool.keys.keys) keys += key.is_zero() ? 0 : 1;
    std::string signers = pool.has_terms == 0 ? "ledger"
                          : keys == 0         ? "none"
                                              : std::to_string(pool.keys.threshold) + " of " + std::to_string(keys);
    table.add({k_pool_names[i], pool.issued.to_btt(), pool.available.to_btt(), left_of(pool).to_btt(), signers});
  }
  if (words.context.json) {
    Json out = Json::object();
    out.set("pools", std::move(rows)).set("ledger_time", session.time().in_seconds());
    print_json(out);
  } else {
    std::printf("%s", table.text().c_str());
  }
  return ok;
}

// Signs with the keys at hand that are the pool's. Errors: denied (one is not, or they are too few); of the key files.
template <typename Statement>
Result<PoolSignatures> sign_for(const PoolWords& words, const PoolState& pool, const Statement& statement) {
  if (pool.has_terms == 0) return error(Errc::denied, "the pools of this ledger have no terms: it is one for tests");
  PoolSignatures signatures{};
  size_t count = 0;
  for (const std::string& file : words.key_files) {
    TRY_ASSIGN(SigningKey key, load_key(file));
    size_t place = 0;
    while (place < k_pool_keys_max && pool.keys.keys[place] != key.public_key()) ++place;
    if (place == k_pool_keys_max)
      return error(Errc::denied, file + " is not one of the pool's keys (" + address_of(key.public_key()) + ")");
    count += signatures[place].is_zero() ? 1 : 0;
    signatures[place] = key.sign(preimage(statement));
  }
  if (count >= pool.keys.threshold && count > 0) return signatures;
  return error(Errc::denied, "the pool needs the signatures of " + std::to_string(pool.keys.threshold) + " of its keys, here are " +
                                 std::to_string(count) + "; name each with --key FILE");
}

Status show_result(const PoolWords& words, const char* what, const OperationResult& result) {
  if (words.context.json) {
    Json out = Json::object();
    out.set("operation", result.operation.hex()).set("record", result.record).set("amount", result.paid);
    out.set("ledger_time", result.time.in_seconds());
    print_json(out);
  } else {
    std::printf("%s %s BTT (operation %s, record %llu)\n", what, result.paid.to_btt().c_str(), result.operation.hex().c_str(),
                static_cast<unsigned long long>(result.record));
  }
  return ok;
}

Status draw(PoolWords& words) {
  TRY_ASSIGN(uint8_t index, pool_index(words.words[1]));
  TRY_ASSIGN(PublicKey to, parse_address(words.words[2]));
  TRY_ASSIGN(Amount amount, Amount::parse_btt(words.words[3]));
  TRY_ASSIGN(LedgerSession session, open_session(words));
  TRY_ASSIGN(PoolState pool, session.ask<PoolState>(PoolQuery{index}));
  DrawOperation operation;
  operation.statement.ledger = session.ledger();
  operation.statement.pool = pool.account;
  operation.statement.to = to;
  operation.statement.amount = amount;
  words.random.fill(operation.statement.nonce);
  operation.statement.valid_until = session.time().plus_seconds(k_operation_valid_s);
  operation.keys = pool.keys;
  TRY_ASSIGN(operation.signatures, sign_for(words, pool, operation.statement));
  TRY_ASSIGN(OperationResult result, session.submit(operation));
  return show_result(words, "drawn", result);
}

// Publishes the document, signed by the pool's keys.
Status publish_policy(PoolWords& words) {
  TRY_ASSIGN(LedgerSession session, open_session(words));
  hal::LinuxFiles files;
  const std::string& path = words.words[1];
  TRY_ASSIGN(std::vector<uint8_t> text, files.read_file(path, k_policy_file_size_max));
  Result<PolicyDocument> document = parse_policy_file(as_text(text), session.time());
  if (!document) return std::move(document).error().in(path);
  TRY_ASSIGN(PoolState pool, session.ask<PoolState>(PoolQuery{document->pool}));
  PolicyOperation operation;
  operation.statement = document->statement;
  operation.statement.ledger = session.ledger();
  operation.statement.pool = pool.account;
  operation.statement.valid_until = session.time().plus_seconds(k_operation_valid_s);
  operation.keys = pool.keys;
  TRY_ASSIGN(operation.signatures, sign_for(words, pool, operation.statement));
  TRY_ASSIGN(OperationResult result, session.submit(operation));
  if (words.context.json) {
    Json out = Json::object();
    out.set("policy", result.operation.hex()).set("record", result.record).set("ledger_time", result.time.in_seconds());
    print_json(out);
  } else {
    std::printf("%s\n", result.operation.hex().c_str());
  }
  return ok;
}

// The next grant of a policy, signed by its granter.
Status grant(PoolWords& words) {
  TRY_ASSIGN(OperationId policy, OperationId::from_hex(words.words[1]));
  TRY_ASSIGN(PublicKey to, parse_address(words.words[2]));
  TRY_ASSIGN(Amount amount, Amount::parse_btt(words.words[3]));
  if (words.key_files.size() != 1) return error(Errc::bad_input, "a grant has one signature: name the granter's key with --key FILE");
  TRY_ASSIGN(SigningKey key, load_key(words.key_files[0]));
  TRY_ASSIGN(LedgerSession session, open_session(words));
  TRY_ASSIGN(PolicyState state, session.ask<PolicyState>(PolicyQuery{policy}));
  if (state.terms.granter != key.public_key()) {
    return error(Errc::denied, words.key_files[0] + " is not the policy's granter, who is " + address_of(state.terms.granter));
  }
  GrantOperation operation;
  operation.statement = {session.ledger(), policy, state.grants + 1, to, amount, {}, session.time().plus_seconds(k_operation_valid_s)};
  operation.granter = key.public_key();
  operation.signature = key.sign(preimage(operation.statement));
  TRY_ASSIGN(OperationResult result, session.submit(operation));
  return show_result(words, "granted", result);
}

Status show_policy(PoolWords& words) {
  TRY_ASSIGN(OperationId policy, OperationId::from_hex(words.words[1]));
  TRY_ASSIGN(LedgerSession session, open_session(words));
  TRY_ASSIGN(PolicyState state, session.ask<PolicyState>(PolicyQuery{policy}));
  const PolicyStatement& terms = state.terms;
  bool ended = state.ended != 0 || session.time() >= terms.until;
  if (words.context.json) {
    Json out = Json::object();
    out.set("granter", address_of(terms.granter)).set("begin", terms.begin.in_seconds()).set("until", terms.until.in_seconds());
    out.set("period_s", terms.period_s).set("per_grant", terms.per_grant).set("per_period", terms.per_period);
    out.set("left", state.left).set("grants", state.grants).set("ended", ended);
    print_json(out);
    return ok;
  }
  std::printf("granter      %s\nfrom         %s\nuntil        %s%s\n", address_of(terms.granter).c_str(),
              local_time(terms.begin.in_seconds()).c_str(), local_time(terms.until.in_seconds()).c_str(), ended ? " (ended)" : "");
  std::printf("at most      %s BTT in a grant, %s BTT in %u s\nleft         %s BTT in this period\ngrants       %llu\n",
              terms.per_grant.to_btt().c_str(), terms.per_period.to_btt().c_str(), terms.period_s, state.left.to_btt().c_str(),
              static_cast<unsigned long long>(state.grants));
  for (const PublicKey& recipient : terms.recipients) {
    if (!recipient.is_zero()) std::printf("recipient    %s\n", address_of(recipient).c_str());
  }
  return ok;
}

struct PoolAction {
  const char* name;
  size_t arguments;
  Status (*run)(PoolWords&);
};
constexpr PoolAction k_pool_actions[] = {
    {"list", 0, list}, {"draw", 3, draw}, {"policy", 1, publish_policy}, {"grant", 3, grant}, {"show-policy", 1, show_policy}};

Status read_arguments(CommandArguments arguments, PoolWords& words) {
  ArgumentReader reader(arguments);
  while (reader.next()) {
    if (reader.is("--ledger")) {
      TRY(reader.value_into(words.ledger.url));
    } else if (reader.is("--ledger-key")) {
      TRY(reader.value_into(words.ledger.key));
    } else if (reader.is("--key")) {
      TRY(reader.value_into(words.key_files.emplace_back()));
    } else if (reader.is_option()) {
      return reader.unknown();
    } else {
      words.words.emplace_back(reader.name());
    }
  }
  return ok;
}

}  // namespace

int pool_command(const CommandContext& context, CommandArguments arguments) {
  PoolWords words{context, {}, {}, {}, {}};
  Status read = read_arguments(arguments, words);
  if (!read) return report_error(context, read.error(), true);
  Status started = crypto_init();
  if (!started) return report_error(context, started.error());
  for (const PoolAction& action : k_pool_actions) {
    if (words.words.empty() || words.words[0] != action.name) continue;
    if (words.words.size() != action.arguments + 1) break;
    Status done = action.run(words);
    return done ? k_exit_done : report_error(context, done.error());
  }
  return report_error(context,
                      error(Errc::bad_input,
                            "pool takes list, draw POOL ADDRESS BTT --key FILE..., policy FILE --key FILE..., show-policy POLICY, or "
                            "grant POLICY ADDRESS BTT --key FILE"),
                      true);
}

}  // namespace millet
