#include "torrent/create.h"

#include <algorithm>
#include <bit>

#include "base/heap_sort.h"
#include "codec/bencode.h"
#include "codec/metainfo.h"

namespace millet {
namespace {

Error refuse(std::string reason) { return error(Errc::bad_input, std::move(reason)); }

// Calls visit(component) for each component of a path; the first error ends it.
template <typename Visit>
Status for_each_component(std::string_view path, Visit visit) {
  while (true) {
    size_t end = path.find('/');
    TRY(visit(path.substr(0, end)));
    if (end == std::string_view::npos) return ok;
    path.remove_prefix(end + 1);
  }
}

Status check_path(const std::string& path) {
  size_t depth = 0;
  Status checked = for_each_component(path, [&](std::string_view component) -> Status {
    if (++depth > k_path_depth_max) return refuse("is deeper than " + std::to_string(k_path_depth_max) + " components");
    Status good = check_path_component(component);
    if (!good) return refuse("component '" + printable(component) + "' " + good.error().reason);
    return ok;
  });
  if (!checked) return std::move(checked).error().in("path '" + printable(path, 256) + "'");
  return ok;
}

}  // namespace

Status check_create_options(const CreateOptions& options) {
  uint32_t size = options.piece_size;
  if (size != 0 && (!std::has_single_bit(size) || size < k_piece_size_min || size > k_piece_size_max)) {
    return refuse("piece size " + std::to_string(size) + " is no power of two from " + std::to_string(k_piece_size_min) + " to " +
                  std::to_string(k_piece_size_max));
  }
  for (const auto& tier : options.tracker_tiers) {
    for (const std::string& url : tier) {
      bool good = url.size() <= k_tracker_url_max && url.find("://") != std::string::npos && url.find(' ') == std::string::npos;
      if (!good) return refuse("tracker '" + printable(url, 128) + "' is no URL, as http://HOST:PORT/announce");
    }
  }
  return ok;
}

namespace {

void write_files(const std::vector<CreateFile>& files, bencode::Writer& out) {
  out.key("files").begin_list();
  for (const CreateFile& file : files) {
    out.begin_dict().key("length").integer(static_cast<int64_t>(file.size)).key("path").begin_list();
    (void)for_each_component(file.path, [&](std::string_view component) -> Status {
      out.string(component);
      return ok;
    }).has_value();
    out.end().end();
  }
  out.end();
}

void write_tiers(const std::vector<std::vector<std::string>>& tiers, bencode::Writer& out) {
  if (tiers.empty()) return;
  out.key("announce").string(tiers[0][0]);
  if (tiers.size() == 1 && tiers[0].size() == 1) return;
  out.key("announce-list").begin_list();
  for (const auto& tier : tiers) {
    out.begin_list();
    for (const std::string& url : tier) out.string(url);
    out.end();
  }
  out.end();
}

}  // namespace

TorrentCreator::TorrentCreator(std::vector<CreateFile> files, CreateOptions options, CpuFeatures cpu)
    : files_(std::move(files)), options_(std::move(options)), cpu_(cpu), piece_(cpu) {
  std::erase_if(options_.tracker_tiers, [](const auto& tier) { return tier.empty(); });
  heap_sort(files_, [](const CreateFile& a, const CreateFile& b) { return a.path < b.path; });
}

Result<TorrentCreator> TorrentCreator::make(std::vector<CreateFile> files, CreateOptions options, CpuFeatures cpu) {
  CHECK(!options.single_file || files.size() == 1);
  TRY(check_create_options(options));
  Status name = check_path_component(options.name);
  if (!name) return refuse("name '" + printable(options.name) + "' " + name.error().reason);
  TorrentCreator out(std::move(files), std::move(options), cpu);
  TRY(out.check_and_count());
  TRY(out.choose_piece_size());
  out.piece_left_ = out.options_.piece_size;
  out.skip_empty_files();
  return out;
}

Status TorrentCreator::check_and_count() {
  if (files_.empty()) return refuse("there are no files");
  if (files_.size() > k_files_max) return error(Errc::no_room, "more than " + std::to_string(k_files_max) + " files");
  for (size_t i = 0; i < files_.size(); ++i) {
    TRY(check_path(files_[i].path));
    if (i > 0 && files_[i].path == files_[i - 1].path) return refuse("path '" + printable(files_[i].path, 256) + "' is there twice");
    if (files_[i].size > k_payload_size_max - total_size_) return refuse("the sizes of the files sum up above 2^62 bytes");
    total_size_ += files_[i].size;
  }
  return ok;
}

// Settles the piece size and makes room for the hashes; the whole .torrent must have one that parse_metainfo() takes.
Status TorrentCreator::choose_piece_size() {
  bool automatic = options_.piece_size == 0;
  uint32_t size = automatic ? k_create_piece_size : options_.piece_size;
  while (true) {
    uint64_t count = total_size_ / size + (total_size_ % size != 0);
    bool may_grow = automatic && size < k_piece_size_max;
    if (count > k_create_pieces_max && may_grow) {
      size *= 2;
      continue;
    }
    uint64_t hashes_size = count * Sha1Digest::k_size;
    if (count <= k_metainfo_size_max && hashes_size <= k_metainfo_size_max) {
      options_.piece_size = size;
      hashes_.assign(static_cast<size_t>(hashes_size), 0);
      if (encoded().size() <= k_metainfo_size_max) return ok;
    }
    if (!may_grow) break;
    size *= 2;
  }
  std::string room = "the .torrent would have more than " + std::to_string(k_metainfo_size_max) + " bytes";
  return error(Errc::no_room, room + (automatic ? ": there are too many files" : ": a larger piece size makes it smaller"));
}

void TorrentCreator::skip_empty_files() {
  while (!is_done() && offset_ == files_[file_].size) {
    ++file_;
    offset_ = 0;
  }
}

bool TorrentCreator::next_read(Want& out) const {
  if (is_done()) return false;
  out = {file_, offset_, files_[file_].size - offset_};
  return true;
}

void TorrentCreator::feed(Bytes bytes) {
  CHECK(!is_done() && bytes.size() <= files_[file_].size - offset_);
  offset_ += bytes.size();
  hashed_size_ += bytes.size();
  while (!bytes.empty()) {
    Bytes part = bytes.first(std::min<size_t>(bytes.size(), piece_left_));
    piece_.update(part);
    bytes = bytes.subspan(part.size());
    piece_left_ -= static_cast<uint32_t>(part.size());
    if (piece_left_ == 0) finish_piece();
  }
  skip_empty_files();
  if (is_done() && piece_index_ < piece_count()) finish_piece();
}

void TorrentCreator::finish_piece() {
  CHECK(piece_index_ < piece_count());
  Sha1Digest digest = piece_.finish();
  std::copy(digest.raw.begin(), digest.raw.end(), hashes_.begin() + static_cast<ptrdiff_t>(size_t{piece_index_} * Sha1Digest::k_size));
  piece_.start();
  piece_left_ = options_.piece_size;
  ++piece_index_;
}

std::vector<uint8_t> TorrentCreator::info() const {
  std::vector<uint8_t> out;
  bencode::Writer writer(out);
  writer.begin_dict();
  if (options_.single_file)
    writer.key("length").integer(static_cast<int64_t>(total_size_));
  else
    write_files(files_, writer);
  writer.key("name").string(options_.name).key("piece length").integer(options_.piece_size).key("pieces").string(hashes_);
  if (options_.is_private) writer.key("private").integer(1);
  writer.end();
  return out;
}

// There is no creation date: the same payload and options give the same file.
std::vector<uint8_t> TorrentCreator::encoded() const {
  std::vector<uint8_t> out;
  bencode::Writer writer(out);
  writer.begin_dict();
  write_tiers(options_.tracker_tiers, writer);
  writer.key("created by").string("millet").key("info").raw(info()).end();
  return out;
}

std::vector<uint8_t> TorrentCreator::metainfo() const {
  CHECK(is_done());
  return encoded();
}

InfoHash TorrentCreator::info_hash() const {
  CHECK(is_done());
  return InfoHash{Sha1::of(info(), cpu_).raw};
}

}  // namespace millet
