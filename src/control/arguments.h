// The command line of milletd and millet-ledgerd, and how their settings come together. The command line of `millet` is in apps/.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/options.h"

namespace millet {

struct DaemonArguments {
  // A .torrent file or a folder of them, and the folder of their payload (empty: node.data).
  struct Seed {
    std::string path;
    std::string data;
  };
  bool help = false;
  bool version = false;
  bool print_config = false;
  std::string config_file;             // empty: the first of k_config_files that exists, or none
  std::string state;                   // state folder; empty: the program's default
  std::vector<std::string> sets;       // SECTION.OPTION=VALUE
  std::vector<Seed> seeds;             // milletd only
  std::string copy_to;                 // millet-ledgerd only: a store, as in ledgerd.store
  std::vector<std::string> witnesses;  // millet-ledgerd only: files
};

// Where a configuration is looked for without --config: OpenWrt's place first.
inline constexpr const char* k_config_files[] = {"/etc/config/millet", "/etc/millet/millet.conf"};
inline constexpr size_t k_config_bytes_max = 64 * 1024;  // ten times what --print-config writes

// `args` without the program's name. Errors: bad_input; the text names the argument.
Result<DaemonArguments> parse_daemon_arguments(Program program, std::span<const char* const> args);
// The help of a program, for --help.
std::string daemon_usage(Program program);

// The text of a configuration file, with its name for messages.
struct ConfigText {
  std::string file;
  std::string text;
};
// Defaults, then the file, then `sets` (SECTION.OPTION=VALUE), checked as a whole. A file may hold the options of both programs.
// Errors: bad_input, not_found, unsupported; the text names the file and line, or the option of --set.
Result<Settings> make_settings(Program program, const std::optional<ConfigText>& config, std::span<const std::string> sets);

}  // namespace millet
