// Messages of BitTorrent Speed: what is accepted is written back as the bytes that it was read from, and has a line for the log.
#include "fuzz/fuzz.h"
#include "speed/messages.h"

using namespace millet;
using namespace millet::speed;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  Result<Message> message = decode(input);
  if (!message || std::holds_alternative<std::monostate>(*message)) return 0;
  CHECK(equal(encode(*message), input));
  CHECK(!describe(*message).empty());
  return 0;
}

std::vector<std::string> fuzz_samples() {
  std::vector<std::string> out;
  auto add = [&](const Message& message) { out.emplace_back(as_text(encode(message))); };
  add(BidMessage());
  add(RateMessage());
  add(ChannelMessage());
  add(PayMessage());
  add(AckMessage());
  add(ResumeMessage());
  add(CloseMessage());
  add(StopMessage());
  add(HelloMessage());
  add(ProveMessage());
  add(FundsMessage());
  add(HoldMessage());
  add(AcceptMessage());
  return out;
}
