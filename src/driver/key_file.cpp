#include "driver/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millet {
namespace {

constexpr size_t k_text_size = SigningKey::k_seed_size * 2 + 1;

Error system_error(const std::string& path, const char* doing) {
  int number = errno;
  Errc code = number == ENOENT                                         ? Errc::not_found
              : number == EACCES || number == EPERM || number == EROFS ? Errc::denied
              : number == ENOSPC || number == EDQUOT                   ? Errc::no_room
                                                                       : Errc::io;
  return error(code, std::string("can't ") + doing + " the key file " + path + ": " + strerror(number));
}

// Closes on every way out.
struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  int fd;
};

Status write_durably(const std::string& path, Bytes text) {
  Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.fd < 0) return system_error(path, "create");
  while (!text.empty()) {
    ssize_t count = write(file.fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(path, "write");
    text = text.subspan(static_cast<size_t>(count));
  }
  if (fsync(file.fd) != 0) return system_error(path, "write");
  return ok;
}

Status sync_folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  Descriptor opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.fd < 0 || fsync(opened.fd) != 0) return system_error(path, "make durable");
  return ok;
}

Status create(const std::string& path, const SigningKey& key) {
  std::string text = to_hex(key.seed()) + "\n";
  MutBytes secret(reinterpret_cast<uint8_t*>(text.data()), text.size());
  // Under another name first: a crash in between leaves no half key behind.
  std::string draft = path + ".new";
  unlink(draft.c_str());
  Status written = write_durably(draft, as_bytes(text));
  wipe(secret);
  // link() refuses to replace: two programs that start at once end with one key.
  if (written && link(draft.c_str(), path.c_str()) != 0) written = system_error(path, "create");
  unlink(draft.c_str());
  if (!written) return written;
  return sync_folder_of(path);
}

}  // namespace

Result<SigningKey> load_key(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.fd < 0) return system_error(path, "open");
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return system_error(path, "open");
  if ((info.st_mode & 077) != 0) {
    return error(Errc::denied,
                 "others may read the key file " + path + ": move the money to a new key, or, if nobody else has seen it, chmod 600 it");
  }
  char text[k_text_size + 1] = {};
  size_t size = 0;
  while (size < sizeof text) {
    ssize_t count = read(file.fd, text + size, sizeof text - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(path, "read");
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  std::array<uint8_t, SigningKey::k_seed_size> seed{};
  bool good = size == k_text_size && text[k_text_size - 1] == '\n' && from_hex(std::string_view(text, k_text_size - 1), seed).has_value();
  wipe(MutBytes(reinterpret_cast<uint8_t*>(text), sizeof text));
  if (!good)
    return error(
        Errc::bad_input,
        path + " is not a key file (64 hexadecimal digits and a newline): restore it from a backup; its account is lost without it");
  SigningKey key = SigningKey::from_seed(seed);
  wipe(seed);
  return key;
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
