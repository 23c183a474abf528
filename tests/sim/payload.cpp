#include "sim/payload.h"

#include <algorithm>

#include "codec/bencode.h"
#include "crypto/hash.h"

namespace millet::simtest {
namespace {

constexpr int64_t k_installed_ns = 1'700'000'000'000'000'000;

std::vector<uint64_t> file_sizes(const PayloadOptions& options, Random& random) {
  std::vector<uint64_t> sizes;
  uint64_t left = options.size;
  for (uint32_t i = 0; i + 1 < options.files; ++i) {
    uint64_t kind = random.below(4);
    uint64_t size = kind == 0 ? 0 : random.below(left / 2 + 1);
    sizes.push_back(size);
    left -= size;
  }
  sizes.push_back(left);
  return sizes;
}

std::vector<uint8_t> info_dictionary(const PayloadOptions& options, const Payload& payload, Bytes hashes) {
  std::vector<uint8_t> info;
  bencode::Writer writer(info);
  writer.begin_dict();
  if (options.files > 1) {
    writer.key("files").begin_list();
    for (const Payload::File& file : payload.files) {
      writer.begin_dict().key("length").integer(static_cast<int64_t>(file.bytes.size()));
      writer.key("path").begin_list().string(file.path.substr(file.path.find('/') + 1)).end().end();
    }
    writer.end();
  } else {
    writer.key("length").integer(static_cast<int64_t>(options.size));
  }
  writer.key("name").string(options.name);
  writer.key("piece length").integer(options.piece_size);
  writer.key("pieces").string(hashes).end();
  return info;
}

}  // namespace

Payload make_payload(const PayloadOptions& options, Random random) {
  Payload payload;
  payload.size = options.size;
  payload.piece_size = options.piece_size;
  std::vector<uint8_t>& all = payload.all;
  uint32_t number = 0;
  for (uint64_t size : file_sizes(options, random)) {
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next() >> 56);
    all.insert(all.end(), bytes.begin(), bytes.end());
    std::string path = options.files > 1 ? options.name + "/file" + std::to_string(number) : options.name;
    payload.files.push_back({path, std::move(bytes)});
    ++number;
  }
  std::vector<uint8_t> hashes;
  for (size_t at = 0; at < all.size(); at += options.piece_size) {
    Sha1Digest digest = Sha1::of(Bytes(all).subspan(at, std::min<size_t>(options.piece_size, all.size() - at)));
    hashes.insert(hashes.end(), digest.raw.begin(), digest.raw.end());
  }
  std::vector<uint8_t> info = info_dictionary(options, payload, hashes);
  payload.info_hash = InfoHash::from_bytes(Sha1::of(info).bytes());
  bencode::Writer writer(payload.metainfo);
  writer.begin_dict();
  if (!options.tracker_url.empty()) writer.key("announce").string(options.tracker_url);
  writer.key("info").raw(info).end();
  return payload;
}

void Payload::install(sim::Disk& disk, const std::string& root) const {
  for (const File& file : files) disk.install(root + "/" + file.path, file.bytes, k_installed_ns);
}

std::string Payload::difference(const sim::Disk& disk, const std::string& root) const {
  for (const File& file : files) {
    const std::vector<uint8_t>* content = disk.content(root + "/" + file.path);
    if (content == nullptr) return file.path + " is missing";
    if (content->size() != file.bytes.size()) return file.path + " has " + std::to_string(content->size()) + " bytes";
    auto differs = std::mismatch(content->begin(), content->end(), file.bytes.begin()).first;
    if (differs != content->end()) return file.path + " differs at byte " + std::to_string(differs - content->begin());
  }
  return "";
}

}  // namespace millet::simtest
