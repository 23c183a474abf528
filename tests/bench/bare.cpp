// The floor of a seeder's cost: the cheapest loop that writes the same blocks and headers to peers that ask for them. One read of the
// payload and one sendmsg for each request, no limits, no checks, no choice of whom to serve.
//
//   bare --listen HOST:PORT --torrent FILE --payload FILE
//
// For the bench only: it trusts its peers.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "base/bitfield.h"
#include "codec/metainfo.h"
#include "codec/peer_wire.h"
#include "crypto/hash.h"
#include "hal/linux/address.h"
#include "hal/linux/fd.h"
#include "hal/linux/files.h"
#include "torrent/layout.h"

using namespace millet;

namespace {

constexpr size_t k_handshake = 68;
constexpr size_t k_request = 17;
constexpr size_t k_head = 13;

[[noreturn]] void stop(const std::string& why) {
  fprintf(stderr, "bare: %s\n", why.c_str());
  exit(1);
}

struct Peer {
  hal::Fd fd;
  std::vector<uint8_t> in;
  size_t at = 0;              // of the next message in `in`
  std::vector<uint8_t> rest;  // what the socket has not taken of the last block
  size_t rest_at = 0;
  bool greeted = false;
};

class Bare {
 public:
  Bare(const Endpoint& listen, const Metainfo& metainfo, const std::string& payload) : piece_size_(metainfo.piece_size) {
    payload_ = hal::Fd(::open(payload.c_str(), O_RDONLY | O_CLOEXEC));
    if (!payload_.is_open()) stop("can't open " + payload);
    wire::Handshake hello;
    hello.info_hash = InfoHash::from_bytes(Sha1::of(metainfo.info).bytes());
    wire::encode(hello, greeting_);
    uint32_t pieces = static_cast<uint32_t>((metainfo.files.at(0).size + piece_size_ - 1) / piece_size_);
    Bitfield all(pieces);
    all.set_all();
    wire::encode(wire::BitfieldBits{all.wire()}, greeting_);
    wire::encode(wire::Unchoke{}, greeting_);
    listener_ = hal::Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    int on = 1;
    setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    hal::SocketAddress at = hal::to_system(listen);
    if (bind(listener_.get(), at.raw(), at.size) != 0 || ::listen(listener_.get(), 512) != 0) stop("can't listen at " + listen.to_string());
    epoll_ = hal::Fd(epoll_create1(EPOLL_CLOEXEC));
    watch(EPOLL_CTL_ADD, listener_.get(), EPOLLIN);
  }

  void run() {
    epoll_event events[256];
    for (;;) {
      int count = epoll_wait(epoll_.get(), events, 256, -1);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == listener_.get())
          accept_some();
        else
          serve(events[i].data.fd, events[i].events);
      }
    }
  }

 private:
  void watch(int operation, int fd, uint32_t wanted) {
    epoll_event event = {};
    event.events = wanted;
    event.data.fd = fd;
    epoll_ctl(epoll_.get(), operation, fd, &event);
  }

  void accept_some() {
    for (;;) {
      hal::Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.is_open()) return;
      int on = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(EPOLL_CTL_ADD, fd.get(), EPOLLIN | EPOLLOUT | EPOLLET);
      peers_[fd.get()].fd = std::move(fd);
    }
  }

  void serve(int fd, uint32_t events) {
    auto found = peers_.find(fd);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    if ((events & EPOLLIN) != 0) {
      for (;;) {
        ssize_t got = recv(fd, received_, sizeof received_, 0);
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) {
          peers_.erase(found);
          return;
        }
        peer.in.insert(peer.in.end(), received_, received_ + got);
        if (static_cast<size_t>(got) < sizeof received_) break;
      }
    }
    answer(peer);
  }

  // True if all went out.
  bool put(Peer& peer, const uint8_t* head, size_t head_size, const uint8_t* block, size_t size) {
    iovec parts[2] = {{const_cast<uint8_t*>(head), head_size}, {const_cast<uint8_t*>(block), size}};
    msghdr message = {};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    ssize_t sent = sendmsg(peer.fd.get(), &message, MSG_NOSIGNAL);
    size_t done = sent < 0 ? 0 : static_cast<size_t>(sent);
    if (done == head_size + size) return true;
    peer.rest.clear();
    peer.rest_at = 0;
    if (done < head_size) peer.rest.insert(peer.rest.end(), head + done, head + head_size);
    size_t block_done = done < head_size ? 0 : done - head_size;
    peer.rest.insert(peer.rest.end(), block + block_done, block + size);
    return false;
  }

  bool flush(Peer& peer) {
    if (peer.rest_at == peer.rest.size()) return true;
    ssize_t sent = send(peer.fd.get(), peer.rest.data() + peer.rest_at, peer.rest.size() - peer.rest_at, MSG_NOSIGNAL);
    if (sent > 0) peer.rest_at += static_cast<size_t>(sent);
    return peer.rest_at == peer.rest.size();
  }

  void answer(Peer& peer) {
    if (!flush(peer)) return;
    for (;;) {
      const uint8_t* at = peer.in.data() + peer.at;
      size_t left = peer.in.size() - peer.at;
      if (!peer.greeted) {
        if (left < k_handshake) break;
        peer.greeted = true;
        peer.at += k_handshake;
        if (!put(peer, greeting_.data(), greeting_.size(), nullptr, 0)) break;
        continue;
      }
      if (left < 4 || left < 4 + load_be<uint32_t>(at)) break;
      peer.at += 4 + load_be<uint32_t>(at);
      if (load_be<uint32_t>(at) != k_request - 4 || at[4] != 6) continue;
      uint32_t length = load_be<uint32_t>(at + 13);
      if (length > k_block_size) stop("a request beyond 16 KiB");
      uint8_t head[k_head];
      store_be<uint32_t>(head, length + 9);
      head[4] = 7;
      memcpy(head + 5, at + 5, 8);
      uint64_t offset = uint64_t{load_be<uint32_t>(at + 5)} * piece_size_ + load_be<uint32_t>(at + 9);
      if (pread(payload_.get(), block_, length, static_cast<off_t>(offset)) != static_cast<ssize_t>(length)) stop("can't read the payload");
      if (!put(peer, head, k_head, block_, length)) break;
    }
    if (peer.at == peer.in.size() || peer.at > 64 * 1024) {
      peer.in.erase(peer.in.begin(), peer.in.begin() + static_cast<std::ptrdiff_t>(peer.at));
      peer.at = 0;
    }
  }

  uint32_t piece_size_;
  hal::Fd payload_;
  hal::Fd listener_;
  hal::Fd epoll_;
  std::vector<uint8_t> greeting_;
  std::map<int, Peer> peers_;
  uint8_t received_[64 * 1024];
  uint8_t block_[k_block_size];
};

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  Result<Endpoint> listen = Endpoint::parse(options["--listen"]);
  if (!listen || options["--torrent"].empty() || options["--payload"].empty())
    stop("usage: bare --listen HOST:PORT --torrent FILE --payload FILE");
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  hal::LinuxFiles disk;
  Result<std::vector<uint8_t>> bytes = disk.read_file(options["--torrent"], k_metainfo_size_max);
  if (!bytes) stop(bytes.error().reason);
  Result<Metainfo> metainfo = parse_metainfo(*bytes);
  if (!metainfo) stop(metainfo.error().reason);
  static Bare bare(*listen, *metainfo, options["--payload"]);
  bare.run();
}
