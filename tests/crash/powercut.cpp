#include "crash/powercut.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/random.h"
#include "crash/disk_image.h"
#include "unit/temp_folder.h"

namespace millet::crash {
namespace {

constexpr unsigned k_state_seconds_max = 60;  // whoever checks one state for longer hangs
constexpr uint64_t k_stride = 2'147'483'647;  // a prime: visits all systematic states, in no order

// A place where power can be cut: before event `event` is done, with `pending` changes that are not durable.
struct Cut {
  size_t event;
  size_t pending;
  uint64_t first;  // number of its first systematic state
};

enum class Kind : uint8_t { none, all, prefix, single, all_but_one, random };
const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::none: return "none";
    case Kind::all: return "all";
    case Kind::prefix: return "the first";
    case Kind::single: return "only number";
    case Kind::all_but_one: return "all but number";
    case Kind::random: return "a random subset";
  }
  return "";
}

struct State {
  uint64_t number;
  size_t cut;
  Kind kind;
  uint64_t index;  // of the prefix, single or left out change; of a random subset its seed
};

// With n pending changes: none, all, prefixes of 1 to n - 1 (one is a single, too), singles, all but one.
uint64_t systematic_of(size_t pending) {
  if (pending == 0) return 1;
  if (pending == 1) return 2;
  return 2 + (pending - 1) + 2 * uint64_t{pending};
}

class Plan {
 public:
  Plan(const Recorded& recorded, size_t sector_size) {
    Disk disk(sector_size);
    for (size_t i = 0; i <= recorded.events.size(); ++i) {
      bool last = i == recorded.events.size();
      if (last || disk.would_sync(recorded.events[i])) add({i, disk.pending(), systematic_});
      if (!last) disk.apply(recorded.events[i]);
    }
  }
  const std::vector<Cut>& cuts() const { return cuts_; }
  uint64_t systematic() const { return systematic_; }

  // Even numbers are systematic as long as there are any left, odd ones random.
  State state(uint64_t seed, uint64_t number) const {
    uint64_t rank = number / 2;
    if (number % 2 == 0 && rank < systematic_) return systematic_state(number, (rank % systematic_ * k_stride + seed) % systematic_);
    Random random(seed * 0x9e3779b97f4a7c15u + number);
    size_t cut = random.below(cuts_.size());
    return {number, cut, Kind::random, random.next()};
  }

 private:
  void add(const Cut& cut) {
    cuts_.push_back(cut);
    systematic_ += systematic_of(cut.pending);
  }
  State systematic_state(uint64_t number, uint64_t rank) const {
    auto after = std::upper_bound(cuts_.begin(), cuts_.end(), rank, [](uint64_t r, const Cut& cut) { return r < cut.first; });
    size_t cut = static_cast<size_t>(after - cuts_.begin()) - 1;
    uint64_t index = rank - cuts_[cut].first, pending = cuts_[cut].pending;
    if (index == 0) return {number, cut, Kind::none, 0};
    if (index == 1) return {number, cut, Kind::all, 0};
    index -= 2;
    if (index < pending - 1) return {number, cut, Kind::prefix, index + 1};
    index -= pending - 1;
    if (index < pending) return {number, cut, Kind::single, index};
    return {number, cut, Kind::all_but_one, index - pending};
  }

  std::vector<Cut> cuts_;
  uint64_t systematic_ = 0;
};

std::vector<bool> chosen(const State& state, size_t pending) {
  std::vector<bool> out(pending);
  Random random(state.index);
  uint64_t kept_of_16 = 1 + random.below(15);
  for (size_t i = 0; i < pending; ++i) {
    switch (state.kind) {
      case Kind::none: break;
      case Kind::all: out[i] = true; break;
      case Kind::prefix: out[i] = i < state.index; break;
      case Kind::single: out[i] = i == state.index; break;
      case Kind::all_but_one: out[i] = i != state.index; break;
      case Kind::random: out[i] = random.below(16) < kept_of_16; break;
    }
  }
  return out;
}

std::string describe(const State& state, const Cut& cut) {
  std::string text =
      "cut before event " + std::to_string(cut.event) + ", of " + std::to_string(cut.pending) + " changes " + name_of(state.kind);
  bool counted = state.kind == Kind::prefix || state.kind == Kind::single || state.kind == Kind::all_but_one;
  return counted ? text + " " + std::to_string(state.index) : text;
}

// What a child says of one state.
struct Answer {
  bool good;
  char reason[303];
};

class Run {
 public:
  Run(Subject& subject, const PowerCutOptions& options, const Recorded& recorded, const Plan& plan)
      : subject_(subject), options_(options), recorded_(recorded), plan_(plan) {
    for (uint64_t i = 0; i < options.count; ++i) states_.push_back(plan.state(options.seed, options.first + i));
    std::sort(states_.begin(), states_.end(),
              [](const State& a, const State& b) { return a.cut != b.cut ? a.cut < b.cut : a.number < b.number; });
    report_.cuts = plan.cuts().size();
    report_.systematic = plan.systematic();
  }

  // A child looks at one state after the other; when it dies, the next one goes on behind the state that killed it.
  PowerCutReport all() {
    while (next_ < states_.size() && !(options_.stop_at_first && report_.broken != 0)) {
      int ends[2];
      CHECK(pipe(ends) == 0);
      fflush(nullptr);
      pid_t child = fork();
      CHECK(child >= 0);
      if (child == 0) {
        close(ends[0]);
        work_in_child(ends[1]);
      }
      close(ends[1]);
      Answer answer;
      while (next_ < states_.size() && read(ends[0], &answer, sizeof answer) == static_cast<ssize_t>(sizeof answer)) {
        note(answer.good ? "" : answer.reason);
        if (options_.stop_at_first && report_.broken != 0) kill(child, SIGKILL);
      }
      close(ends[0]);
      int status = 0;
      while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
      bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      if (!ended && next_ < states_.size() && !(options_.stop_at_first && report_.broken != 0)) {
        note(WIFSIGNALED(status) ? std::string("the process that opened it died of ") + strsignal(WTERMSIG(status))
                                 : "the process that opened it ended with " + std::to_string(WEXITSTATUS(status)));
      }
    }
    return report_;
  }

 private:
  void note(const std::string& reason) {
    const State& state = states_[next_++];
    ++report_.states;
    const Cut& cut = plan_.cuts()[state.cut];
    if (options_.talk) std::printf("state %llu: %s\n", static_cast<unsigned long long>(state.number), describe(state, cut).c_str());
    if (reason.empty()) return;
    if (report_.broken++ != 0) return;
    report_.first_broken = state.number;
    report_.reason = reason + " (" + describe(state, cut) + ")";
  }

  [[noreturn]] void work_in_child(int out) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);  // a crash is an answer
    Disk disk(options_.sector_size);
    size_t event = 0;
    for (size_t i = next_; i < states_.size(); ++i) {
      const Cut& cut = plan_.cuts()[states_[i].cut];
      while (event < cut.event) disk.apply(recorded_.events[event++]);
      alarm(k_state_seconds_max);
      Status status = disk.image(chosen(states_[i], cut.pending)).write_to(folder_.path());
      if (status) status = subject_.check(folder_.path(), disk.marked());
      Answer answer{status.has_value(), {}};
      if (!status) std::snprintf(answer.reason, sizeof answer.reason, "%s", status.error().reason.c_str());
      if (write(out, &answer, sizeof answer) != static_cast<ssize_t>(sizeof answer)) break;
    }
    _exit(0);
  }

  Subject& subject_;
  const PowerCutOptions& options_;
  const Recorded& recorded_;
  const Plan& plan_;
  std::vector<State> states_;
  size_t next_ = 0;
  PowerCutReport report_;
  TempFolder folder_{TempFolder::memory_base()};  // in it one state at a time
};

// The record against the folder itself: if they differ, the recorder has missed something.
Status compare(const Recorded& recorded, size_t sector_size, const std::string& folder) {
  Disk disk(sector_size);
  for (const Event& event : recorded.events) disk.apply(event);
  Tree tree = disk.image(std::vector<bool>(disk.pending(), true));
  size_t found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    std::string path = entry.path().string().substr(folder.size() + 1);
    auto known = tree.entries.find(path);
    if (known == tree.entries.end()) return error(Errc::conflict, path + " is in the folder, but was not recorded");
    ++found;
    if (!entry.is_regular_file() || entry.path().filename() == k_reader_table) continue;
    FILE* file = fopen(entry.path().c_str(), "rb");
    std::vector<uint8_t> bytes(static_cast<size_t>(entry.file_size()));
    bool whole = file != nullptr && fread(bytes.data(), 1, bytes.size(), file) == bytes.size();
    if (file != nullptr) fclose(file);
    if (!whole || known->second == Tree::k_folder || bytes != tree.files[known->second].bytes) {
      return error(Errc::conflict, path + " has other bytes than were recorded");
    }
  }
  if (found != tree.entries.size()) return error(Errc::conflict, "something was recorded that is not in the folder");
  return ok;
}

}  // namespace

Result<PowerCutReport> cut_power(Subject& subject, const PowerCutOptions& options) {
  TempFolder folder(TempFolder::memory_base()), logs(TempFolder::memory_base());
  std::string log = logs / "writes";
  if (!start_recording(folder.path().c_str(), log.c_str())) return error(Errc::io, "can't record into " + log);
  Status worked = subject.work(folder.path());
  stop_recording();
  TRY(worked);
  TRY_ASSIGN(Recorded recorded, read_recorded(log));
  TRY(compare(recorded, options.sector_size, folder.path()));
  Plan plan(recorded, options.sector_size);
  return Run(subject, options, recorded, plan).all();
}

}  // namespace millet::crash
