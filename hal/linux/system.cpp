#include "hal/linux/system.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "hal/linux/cpu.h"

namespace millet::hal {
namespace {

// Sockets and files of the largest node that anybody runs; more would only make the kernel's tables grow.
constexpr rlim_t k_open_files_max = 65'536;

void prepare_process() {
  signal(SIGPIPE, SIG_IGN);
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < k_open_files_max) {
    limit.rlim_cur = std::min(limit.rlim_max, k_open_files_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 1);  // the workers allocate little; a pool for each of them is memory for nothing
#endif
}

uv_loop_t* prepared(uv_loop_t* loop) {
  prepare_process();
  return loop;
}

}  // namespace

LinuxSystem::LinuxSystem(LogSink& log, LinuxExecutor::Use use)
    : loop_(clock_), streams_(prepared(loop_.uv()), log), datagrams_(loop_.uv(), log),
      executor_(loop_.uv(), static_cast<int>(uv_available_parallelism()), use), system_{clock_,    random_,   streams_, datagrams_,  files_,
                                                                                        executor_, resolver_, loop_,    detect_cpu()} {}

LinuxSystem::~LinuxSystem() {
  executor_.stop();
  streams_.close_all();
  datagrams_.close();
  loop_.close();
}

void LinuxSystem::run() {
  loop_.run();
  executor_.stop();
}

}  // namespace millet::hal
