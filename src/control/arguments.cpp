#include "control/arguments.h"

#include "codec/uci.h"

namespace millet {
namespace {

const char* program_name(Program program) { return program == Program::milletd ? "milletd" : "millet-ledgerd"; }

// The options that take a value; nothing for another argument.
std::string* value_place(Program program, DaemonArguments& out, std::string_view name) {
  if (name == "--config") return &out.config_file;
  if (name == "--state") return &out.state;
  if (name == "--set") return &out.sets.emplace_back();
  if (program == Program::ledgerd && name == "--copy-to") return &out.copy_to;
  if (program == Program::ledgerd && name == "--witness") return &out.witnesses.emplace_back();
  if (program == Program::milletd && name == "--seed") return &out.seeds.emplace_back().path;
  if (program == Program::milletd && name == "--data") return out.seeds.empty() ? nullptr : &out.seeds.back().data;
  return nullptr;
}

}  // namespace

Result<DaemonArguments> parse_daemon_arguments(Program program, std::span<const char* const> args) {
  DaemonArguments out;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string_view arg = args[i];
    if (arg == "--help" || arg == "-h") {
      out.help = true;
    } else if (arg == "--version") {
      out.version = true;
    } else if (arg == "--print-config") {
      out.print_config = true;
    } else {
      // "--name VALUE" and "--name=VALUE" are the same.
      const size_t equals = arg.find('=');
      const std::string_view name = arg.substr(0, equals);
      if (name == "--data" && program == Program::milletd && out.seeds.empty()) {
        return error(Errc::bad_input,
                     "--data stands before its --seed: write --seed PATH --data DIR; the default folder is --set node.data=DIR");
      }
      std::string* place = value_place(program, out, name);
      if (place == nullptr) {
        return error(Errc::bad_input,
                     "unknown argument '" + std::string(arg.substr(0, 80)) + "': " + program_name(program) + " --help lists them");
      }
      if (equals != std::string_view::npos)
        *place = std::string(arg.substr(equals + 1));
      else if (i + 1 < args.size())
        *place = args[++i];
      if (place->empty())
        return error(Errc::bad_input, std::string(name) + " needs a value: " + program_name(program) + " --help shows it");
    }
  }
  return out;
}

std::string daemon_usage(Program program) {
  const std::string name = program_name(program);
  std::string out = "usage: " + name + " [--config FILE] [--state DIR] [--set SECTION.OPTION=VALUE]...";
  if (program == Program::milletd) out += " [--seed PATH [--data DIR]]...";
  out += program == Program::milletd
             ? "\n\nThe node: seeds and downloads torrents, and sells and buys upload slots. Runs in the foreground until SIGTERM.\n\n"
             : "\n\nThe private ledger: accounts and payment channels. Runs in the foreground until SIGTERM.\n"
               "\n  genesis FILE               instead of serving: makes a ledger whose pools have the terms of a file (genesis.conf)\n"
               "  audit [FILE]               instead of serving: replays the whole log, of the state or of a file, and names the first "
               "wrong record\n"
               "  export FILE                instead of serving: writes the log to a file, with a signed tree head\n"
               "  import FILE                instead of serving: makes the ledger of an exported log, executing every record once more\n"
               "  backup FOLDER              instead of serving: copies the database, as it is at one moment, into a new folder\n\n";
  out += "  --config FILE              configuration in UCI syntax; without it " + std::string(k_config_files[0]) + " or " +
         k_config_files[1] +
         ", if there is one\n"
         "  --state DIR                folder of everything durable: keys, records, the control socket\n"
         "  --set SECTION.OPTION=VALUE one option, over the configuration file\n";
  if (program == Program::milletd) {
    out +=
        "  --seed PATH                adds a .torrent file, or every .torrent file of a folder, once\n"
        "  --data DIR                 folder of the payload of the --seed before it\n";
  }
  if (program == Program::ledgerd) {
    out +=
        "  --witness FILE             tree heads that somebody kept (millet ledger head): a log that lacks what they show is not served\n"
        "  --copy-to STORE            instead of serving: copies the whole ledger into another store, as in ledgerd.store, that has none\n";
  }
  out +=
      "  --print-config             prints every option with its help and value, and ends\n"
      "  --version, --help          print that, and end\n";
  return out;
}

Result<Settings> make_settings(Program program, const std::optional<ConfigText>& config, std::span<const std::string> sets) {
  Settings settings = default_settings();
  if (config) {
    Result<std::vector<uci::Entry>> entries = uci::parse(config->text);
    if (!entries) return std::move(entries).error().in(config->file);
    for (const uci::Entry& entry : *entries) {
      const std::string where = config->file + ": line " + std::to_string(entry.line);
      if (entry.is_list) return error(Errc::bad_input, where + ": no option is a list: write option " + entry.option + " 'VALUE'");
      const std::string& section = entry.section_name.empty() ? entry.section_type : entry.section_name;
      Status set = set_option(settings, section + "." + entry.option, entry.value);
      if (!set) return std::move(set).error().in(where);
    }
  }
  for (const std::string& argument : sets) {
    Status set = set_from_argument(settings, program, argument);
    if (!set) return std::move(set).error().in("--set");
  }
  TRY(check_settings(settings, program));
  return settings;
}

}  // namespace millet
