// .torrent files and tracker replies: what is accepted holds what their headers promise.
#include "base/utf8.h"
#include "codec/metainfo.h"
#include "codec/tracker.h"
#include "fuzz/fuzz.h"
#include "torrent/layout.h"

using namespace millet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  if (Result<AnnounceReply> reply = parse_announce_reply(input)) {
    CHECK(reply->peers.size() <= k_tracker_peers_max);
    for (const Endpoint& peer : reply->peers) CHECK(peer.port != 0 && !peer.address.is_unusable());
  }
  Result<Metainfo> metainfo = parse_metainfo(input);
  if (!metainfo) return 0;
  std::vector<uint64_t> sizes;
  for (const MetainfoFile& file : metainfo->files) {
    CHECK(is_utf8(file.path) && file.path.compare(0, metainfo->name.size(), metainfo->name) == 0);
    CHECK(("/" + file.path + "/").find("/../") == std::string::npos && ("/" + file.path + "/").find("//") == std::string::npos);
    sizes.push_back(file.size);
  }
  Result<PieceLayout> layout = PieceLayout::make(metainfo->piece_size, sizes);
  CHECK(layout && layout->piece_count() == metainfo->piece_count() && layout->total_size() == metainfo->total_size);
  CHECK(metainfo->info.data() >= data && metainfo->info.data() + metainfo->info.size() <= data + size);
  return 0;
}

std::vector<std::string> fuzz_samples() {
  const std::string hash(20, 'h');
  // Path components that are one bit from "..".
  return {
      "d8:announce8:http://a13:announce-listll8:http://bel8:http://"
      "cee4:infod5:filesld6:lengthi5e4:pathl2:.,2:,.eed6:lengthi0e4:pathl2:.,2:.,2:.,eee4:name1:n12:piece "
      "lengthi16384e6:pieces20:" +
          hash + "7:privatei1eee",
      "d4:infod6:lengthi16385e4:name1:n10:name.utf-81:m12:piece lengthi16384e6:pieces40:" + hash + hash + "ee",
      "d8:completei3e10:incompletei4e8:intervali1800e12:min intervali60e5:peers6:\x0a\x01\x01\x01\x1a\xe1"
      "6:peers60:10:tracker id3:abce",
      "d8:intervali900e5:peersld2:ip8:10.0.0.14:porti6881eee15:warning message4:slowe", "d14:failure reason3:whye"};
}
