#include "apps/ledger_command.h"

#include <cstdio>

#include "apps/client.h"
#include "control/arguments.h"
#include "crypto/sign.h"
#include "hal/linux/files.h"
#include "ledger/common/evidence.h"

namespace millet {
namespace {

struct Words {
  std::vector<std::string> plain;
  std::string ledger_key;
};

Status read_words(CommandArguments arguments, Words& words) {
  ArgumentReader reader(arguments);
  while (reader.next()) {
    if (reader.is("--ledger-key")) {
      TRY(reader.value_into(words.ledger_key));
    } else if (reader.is_option()) {
      return reader.unknown();
    } else {
      words.plain.emplace_back(reader.name());
    }
  }
  return ok;
}

#ifdef MILLET_EVIDENCE
// The key in the file is the accused one. Whoever asks knows which ledger that is, or gives its key.
Status verify_evidence(const CommandContext& context, const Words& words) {
  const std::string& path = words.plain[1];
  hal::LinuxFiles files;
  TRY_ASSIGN(std::vector<uint8_t> bytes, files.read_file(path, k_evidence_size_max));
  Result<Evidence> evidence = decode_evidence(bytes);
  if (!evidence) return std::move(evidence).error().in(path);
  if (!words.ledger_key.empty()) {
    Result<PublicKey> expected = PublicKey::from_hex(words.ledger_key);
    if (!expected) return std::move(expected).error().in("--ledger-key");
    if (*expected != evidence->key) return error(Errc::denied, path + " is about the ledger with key " + evidence->key.hex());
  }
  Result<std::string> proven = judge_evidence(*evidence);
  if (!proven) return error(proven.error().code, path + " proves nothing: " + proven.error().reason);
  if (context.json) {
    Json out = Json::object();
    out.set("ledger_id", evidence->ledger.hex()).set("ledger_key", evidence->key.hex()).set("proven", *proven);
    print_json(out);
  } else {
    std::printf("ledger %s\nkey    %s\n\nThe ledger signed statements that can't all be true: %s\n", evidence->ledger.hex().c_str(),
                evidence->key.hex().c_str(), proven->c_str());
  }
  return ok;
}
#else
Status verify_evidence(const CommandContext&, const Words& words) {
  return error(Errc::unavailable,
               words.plain[1] + ": this millet is without verify-evidence, to be small: take the file to a larger machine");
}
#endif

// What milletd has checked, so that it is there when the ledger is not.
Status show_head(const CommandContext& context) {
  TRY_ASSIGN(Client client, Client::connect(context.socket));
  TRY_ASSIGN(Json stats, client.call("stats", Json::object()));
  std::string text(json_text(stats.raw(), "ledger_head"));
  if (text.empty()) return error(Errc::unavailable, "milletd has seen no tree head of a ledger yet");
  if (context.json) {
    Json out = Json::object();
    out.set("head", text);
    print_json(out);
  } else {
    std::printf("%s\n", text.c_str());
  }
  return ok;
}

}  // namespace

int ledger_command(const CommandContext& context, CommandArguments arguments) {
  Words words;
  Status read = read_words(arguments, words);
  if (!read) return report_error(context, read.error(), true);
  if (words.plain.size() == 1 && words.plain[0] == "head" && words.ledger_key.empty()) {
    Status shown = show_head(context);
    return shown ? k_exit_done : report_error(context, shown.error());
  }
  if (words.plain.size() != 2 || words.plain[0] != "verify-evidence") {
    return report_error(context, error(Errc::bad_input, "ledger takes head, or verify-evidence FILE [--ledger-key KEY]"), true);
  }
  Status started = crypto_init();
  if (!started) return report_error(context, started.error());
  Status done = verify_evidence(context, words);
  return done ? k_exit_done : report_error(context, done.error());
}

}  // namespace millet
