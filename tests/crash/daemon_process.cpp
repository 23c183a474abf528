#include "crash/daemon_process.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace millet::crash {
namespace {

constexpr int k_start_seconds_max = 60;

std::string read_from(const std::string& path, size_t offset) {
  std::string text;
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return text;
  fseek(file, static_cast<long>(offset), SEEK_SET);
  char buffer[4096];
  for (size_t size; (size = fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, size);
  fclose(file);
  return text;
}

}  // namespace

std::string DaemonProcess::new_output() const { return read_from(log_, log_size_); }

Status DaemonProcess::start() {
  log_size_ = read_from(log_, 0).size();
  pid_t parent = getpid();
  fflush(nullptr);
  child_ = fork();
  if (child_ < 0) return error(Errc::no_room, "can't start a process");
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // whatever happens to the test
    if (getppid() != parent) _exit(1);
    int log = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(1);
    std::vector<char*> words;
    for (std::string& word : command_) words.push_back(word.data());
    words.push_back(nullptr);
    execv(words[0], words.data());
    _exit(127);
  }
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(k_start_seconds_max);
  for (;;) {
    std::string output = new_output();
    size_t ready = output.find("event=ready");
    if (ready != std::string::npos && output.find('\n', ready) != std::string::npos) {
      size_t colon = output.find(':', output.find("listen=", ready));
      port_ = static_cast<uint16_t>(std::atoi(output.c_str() + colon + 1));
      return ok;
    }
    int status = 0;
    bool ended = waitpid(child_, &status, WNOHANG) == child_;
    if (ended) child_ = -1;
    if (ended || std::chrono::steady_clock::now() > deadline) return error(Errc::io, command_[0] + " does not serve: " + new_output());
    usleep(2000);
  }
}

void DaemonProcess::kill() {
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  child_ = -1;
}

Status DaemonProcess::stop() {
  ::kill(child_, SIGTERM);
  int status = 0;
  waitpid(child_, &status, 0);
  child_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return error(Errc::io, command_[0] + " did not end well: " + new_output());
  return ok;
}

}  // namespace millet::crash
