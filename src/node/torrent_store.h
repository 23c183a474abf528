// What the store keeps of torrents: four tables by info hash.
//
//   torrent    info_hash -> settings: 1:u8 flags:u8 root peers budget max_rate reserve (torrent_store.cpp draws it)
//   metainfo   info_hash -> the .torrent file
//   resume     info_hash -> ResumeRecord (torrent/resume_record.h)
//   files      info_hash index:u32 -> file states (torrent/resume_record.h)
#pragma once

#include "node/core.h"
#include "node/persistence.h"

namespace millet {

class TorrentStore {
 public:
  TorrentStore(Core& core, Persistence& persistence) : core_(core), persistence_(persistence) {}

  // A torrent as it is in the store, before its files have been looked at. Errors: bad_input, io, with the torrent's hash.
  Result<std::vector<std::unique_ptr<Torrent>>> load(StoreTransaction& state);
  // A torrent from a .torrent file. Errors: those of parse_metainfo.
  Result<std::unique_ptr<Torrent>> make(Bytes metainfo);

  void save_new(const Torrent& torrent, Bytes metainfo);
  void save_settings(const Torrent& torrent);
  // The resume record and the file states that changed; the sequence of their commit.
  uint64_t save_resume(Torrent& torrent);
  void erase(const Torrent& torrent);

 private:
  Core& core_;
  Persistence& persistence_;
};

}  // namespace millet
