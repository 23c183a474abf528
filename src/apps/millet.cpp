// The command line of a node: finds the command, hands it the rest. Commands are in files of their own.
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "apps/create_command.h"
#include "apps/ledger_command.h"
#include "apps/mains.h"
#include "apps/node_commands.h"
#include "apps/pool_command.h"
#include "apps/state_command.h"
#include "apps/state_folder.h"
#include "apps/wallet_command.h"
#include "control/options.h"

namespace millet {
namespace {

struct Command {
  const char* name;
  CommandFunction run;
  const char* arguments;
  const char* help;
};
constexpr Command k_commands[] = {
    {"add", add_command, "FILE.torrent [--data DIR] [--peer HOST:PORT]... [--budget BTT] [--max-rate BTT/GB] [--paused] [--wait]",
     "adds a torrent: seeds what is in DIR, downloads the rest; --wait shows progress until it is complete"},
    {"list", list_command, "", "the torrents"},
    {"show", show_command, "HASH", "one torrent in full"},
    {"peers", peers_command, "[HASH]",
     "the connections; VIA: tcp or utp; STATE: < it connected to us, i it is interested in us, c choked by us, I we are interested, C it "
     "chokes us, s speaks BitTorrent Speed"},
    {"bids", bids_command, "[--explain]", "the last auctions held here, and own bids; --explain says what each bid and price was based on"},
    {"history", history_command, "[--by-torrent]",
     "what was earned and spent, by day: 400 days, of the last 30 by torrent; days are the ledger's, in UTC"},
    {"channels", channels_command, "", "payment channels"},
    {"stats", stats_command, "", "the node as a whole"},
    {"remove", remove_command, "HASH [--delete-data]", "removes a torrent; its data stays, unless asked"},
    {"verify", verify_command, "HASH [--wait]", "hashes all data again"},
    {"pause", pause_command, "HASH", "stops a torrent"},
    {"resume", resume_command, "[HASH]",
     "starts it again; without HASH: all that are not paused look for their files and ask their trackers anew"},
    {"set", set_command, "[HASH] SECTION.OPTION=VALUE...",
     "changes options while milletd runs; with HASH speed.budget, speed.max_rate, speed.reserve or speed.enabled of one torrent"},
    {"unlock", unlock_command, "",
     "opens the wallet of a running milletd that was locked with a passphrase: asks for it, or reads the first line of a pipe"},
    {"wallet", wallet_command,
     "create | address | balance | claim [--captcha RESPONSE] | token | send ADDRESS BTT | passphrase [--remove] "
     "[--new-passphrase-file FILE] [--passphrase-file FILE] [--ledger URL] [--ledger-key KEY]",
     "the account on the ledger: passphrase locks its key (8 MiB of memory and some seconds to open it; milletd then needs "
     "`millet unlock` or ledger.passphrase_file), or takes the passphrase away; claim gets the initial balance by proof of work, or for a "
     "solved CAPTCHA; the "
     "ledger is the one that "
     "milletd uses, unless given"},
    {"state", state_command, "export FILE | import FILE",
     "moves a node to another device, of any kind: export hands the whole state (wallet, channels, torrents) over to FILE, after which "
     "milletd does not start on it; import puts it into an empty state folder, or takes it back. milletd must not run. FILE holds the "
     "wallet: keep it secret, and import it once"},
#ifdef MILLET_POOLS
    {"pool", pool_command,
     "list | draw POOL ADDRESS BTT --key FILE... | policy FILE --key FILE... | show-policy POLICY | grant POLICY ADDRESS BTT --key FILE "
     "[--ledger URL] [--ledger-key KEY]",
     "the pools that the ledger began with; draw pays out what has vested, signed by each of the key files (as `millet wallet create` "
     "makes "
     "them); policy lets one key give grants within limits (config/policy.conf)"},
#endif
    {"ledger", ledger_command, "head | verify-evidence FILE [--ledger-key KEY]",
     "head prints what the ledger last signed about its log: whoever keeps it can tell an old copy of the ledger (millet-ledgerd "
     "--witness); verify-evidence checks evidence against a ledger, as milletd writes it to ledger-evidence-* in its state folder: no "
     "ledger and no trust is needed"},
    {"create", create_command, "PATH -o FILE.torrent [--tracker URL]... [--piece-size N] [--private]",
     "makes a .torrent of a file or folder; N is a power of two in bytes, as 262144 or 256K; each --tracker is a tier of its own"},
};

const char* space_before(const Command& command) { return command.arguments[0] == '\0' ? "" : " "; }

void print_usage(FILE* to) {
  std::fprintf(to,
               "usage: millet [--state DIR | --socket PATH] [--json] COMMAND\n\n"
               "Talks to a running milletd.\n\n"
               "  --state DIR    state folder of milletd (default %s)\n"
               "  --socket PATH  its control socket (default control.socket in the state folder)\n"
               "  --json         output for programs\n"
               "  --version, --help\n\n",
               default_state_folder("millet").c_str());
  for (const Command& command : k_commands)
    std::fprintf(to, "  %s%s%s\n      %s\n", command.name, space_before(command), command.arguments, command.help);
  std::fprintf(to, "\nHASH is an info hash, or its first digits. Amounts are BTT, rates BTT per GB (10^9 bytes).\n");
}

void print_command_usage(const Command& command) {
  std::printf("usage: millet %s%s%s\n\n  %s\n", command.name, space_before(command), command.arguments, command.help);
}

// The program's own options stand before the command; --json may stand anywhere.
struct Invocation {
  CommandContext context;
  bool help = false;
  bool version = false;
  std::vector<const char*> rest;  // the command and its arguments
};

Result<Invocation> read_invocation(CommandArguments arguments) {
  Invocation out;
  std::vector<const char*> words;
  for (const char* argument : arguments) {
    if (std::string_view(argument) == "--json")
      out.context.json = true;
    else
      words.push_back(argument);
  }
  size_t i = 0;
  for (; i < words.size() && words[i][0] == '-'; ++i) {
    ArgumentReader reader(CommandArguments(words).subspan(i));
    reader.next();
    const bool separate = std::string_view(words[i]).find('=') == std::string_view::npos;
    if (reader.is("--help") || reader.is("-h")) {
      out.help = true;
    } else if (reader.is("--version")) {
      out.version = true;
    } else if (reader.is("--state") || reader.is("--socket")) {
      TRY(reader.value_into(reader.is("--state") ? out.context.state : out.context.socket));
      i += separate ? 1 : 0;
    } else {
      return reader.unknown();
    }
  }
  out.rest.assign(words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  if (out.context.state.empty()) out.context.state = default_state_folder("millet");
  if (out.context.socket.empty()) out.context.socket = out.context.state + "/" + k_control_socket_name;
  return out;
}

int run(CommandArguments arguments) {
  Result<Invocation> invocation = read_invocation(arguments);
  if (!invocation) return report_error({}, invocation.error(), true);
  if (invocation->version) return std::printf("millet %s\n", MILLET_VERSION), k_exit_done;
  if (invocation->help || invocation->rest.empty()) {
    print_usage(invocation->help ? stdout : stderr);
    return invocation->help ? k_exit_done : k_exit_usage;
  }
  const std::string_view name = invocation->rest[0];
  const CommandArguments rest = CommandArguments(invocation->rest).subspan(1);
  for (const Command& command : k_commands) {
    if (name != command.name) continue;
    for (const char* argument : rest) {
      if (std::string_view(argument) == "--help" || std::string_view(argument) == "-h") return print_command_usage(command), k_exit_done;
    }
    return command.run(invocation->context, rest);
  }
  return report_error(invocation->context,
                      error(Errc::not_found, "there is no command '" + std::string(name) + "'; millet --help lists them"), true);
}

}  // namespace
}  // namespace millet

int millet::millet_main(int argc, char** argv) {
  const std::vector<const char*> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int status = run(arguments);
  // What could not be written (a full disk behind a pipe) must not look done.
  return std::fflush(stdout) != 0 && status == 0 ? k_exit_failed : status;
}

#ifndef MILLET_MULTICALL
int main(int argc, char** argv) { return millet::millet_main(argc, argv); }
#endif
