#include "store/lmdb/probe.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <lmdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/lmdb/lmdb_error.h"
#include "store/lmdb/page_check.h"

namespace millet {
namespace {

// Entries that the child reads of one table at most: some seconds on a router. A larger file is looked at from its start only.
constexpr uint64_t k_probe_entries_max = 200'000;
constexpr unsigned k_probe_seconds_max = 120;  // a loop of damaged pages ends here

// The child ends with errno if the system failed it, and not the file.
constexpr int k_exit_good = 0;
constexpr int k_exit_damaged = 255;

bool walk(MDB_txn* txn, MDB_dbi table, bool (*on_key)(MDB_txn*, const MDB_val&)) {
  MDB_cursor* cursor = nullptr;
  if (mdb_cursor_open(txn, table, &cursor) != 0) return false;
  MDB_val key{}, value{};
  volatile uint8_t sink = 0;
  int rc = 0;
  uint64_t count = 0;
  for (; count < k_probe_entries_max && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0; ++count) {
    const uint8_t* bytes = static_cast<const uint8_t*>(value.mv_data);
    for (size_t i = 0; i < value.mv_size; i += 512) sink = bytes[i];
    if (on_key != nullptr && !on_key(txn, key)) return false;
  }
  static_cast<void>(sink);
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND || count == k_probe_entries_max;
}

bool walk_named(MDB_txn* txn, const MDB_val& key) {
  std::string name(static_cast<const char*>(key.mv_data), key.mv_size);
  MDB_dbi table = 0;
  return mdb_dbi_open(txn, name.c_str(), 0, &table) == 0 && walk(txn, table, nullptr);
}

int probe_in_child(const std::string& folder) {
  MDB_env* env = nullptr;
  MDB_txn* txn = nullptr;
  MDB_dbi main_table = 0;
  int rc = mdb_env_create(&env);
  if (rc == 0) rc = mdb_env_set_maxdbs(env, 64);
  if (rc == 0) rc = mdb_env_open(env, folder.c_str(), MDB_RDONLY | MDB_NOLOCK, 0600);
  if (rc == 0) rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn);
  if (rc > 0 && rc < k_exit_damaged) return rc;  // LMDB's own codes are below zero
  if (rc != 0 || mdb_dbi_open(txn, nullptr, 0, &main_table) != 0) return k_exit_damaged;
  bool good = walk(txn, 0, nullptr) && walk(txn, main_table, walk_named);  // 0 is LMDB's own table of free pages
  return good ? k_exit_good : k_exit_damaged;
}

[[noreturn]] void run_child(const std::string& folder) {
  // A crash of the child is an answer, not an accident: no core file, no report of a sanitizer or of an assertion.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  for (int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM}) signal(number, SIG_DFL);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null >= 0) dup3(null, STDERR_FILENO, 0);
  alarm(k_probe_seconds_max);
  _exit(probe_in_child(folder));
}

Error damaged(const std::string& file, const std::string& how) {
  return error(Errc::io,
               "state file " + file + " is damaged (" + how +
                   "): move it away, and take up the last copy (of a node: millet state import FILE). A node without one keeps its "
                   "wallet, but loses its torrents, what is owed to it in open channels, its own deposits there until they expire, and its "
                   "history");
}

}  // namespace

Status probe_lmdb_file(const std::string& folder) {
  struct stat info {};
  std::string file = folder + "/data.mdb";
  if (stat(file.c_str(), &info) != 0 || info.st_size == 0) return ok;  // a new store
  int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return lmdb_error(errno, "read the state file " + file);
  close(fd);
  Status pages = check_lmdb_pages(file);
  if (!pages) return damaged(file, pages.error().reason);
  pid_t child = fork();
  if (child < 0) return error(Errc::no_room, "can't start a process to check " + file + ": " + strerror(errno));
  if (child == 0) run_child(folder);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return error(Errc::io, "can't wait for the check of " + file + ": " + strerror(errno));
  }
  return judge_probe(status, file);
}

Status judge_probe(int status, const std::string& file) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return error(Errc::io, "the check of state file " + file + " did not end within " + std::to_string(k_probe_seconds_max) +
                               " s: is its disk slow or failing, or the machine very busy? The file need not be damaged: start again");
  }
  if (WIFSIGNALED(status)) return damaged(file, std::string("reading it ends with signal ") + strsignal(WTERMSIG(status)));
  const int code = WEXITSTATUS(status);
  if (code == k_exit_good) return ok;
  if (code == k_exit_damaged) return damaged(file, "it can't be read to its end");
  return lmdb_error(code, "read the state file " + file);
}

}  // namespace millet
