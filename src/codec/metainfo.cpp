#include "codec/metainfo.h"

#include <algorithm>

#include "base/heap_sort.h"
#include "base/utf8.h"
#include "codec/bencode.h"

namespace millet {
namespace {

// Two million values are more than 8 MiB of file entries have. The depth lets the file tree of version 2 pass, to be refused by name.
constexpr bencode::Limits k_file_limits{k_metainfo_size_max, bencode::k_depth_max, 2'000'000, false};

struct RootFields {
  bencode::Value announce;
  bencode::Value announce_list;
  bencode::Value info;
};
constexpr bencode::Field<RootFields> k_root[] = {
    {"announce", &RootFields::announce},
    {"announce-list", &RootFields::announce_list},
    {"info", &RootFields::info},
};
static_assert(bencode::sorted(k_root));

struct InfoFields {
  bencode::Value files;
  std::optional<int64_t> length;
  std::optional<int64_t> meta_version;
  std::optional<Bytes> name;
  std::optional<Bytes> name_utf8;
  int64_t piece_length = 0;
  std::optional<Bytes> pieces;
  std::optional<int64_t> is_private;
};
constexpr bencode::Field<InfoFields> k_info[] = {
    {"files", &InfoFields::files},   {"length", &InfoFields::length},        {"meta version", &InfoFields::meta_version},
    {"name", &InfoFields::name},     {"name.utf-8", &InfoFields::name_utf8}, {"piece length", &InfoFields::piece_length},
    {"pieces", &InfoFields::pieces}, {"private", &InfoFields::is_private},
};
static_assert(bencode::sorted(k_info));

struct FileFields {
  std::optional<Bytes> attr;
  int64_t length = 0;
  bencode::Value path;
  bencode::Value path_utf8;
};
constexpr bencode::Field<FileFields> k_file[] = {
    {"attr", &FileFields::attr},
    {"length", &FileFields::length},
    {"path", &FileFields::path},
    {"path.utf-8", &FileFields::path_utf8},
};
static_assert(bencode::sorted(k_file));

Error refuse(std::string reason) { return error(Errc::bad_input, std::move(reason)); }

Status add_size(int64_t size, uint64_t& total) {
  if (size < 0) return refuse("'length' is negative");
  if (static_cast<uint64_t>(size) > k_payload_size_max - total) return refuse("the sizes of the files sum up above 2^62 bytes");
  total += static_cast<uint64_t>(size);
  return ok;
}

// Appends "/component/component..." for a list of components.
Status append_path(const bencode::Value& list, std::string& path) {
  if (!list.is_list()) return refuse("'path' is missing or no list");
  bencode::ListCursor cursor(list);
  bencode::Value item;
  size_t depth = 0;
  while (cursor.next(item)) {
    std::optional<Bytes> component = item.string();
    if (!component) return refuse("path has a component that is no string");
    if (++depth > k_path_depth_max) return refuse("path is deeper than " + std::to_string(k_path_depth_max) + " components");
    Status good = check_path_component(as_text(*component));
    if (!good) return refuse("path component '" + printable(*component) + "' " + good.error().reason);
    path += '/';
    path += as_text(*component);
  }
  if (depth == 0) return refuse("path is empty");
  return ok;
}

Status parse_file(const bencode::Value& entry, Metainfo& out) {
  TRY_ASSIGN(FileFields fields, bencode::decode(entry, k_file));
  if (fields.attr && as_text(*fields.attr).find_first_of("pl") != std::string_view::npos) {
    return error(Errc::unsupported, "pad files and links (BEP 47) are not supported");
  }
  MetainfoFile file;
  TRY(add_size(fields.length, out.total_size));
  file.size = static_cast<uint64_t>(fields.length);
  file.path = out.name;
  bool has_utf8 = fields.path_utf8.kind() != bencode::Kind::none;
  TRY(append_path(has_utf8 ? fields.path_utf8 : fields.path, file.path));
  out.files.push_back(std::move(file));
  return ok;
}

Status parse_files(const bencode::Value& list, Metainfo& out) {
  if (!list.is_list()) return refuse("'files' is no list");
  bencode::ListCursor cursor(list);
  bencode::Value entry;
  while (cursor.next(entry)) {
    if (out.files.size() == k_files_max) return error(Errc::no_room, "more than " + std::to_string(k_files_max) + " files");
    Status parsed = parse_file(entry, out);
    // Counted from 1, as people count.
    if (!parsed) return std::move(parsed).error().in("file " + std::to_string(out.files.size() + 1));
  }
  if (out.files.empty()) return refuse("there are no files");
  return ok;
}

// '/' before every other character, so that a folder's content directly follows a file of the folder's name.
bool path_less(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)) + 1; };
    return rank(x) < rank(y);
  });
}

Status check_collisions(const std::vector<MetainfoFile>& files) {
  std::vector<uint32_t> order(files.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  heap_sort(order, [&](uint32_t a, uint32_t b) {
    if (files[a].path != files[b].path) return path_less(files[a].path, files[b].path);
    return a < b;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const std::string& before = files[order[i - 1]].path;
    const std::string& path = files[order[i]].path;
    std::string which = "files " + std::to_string(order[i - 1] + 1) + " and " + std::to_string(order[i] + 1);
    if (path == before) return refuse(which + ": both have the path '" + printable(path) + "'");
    bool inside = path.size() > before.size() && path.compare(0, before.size(), before) == 0 && path[before.size()] == '/';
    if (inside) return refuse(which + ": '" + printable(before) + "' is a file and a folder");
  }
  return ok;
}

Status parse_name(const InfoFields& fields, Metainfo& out) {
  const std::optional<Bytes>& name = fields.name_utf8 ? fields.name_utf8 : fields.name;
  if (!name) return refuse("'name' is missing");
  Status good = check_path_component(as_text(*name));
  if (!good) return refuse("name '" + printable(*name) + "' " + good.error().reason);
  out.name = as_text(*name);
  return ok;
}

Status parse_pieces(const InfoFields& fields, Metainfo& out) {
  if (fields.piece_length < int64_t{k_piece_size_min} || fields.piece_length > int64_t{k_piece_size_max}) {
    return refuse("'piece length' is " + std::to_string(fields.piece_length) + " bytes; sensible are " + std::to_string(k_piece_size_min) +
                  " to " + std::to_string(k_piece_size_max));
  }
  out.piece_size = static_cast<uint32_t>(fields.piece_length);
  if (out.total_size == 0) return refuse("the payload has no bytes");
  uint64_t count = (out.total_size - 1) / out.piece_size + 1;
  // Both sides in bytes would overflow for an absurd payload; the division can't.
  Bytes hashes = *fields.pieces;
  if (hashes.size() % Sha1Digest::k_size != 0 || hashes.size() / Sha1Digest::k_size != count) {
    return refuse("'pieces' has " + std::to_string(hashes.size()) + " bytes, but " + std::to_string(count) + " pieces need 20 bytes each");
  }
  out.piece_hashes.assign(hashes.begin(), hashes.end());
  return ok;
}

Status parse_info(const bencode::Value& info, Metainfo& out) {
  TRY_ASSIGN(InfoFields fields, bencode::decode(info, k_info));
  if (!fields.pieces) {
    if (fields.meta_version) return error(Errc::unsupported, "is a torrent of version 2 only (BEP 52), which is not supported");
    return refuse("'pieces' is missing");
  }
  TRY(parse_name(fields, out));
  bool has_files = fields.files.kind() != bencode::Kind::none;
  if (has_files && fields.length) return refuse("has both 'files' and 'length'");
  if (!has_files && !fields.length) return refuse("has neither 'files' nor 'length'");
  if (has_files) {
    TRY(parse_files(fields.files, out));
    TRY(check_collisions(out.files));
  } else {
    TRY(add_size(*fields.length, out.total_size));
    out.files.push_back({out.name, out.total_size});
  }
  TRY(parse_pieces(fields, out));
  out.is_private = fields.is_private.value_or(0) == 1;
  out.info = info.encoded();
  return ok;
}

// Adds a tracker to the last tier; what can't be a URL that we would ask is skipped.
void add_tracker(const bencode::Value& url, size_t& count, std::vector<std::string>& tier) {
  std::optional<Bytes> text = url.string();
  if (!text || text->empty() || text->size() > k_tracker_url_max || count == k_trackers_max) return;
  ++count;
  tier.emplace_back(as_text(*text));
}

// BEP 12: "announce" counts only without an announce-list.
void parse_trackers(const RootFields& root, Metainfo& out) {
  size_t count = 0;
  bencode::ListCursor tiers(root.announce_list);
  bencode::Value list;
  while (tiers.next(list)) {
    std::vector<std::string> tier;
    bencode::ListCursor urls(list);
    bencode::Value url;
    while (urls.next(url)) add_tracker(url, count, tier);
    if (!tier.empty()) out.tracker_tiers.push_back(std::move(tier));
  }
  if (out.tracker_tiers.empty()) {
    std::vector<std::string> tier;
    add_tracker(root.announce, count, tier);
    if (!tier.empty()) out.tracker_tiers.push_back(std::move(tier));
  }
}

}  // namespace

Status check_metainfo_size(uint64_t size) {
  if (size <= k_metainfo_size_max) return ok;
  std::string rule = "a .torrent of more than " + std::to_string(k_metainfo_size_max) + " is refused";
  return error(Errc::no_room, "has " + std::to_string(size) + " bytes; " + rule);
}

Status check_path_component(std::string_view component) {
  if (component.empty()) return refuse("is empty");
  if (component == "." || component == "..") return refuse("is '" + std::string(component) + "'");
  if (component.size() > k_path_component_max) return refuse("has more than " + std::to_string(k_path_component_max) + " bytes");
  for (char c : component) {
    if (c == '/') return refuse("has a '/'");
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refuse("has a control character");
  }
  if (!is_utf8(component)) return refuse("is no UTF-8");
  return ok;
}

Result<Metainfo> parse_metainfo(Bytes file) {
  TRY(check_metainfo_size(file.size()));
  Result<bencode::Value> root = bencode::parse(file, k_file_limits);
  if (!root) return std::move(root).error().in("is damaged or no .torrent");
  Result<RootFields> fields = bencode::decode(*root, k_root);
  if (!fields) return std::move(fields).error().in("is no .torrent");
  if (fields->info.kind() == bencode::Kind::none) return refuse("is no .torrent: 'info' is missing");
  Metainfo out;
  Status parsed = parse_info(fields->info, out);
  if (!parsed) return std::move(parsed).error().in("info");
  parse_trackers(*fields, out);
  return out;
}

}  // namespace millet
