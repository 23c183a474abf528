// Announce replies of trackers: what is accepted names peers that can be dialled, within the bounds that the header gives.
#include "codec/tracker.h"
#include "fuzz/fuzz.h"

using namespace millet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Result<AnnounceReply> reply = parse_announce_reply(Bytes(data, size));
  if (!reply) return 0;
  CHECK(!reply->failure || reply->peers.empty());
  if (reply->interval_s) CHECK(*reply->interval_s <= k_tracker_interval_max_s);
  for (const Endpoint& peer : reply->peers) CHECK(peer.port != 0);
  return 0;
}

std::vector<std::string> fuzz_samples() {
  return {
      "d8:completei3e10:incompletei1e8:intervali1800e12:min intervali60e5:peers12:\x0a\x01\x02\x03\x1a\xe1\x0a\x01\x02\x04\x1a\xe2"
      "6:peers618:\x20\x01\x0d\xb8zzzzzzzzzzzz\x1a\xe1"
      "10:tracker id2:id15:warning message3:abce",
      "d14:failure reason4:go !e",
      "d8:intervali60e5:peersld2:ip9:192.0.2.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881eed2:ip11:2001:db8::14:porti1eeee"};
}
