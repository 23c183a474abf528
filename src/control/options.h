// Every option of milletd and millet-ledgerd, declared once: name, type, default, range and one line of help. The configuration file,
// `--set`, `--print-config` and the control socket's `set` all go through this table. Reads no file: the application hands over the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/endpoint.h"
#include "base/result.h"
#include "node/config.h"

namespace millet {

inline constexpr const char* k_control_socket_name = "control.socket";

// Kinds of ledgerd.store; the rest of its value says where.
inline constexpr std::string_view k_store_lmdb = "lmdb:";
inline constexpr std::string_view k_store_postgres = "postgres:";

// Options of millet-ledgerd.
struct LedgerdConfig {
  Endpoint listen;
  std::optional<Endpoint> tls_listen;
  uint32_t tls_key_life_s = 0;
  uint32_t address_rate = 0;  // requests per second; 0: no limit
  uint32_t key_rate = 0;
  bool public_metrics = false;
  bool public_records = false;
  std::string store;    // "lmdb:" in the state folder, or "lmdb:FOLDER"
  std::string witness;  // file; empty: in the state folder
  // Initial balances for proof of work; a grant of zero: none.
  uint32_t clock_leap_max_days = 0;  // 0: any
  Amount faucet_grant;
  Amount faucet_budget;     // per day
  std::string captcha_url;  // empty: no CAPTCHA
  std::string captcha_secret_file;
  bool captcha_with_work = false;
  uint32_t faucet_per_network = 0;  // grants in a day; 0: no limit
  uint32_t faucet_spend_only_days = 0;
  uint32_t faucet_hashcash_bits = 0;
  uint32_t faucet_memory_bits = 0;
  uint32_t faucet_memory_kib = 0;
};

// Options of OpenWrt's init script, which starts milletd accordingly; milletd only checks them.
struct OpenwrtConfig {
  std::string state;    // empty: .millet beside node.data
  std::string folders;  // with spaces between them
  std::string user;
  bool firewall = false;
  std::string zone;
  std::string interface;  // empty: any
};

// The values of all options.
struct Settings {
  NodeConfig node;
  Automatic disk_only = Automatic::automatic;  // of payload folders (hal/files.h, takes_payload)
  OpenwrtConfig openwrt;
  std::string passphrase_file;  // empty: a locked wallet stays so until somebody opens it
  std::string control_socket;   // empty: k_control_socket_name in the state folder
  LedgerdConfig ledgerd;
};

enum class Program : uint8_t { milletd, ledgerd };

// Every option at its default.
Settings default_settings();
// Replaces "auto" values by what suits the machine; `memory_mib` of it, 0 if not known. Once, after all options are set.
void fit_to_machine(Settings& settings, uint64_t memory_mib);

// Sets SECTION.OPTION, read as its type. Errors: not_found (no such option), unsupported (known by name, not built), bad_input; the text
// names the option, the value and what is allowed.
Status set_option(Settings& settings, std::string_view name, std::string_view value);
// The same for the text of `--set`: "SECTION.OPTION=VALUE", of this program. Errors: as set_option.
Status set_from_argument(Settings& settings, Program program, std::string_view argument);
// Checks what concerns several options at once. Errors: bad_input.
Status check_settings(const Settings& settings, Program program);

// The current value as text, as set_option takes it. Requires: the option exists.
std::string option_value(const Settings& settings, std::string_view name);
// Takes effect while the program runs. Errors: as set_option for names.
Result<bool> option_is_live(std::string_view name);
// "SECTION.OPTION" of every option of the program, in the order of --print-config.
std::vector<std::string_view> option_names(Program program);
// All options of a program with help, range and value: a complete configuration file in UCI syntax.
std::string print_config(const Settings& settings, Program program);

}  // namespace millet
