#include "node/torrent_store.h"

#include "codec/metainfo.h"
#include "torrent/info_hash.h"

namespace millet {
namespace {

constexpr const char* k_torrent_table = "torrent";
constexpr const char* k_metainfo_table = "metainfo";
constexpr const char* k_resume_table = "resume";
constexpr const char* k_files_table = "files";

// settings   1:u8 flags:u8 root_size:u16 root peer_count:u8 { v6:u8 address:4|16 port:u16 }[] [budget:u64] [max_rate:u64] [reserve:u64]
//            flags: 1 paused, 2 budget follows, 4 max_rate follows, 8 speed is set, 16 it is set to on, 32 seed, 64 reserve follows
constexpr uint8_t k_version = 1;
constexpr size_t k_user_peers_max = 64;

std::vector<uint8_t> key_of(const InfoHash& hash) { return {hash.raw.begin(), hash.raw.end()}; }

std::vector<uint8_t> files_key(const InfoHash& hash, uint32_t index) {
  std::vector<uint8_t> key = key_of(hash);
  ByteWriter(key).u32(index);
  return key;
}

std::vector<uint8_t> encode_settings(const Torrent& torrent) {
  std::vector<uint8_t> out;
  ByteWriter writer(out);
  uint8_t flags = static_cast<uint8_t>((torrent.paused ? 1 : 0) | (torrent.budget ? 2 : 0) | (torrent.max_rate ? 4 : 0) |
                                       (torrent.speed_enabled ? 8 : 0) | (torrent.speed_enabled.value_or(false) ? 16 : 0) |
                                       (torrent.seed ? 32 : 0) | (torrent.reserve ? 64 : 0));
  writer.u8(k_version).u8(flags).u16(static_cast<uint16_t>(torrent.root.size())).text(torrent.root);
  size_t peers = std::min(torrent.user_peers.size(), k_user_peers_max);
  writer.u8(static_cast<uint8_t>(peers));
  for (size_t i = 0; i < peers; ++i) {
    const Endpoint& peer = torrent.user_peers[i];
    writer.u8(peer.address.is_v4() ? 0 : 1).bytes(peer.address.raw()).u16(peer.port);
  }
  if (torrent.budget) writer.u64(torrent.budget->in_micro());
  if (torrent.max_rate) writer.u64(torrent.max_rate->in_pico_per_byte());
  if (torrent.reserve) writer.u64(torrent.reserve->in_pico_per_byte());
  return out;
}

Status decode_settings(Bytes bytes, Torrent& torrent) {
  ByteReader reader(bytes);
  if (reader.u8() != k_version) return error(Errc::bad_input, "settings of an unknown version");
  uint8_t flags = reader.u8();
  torrent.paused = (flags & 1) != 0;
  torrent.seed = (flags & 32) != 0;
  torrent.root = std::string(as_text(reader.take(reader.u16())));
  for (uint8_t left = reader.u8(); left > 0; --left) {
    bool v6 = reader.u8() != 0;
    IpAddress address = v6 ? IpAddress::v6(reader.array<16>()) : IpAddress::v4(reader.array<4>());
    torrent.user_peers.push_back({address, reader.u16()});
  }
  if (flags & 2) {
    TRY_ASSIGN(torrent.budget, Amount::from_micro(reader.u64()));
  }
  if (flags & 4) {
    TRY_ASSIGN(torrent.max_rate, Rate::from_pico_per_byte(reader.u64()));
  }
  if (flags & 64) {
    TRY_ASSIGN(torrent.reserve, Rate::from_pico_per_byte(reader.u64()));
  }
  if (flags & 8) torrent.speed_enabled = (flags & 16) != 0;
  if (!reader.done()) return error(Errc::bad_input, "settings of the wrong size");
  return ok;
}

Status load_resume(StoreTransaction& state, Torrent& torrent) {
  TRY_ASSIGN(std::optional<Bytes> bytes, state.get(k_resume_table, torrent.info_hash.bytes()));
  if (!bytes) return ok;
  TRY_ASSIGN(ResumeRecord record, decode_resume(*bytes, torrent.layout.piece_count()));
  torrent.has_record = true;
  torrent.seed = torrent.seed || record.seed;
  torrent.counters = torrent.counters_committed = record.counters;
  torrent.earned_before = record.counters.earned;
  torrent.resume = ResumeState(record.have);
  for (uint32_t piece : record.leased) torrent.resume.lease(piece);
  for (uint32_t i = 0; i < file_record_count(torrent.files.size()); ++i) {
    TRY_ASSIGN(std::optional<Bytes> states, state.get(k_files_table, files_key(torrent.info_hash, i)));
    if (states) TRY(decode_files(*states, i, torrent.files_committed));
  }
  return ok;
}

}  // namespace

Result<std::unique_ptr<Torrent>> TorrentStore::make(Bytes metainfo) {
  TRY_ASSIGN(Metainfo info, parse_metainfo(metainfo));
  std::vector<uint64_t> sizes;
  for (const MetainfoFile& file : info.files) sizes.push_back(file.size);
  TRY_ASSIGN(PieceLayout layout, PieceLayout::make(info.piece_size, sizes));
  auto torrent = std::make_unique<Torrent>(info.tracker_tiers, core_.random);
  torrent->info_hash = info_hash_of(info);
  torrent->name = std::move(info.name);
  for (MetainfoFile& file : info.files) torrent->files.push_back({std::move(file.path), file.size});
  torrent->layout = std::move(layout);
  torrent->piece_hashes = std::move(info.piece_hashes);
  torrent->piece_hashes.shrink_to_fit();
  torrent->is_private = info.is_private;
  torrent->have = Bitfield(torrent->layout.piece_count());
  torrent->resume = ResumeState(torrent->have);
  torrent->files_committed.resize(torrent->files.size());
  torrent->key = static_cast<uint32_t>(core_.random.next());
  return torrent;
}

Result<std::vector<std::unique_ptr<Torrent>>> TorrentStore::load(StoreTransaction& state) {
  std::vector<std::unique_ptr<Torrent>> out;
  std::vector<uint8_t> from;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, state.seek(k_torrent_table, from));
    if (!entry) return out;
    if (entry->key.size() != InfoHash::k_size) return error(Errc::bad_input, "the state has a torrent with a wrong key");
    InfoHash hash = InfoHash::from_bytes(entry->key);
    std::vector<uint8_t> settings(entry->value.begin(), entry->value.end());
    TRY_ASSIGN(std::optional<Bytes> metainfo, state.get(k_metainfo_table, hash.bytes()));
    if (!metainfo) return error(Errc::bad_input, "the state lacks the metainfo of torrent " + hash.hex());
    Result<std::unique_ptr<Torrent>> made = make(*metainfo);
    if (!made) return std::move(made).error().in("torrent " + hash.hex() + " in the state");
    Torrent& torrent = **made;
    if (torrent.info_hash != hash) return error(Errc::bad_input, "torrent " + hash.hex() + " in the state has another info hash");
    Status decoded = decode_settings(settings, torrent);
    if (decoded) decoded = load_resume(state, torrent);
    if (!decoded) return std::move(decoded).error().in("torrent " + hash.hex() + " in the state");
    out.push_back(std::move(*made));
    from = key_of(hash);
    from.push_back(0);
  }
}

void TorrentStore::save_new(const Torrent& torrent, Bytes metainfo) {
  StoreBatch batch;
  batch.push_back({k_metainfo_table, key_of(torrent.info_hash), std::vector<uint8_t>(metainfo.begin(), metainfo.end())});
  persistence_.add(std::move(batch));
  save_settings(torrent);
}

void TorrentStore::save_settings(const Torrent& torrent) {
  StoreBatch batch;
  batch.push_back({k_torrent_table, key_of(torrent.info_hash), encode_settings(torrent)});
  persistence_.add(std::move(batch));
}

uint64_t TorrentStore::save_resume(Torrent& torrent) {
  StoreBatch batch;
  ResumeRecord record;
  torrent.resume.fill(record);
  record.seed = torrent.seed;
  record.counters = torrent.counters_committed = torrent.counters;
  batch.push_back({k_resume_table, key_of(torrent.info_hash), encode_resume(record)});
  for (uint32_t i = 0; i < file_record_count(torrent.files_now.size()); ++i) {
    size_t begin = size_t{i} * k_files_per_record;
    size_t end = std::min<size_t>(begin + k_files_per_record, torrent.files_now.size());
    bool same = torrent.has_record;
    for (size_t j = begin; j < end && same; ++j) same = torrent.files_now[j] == torrent.files_committed[j];
    if (same) continue;
    for (size_t j = begin; j < end; ++j) torrent.files_committed[j] = torrent.files_now[j];
    batch.push_back({k_files_table, files_key(torrent.info_hash, i), encode_files(torrent.files_now, i)});
  }
  torrent.has_record = true;
  return persistence_.add(std::move(batch));
}

void TorrentStore::erase(const Torrent& torrent) {
  StoreBatch batch;
  std::vector<uint8_t> key = key_of(torrent.info_hash);
  for (const char* table : {k_torrent_table, k_metainfo_table, k_resume_table}) batch.push_back({table, key, std::nullopt});
  for (uint32_t i = 0; i < file_record_count(torrent.files.size()); ++i) {
    batch.push_back({k_files_table, files_key(torrent.info_hash, i), std::nullopt});
  }
  persistence_.add(std::move(batch));
}

}  // namespace millet
