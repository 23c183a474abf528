#include "driver/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/file_error.h"
#include "store/file_owner.h"

namespace millet {
namespace {

constexpr size_t k_text_size = SigningKey::k_seed_size * 2 + 1;

Error key_error(const std::string& path, const char* doing) { return file_error(std::string("can't ") + doing + " the key file " + path); }

// Closes on every way out.
struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  int fd;
};

// A file that will get the name `path`.
Status write_durably(const std::string& draft, const std::string& path, Bytes text) {
  Descriptor file(open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.fd < 0) return key_error(draft, "create");
  give_to_owner_of(path, file.fd);
  while (!text.empty()) {
    ssize_t count = write(file.fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return key_error(draft, "write");
    text = text.subspan(static_cast<size_t>(count));
  }
  if (fsync(file.fd) != 0) return key_error(draft, "write");
  return ok;
}

Status create(const std::string& path, const SigningKey& key) {
  Secret text;
  text.text = to_hex(key.seed()) + "\n";
  // Under another name first: a crash in between leaves no half key behind.
  std::string draft = path + ".new";
  unlink(draft.c_str());
  Status written = write_durably(draft, path, text.bytes());
  // link() refuses to replace: two programs that start at once end with one key.
  if (written && link(draft.c_str(), path.c_str()) != 0) written = key_error(path, "create");
  unlink(draft.c_str());
  if (!written) return written;
  return sync_folder_of(path, "the key file " + path);
}

constexpr size_t k_file_size_max = 512;

// A file that nobody but its owner may read, at most `size_max` bytes of it and one more. `name` is for errors ("the key file /a/b"),
// `advice` for when others may read it.
Result<Secret> read_private(const std::string& path, size_t size_max, const std::string& name, const char* advice) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.fd < 0) return file_error("can't open " + name);
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return file_error("can't open " + name);
  if ((info.st_mode & 077) != 0) return error(Errc::denied, "others may read " + name + ": " + advice);
  Secret out;
  out.text.resize(size_max + 1);
  size_t size = 0;
  while (size < out.text.size()) {
    ssize_t count = read(file.fd, out.text.data() + size, out.text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error("can't read " + name);
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  out.text.resize(size);
  return out;
}

// The next word; empty at the end.
std::string_view take_word(std::string_view& text) {
  size_t end = text.find(' ');
  std::string_view word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return word;
}

bool parse_small(std::string_view word, uint32_t& out) {
  if (word.empty() || word.size() > 9) return false;
  out = 0;
  for (char c : word) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + static_cast<uint32_t>(c - '0');
  }
  return true;
}

// The new file is durable before it takes the name of the old one.
Status replace(const std::string& path, Bytes text) {
  std::string draft = path + ".new";
  unlink(draft.c_str());
  TRY(write_durably(draft, path, text));
  if (rename(draft.c_str(), path.c_str()) != 0) {
    Error failed = key_error(path, "replace");
    unlink(draft.c_str());
    return failed;
  }
  return sync_folder_of(path, "the key file " + path);
}

}  // namespace

std::optional<SealedKey> parse_sealed_key(std::string_view line) {
  SealedKey sealed;
  if (!line.starts_with(k_sealed_start)) return std::nullopt;
  line.remove_prefix(k_sealed_start.size());
  bool good = parse_small(take_word(line), sealed.passes) && parse_small(take_word(line), sealed.memory_kib) &&
              from_hex(take_word(line), sealed.salt).has_value() && from_hex(take_word(line), sealed.nonce).has_value() &&
              from_hex(take_word(line), sealed.box).has_value() && from_hex(take_word(line), sealed.public_key.raw).has_value() &&
              line.empty();
  return good ? std::optional<SealedKey>(sealed) : std::nullopt;
}

std::string sealed_key_text(const SealedKey& sealed) {
  return std::string(k_sealed_start) + std::to_string(sealed.passes) + " " + std::to_string(sealed.memory_kib) + " " + to_hex(sealed.salt) +
         " " + to_hex(sealed.nonce) + " " + to_hex(sealed.box) + " " + sealed.public_key.hex();
}

Result<StoredKey> read_key_file(const std::string& path) {
  TRY_ASSIGN(Secret file, read_private(path, k_file_size_max, "the key file " + path,
                                       "move the money to a new key, or, if nobody else has seen it, chmod 600 it"));
  std::string_view text = file.text;
  StoredKey out;
  if (!text.empty() && text.back() == '\n') {
    std::string_view line = text.substr(0, text.size() - 1);
    std::array<uint8_t, SigningKey::k_seed_size> seed{};
    out.sealed = parse_sealed_key(line);
    if (text.size() == k_text_size && from_hex(line, seed).has_value()) {
      out.open = SigningKey::from_seed(seed);
    }
    wipe(seed);
  }
  if (!out.open && !out.sealed)
    return error(
        Errc::bad_input,
        path + " is not a key file (64 hexadecimal digits and a newline): restore it from a backup; its account is lost without it");
  return out;
}

Result<SigningKey> load_key(const std::string& path) {
  TRY_ASSIGN(StoredKey stored, read_key_file(path));
  if (!stored.open)
    return error(Errc::denied,
                 "the key file " + path + " is locked with a passphrase: take it away for this (millet wallet passphrase --remove)");
  return std::move(*stored.open);
}

Status write_key_file(const std::string& path, const SigningKey& key) {
  Secret text;
  text.text = to_hex(key.seed()) + "\n";
  return replace(path, text.bytes());
}

Status write_key_file(const std::string& path, const SealedKey& sealed) {
  std::string text = sealed_key_text(sealed) + "\n";
  CHECK(text.size() <= k_file_size_max);
  return replace(path, as_bytes(text));
}

Result<Secret> read_passphrase_file(const std::string& path) {
  TRY_ASSIGN(Secret file, read_private(path, k_passphrase_size_max + 2, "the passphrase file " + path, "chmod 600 it"));
  std::string& line = file.text;
  if (size_t end = line.find('\n'); end != std::string::npos) line.resize(end);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.empty() || line.size() > k_passphrase_size_max)
    return error(Errc::bad_input, "the passphrase file " + path + " has no passphrase of 1 to " + std::to_string(k_passphrase_size_max) +
                                      " bytes in its first line");
  return file;
}

Result<SigningKey> load_or_create_key(const std::string& path, SecureRandom& random) {
  Result<SigningKey> found = load_key(path);
  if (found || found.error().code != Errc::not_found) return found;
  Status created = create(path, SigningKey::generate(random));
  if (created) return load_key(path);
  // Another program may have made one in between: then that is the key.
  found = load_key(path);
  if (!found && found.error().code == Errc::not_found) return std::move(created).error();
  return found;
}

Status store_key(const std::string& path, const SigningKey& key) {
  Result<SigningKey> found = load_key(path);
  if (!found && found.error().code == Errc::not_found) {
    TRY(create(path, key));
    found = load_key(path);
  }
  if (!found) return std::move(found).error();
  if (found->public_key() != key.public_key()) return error(Errc::conflict, path + " is the key file of another account: move it away");
  return ok;
}

}  // namespace millet
