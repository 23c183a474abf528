#include "apps/create_command.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "apps/create_walk.h"
#include "apps/terminal.h"
#include "hal/linux/cpu.h"
#include "torrent/create.h"

namespace millet {
namespace {

constexpr size_t k_read_size = 1024 * 1024;  // few system calls, and a progress bar that moves

struct Arguments {
  std::string path;
  std::string output;
  CreateOptions options;
};

// A file descriptor that closes itself.
struct OpenFile {
  int fd;
  explicit OpenFile(int opened) : fd(opened) {}
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
  OpenFile(const OpenFile&) = delete;
};

Error system_error(const char* what, const std::string& path) {
  Errc code = errno == EACCES || errno == EROFS ? Errc::denied : errno == ENOSPC ? Errc::no_room : Errc::io;
  return error(code, std::string("can't ") + what + " '" + printable(path, 1024) + "': " + std::strerror(errno));
}

// "262144", "256K", "1M".
Result<uint32_t> parse_piece_size(std::string_view text) {
  uint64_t unit = 1;
  std::string_view digits = text;
  if (!digits.empty() && (digits.back() == 'K' || digits.back() == 'M')) {
    unit = digits.back() == 'K' ? 1024 : 1024 * 1024;
    digits.remove_suffix(1);
  }
  uint64_t value = 0;
  bool good = !digits.empty() && digits.size() <= 9;
  for (char c : digits) {
    good = good && c >= '0' && c <= '9';
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (!good || value == 0 || value * unit > UINT32_MAX) {
    return error(Errc::bad_input, "--piece-size '" + printable(text) + "': give bytes, as 262144 or 256K or 1M");
  }
  return static_cast<uint32_t>(value * unit);
}

Result<Arguments> parse_arguments(CommandArguments arguments) {
  Arguments out;
  ArgumentReader reader(arguments);
  while (reader.next()) {
    if (reader.is("-o") || reader.is("--output")) {
      TRY(reader.value_into(out.output));
    } else if (reader.is("--tracker")) {
      std::string url;
      TRY(reader.value_into(url));
      out.options.tracker_tiers.push_back({std::move(url)});
    } else if (reader.is("--piece-size")) {
      std::string text;
      TRY(reader.value_into(text));
      TRY_ASSIGN(out.options.piece_size, parse_piece_size(text));
    } else if (reader.is("--private")) {
      out.options.is_private = true;
    } else if (reader.is("--v2") || reader.is("--hybrid")) {
      return error(Errc::unsupported, std::string(reader.name()) + " is not built yet: torrents are version 1");
    } else if (reader.is("--v1")) {
      continue;
    } else if (reader.is_option() || !out.path.empty()) {
      return reader.unknown();
    } else {
      out.path = reader.name();
    }
  }
  TRY(check_create_options(out.options));
  if (out.path.empty()) return error(Errc::bad_input, "the file or folder is missing: millet create PATH -o FILE.torrent");
  if (out.output.empty()) return error(Errc::bad_input, "the output is missing: millet create PATH -o FILE.torrent");
  return out;
}

// What would fail after minutes of hashing is found out before.
Status check_output(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0)
    return error(Errc::conflict, "'" + printable(path, 1024) + "' exists already: remove it or give another name");
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return system_error("write", path);
  return ok;
}

// Reads what the creator asks for, showing progress.
class Hashing {
 public:
  Hashing(const Payload& payload, TorrentCreator& creator)
      : payload_(payload), creator_(creator), buffer_(k_read_size), progress_("hashing") {}

  Status run() {
    TorrentCreator::Want want;
    while (creator_.next_read(want)) {
      const CreateFile& file = creator_.files()[want.file];
      TRY(hash_file(payload_.folder + file.path, want.size));
    }
    return ok;
  }

 private:
  Status hash_file(const std::string& path, uint64_t size) {
    OpenFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat before;
    struct stat after;
    if (file.fd < 0 || ::fstat(file.fd, &before) != 0) return system_error("read", path);
    for (uint64_t left = size; left > 0;) {
      ssize_t got = ::read(file.fd, buffer_.data(), static_cast<size_t>(std::min<uint64_t>(left, buffer_.size())));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return system_error("read", path);
      if (got == 0) return changed(path);
      creator_.feed(Bytes(buffer_).first(static_cast<size_t>(got)));
      left -= static_cast<uint64_t>(got);
      show(path);
    }
    if (::fstat(file.fd, &after) != 0) return system_error("read", path);
    bool same_time = before.st_mtim.tv_sec == after.st_mtim.tv_sec && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec;
    if (static_cast<uint64_t>(after.st_size) != size || !same_time) return changed(path);
    return ok;
  }

  static Error changed(const std::string& path) {
    return error(Errc::conflict, "'" + printable(path, 1024) + "' changed while it was read: try again when nobody writes to it");
  }

  // A thousandth is what the bar can show.
  void show(const std::string& path) {
    uint64_t step = std::max<uint64_t>(creator_.total_size() / 1000, 1);
    if (creator_.hashed_size() / step == shown_) return;
    shown_ = creator_.hashed_size() / step;
    progress_.update(creator_.hashed_size(), creator_.total_size(), path.substr(path.rfind('/') + 1));
  }

  const Payload& payload_;
  TorrentCreator& creator_;
  std::vector<uint8_t> buffer_;
  Progress progress_;
  uint64_t shown_ = 0;
};

Status write_output(const std::string& path, Bytes bytes) {
  OpenFile file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.fd < 0) return system_error("write", path);
  while (!bytes.empty()) {
    ssize_t put = ::write(file.fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) break;
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  if (bytes.empty() && ::fsync(file.fd) == 0) return ok;
  Error failure = system_error("write", path);
  ::unlink(path.c_str());
  return failure;
}

void warn(const std::string& text) { std::fprintf(stderr, "millet: warning: %s\n", text.c_str()); }

void print_result(const CommandContext& context, const Arguments& arguments, const TorrentCreator& creator, const std::string& name) {
  std::string info_hash = creator.info_hash().hex();
  if (context.json) {
    Json out = Json::object();
    out.set("file", arguments.output).set("info_hash", info_hash).set("name", name);
    out.set("files", static_cast<uint64_t>(creator.files().size())).set("size", creator.total_size());
    out.set("piece_size", creator.piece_size()).set("pieces", creator.piece_count()).set("private", arguments.options.is_private);
    print_json(out);
    return;
  }
  std::printf("%s: %s, %zu %s, %s, %u pieces of %u bytes\n", arguments.output.c_str(), shown(name).c_str(), creator.files().size(),
              creator.files().size() == 1 ? "file" : "files", human_size(creator.total_size()).c_str(), creator.piece_count(),
              creator.piece_size());
  std::printf("info hash %s\n", info_hash.c_str());
}

Status create(const CommandContext& context, const Arguments& arguments) {
  TRY(check_output(arguments.output));
  TRY_ASSIGN(Payload payload, walk_payload(arguments.path));
  CreateOptions options = arguments.options;
  options.name = payload.name;
  options.single_file = payload.single_file;
  if (payload.single_file) options.name = payload.files[0].path;
  TRY_ASSIGN(TorrentCreator creator, TorrentCreator::make(payload.files, options, hal::detect_cpu()));
  TRY(Hashing(payload, creator).run());
  TRY(write_output(arguments.output, creator.metainfo()));
  for (const std::string& line : payload.left_out) warn(line);
  if (!payload.first_link.empty()) warn("'" + printable(payload.first_link, 1024) + "' is a link; milletd follows none when it serves");
  if (creator.total_size() == 0) warn("the payload has no bytes: clients refuse such a torrent");
  print_result(context, arguments, creator, options.name);
  return ok;
}

}  // namespace

int create_command(const CommandContext& context, CommandArguments arguments) {
  Result<Arguments> parsed = parse_arguments(arguments);
  if (!parsed) return report_error(context, parsed.error(), true);
  Status created = create(context, *parsed);
  return created ? k_exit_done : report_error(context, created.error());
}

}  // namespace millet
