#include "driver/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cinttypes>

#include "driver/file_error.h"

namespace millet {
namespace {

constexpr const char* k_title = "millet-ledger-audit 1";
constexpr size_t k_text_max = 128;

}  // namespace

std::optional<AuditNote> read_audit_file(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char text[k_text_max + 1] = {};
  ssize_t size = read(fd, text, k_text_max);
  close(fd);
  if (size < 0 || strncmp(text, k_title, strlen(k_title)) != 0) return std::nullopt;
  unsigned good = 0;
  AuditNote note;
  if (sscanf(text + strlen(k_title), " %u %" SCNu64 " %" SCNu64, &good, &note.time_s, &note.records) != 3 || good > 1) return std::nullopt;
  note.good = good == 1;
  return note;
}

Status write_audit_file(const std::string& path, const AuditNote& note) {
  std::string text =
      std::string(k_title) + " " + (note.good ? "1 " : "0 ") + std::to_string(note.time_s) + " " + std::to_string(note.records) + "\n";
  std::string draft = path + ".new";
  int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return file_error("can't write " + draft);
  bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  Status status = written ? Status(ok) : Status(file_error("can't write " + draft));
  close(fd);
  TRY(status);
  if (rename(draft.c_str(), path.c_str()) != 0) return file_error("can't write " + path);
  return ok;
}

}  // namespace millet
