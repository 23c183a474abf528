// Torrents made from a seed: payload, .torrent file, info hash.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "hal/sim/disk.h"

namespace millet::simtest {

struct PayloadOptions {
  std::string name = "payload";
  uint64_t size = 512 * 1024;
  uint32_t piece_size = 32 * 1024;
  uint32_t files = 1;  // more than one: a folder; their sizes are drawn, some empty
  std::string tracker_url;
};

struct Payload {
  struct File {
    std::string path;  // below the payload's root
    std::vector<uint8_t> bytes;
  };
  std::vector<File> files;
  std::vector<uint8_t> all;  // all files one after another: what pieces are made of
  uint64_t size = 0;
  uint32_t piece_size = 0;
  std::vector<uint8_t> metainfo;
  InfoHash info_hash;

  uint32_t piece_count() const { return static_cast<uint32_t>((size + piece_size - 1) / piece_size); }
  void install(sim::Disk& disk, const std::string& root) const;
  // Whether every file is on the disk, whole and right. Nothing: yes; else what is wrong.
  std::string difference(const sim::Disk& disk, const std::string& root) const;
};

Payload make_payload(const PayloadOptions& options, Random random);

}  // namespace millet::simtest
