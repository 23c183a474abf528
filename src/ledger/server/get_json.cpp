// How the answers to GET look. Their schemas are in openapi.json, which a test holds against this.
#include "codec/json_writer.h"
#include "crypto/sign.h"
#include "ledger/common/address.h"
#include "ledger/common/head_text.h"
#include "ledger/server/get.h"

namespace millet {
namespace {

int get_status(LedgerCode code) {
  switch (code) {
    case LedgerCode::done: return 200;
    case LedgerCode::bad_signature:
    case LedgerCode::too_late:
    case LedgerCode::too_early: return 401;
    case LedgerCode::not_a_party: return 403;
    case LedgerCode::unknown_path:
    case LedgerCode::unknown_channel:
    case LedgerCode::unknown_policy:
    case LedgerCode::beyond_log: return 404;
    case LedgerCode::too_large: return 413;
    case LedgerCode::busy:
    case LedgerCode::unavailable: return 503;
    default: return 400;
  }
}

// What a person did wrong here; elsewhere the code's own reason says it.
const char* reason_of(LedgerCode code) {
  switch (code) {
    case LedgerCode::malformed: return "a name, an id or a parameter of the path can't be read, or does not belong there";
    case LedgerCode::bad_signature:
      return "reading this needs `Authorization: Bearer TOKEN` of the account; `millet wallet token` prints one";
    case LedgerCode::not_a_party: return "the token is of another account";
    default: return ledger_code_reason(code);
  }
}

const char* status_name(uint8_t status) {
  switch (static_cast<ChannelStatusCode>(status)) {
    case ChannelStatusCode::open: return "open";
    case ChannelStatusCode::closed: return "closed";
    case ChannelStatusCode::expired: return "expired";
  }
  return "unknown";
}

void write(JsonWriter& json, const LedgerParams& params) {
  json.key("channel").open('{').amount("capacity_min", params.capacity_min);
  json.key("life_min_s").number(params.channel_life_min_s).key("life_max_s").number(params.channel_life_max_s);
  json.key("open_max").number(params.channels_max).close('}');
  json.key("faucet").open('{').amount("grant", params.grant).key("hashcash_bits").number(params.work.hashcash_bits);
  json.key("memory_bits").number(params.work.memory_bits).key("memory_kib").number(params.work.memory_kib).close('}');
  json.key("valid_ahead_max_s").number(k_valid_ahead_max_s);
}

void write(JsonWriter& json, const Balance& balance) {
  json.amount("available", balance.available).amount("in_channels", balance.in_channels);
  json.key("open_channels").number(balance.open_channels).key("granted").boolean(balance.granted != 0);
  json.amount("spend_only", balance.spend_only).key("spend_only_until").number(balance.spend_only_until.in_seconds());
}

void write(JsonWriter& json, const ChannelState& channel) {
  json.key("channel").hex(blake2b_256(preimage(channel.terms)));
  json.key("payer").text(address_of(channel.terms.payer)).key("payee").text(address_of(channel.terms.payee));
  json.amount("capacity", channel.terms.capacity).amount("claimed", channel.claimed);
  json.key("status").text(status_name(channel.status)).key("expiry").number(channel.terms.expiry.in_seconds());
  json.key("effective_expiry").number(channel.effective_expiry.in_seconds());
  json.key("ended");
  if (channel.ended.in_seconds() == 0)
    json.null();
  else
    json.number(channel.ended.in_seconds());
  json.key("record").number(channel.record);
}

void write(JsonWriter& json, const ClosedPage& page) {
  json.key("channels").open('[');
  for (const ChannelState& channel : page.channels) {
    json.open('{');
    write(json, channel);
    json.close('}');
  }
  json.close(']').key("next_after");
  if (page.more)
    json.number(page.channels.back().record);
  else
    json.null();
}

void write(JsonWriter& json, const LedgerSupply& supply) {
  json.amount("supply", Amount::supply()).amount("in_accounts", supply.in_accounts).amount("in_channels", supply.in_channels);
}

void write_terms(JsonWriter& json, const PoolState& pool) {
  if (pool.has_terms == 0) {
    json.null();
    return;
  }
  json.open('{').key("threshold").number(pool.keys.threshold).key("keys").open('[');
  for (const PublicKey& key : pool.keys.keys) {
    if (!key.is_zero()) json.text(address_of(key));
  }
  json.close(']').amount("at_start", pool.vesting.at_start).key("begin").number(pool.vesting.begin.in_seconds());
  json.key("period_s").number(pool.vesting.period_s).key("periods").number(pool.vesting.periods).close('}');
}

void write(JsonWriter& json, const std::vector<PoolState>& pools) {
  json.key("pools").open('[');
  for (size_t i = 0; i < pools.size(); ++i) {
    const PoolState& pool = pools[i];
    json.open('{').key("name").text(k_genesis_pools[i].name).key("account").text(address_of(pool.account));
    json.amount("issued", pool.issued).amount("available", pool.available).amount("vested", pool.vested).key("terms");
    write_terms(json, pool);
    json.close('}');
  }
  json.close(']');
}

void write(JsonWriter& json, const PolicyState& policy) {
  const PolicyStatement& terms = policy.terms;
  json.key("policy").hex(statement_id(terms).bytes()).key("pool").text(address_of(terms.pool)).key("replaces");
  if (terms.replaces.is_zero())
    json.null();
  else
    json.hex(terms.replaces.bytes());
  json.key("begin").number(terms.begin.in_seconds()).key("until").number(terms.until.in_seconds());
  json.key("period_s").number(terms.period_s).amount("per_grant", terms.per_grant).amount("per_period", terms.per_period);
  json.amount("left", policy.left).key("granter").text(address_of(terms.granter)).key("recipients").open('[');
  for (const PublicKey& recipient : terms.recipients) {
    if (!recipient.is_zero()) json.text(address_of(recipient));
  }
  json.close(']').key("grants").number(policy.grants).key("ended").boolean(policy.ended != 0).key("record").number(policy.record);
}

const char* kind_of(const LogRecord& record) {
  auto operation = decode_logged_operation(record.operation);
  if (!operation) return "unknown";
  return std::visit([](const auto& op) { return op.k_name; }, *operation);
}

void write(JsonWriter& json, const LoggedRecord& logged) {
  const RecordHead& head = logged.record.head;
  json.open('{').key("record").number(head.index).key("time").number(head.time.in_seconds()).key("kind").text(kind_of(logged.record));
  json.key("operation").hex(head.operation.bytes()).amount("paid", head.paid).amount("refunded", head.refunded);
  json.key("accounts").open('[');
  for (const TouchedAccount& touched : logged.record.touched) {
    json.open('{').key("account").text(address_of(touched.account)).amount("available", touched.balance).key("previous_record");
    if (touched.previous == k_no_record)
      json.null();
    else
      json.number(touched.previous);
    json.close('}');
  }
  json.close(']').key("leaf").hex(merkle_leaf(logged.bytes)).key("bytes").hex(logged.bytes).close('}');
}

void write(JsonWriter& json, const GetAnswer& answer, const LoggedPage& page) {
  json.key("records").open('[');
  for (const LoggedRecord& record : page.records) write(json, record);
  json.close(']').key("next_from");
  uint64_t next = page.records.empty() ? answer.records : page.records.back().record.head.index + 1;
  if (next < answer.records)
    json.number(next);
  else
    json.null();
}

void write(JsonWriter& json, const GetRequest& request, const TreeProof& proof) {
  bool inclusion = request.kind != GetKind::consistency;
  json.key(inclusion ? "record" : "from").number(proof.first).key(inclusion ? "size" : "to").number(proof.size);
  if (inclusion) json.key("leaf").hex(proof.leaf);
  json.key("path").open('[');
  for (const Hash32& hash : proof.path) json.hex(hash);
  json.close(']');
}

struct WriteBody {
  JsonWriter& json;
  const GetRequest& request;
  const GetAnswer& answer;
  void operator()(std::monostate) const {}
  void operator()(const LoggedPage& page) const { write(json, answer, page); }
  void operator()(const TreeProof& proof) const { write(json, request, proof); }
  template <typename Body>
  void operator()(const Body& body) const {
    write(json, body);
  }
};

// The head as it is in replies: the same bytes are signed, so it is the same signature.
void write_tree(JsonWriter& json, const SigningKey& key, const LedgerId& ledger, const GetAnswer& answer) {
  SignedTreeHead head{answer.records, answer.root, answer.time, {}};
  head.signature = key.sign(preimage(head.statement(ledger)));
  json.key("size").number(head.size).key("root").hex(head.root).key("signature").hex(head.signature.bytes());
  json.key("head").text(write_head_text({ledger, head}));
}

std::string write_body(const SigningKey& key, const LedgerId& ledger, const GetRequest& request, const GetAnswer& answer) {
  JsonWriter json;
  json.open('{');
  if (answer.code != LedgerCode::done) {
    json.key("error").open('{').key("code").text(ledger_code_name(answer.code)).key("number").number(static_cast<uint64_t>(answer.code));
    json.key("message").text(reason_of(answer.code)).close('}');
  } else {
    if (request.kind == GetKind::account || request.kind == GetKind::closed) json.key("account").text(address_of(request.account));
    std::visit(WriteBody{json, request, answer}, answer.body);
    if (request.kind == GetKind::tree) write_tree(json, key, ledger, answer);
    if (request.kind == GetKind::params) json.key("ledger_key").hex(key.public_key().bytes());
  }
  json.key("ledger").hex(ledger.bytes()).key("time").number(answer.time.in_seconds()).close('}');
  return json.str() + "\n";
}

}  // namespace

HttpAnswer write_get(const SigningKey& key, const LedgerId& ledger, const GetRequest& request, const GetAnswer& answer) {
  HttpAnswer out;
  out.status = answer.limited ? 429 : get_status(answer.code);
  out.body = write_body(key, ledger, request, answer);
  AnswerStatement statement{ledger, blake2b_256(as_bytes(request.target)), static_cast<uint16_t>(out.status),
                            blake2b_256(as_bytes(out.body))};
  out.signature = key.sign(preimage(statement)).hex();
  return out;
}

}  // namespace millet
