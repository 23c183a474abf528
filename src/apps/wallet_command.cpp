#include "apps/wallet_command.h"

#include <sys/stat.h>

#include <cstdio>

#include "apps/client.h"
#include "apps/faucet_work.h"
#include "apps/ledger_place.h"
#include "apps/sent_note.h"
#include "apps/terminal.h"
#include "driver/key_file.h"
#include "hal/linux/random.h"
#include "ledger/common/address.h"
#include "ledger/common/read_token.h"

namespace millet {
namespace {

constexpr int k_claim_attempts = 3;  // challenges; each is good for 10 to 20 minutes

struct Wallet {
  const CommandContext& context;
  std::vector<std::string> words;  // the command and its plain arguments
  LedgerPlace ledger;
  std::string captcha;              // the answer to one, for claim
  std::string passphrase_file;      // for a locked key; empty: asked for
  std::string new_passphrase_file;  // of `passphrase`
  bool remove = false;              // `passphrase` takes it away
  hal::LinuxRandom random;

  std::string key_path() const { return context.state + "/" + k_key_file_name; }
};

Result<StoredKey> stored_key(const Wallet& wallet) {
  Result<StoredKey> key = read_key_file(wallet.key_path());
  if (key || key.error().code != Errc::not_found) return key;
  return error(Errc::not_found, key.error().reason + "; make one with 'millet wallet create', or name another state folder with --state");
}

// From a file, or from whoever sits at the terminal.
Result<Secret> passphrase_from(const std::string& file, const char* option, const char* prompt) {
  if (!file.empty()) return read_passphrase_file(file);
  Result<Secret> typed = ask_secret(prompt);
  if (!typed && typed.error().code == Errc::unsupported)
    return error(Errc::denied,
                 "the wallet is locked with a passphrase and there is no terminal to ask for it: give " + std::string(option) + " FILE");
  return typed;
}

Result<SigningKey> existing_key(const Wallet& wallet) {
  TRY_ASSIGN(StoredKey stored, stored_key(wallet));
  if (stored.open) return std::move(*stored.open);
  TRY_ASSIGN(Secret passphrase, passphrase_from(wallet.passphrase_file, "--passphrase-file", "passphrase of the wallet: "));
  return open_key(*stored.sealed, passphrase.bytes());
}

Result<LedgerSession> open_session(Wallet& wallet) {
  TRY_ASSIGN(SigningKey key, existing_key(wallet));
  return open_ledger(wallet.context, wallet.ledger, std::move(key), wallet.random);
}

Status show_address(const Wallet& wallet, const PublicKey& key) {
  if (wallet.context.json) {
    Json out = Json::object();
    out.set("address", address_of(key)).set("public_key", key.hex()).set("key_file", wallet.key_path());
    print_json(out);
  } else {
    std::printf("%s\n", address_of(key).c_str());
  }
  return ok;
}

Status create(Wallet& wallet) {
  // Only the last folder: a mistyped path is not made whole.
  mkdir(wallet.context.state.c_str(), 0700);
  if (Result<StoredKey> there = read_key_file(wallet.key_path()); there && there->sealed) return show_address(wallet, there->public_key());
  TRY_ASSIGN(SigningKey key, load_or_create_key(wallet.key_path(), wallet.random));
  return show_address(wallet, key.public_key());
}

Status address(Wallet& wallet) {
  TRY_ASSIGN(StoredKey key, stored_key(wallet));
  return show_address(wallet, key.public_key());
}

// Locks the key with a new passphrase, or takes it away. milletd reads the file at its start and for `millet unlock`: one that runs goes on.
Status change_passphrase(Wallet& wallet) {
  TRY_ASSIGN(SigningKey key, existing_key(wallet));
  if (wallet.remove) {
    TRY(write_key_file(wallet.key_path(), key));
  } else {
    TRY_ASSIGN(Secret fresh, passphrase_from(wallet.new_passphrase_file, "--new-passphrase-file", "new passphrase: "));
    if (wallet.new_passphrase_file.empty()) {
      TRY_ASSIGN(Secret again, ask_secret("the same again: "));
      if (again.text != fresh.text) return error(Errc::bad_input, "the two passphrases differ: nothing was changed");
    }
    TRY_ASSIGN(SealedKey sealed, seal_key(key, fresh.bytes(), wallet.random));
    // Before the open key goes: what was sealed can be opened again.
    TRY(open_key(sealed, fresh.bytes()));
    TRY(write_key_file(wallet.key_path(), sealed));
  }
  if (wallet.context.json) {
    Json out = Json::object();
    out.set("address", address_of(key.public_key())).set("locked", !wallet.remove).set("key_file", wallet.key_path());
    print_json(out);
  } else if (wallet.remove) {
    std::printf("the wallet has no passphrase any more: whoever reads %s owns the account\n", wallet.key_path().c_str());
  } else {
    std::printf(
        "locked; milletd needs `millet unlock` or ledger.passphrase_file from its next start on. Without the passphrase the account is "
        "lost: keep it, and a "
        "copy of %s. The disk may still hold the bytes of the open key\n",
        wallet.key_path().c_str());
  }
  return ok;
}

Status balance(Wallet& wallet) {
  TRY_ASSIGN(LedgerSession session, open_session(wallet));
  TRY_ASSIGN(Balance found, session.ask<Balance>(BalanceQuery{}));
  if (wallet.context.json) {
    Json out = Json::object();
    out.set("address", address_of(session.key().public_key())).set("available", found.available).set("in_channels", found.in_channels);
    out.set("open_channels", found.open_channels).set("granted", found.granted != 0).set("ledger_time", session.time().in_seconds());
    out.set("spend_only", found.spend_only).set("spend_only_until", found.spend_only_until.in_seconds());
    print_json(out);
    return ok;
  }
  std::printf("available    %s BTT\nin channels  %s BTT (%u open)\n", found.available.to_btt().c_str(), found.in_channels.to_btt().c_str(),
              found.open_channels);
  if (!found.spend_only.is_zero()) {
    std::printf("of it %s BTT only pay for service until %s: they can't be sent\n", found.spend_only.to_btt().c_str(),
                local_time(found.spend_only_until.in_seconds()).c_str());
  }
  return ok;
}

Status show_operation(const Wallet& wallet, const char* what, const OperationResult& result) {
  if (wallet.context.json) {
    Json out = Json::object();
    out.set("operation", result.operation.hex())
        .set("record", result.record)
        .set("amount", result.paid)
        .set("ledger_time", result.time.in_seconds());
    print_json(out);
  } else {
    std::printf("%s %s BTT (operation %s, record %llu)\n", what, result.paid.to_btt().c_str(), result.operation.hex().c_str(),
                static_cast<unsigned long long>(result.record));
  }
  return ok;
}

Status send(Wallet& wallet) {
  TRY_ASSIGN(PublicKey to, parse_address(wallet.words[1]));
  TRY_ASSIGN(Amount amount, Amount::parse_btt(wallet.words[2]));
  TRY_ASSIGN(LedgerSession session, open_session(wallet));
  TransferOperation transfer;
  transfer.statement.ledger = session.ledger();
  transfer.statement.from = session.key().public_key();
  transfer.statement.to = to;
  transfer.statement.amount = amount;
  SentNote note(wallet.context.state, transfer.statement);
  if (note.take_up(transfer.statement, session.time())) {
    std::fprintf(stderr, "the same transfer has had no answer yet: it is sent again as it was signed then, and executed once\n");
  } else {
    wallet.random.fill(transfer.statement.nonce);
    transfer.statement.valid_until = session.time().plus_seconds(k_operation_valid_s);
    TRY(note.keep(transfer.statement));
  }
  transfer.signature = session.key().sign(preimage(transfer.statement));
  Result<OperationResult> result = session.submit(transfer);
  if (result || result.error().code != Errc::unavailable) note.drop();
  if (!result) return std::move(result).error();
  return show_operation(wallet, "sent", *result);
}

// A challenge that goes stale is replaced: whoever pauses the work loses what was done, not the grant.
Result<FaucetStatement> solve_challenge(LedgerSession& session) {
  for (int attempt = 0; attempt < k_claim_attempts; ++attempt) {
    TRY_ASSIGN(FaucetChallenge challenge, session.ask<FaucetChallenge>(ChallengeQuery{}));
    TRY_ASSIGN(std::optional<FaucetSolution> solution, solve_in_time(challenge, session.time()));
    TRY(session.refresh());  // the work took minutes
    if (!solution || session.time() >= challenge.valid_until) continue;
    return FaucetStatement{session.ledger(),       session.key().public_key(), challenge.epoch,
                           solution->memory_nonce, solution->hashcash_nonce,   session.time().plus_seconds(k_operation_valid_s)};
  }
  return error(Errc::unavailable, "the proof of work was not done before its challenge went stale, " + std::to_string(k_claim_attempts) +
                                      " times: it was paused for too long, or this machine is too slow or too busy; try again later");
}

// With a solved CAPTCHA; the work too, where the ledger wants both.
Status claim_with_captcha(const Wallet& wallet, LedgerSession& session) {
  if (wallet.captcha.size() > k_captcha_response_max) return error(Errc::bad_input, "--captcha: no CAPTCHA has an answer as long as that");
  Bytes response = as_bytes(wallet.captcha);
  TRY_ASSIGN(CaptchaAnswer answer, session.ask<CaptchaAnswer>(CaptchaQuery{{response.begin(), response.end()}}));
  TicketFaucetOperation faucet;
  TicketFaucetStatement& s = faucet.statement;
  s.ledger = session.ledger();
  s.key = session.key().public_key();
  s.ticket = answer.ticket;
  if (answer.work_too != 0) {
    yield_to_everything_else();
    TRY_ASSIGN(FaucetStatement work, solve_challenge(session));
    s.epoch = work.epoch;
    s.memory_nonce = work.memory_nonce;
    s.hashcash_nonce = work.hashcash_nonce;
  }
  s.valid_until = session.time().plus_seconds(k_operation_valid_s);
  faucet.signature = session.key().sign(preimage(s));
  TRY_ASSIGN(OperationResult result, session.submit(faucet));
  return show_operation(wallet, "received", result);
}

Status claim(Wallet& wallet) {
  TRY_ASSIGN(LedgerSession session, open_session(wallet));
  if (!wallet.captcha.empty()) return claim_with_captcha(wallet, session);
  yield_to_everything_else();
  FaucetOperation faucet;
  TRY_ASSIGN(faucet.statement, solve_challenge(session));
  faucet.signature = session.key().sign(preimage(faucet.statement));
  TRY_ASSIGN(OperationResult result, session.submit(faucet));
  return show_operation(wallet, "received", result);
}

// For programs that read by GET: `curl -H "Authorization: $(millet wallet token)"`.
Status token(Wallet& wallet) {
  TRY_ASSIGN(LedgerSession session, open_session(wallet));
  LedgerTime valid_until = session.time().plus_seconds(k_operation_valid_s);
  std::string text = encode_read_token(make_read_token(session.key(), session.ledger(), valid_until));
  if (wallet.context.json) {
    Json out = Json::object();
    out.set("authorization", text).set("valid_until", valid_until.in_seconds());
    print_json(out);
  } else {
    std::printf("%s\n", text.c_str());
  }
  return ok;
}

struct Action {
  const char* name;
  size_t arguments;
  Status (*run)(Wallet&);
};
constexpr Action k_actions[] = {
    {"create", 0, create},
    {"address", 0, address},
    {"balance", 0, balance},
    {"claim", 0, claim},
    {"send", 2, send},
    {"token", 0, token},
    {"passphrase", 0, change_passphrase},
};

Status read_arguments(CommandArguments arguments, Wallet& wallet) {
  ArgumentReader reader(arguments);
  while (reader.next()) {
    if (reader.is("--ledger")) {
      TRY(reader.value_into(wallet.ledger.url));
    } else if (reader.is("--ledger-key")) {
      TRY(reader.value_into(wallet.ledger.key));
    } else if (reader.is("--captcha")) {
      TRY(reader.value_into(wallet.captcha));
    } else if (reader.is("--passphrase-file")) {
      TRY(reader.value_into(wallet.passphrase_file));
    } else if (reader.is("--new-passphrase-file")) {
      TRY(reader.value_into(wallet.new_passphrase_file));
    } else if (reader.is("--remove")) {
      wallet.remove = true;
    } else if (reader.is_option()) {
      return reader.unknown();
    } else {
      wallet.words.emplace_back(reader.name());
    }
  }
  return ok;
}

}  // namespace

int wallet_command(const CommandContext& context, CommandArguments arguments) {
  Wallet wallet{context, {}, {}, {}, {}, {}, false, {}};
  Status read = read_arguments(arguments, wallet);
  if (!read) return report_error(context, read.error(), true);
  Status started = crypto_init();
  if (!started) return report_error(context, started.error());
  for (const Action& action : k_actions) {
    if (wallet.words.empty() || wallet.words[0] != action.name) continue;
    if (wallet.words.size() != action.arguments + 1) break;
    Status done = action.run(wallet);
    return done ? k_exit_done : report_error(context, done.error());
  }
  std::string given = wallet.words.empty() ? "nothing" : "'" + wallet.words[0] + "'";
  return report_error(
      context,
      error(Errc::bad_input, "wallet takes create, address, balance, claim, token, passphrase, or send ADDRESS BTT; given: " + given),
      true);
}

}  // namespace millet
