#include "apps/daemon.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "apps/state_folder.h"
#include "apps/state_place.h"
#include "hal/linux/files.h"
#include "store/lmdb/place.h"

namespace millet {
namespace {

const char* name_of(Program program) { return program == Program::milletd ? "milletd" : "millet-ledgerd"; }

// The configuration file's text; nothing if none was named and none is in the usual places.
Result<std::optional<ConfigText>> read_config(const std::string& named) {
  hal::LinuxFiles files;
  auto read = [&](const std::string& path) -> Result<std::optional<ConfigText>> {
    TRY_ASSIGN(std::vector<uint8_t> bytes, files.read_file(path, k_config_bytes_max));
    return std::optional<ConfigText>(ConfigText{path, std::string(as_text(bytes))});
  };
  if (!named.empty()) return read(named);
  for (const char* path : k_config_files) {
    Result<std::optional<ConfigText>> config = read(path);
    if (config || config.error().code != Errc::not_found) return config;
  }
  return std::optional<ConfigText>();
}

Result<Settings> read_settings(Program program, const DaemonArguments& arguments) {
  TRY_ASSIGN(std::optional<ConfigText> config, read_config(arguments.config_file));
  return make_settings(program, config, arguments.sets);
}

// What follows from this machine and folder: not a part of the configuration that --print-config shows.
void settle(Settings& settings) {
  struct sysinfo machine = {};
  bool known = ::sysinfo(&machine) == 0;
  fit_to_machine(settings, known ? uint64_t{machine.totalram} * machine.mem_unit / (1024 * 1024) : 0);
  if (settings.disk_only == Automatic::automatic) {
    settings.disk_only = ::access("/etc/openwrt_release", F_OK) == 0 ? Automatic::yes : Automatic::no;
  }
  settings.node.data = absolute_path(settings.node.data);
}

// What can't be made shows when the store opens its folder.
void make_folders_above(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    ::mkdir(path.substr(0, slash).c_str(), 0777);
  }
}

class MachineFolders final : public StateFolders {
 public:
  bool exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }
  std::string link_target(const std::string& path) override {
    char target[PATH_MAX];
    ssize_t size = ::readlink(path.c_str(), target, sizeof target);
    return size <= 0 || target[0] != '/' ? std::string() : std::string(target, static_cast<size_t>(size));
  }
  const char* lacks(const std::string& folder) override { return lacks_for_state(folder); }
  Status make_link(const std::string& path, const std::string& target) override {
    ::rmdir(path.c_str());  // an empty folder of an earlier try
    if (::symlink(target.c_str(), path.c_str()) == 0) return ok;
    return error(
        errno == EACCES || errno == EROFS ? Errc::denied : Errc::io,
        "can't make the link " + path + " to " + target + ": " + std::strerror(errno) + "; name the folder of the state with --state");
  }
};

// The state's folder if none was named.
Result<std::string> find_state(Program program, const Settings& settings) {
  const std::string usual = default_state_folder(program == Program::milletd ? "millet" : "millet-ledgerd");
  make_folders_above(usual);
  if (program != Program::milletd) return usual;
  MachineFolders folders;
  TRY_ASSIGN(StatePlace place, choose_state_place(usual, settings.node.data, folders));
  if (place.lacks != nullptr) {
    StderrLog log;
    LogLine(log, LogLevel::info, "state_place")
        .add("folder", place.folder)
        .add("reason", usual + " has no " + place.lacks + ": the state is on the payload's disk, and " + usual + " leads to it");
  }
  return place.folder;
}

}  // namespace

void StderrLog::write(LogLevel, std::string_view line) {
  std::string whole(line);
  whole += '\n';
  // A reader that has gone away must not end the daemon.
  ssize_t ignored = ::write(STDERR_FILENO, whole.data(), whole.size());
  static_cast<void>(ignored);
}

std::string absolute_path(const std::string& path) {
  if (path.empty()) return path;
  std::string whole = path;
  if (path[0] != '/') {
    char folder[PATH_MAX];
    if (::getcwd(folder, sizeof folder) == nullptr) return path;
    whole = std::string(folder) + "/" + path;
  }
  std::string out;
  for (size_t at = 0; at < whole.size();) {
    size_t end = std::min(whole.find('/', at), whole.size());
    std::string_view name = std::string_view(whole).substr(at, end - at);
    at = end + 1;
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      out.resize(out.empty() ? 0 : out.rfind('/'));
    } else {
      out.append("/").append(name);
    }
  }
  return out.empty() ? "/" : out;
}

void say_error(Program program, const Error& reason) { std::fprintf(stderr, "%s: %s\n", name_of(program), reason.reason.c_str()); }

std::optional<DaemonStart> begin_daemon(Program program, int argc, char** argv, const char* version, int& exit_code) {
  DaemonStart start;
  exit_code = k_exit_bad_settings;
  std::vector<const char*> words(argv + 1, argv + argc);
  Result<DaemonArguments> arguments = parse_daemon_arguments(program, words);
  if (!arguments) {
    say_error(program, arguments.error());
    return std::nullopt;
  }
  start.arguments = std::move(arguments).value();
  if (start.arguments.help || start.arguments.version) {
    std::string text = start.arguments.help ? daemon_usage(program) : std::string(name_of(program)) + " " + version + "\n";
    std::fputs(text.c_str(), stdout);
    exit_code = k_exit_ok;
    return std::nullopt;
  }
  Result<Settings> settings = read_settings(program, start.arguments);
  if (!settings) {
    say_error(program, settings.error());
    return std::nullopt;
  }
  start.settings = std::move(settings).value();
  if (start.arguments.print_config) {
    std::fputs(print_config(start.settings, program).c_str(), stdout);
    exit_code = k_exit_ok;
    return std::nullopt;
  }
  settle(start.settings);
  start.state = start.arguments.state;
  if (start.state.empty()) {
    Result<std::string> found = find_state(program, start.settings);
    if (!found) {
      say_error(program, found.error());
      exit_code = k_exit_bad_state;
      return std::nullopt;
    }
    start.state = std::move(found).value();
  }
  start.state = absolute_path(start.state);
  return start;
}

}  // namespace millet
