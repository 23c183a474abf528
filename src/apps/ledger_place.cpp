#include "apps/ledger_place.h"

#include "apps/client.h"
#include "control/arguments.h"
#include "hal/linux/files.h"

namespace millet {
namespace {

// Where the ledger is: --ledger and --ledger-key, else what the running milletd uses, else its configuration file.
Status find_ledger(const CommandContext& context, LedgerPlace& place) {
  auto complete = [&] { return !place.url.empty() && !place.key.empty(); };
  if (complete()) return ok;
  if (Result<Client> client = Client::connect(context.socket)) {
    Result<Json> reply = client->call("options", Json::object());
    if (!reply) return std::move(reply).error();
    json_t* options = reply->get("options");
    auto take = [&](std::string& to, const char* name) {
      const char* text = json_string_value(json_object_get(options, name));
      if (to.empty() && text != nullptr) to = text;
    };
    take(place.url, "ledger.url");
    take(place.key, "ledger.key");
    if (complete()) return ok;
  }
  hal::LinuxFiles files;
  for (const char* path : k_config_files) {
    Result<std::vector<uint8_t>> text = files.read_file(path, k_config_bytes_max);
    if (!text) continue;
    TRY_ASSIGN(Settings settings, make_settings(Program::milletd, ConfigText{path, std::string(as_text(*text))}, {}));
    if (place.url.empty()) place.url = option_value(settings, "ledger.url");
    if (place.key.empty()) place.key = option_value(settings, "ledger.key");
    break;
  }
  if (complete()) return ok;
  return error(Errc::not_found,
               "no ledger is configured: set ledger.url and ledger.key (/etc/millet/millet.conf, or --set of milletd), or give --ledger "
               "URL --ledger-key KEY");
}

}  // namespace

Result<LedgerSession> open_ledger(const CommandContext& context, LedgerPlace place, SigningKey key, SecureRandom& random) {
  TRY(find_ledger(context, place));
  Result<PublicKey> ledger_key = PublicKey::from_hex(place.key);
  if (!ledger_key) return std::move(ledger_key).error().in("ledger.key");
  return LedgerSession::open({place.url, *ledger_key}, std::move(key), random);
}

}  // namespace millet
