// Whole uTP connections: the input is a script of what the network and the owners do. Whatever it says, the engines neither crash nor loop,
// their memory stays bounded, and as long as nobody forged a packet the streams carry what was sent.
#include <algorithm>
#include <deque>

#include "fuzz/fuzz.h"
#include "swarm/utp.h"

using namespace millet;

namespace {

constexpr size_t k_memory_max = 1 << 20;
constexpr unsigned k_runs_max = 5000;  // that one input may set off

class FixedRandom : public SecureRandom {
 public:
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.next());
  }

 private:
  Random random_{1};
};

uint8_t pattern(uint64_t offset) { return static_cast<uint8_t>(offset * 31 >> 3 ^ offset); }

UtpOptions options() {
  UtpOptions out;
  out.connections_max = 8;
  out.reassembly_max = 256 * 1024;
  out.window = 64 * 1024;
  return out;
}

struct End {
  FixedRandom secure;
  Utp engine{options(), secure, 1};
  Endpoint address;
  std::vector<UtpId> streams;
  std::deque<std::vector<uint8_t>> inbox;  // on their way to here
  uint64_t received = 0;
  uint64_t offered = 0;
  bool wrong = false;
};

struct Script {
  Bytes input;
  size_t at = 0;
  Instant now = Instant::from_us(1'000'000);
  End ends[2];
  bool forged = false;
  size_t streams = 0;
  std::vector<UtpId> closing;

  bool is_closing(UtpId stream) const { return std::find(closing.begin(), closing.end(), stream) != closing.end(); }
  bool done() const { return at >= input.size(); }
  uint8_t next() { return done() ? 0 : input[at++]; }

  void pump(End& end, End& other) {
    take(end);
    UtpRun run;
    std::vector<uint8_t> slab;
    for (unsigned i = 0; end.engine.plan(now, run); ++i) {
      CHECK(i < k_runs_max && run.count != 0 && run.size() <= UtpRun::k_size_max);
      slab.assign(run.size(), 0);
      for (size_t j = 0; run.has_payload && j < run.count; ++j) {
        for (size_t k = 0; k < run.segments[j].size; ++k)
          slab[j * run.packet_size + k_utp_header_size + k] = pattern(run.segments[j].offset + k);
        CHECK(run.segments[j].offset + run.segments[j].size <= end.offered);
      }
      end.engine.commit(now, run, slab);
      for (size_t j = 0; j < run.count; ++j) {
        size_t size = j + 1u == run.count ? run.last_size : run.packet_size;
        if (other.inbox.size() < 500) other.inbox.emplace_back(slab.data() + j * run.packet_size, slab.data() + j * run.packet_size + size);
      }
    }
    CHECK(end.engine.memory() < k_memory_max);
  }
  void take(End& end) {
    UtpEvent event;
    for (unsigned i = 0; end.engine.poll(now, event); ++i) {
      CHECK(i < k_runs_max);
      if (event.kind == UtpEvent::Kind::accepted) end.streams.push_back(event.stream);
      if (event.kind == UtpEvent::Kind::closed) std::erase(end.streams, event.stream);
      if (event.kind != UtpEvent::Kind::received) continue;
      for (uint8_t byte : event.bytes) end.wrong = end.wrong || byte != pattern(end.received++);
    }
  }
  void deliver(End& end, End& other, std::vector<uint8_t> packet) {
    end.engine.on_datagram(now, other.address, packet);
    pump(end, other);
  }
  void step(End& end, End& other);
  void forge(End& end, End& other);
  void run();
};

// A packet out of the script's own bytes, or a real one with a field changed.
void Script::forge(End& end, End& other) {
  forged = true;
  std::vector<uint8_t> packet;
  if (!end.inbox.empty() && (next() & 1) != 0) {
    packet = end.inbox.front();
    packet[next() % packet.size()] = next();
  } else {
    size_t size = next() % 64;
    for (size_t i = 0; i < size; ++i) packet.push_back(next());
    if (!packet.empty()) packet[0] = static_cast<uint8_t>((packet[0] % 5) << 4 | 1);
  }
  deliver(end, other, std::move(packet));
}

void Script::step(End& end, End& other) {
  UtpId stream = end.streams.empty() ? 0 : end.streams[next() % end.streams.size()];
  switch (next() % 14) {
    case 0:
    case 1:
    case 2:
      for (unsigned i = next() % 32; !end.inbox.empty(); --i) {
        std::vector<uint8_t> packet = std::move(end.inbox.front());
        end.inbox.pop_front();
        deliver(end, other, std::move(packet));
        if (i == 0) break;
      }
      return;
    case 3:  // lost
      if (!end.inbox.empty()) end.inbox.pop_front();
      return;
    case 4:  // overtaken, or twice
      if (!end.inbox.empty()) deliver(end, other, end.inbox[next() % end.inbox.size()]);
      return;
    case 5:
    case 6: now = now + Duration::ms(int64_t{next()} * (next() % 32 == 0 ? 100 : 1)); return;
    case 7:
      if (streams == 0) {
        ++streams;
        Result<UtpId> id = end.engine.connect(now, other.address);
        CHECK(id.has_value());
        end.streams.push_back(*id);
      }
      return;
    case 8:
      if (stream != 0 && !is_closing(stream)) {
        uint64_t bytes = uint64_t{next()} * 64 + 1;
        end.offered += bytes;
        end.engine.offer(now, stream, bytes);
      }
      return;
    case 9: end.engine.set_reading(now, stream, (next() & 1) != 0); return;
    case 10: forge(end, other); return;
    case 11:
      if (next() % 8 == 0) {
        closing.push_back(stream);
        end.engine.close(now, stream);
      }
      return;
    case 12:
      if (next() % 16 == 0) {
        std::erase(end.streams, stream);
        end.engine.abandon(now, stream);
      }
      return;
    default:
      if ((next() & 1) != 0)
        end.engine.stall(stream);
      else
        end.engine.resume(now, stream);
  }
}

void Script::run() {
  ends[0].address = {IpAddress::v4({10, 0, 0, 1}), 1};
  ends[1].address = {IpAddress::v4({10, 0, 0, 2}), 2};
  while (!done()) {
    unsigned who = next() & 1;
    step(ends[who], ends[1 - who]);
    for (unsigned i : {0u, 1u}) {
      if (ends[i].engine.next_deadline() <= now) ends[i].engine.on_timer(now);
      CHECK(ends[i].engine.next_deadline() > now);
      pump(ends[i], ends[1 - i]);
    }
  }
  if (forged) return;
  for (unsigned i : {0u, 1u}) CHECK(!ends[i].wrong && ends[i].received <= ends[1 - i].offered);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script;
  script.input = Bytes(data, std::min<size_t>(size, 2048));
  script.run();
  return 0;
}

std::vector<std::string> fuzz_samples() {
  Random random(7);
  std::vector<std::string> out;
  for (int i = 0; i < 8; ++i) {
    // connect, the handshake there and back, and a mix.
    std::string script = {0, 7, 1, 0, 5, 0, 0, 5, 0, 0, 8, 100, 1, 0, 5};
    for (int j = 0; j < 300; ++j) script += static_cast<char>(random.below(256));
    out.push_back(script);
  }
  return out;
}
