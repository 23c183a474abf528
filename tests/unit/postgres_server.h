// A PostgreSQL server for one test: its own data folder, a unix socket there and no port, gone with the object (or the process).
#pragma once

#if defined(MILLET_POSTGRES_PROGRAMS)

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "unit/temp_folder.h"

class PostgresServer {
 public:
  static bool is_installed() { return access(program("postgres").c_str(), X_OK) == 0; }

  // A new, empty server, or with `primary` a streaming standby of it; runs when this returns.
  explicit PostgresServer(const PostgresServer* primary = nullptr) {
    own_folder();
    if (primary == nullptr) {
      CHECK(run({program("initdb"), "-D", data(), "-U", "millet", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}) == 0);
      std::ofstream conf(data() + "/postgresql.conf", std::ios::app);
      conf << "listen_addresses = ''\nmax_connections = 30\nshared_buffers = '32MB'\nmax_wal_senders = 4\nhot_standby = "
              "on\nlogging_collector = off\n";
    } else {
      CHECK(run({program("pg_basebackup"), "-D", data(), "-R", "-X", "stream", "-c", "fast", "-h", primary->socket_folder(), "-U", "millet",
                 "--no-sync"}) == 0);
    }
    start();
  }
  ~PostgresServer() { stop(); }
  PostgresServer(const PostgresServer&) = delete;

  std::string socket_folder() const { return folder_.path(); }
  std::string conninfo() const { return "host=" + socket_folder() + " user=millet dbname=postgres"; }

  void start() {
    server_ = spawn({program("postgres"), "-D", data(), "-c", "unix_socket_directories=" + socket_folder()});
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (run({program("pg_isready"), "-q", "-h", socket_folder(), "-U", "millet", "-d", "postgres"}) != 0) {
      CHECK(std::chrono::steady_clock::now() < deadline);
      usleep(50'000);
    }
  }
  // In one go, as when a machine loses power: the server and all of its processes.
  void kill_all() {
    if (server_ <= 0) return;
    std::string id = std::to_string(server_);
    std::ifstream children("/proc/" + id + "/task/" + id + "/children");
    kill(server_, SIGSTOP);  // so that it makes no new ones
    for (pid_t child; children >> child;) kill(child, SIGKILL);
    kill(server_, SIGKILL);
    waitpid(server_, nullptr, 0);
    server_ = 0;
  }
  void stop() {
    if (server_ <= 0) return;
    kill(server_, SIGQUIT);
    waitpid(server_, nullptr, 0);
    server_ = 0;
  }
  // Changes a setting of a server that runs.
  void set(const std::string& name, const std::string& value) {
    sql("ALTER SYSTEM SET " + name + " = '" + value + "'");
    sql("SELECT pg_reload_conf()");
  }
  // Makes a standby a server of its own.
  void promote() { CHECK(run({program("pg_ctl"), "promote", "-D", data(), "-t", "60"}) == 0); }
  void sql(const std::string& statement) {
    CHECK(run({program("psql"), "-q", "-h", socket_folder(), "-U", "millet", "-d", "postgres", "-c", statement}) == 0);
  }

 private:
  static std::string program(const char* name) { return std::string(MILLET_POSTGRES_PROGRAMS) + "/" + name; }
  std::string data() const { return folder_ / "data"; }

  // The server refuses to run as root.
  static const passwd* user() { return geteuid() == 0 ? getpwnam("postgres") : nullptr; }
  void own_folder() {
    const passwd* other = user();
    CHECK(geteuid() != 0 || (other != nullptr && chown(folder_.path().c_str(), other->pw_uid, other->pw_gid) == 0));
  }
  pid_t spawn(std::vector<std::string> command) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0) return child;
    setsid();  // an interrupt from the terminal is for the test, not for its server
    const passwd* other = user();
    if (other != nullptr && (setgroups(0, nullptr) != 0 || setgid(other->pw_gid) != 0 || setuid(other->pw_uid) != 0)) _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    int log = open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log < 0 || chdir("/") != 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(126);
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    execv(words[0], words.data());
    _exit(127);
  }
  int run(std::vector<std::string> command) {
    int status = 0;
    pid_t child = spawn(std::move(command));
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TempFolder folder_{TempFolder::memory_base()};
  pid_t server_ = 0;
};

#endif
