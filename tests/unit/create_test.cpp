// torrent: making .torrent files (BEP 3). That the info hash is mktorrent's is shown by tests/interop/create_test.py.
#include "torrent/create.h"

#include <string>

#include "base/random.h"
#include "codec/metainfo.h"
#include "torrent/info_hash.h"
#include "unit/test.h"

using namespace millet;

namespace {

CreateOptions named(std::string name) {
  CreateOptions options;
  options.name = std::move(name);
  return options;
}

// Feeds content in runs of `step` bytes; content[i] belongs to files()[i].
void feed_all(TorrentCreator& creator, const std::vector<std::string>& content, size_t step) {
  TorrentCreator::Want want;
  while (creator.next_read(want)) {
    assert_true(want.size > 0 && want.offset + want.size == content[want.file].size());
    creator.feed(
        as_bytes(content[want.file]).subspan(static_cast<size_t>(want.offset), std::min<size_t>(step, static_cast<size_t>(want.size))));
  }
  assert_true(creator.hashed_size() == creator.total_size());
}

std::string reason(std::vector<CreateFile> files, CreateOptions options) {
  Result<TorrentCreator> creator = TorrentCreator::make(std::move(files), std::move(options), {});
  return creator ? "" : creator.error().reason;
}

}  // namespace

static void a_single_file_has_the_bytes_of_bep_3(void**) {
  CreateOptions options = named("f.txt");
  options.single_file = true;
  options.is_private = true;
  options.tracker_tiers = {{"http://t/announce"}};
  Result<TorrentCreator> creator = TorrentCreator::make({{"f.txt", 3}}, options, {});
  feed_all(*creator, {"abc"}, 2);
  std::string digest(as_text(Sha1::of(as_bytes("abc")).raw));
  std::string info = "d6:lengthi3e4:name5:f.txt12:piece lengthi262144e6:pieces20:" + digest + "7:privatei1ee";
  assert_true(as_text(creator->metainfo()) == "d8:announce17:http://t/announce10:created by6:millet4:info" + info + "e");
  assert_true(creator->info_hash().raw == Sha1::of(as_bytes(info)).raw);
}

static void files_are_ordered_by_their_whole_paths_as_bytes(void**) {
  Result<TorrentCreator> creator = TorrentCreator::make(
      {{"ab", 1}, {"a/z", 1}, {"a-b", 1}, {"a/b/c", 1}, {"a.b", 1}, {"A", 1}, {"\xc3\xa9", 1}, {"z", 1}, {".h", 0}, {"a/b-c", 1}},
      named("n"), {});
  std::string order;
  for (const CreateFile& file : creator->files()) order += file.path + " ";
  assert_string_equal(order.c_str(), ".h A a-b a.b a/b-c a/b/c a/z ab z \xc3\xa9 ");
}

static void pieces_run_across_files_and_empty_files_stay(void**) {
  Random random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<CreateFile> files;
    std::vector<std::string> content;
    std::string whole;
    for (int i = 0; i < 6; ++i) {
      std::string bytes(static_cast<size_t>(random.below(3) == 0 ? 0 : random.below(40000)), static_cast<char>('a' + i));
      files.push_back({"f" + std::to_string(i), bytes.size()});
      whole += bytes;
      content.push_back(std::move(bytes));
    }
    if (whole.empty()) continue;
    CreateOptions options = named("n");
    options.piece_size = 16384;
    Result<TorrentCreator> creator = TorrentCreator::make(files, options, {});
    feed_all(*creator, content, 1 + static_cast<size_t>(random.below(50000)));
    std::vector<uint8_t> bytes = creator->metainfo();
    Result<Metainfo> metainfo = parse_metainfo(bytes);
    assert_true(metainfo.has_value());
    assert_int_equal(metainfo->files.size(), files.size());
    assert_true(info_hash_of(*metainfo) == creator->info_hash());
    for (uint32_t piece = 0; piece < metainfo->piece_count(); ++piece) {
      assert_true(metainfo->piece_hash(piece) == Sha1::of(as_bytes(std::string_view(whole).substr(size_t{piece} * 16384, 16384))));
    }
  }
}

static void a_payload_without_bytes_has_no_pieces(void**) {
  Result<TorrentCreator> creator = TorrentCreator::make({{"a", 0}, {"b", 0}}, named("n"), {});
  TorrentCreator::Want want;
  assert_false(creator->next_read(want));
  assert_true(as_text(creator->metainfo()).find("6:pieces0:") != std::string_view::npos);
}

static void trackers_become_tiers(void**) {
  CreateOptions options = named("n");
  options.tracker_tiers = {{}, {"http://a", "udp://b"}, {"http://c"}};
  Result<TorrentCreator> creator = TorrentCreator::make({{"x", 1}}, options, {});
  feed_all(*creator, {"x"}, 1);
  std::vector<uint8_t> bytes = creator->metainfo();
  assert_true(parse_metainfo(bytes)->tracker_tiers == (std::vector<std::vector<std::string>>{{"http://a", "udp://b"}, {"http://c"}}));
}

static void piece_sizes_grow_only_where_a_torrent_would_be_too_large(void**) {
  auto size_for = [](uint64_t bytes) { return TorrentCreator::make({{"x", bytes}}, named("n"), {})->piece_size(); };
  assert_int_equal(size_for(1), 256 * 1024);
  assert_int_equal(size_for(uint64_t{64} << 30), 256 * 1024);
  assert_int_equal(size_for((uint64_t{64} << 30) + 1), 512 * 1024);
  assert_int_equal(size_for(uint64_t{64} << 40), 256 * 1024 * 1024);
  assert_string_equal(reason({{"x", uint64_t{1} << 62}}, named("n")).c_str(),
                      "the .torrent would have more than 8388608 bytes: there are too many files");
  CreateOptions small = named("n");
  small.piece_size = 16384;
  assert_string_equal(reason({{"x", uint64_t{8} << 30}}, small).c_str(),
                      "the .torrent would have more than 8388608 bytes: a larger piece size makes it smaller");
}

static void what_parse_metainfo_would_refuse_is_not_made(void**) {
  assert_string_equal(reason({}, named("n")).c_str(), "there are no files");
  assert_string_equal(reason({{"a", 1}}, named("..")).c_str(), "name '..' is '..'");
  assert_string_equal(reason({{"a", 1}}, named("")).c_str(), "name '' is empty");
  assert_string_equal(reason({{"a/../b", 1}}, named("n")).c_str(), "path 'a/../b': component '..' is '..'");
  assert_string_equal(reason({{"a\nb", 1}}, named("n")).c_str(), "path 'a\\x0ab': component 'a\\x0ab' has a control character");
  assert_string_equal(reason({{"\xff", 1}}, named("n")).c_str(), "path '\\xff': component '\\xff' is no UTF-8");
  assert_string_equal(reason({{"a", 1}, {"a", 1}}, named("n")).c_str(), "path 'a' is there twice");
  assert_string_equal(reason({{"a", uint64_t{1} << 62}, {"b", 1}}, named("n")).c_str(), "the sizes of the files sum up above 2^62 bytes");
  std::string deep = "d";
  for (int i = 0; i < 32; ++i) deep += "/d";
  assert_true(reason({{deep, 1}}, named("n")).find("is deeper than 32 components") != std::string::npos);
  for (uint32_t size : {1u, 8192u, 16385u, 262145u, 536870912u}) {
    CreateOptions options = named("n");
    options.piece_size = size;
    assert_true(reason({{"a", 1}}, options).find("is no power of two from 16384 to 268435456") != std::string::npos);
  }
  CreateOptions options = named("n");
  options.tracker_tiers = {{"tracker"}};
  assert_string_equal(reason({{"a", 1}}, options).c_str(), "tracker 'tracker' is no URL, as http://HOST:PORT/announce");
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_single_file_has_the_bytes_of_bep_3),
      cmocka_unit_test(files_are_ordered_by_their_whole_paths_as_bytes),
      cmocka_unit_test(pieces_run_across_files_and_empty_files_stay),
      cmocka_unit_test(a_payload_without_bytes_has_no_pieces),
      cmocka_unit_test(trackers_become_tiers),
      cmocka_unit_test(piece_sizes_grow_only_where_a_torrent_would_be_too_large),
      cmocka_unit_test(what_parse_metainfo_would_refuse_is_not_made),
  };
  return RUN_TESTS(tests);
}
