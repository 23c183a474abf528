// Freeze of nothing: whoever runs the ledger has its key and the keys of its pools, and can with them neither take, lock nor hold back what
// belongs to a user. Every operation that there is is tried.
#include "ledger/common/record.h"
#include "unit/ledger_world.h"
#include "unit/test.h"

using namespace millet;
using ledger_world::World;

namespace {

constexpr uint64_t k_money = 1'000'000;

// Signs with another key what names the user's.
template <typename Op>
Op signed_by(Op op, const SigningKey& key) {
  op.signature = key.sign(preimage(op.statement));
  return op;
}

void no_operator_moves_the_money_of_a_user(void** state) {
  ON_STORE(state);
  World world;
  SigningKey user = world.funded(1, k_money);
  SigningKey friendly = world.funded(2, k_money);
  OpenOperation open = world.open(user, friendly.public_key(), 400'000);
  assert_true(world.code(open) == LedgerCode::done);
  std::vector<SigningKey> operators;
  operators.push_back(ledger_world::numbered_key(0));
  for (size_t pool = 0; pool < k_genesis_accounts; ++pool) operators.push_back(pool_key(world.ledger_key(), pool));
  assert_true(operators[0].public_key() == world.ledger_key().public_key());
  for (const SigningKey& key : operators) {
    auto refused = [&](const Operation& op) { return world.code(op) == LedgerCode::bad_signature; };
    assert_true(refused(signed_by(world.transfer(user, key.public_key(), 1), key)));
    assert_true(refused(signed_by(world.open(user, key.public_key(), 1000), key)));
    // What is in a channel goes to nobody but payer and payee, and only by both their signatures.
    assert_true(refused(world.close(open.statement, key, friendly, 1000)));
    assert_true(refused(world.claim(open.statement, key, friendly, 1000)));
    assert_true(refused(signed_by(world.close(open.statement, user, friendly, 0), key)));
    CloseOperation taken = world.close(open.statement, user, key, 1000);
    taken.payee = key.public_key();
    assert_true(world.code(taken) == LedgerCode::not_a_party);
  }
  assert_int_equal(world.available(user), k_money - 400'000);
  assert_int_equal(world.channel(user, channel_id(open.statement)).claimed.in_micro(), 0);
  // And it is still the user's to spend: there is no state of an account that would hinder it.
  assert_true(world.code(world.transfer(user, friendly.public_key(), 1000)) == LedgerCode::done);
  assert_true(world.code(world.close(open.statement, user, friendly, 5000)) == LedgerCode::done);
  assert_int_equal(world.available(user), k_money - 1000 - 5000);
}

// The terms of a pool whose account is `account`, as far as a draw shows them: with a key of the operator's.
DrawOperation draw_from(World& world, const PublicKey& account, const SigningKey& key) {
  PoolTerms terms;
  terms.keys.threshold = 1;
  terms.keys.keys[0] = key.public_key();
  DrawOperation op = world.draw(terms, {&key}, key.public_key(), 1);
  op.statement.pool = account;
  op.signatures = World::pool_signatures(terms, {&key}, op.statement);
  return op;
}

// Pools with terms move their own money only: no account of a user is a pool, whoever signs.
void no_pool_command_moves_the_money_of_a_user(void** state) {
  ON_STORE(state);
  PoolTerms terms;
  SigningKey pool_key_holder = ledger_world::numbered_key(9);
  terms.index = 7;
  terms.issued = issued_to(k_genesis_pools[7]);
  terms.keys.threshold = 1;
  terms.keys.keys[0] = pool_key_holder.public_key();
  make_keyless(terms);
  World world(ledger_world::world_store(), World::easy_rules(), {terms});
  SigningKey user = world.funded(1, k_money), friendly = world.funded(2, k_money);
  OpenOperation open = world.open(user, friendly.public_key(), 400'000);
  assert_true(world.code(open) == LedgerCode::done);
  for (const SigningKey* key : {&std::as_const(pool_key_holder), &world.ledger_key()}) {
    assert_true(world.code(draw_from(world, user.public_key(), *key)) == LedgerCode::unknown_pool);
    assert_true(world.code(draw_from(world, PublicKey{channel_id(open.statement).raw}, *key)) == LedgerCode::unknown_pool);
  }
  // A policy of the user's account, or of a channel, is none; grants go to accounts and come from a pool.
  for (const PublicKey& account : {user.public_key(), PublicKey{channel_id(open.statement).raw}}) {
    PolicyOperation policy;
    policy.statement = {
        world.id(), account,      {}, world.now(), world.in(1000), 10, Amount::micro(1), Amount::micro(5), pool_key_holder.public_key(),
        {},         world.in(300)};
    policy.keys = terms.keys;
    policy.signatures = World::pool_signatures(terms, {&pool_key_holder}, policy.statement);
    assert_true(world.code(policy) == LedgerCode::unknown_pool);
    GrantOperation grant;
    grant.statement = {world.id(), statement_id(policy.statement), 1, friendly.public_key(), Amount::micro(1), {}, world.in(300)};
    grant.granter = pool_key_holder.public_key();
    grant.signature = pool_key_holder.sign(preimage(grant.statement));
    assert_true(world.code(grant) == LedgerCode::unknown_policy);
  }
  // The user's own key makes no pool of the account either.
  assert_true(world.code(draw_from(world, user.public_key(), user)) == LedgerCode::unknown_pool);
  assert_int_equal(world.available(user), k_money - 400'000);
  assert_true(world.code(world.draw(terms, {&pool_key_holder}, user.public_key(), 5)) == LedgerCode::done);
  assert_int_equal(world.available(user), k_money - 400'000 + 5);
  assert_true(world.code(world.transfer(user, friendly.public_key(), k_money - 400'000 + 5)) == LedgerCode::done);
}

// Expiry, extension and genesis are the ledger's own: from the network they are no operations, whoever signs the request.
void what_the_ledger_does_by_itself_nobody_can_send(void** state) {
  ON_STORE(state);
  World world;
  SigningKey user = world.funded(1, k_money);
  OpenOperation open = world.open(user, world.funded(2, 1).public_key(), 1000);
  assert_true(world.code(open) == LedgerCode::done);
  auto is_taken = [](const auto& op) {
    std::vector<uint8_t> body(1 + 16 + 1);  // version, nonce, count
    body[0] = k_ledger_api_version;
    body.back() = 1;
    append_operation(body, op);
    return decode_operation_request(body).has_value();
  };
  assert_true(is_taken(open));
  ExpireOperation expire;
  expire.ledger = world.id();
  expire.channel = channel_id(open.statement);
  assert_false(is_taken(expire));
  assert_false(is_taken(ExtendOperation{world.id(), world.now(), world.in(1)}));
  assert_false(is_taken(make_genesis(world.ledger_key(), world.now())));
  assert_false(is_taken(PoolOperation{world.id(), {}}));
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      FOR_EVERY_STORE(no_operator_moves_the_money_of_a_user),
      FOR_EVERY_STORE(no_pool_command_moves_the_money_of_a_user),
      FOR_EVERY_STORE(what_the_ledger_does_by_itself_nobody_can_send),
  };
  return RUN_TESTS(tests);
}
