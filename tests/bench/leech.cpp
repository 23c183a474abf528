// Loads a seeder over TCP: requests blocks as fast as they come, over a number of connections with a source address of its own each, and
// says what the seeder needed for it. It stores nothing.
//
//   leech --to HOST:PORT --torrent FILE [--connections 1] [--pipeline 250] [--seconds 5] [--bytes N] [--source 127.1.0.1]
//         [--check FILE] [--seeder PID] [--wait 20] [--idle yes]
//
// It ends after so many seconds or bytes, whichever comes first. With --idle its peers are connected and want nothing. One line of JSON
// goes to standard output. Time and the seeder's CPU are counted from the first block. --check compares every 64th block with the payload
// of a single-file torrent. Exit 1: nothing was served, or a block was wrong.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "codec/metainfo.h"
#include "codec/peer_wire.h"
#include "crypto/hash.h"
#include "hal/linux/address.h"
#include "hal/linux/clock.h"
#include "hal/linux/fd.h"
#include "hal/linux/files.h"
#include "hal/linux/random.h"
#include "torrent/layout.h"

using namespace millet;

namespace {

struct Options {
  Endpoint to;
  std::string torrent;
  std::string check;
  IpAddress source = *IpAddress::parse("127.1.0.1");
  uint32_t connections = 1;
  uint32_t pipeline = 250;  // libtorrent asks for as many
  uint64_t bytes = 0;
  uint32_t seconds = 5;
  uint32_t wait_seconds = 20;
  int seeder = 0;
  bool idle = false;
};

[[noreturn]] void stop(const std::string& why) {
  fprintf(stderr, "leech: %s\n", why.c_str());
  exit(1);
}

uint64_t number(const char* text) {
  char* end = nullptr;
  uint64_t value = strtoull(text, &end, 10);
  if (*text == 0 || *end != 0) stop(std::string("'") + text + "' is not a number");
  return value;
}

Options parse_options(int argc, char** argv) {
  Options out;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--to") {
      Result<Endpoint> to = Endpoint::parse(value);
      if (!to) stop(to.error().reason);
      out.to = *to;
    } else if (name == "--source") {
      Result<IpAddress> source = IpAddress::parse(value);
      if (!source || !source->is_v4()) stop("--source takes an IPv4 address");
      out.source = *source;
    } else if (name == "--torrent") {
      out.torrent = value;
    } else if (name == "--check") {
      out.check = value;
    } else if (name == "--connections") {
      out.connections = static_cast<uint32_t>(number(value));
    } else if (name == "--pipeline") {
      out.pipeline = static_cast<uint32_t>(number(value));
    } else if (name == "--bytes") {
      out.bytes = number(value);
    } else if (name == "--seconds") {
      out.seconds = static_cast<uint32_t>(number(value));
    } else if (name == "--wait") {
      out.wait_seconds = static_cast<uint32_t>(number(value));
    } else if (name == "--idle") {
      out.idle = true;
    } else if (name == "--seeder") {
      out.seeder = static_cast<int>(number(value));
    } else {
      stop("unknown option " + name);
    }
  }
  if (argc % 2 == 0 || out.torrent.empty() || out.to.port == 0) stop("usage: leech --to HOST:PORT --torrent FILE [options]");
  return out;
}

// The i-th address after the first.
IpAddress address_after(const IpAddress& first, uint32_t i) {
  std::array<uint8_t, 4> raw{};
  uint32_t value = load_be<uint32_t>(first.raw().data()) + i;
  store_be(raw.data(), value);
  return IpAddress::v4(raw);
}

double cpu_seconds_of(int pid) {
  std::string path = "/proc/" + std::to_string(pid) + "/stat";
  FILE* file = fopen(path.c_str(), "r");
  if (file == nullptr) return 0;
  char text[2048] = {};
  size_t got = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  std::string line(text, got);
  size_t at = line.rfind(')');
  unsigned long user = 0;
  unsigned long system = 0;
  if (at == std::string::npos ||
      sscanf(line.c_str() + at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
    return 0;
  }
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// A value of /proc/PID/smaps_rollup in KiB: counted page by page, where the sums of /proc/PID/status are estimates.
uint64_t memory_of(int pid, const char* key) {
  std::string path = "/proc/" + std::to_string(pid) + "/smaps_rollup";
  FILE* file = fopen(path.c_str(), "r");
  if (file == nullptr) return 0;
  char line[256];
  uint64_t value = 0;
  while (fgets(line, sizeof line, file) != nullptr) {
    if (strncmp(line, key, strlen(key)) == 0) value = strtoull(line + strlen(key), nullptr, 10);
  }
  fclose(file);
  return value;
}

double own_cpu_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Leech {
 public:
  Leech(const Options& options, const Metainfo& metainfo) : options_(options), metainfo_(metainfo), received_(256 * 1024) {
    std::vector<uint64_t> sizes;
    for (const MetainfoFile& file : metainfo.files) sizes.push_back(file.size);
    Result<PieceLayout> layout = PieceLayout::make(metainfo.piece_size, sizes);
    if (!layout) stop(layout.error().reason);
    layout_ = *layout;
    epoll_ = hal::Fd(epoll_create1(EPOLL_CLOEXEC));
    if (!options.check.empty()) {
      auto file = files_.open(".", options.check, hal::OpenMode::read);
      if (options.check[0] == '/') file = files_.open("/", options.check.substr(1), hal::OpenMode::read);
      if (!file) stop(file.error().reason);
      payload_ = std::move(*file);
    }
  }

  void run() {
    for (uint32_t i = 0; i < options_.connections; ++i) open(i);
    Instant begin = clock_.now();
    Instant waiting_ends = begin + Duration::seconds(options_.wait_seconds);
    started_ = begin;
    for (;;) {
      Instant now = clock_.now();
      if (bytes_ == 0 && !options_.idle && now > waiting_ends) break;
      if (options_.idle && now - begin >= Duration::seconds(options_.seconds)) break;
      look_at_memory(now);
      if (bytes_ != 0 && now - first_ >= Duration::seconds(options_.seconds)) break;
      if (options_.bytes != 0 && bytes_ >= options_.bytes) break;
      epoll_event events[256];
      int count = epoll_wait(epoll_.get(), events, 256, 100);
      for (int i = 0; i < count; ++i) handle(events[i]);
      if (open_ == 0) break;
    }
    last_ = clock_.now();
    looked_ = Instant();
    look_at_memory(last_);
  }

  // False if nothing came or something was wrong.
  bool report() const {
    double seconds = static_cast<double>((last_ - first_).in_us()) / 1e6;
    double gib = static_cast<double>(bytes_) / (1024.0 * 1024 * 1024);
    uint32_t served = 0;
    for (const auto& peer : peers_) served += peer->bytes != 0 ? 1 : 0;
    printf(
        "{\"connections\": %u, \"served\": %u, \"bytes\": %llu, \"seconds\": %.3f, \"mb_per_s\": %.1f, \"first_block_s\": %.3f, "
        "\"checked\": %llu, \"wrong\": %llu, \"leech_cpu_s_per_gib\": %.3f",
        options_.connections, served, static_cast<unsigned long long>(bytes_), seconds,
        bytes_ == 0 ? 0 : static_cast<double>(bytes_) / 1e6 / seconds, static_cast<double>((first_ - started_).in_us()) / 1e6,
        static_cast<unsigned long long>(checked_), static_cast<unsigned long long>(wrong_),
        bytes_ == 0 ? 0 : (own_cpu_seconds() - own_cpu_before_) / gib);
    if (options_.seeder != 0 && bytes_ != 0) {
      printf(", \"seeder_cpu_s_per_gib\": %.3f, \"seeder_rss_peak_kib\": %llu, \"seeder_anon_peak_kib\": %llu",
             (cpu_seconds_of(options_.seeder) - seeder_cpu_before_) / gib, static_cast<unsigned long long>(rss_peak_),
             static_cast<unsigned long long>(anon_peak_));
    }
    printf("}\n");
    return bytes_ != 0 && wrong_ == 0;
  }

 private:
  struct Peer {
    hal::Fd fd;
    wire::Reader reader;
    std::vector<uint8_t> out;
    std::vector<uint8_t> block;  // of a block that is checked
    bool shook_hands = false;
    bool choked = true;
    uint32_t outstanding = 0;
    uint32_t piece = 0;  // the next to request
    uint32_t begin = 0;
    uint64_t bytes = 0;
    uint64_t blocks = 0;
  };

  // Four times a second: reading the figures costs the seeder a little.
  void look_at_memory(Instant now) {
    if (options_.seeder == 0 || now - looked_ < Duration::ms(250)) return;
    looked_ = now;
    rss_peak_ = std::max(rss_peak_, memory_of(options_.seeder, "Rss:"));
    anon_peak_ = std::max(anon_peak_, memory_of(options_.seeder, "Anonymous:"));
  }

  void open(uint32_t i) {
    auto peer = std::make_unique<Peer>();
    peer->fd = hal::Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    hal::SocketAddress from = hal::to_system({address_after(options_.source, i), 0});
    hal::SocketAddress to = hal::to_system(options_.to);
    int on = 1;
    setsockopt(peer->fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(peer->fd.get(), from.raw(), from.size) != 0) stop("can't bind " + address_after(options_.source, i).to_string());
    if (connect(peer->fd.get(), to.raw(), to.size) != 0 && errno != EINPROGRESS) stop("can't connect");
    wire::Handshake hello;
    hello.info_hash = InfoHash::from_bytes(Sha1::of(metainfo_.info).bytes());
    random_.fill(hello.peer_id.raw);
    wire::encode(hello, peer->out);
    if (!options_.idle) wire::encode(wire::Interested{}, peer->out);
    peer->reader.set_piece_count(layout_.piece_count());
    peer->piece = static_cast<uint32_t>(uint64_t{layout_.piece_count()} * i / options_.connections);
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT;
    event.data.u32 = i;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, peer->fd.get(), &event);
    peers_.push_back(std::move(peer));
    ++open_;
  }

  void watch(uint32_t index, uint32_t events) {
    epoll_event event = {};
    event.events = events;
    event.data.u32 = index;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peers_[index]->fd.get(), &event);
  }

  void close_peer(Peer& peer) {
    peer.fd.reset();
    --open_;
  }

  void handle(const epoll_event& event) {
    Peer& peer = *peers_[event.data.u32];
    if (!peer.fd.is_open()) return;
    if ((event.events & EPOLLOUT) != 0) flush(event.data.u32, true);
    if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0) return;
    ssize_t got = recv(peer.fd.get(), received_.data(), received_.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return close_peer(peer);
    peer.reader.feed(Bytes(received_).first(static_cast<size_t>(got)));
    if (!read_messages(peer)) return close_peer(peer);
    request(peer);
    flush(event.data.u32, false);
  }

  void flush(uint32_t index, bool was_watched) {
    Peer& peer = *peers_[index];
    if (!peer.out.empty()) {
      ssize_t put = send(peer.fd.get(), peer.out.data(), peer.out.size(), MSG_NOSIGNAL);
      if (put > 0) peer.out.erase(peer.out.begin(), peer.out.begin() + put);
    }
    if (!peer.out.empty() && !was_watched) watch(index, EPOLLIN | EPOLLOUT);
    if (peer.out.empty() && was_watched) watch(index, EPOLLIN);
  }

  bool read_messages(Peer& peer) {
    if (!peer.shook_hands) {
      wire::Handshake theirs;
      Result<bool> got = peer.reader.next_handshake(theirs);
      if (!got || !*got) return got.has_value();
      peer.shook_hands = true;
    }
    wire::Message message;
    for (;;) {
      Result<bool> got = peer.reader.next(message);
      if (!got) fprintf(stderr, "leech: %s\n", got.error().reason.c_str());
      if (!got || !*got) return got.has_value();
      if (std::holds_alternative<wire::Choke>(message)) peer.choked = true;
      if (std::holds_alternative<wire::Unchoke>(message)) peer.choked = false;
      if (std::holds_alternative<wire::Reject>(message)) --peer.outstanding;
      if (const auto* slice = std::get_if<wire::PieceSlice>(&message)) on_slice(peer, *slice);
    }
  }

  void on_slice(Peer& peer, const wire::PieceSlice& slice) {
    if (bytes_ == 0) {
      first_ = clock_.now();
      own_cpu_before_ = own_cpu_seconds();
      if (options_.seeder != 0) seeder_cpu_before_ = cpu_seconds_of(options_.seeder);
    }
    bytes_ += slice.data.size();
    peer.bytes += slice.data.size();
    bool compare = payload_ != nullptr && peer.blocks % 64 == 0;
    if (compare) {
      peer.block.resize(slice.range.length);
      std::copy(slice.data.begin(), slice.data.end(), peer.block.begin() + slice.offset);
    }
    if (!slice.is_last()) return;
    --peer.outstanding;
    ++peer.blocks;
    if (!compare) return;
    std::vector<uint8_t> expected(slice.range.length);
    Result<size_t> got = payload_->read_at(uint64_t{slice.range.piece} * metainfo_.piece_size + slice.range.begin, expected);
    ++checked_;
    if (!got || *got != expected.size() || expected != peer.block) ++wrong_;
  }

  void request(Peer& peer) {
    if (peer.choked) return;
    while (peer.outstanding < options_.pipeline) {
      uint32_t length = std::min(k_block_size, layout_.piece_size(peer.piece) - peer.begin);
      wire::encode(wire::Request{{peer.piece, peer.begin, length}}, peer.out);
      ++peer.outstanding;
      peer.begin += length;
      if (peer.begin < layout_.piece_size(peer.piece)) continue;
      peer.begin = 0;
      peer.piece = (peer.piece + 1) % layout_.piece_count();
    }
  }

  const Options& options_;
  const Metainfo& metainfo_;
  PieceLayout layout_;
  hal::LinuxFiles files_;
  hal::LinuxClock clock_;
  hal::LinuxRandom random_;
  hal::Fd epoll_;
  std::unique_ptr<hal::File> payload_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<uint8_t> received_;
  uint32_t open_ = 0;
  uint64_t bytes_ = 0;
  uint64_t checked_ = 0;
  uint64_t wrong_ = 0;
  Instant started_;
  Instant first_;
  Instant last_;
  Instant looked_;
  uint64_t rss_peak_ = 0;
  uint64_t anon_peak_ = 0;
  double own_cpu_before_ = 0;
  double seeder_cpu_before_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options = parse_options(argc, argv);
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  hal::LinuxFiles disk;
  Result<std::vector<uint8_t>> bytes = disk.read_file(options.torrent, k_metainfo_size_max);
  if (!bytes) stop(bytes.error().reason);
  Result<Metainfo> metainfo = parse_metainfo(*bytes);
  if (!metainfo) stop(metainfo.error().reason);
  Leech leech(options, *metainfo);
  leech.run();
  return leech.report() ? 0 : 1;
}
