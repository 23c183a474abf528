// codec: .torrent files (BEP 3, 12, 27): what is taken, and what of a hostile one is refused by name.
#include "codec/metainfo.h"

#include <string>

#include "base/utf8.h"
#include "codec/bencode.h"
#include "torrent/info_hash.h"
#include "unit/test.h"

using namespace millet;

namespace {

std::string bstr(std::string_view text) { return std::to_string(text.size()) + ":" + std::string(text); }
std::string bint(int64_t value) { return "i" + std::to_string(value) + "e"; }

// One entry of "files" from components.
std::string entry(int64_t size, const std::vector<std::string>& path) {
  std::string out = "d6:length" + bint(size) + "4:pathl";
  for (const std::string& component : path) out += bstr(component);
  return out + "ee";
}

struct Torrent {
  std::string files;  // entries; empty: a single file
  int64_t length = 40000;
  std::string name = "name";
  int64_t piece_length = 16384;
  int64_t pieces = 3;
  std::string info_end;  // further keys of info, from "private" on
  std::string head;      // keys of the root before "info"

  std::string info() const {
    std::string out = "d";
    if (!files.empty())
      out += "5:filesl" + files + "e";
    else
      out += "6:length" + bint(length);
    out += "4:name" + bstr(name) + "12:piece length" + bint(piece_length);
    if (pieces >= 0) out += "6:pieces" + bstr(std::string(static_cast<size_t>(pieces) * 20, 'h'));
    return out + info_end + "e";
  }
  std::string bytes() const { return "d" + head + "4:info" + info() + "e"; }
};

// What is wrong with it; "" if nothing.
std::string verdict(const std::string& bytes) {
  Result<Metainfo> out = parse_metainfo(as_bytes(bytes));
  return out ? "" : out.error().reason;
}
std::string verdict(const Torrent& torrent) { return verdict(torrent.bytes()); }

bool says(const std::string& reason, std::string_view what) {
  if (reason.find(what) != std::string::npos) return true;
  print_message("got: '%s'\nwanted: '%s'\n", reason.c_str(), std::string(what).c_str());
  return false;
}

}  // namespace

static void single_file_torrent_is_read(void**) {
  Torrent torrent;
  torrent.head = "8:announce" + bstr("http://t/announce");
  torrent.info_end = "7:privatei1e";
  std::string bytes = torrent.bytes();
  Result<Metainfo> out = parse_metainfo(as_bytes(bytes));
  assert_true(out.has_value());
  assert_string_equal(out->name.c_str(), "name");
  assert_int_equal(out->files.size(), 1);
  assert_string_equal(out->files[0].path.c_str(), "name");
  assert_int_equal(out->files[0].size, 40000);
  assert_int_equal(out->total_size, 40000);
  assert_int_equal(out->piece_count(), 3);
  assert_true(out->is_private);
  assert_true(out->tracker_tiers == std::vector<std::vector<std::string>>{{"http://t/announce"}});
  assert_true(as_text(out->piece_hash(2).raw) == "hhhhhhhhhhhhhhhhhhhh");
  assert_true(as_text(out->info) == torrent.info());
  assert_true(info_hash_of(*out).raw == Sha1::of(as_bytes(torrent.info())).raw);
}

static void many_files_keep_their_order_and_empty_ones_stay(void**) {
  Torrent torrent;
  torrent.files = entry(40000, {"b"}) + entry(0, {"a"}) + entry(5, {"dir", "c"});
  Result<Metainfo> out = parse_metainfo(as_bytes(torrent.bytes()));
  assert_true(out.has_value());
  assert_string_equal(out->files[0].path.c_str(), "name/b");
  assert_string_equal(out->files[1].path.c_str(), "name/a");
  assert_int_equal(out->files[1].size, 0);
  assert_string_equal(out->files[2].path.c_str(), "name/dir/c");
  assert_int_equal(out->total_size, 40005);
  assert_false(out->is_private);
}

static void paths_that_leave_or_break_the_folder_are_refused(void**) {
  struct {
    std::vector<std::string> path;
    const char* says;
  } table[] = {
      {{".."}, "path component '..' is '..'"},
      {{"a", "..", "..", "etc"}, "is '..'"},
      {{"."}, "is '.'"},
      {{""}, "path component '' is empty"},
      {{"a", ""}, "is empty"},
      {{"/etc/passwd"}, "has a '/'"},
      {{"a/b"}, "has a '/'"},
      {{std::string("a\0b", 3)}, "has a control character"},
      {{"a\nb"}, "has a control character"},
      {{"\xff"}, "is no UTF-8"},
      {{std::string(256, 'x')}, "has more than 255 bytes"},
      {{}, "path is empty"},
      {std::vector<std::string>(33, "d"), "path is deeper than 32 components"},
  };
  for (const auto& row : table) {
    Torrent torrent;
    torrent.files = entry(1, {"ok"}) + entry(40000, row.path);
    std::string reason = verdict(torrent);
    assert_true(says(reason, row.says));
    assert_true(says(reason, "info: file 2: "));
  }
  for (const char* name : {"", ".", "..", "a/b", "/abs", "a\x01"}) {
    Torrent torrent;
    torrent.name = name;
    assert_true(says(verdict(torrent), "info: name '"));
  }
  Torrent deep;
  deep.files = entry(40000, std::vector<std::string>(32, std::string(255, 'x')));
  assert_string_equal(verdict(deep).c_str(), "");
}

static void names_that_only_look_odd_are_taken(void**) {
  for (const char* name : {"...", "..a", " ", "a\\b", "~", "-rf", "C:", "caf\xc3\xa9", "\xf0\x9f\x8e\xb5", ".hidden"}) {
    Torrent torrent;
    torrent.name = name;
    torrent.files = entry(40000, {name});
    assert_string_equal(verdict(torrent).c_str(), "");
  }
}

static void colliding_paths_are_refused(void**) {
  Torrent torrent;
  torrent.files = entry(40000, {"a"}) + entry(1, {"b"}) + entry(2, {"a"});
  assert_true(says(verdict(torrent), "files 1 and 3: both have the path 'name/a'"));
  torrent.files = entry(40000, {"a", "b"}) + entry(1, {"a-b"}) + entry(1, {"a b"}) + entry(1, {"a", "c"}) + entry(2, {"a"});
  assert_true(says(verdict(torrent), "files 5 and 1: 'name/a' is a file and a folder"));
  torrent.files = entry(40000, {"a"}) + entry(0, {"a", "b", "c"});
  assert_true(says(verdict(torrent), "'name/a' is a file and a folder"));
  torrent.files = entry(40000, {"a", "b"}) + entry(1, {"a", "c"}) + entry(1, {"ab"}) + entry(1, {"b", "a"});
  assert_string_equal(verdict(torrent).c_str(), "");
}

static void piece_lengths_that_make_no_sense_are_refused(void**) {
  for (int64_t size : {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{16383}, int64_t{268435457}, int64_t{1} << 32, INT64_MAX, INT64_MIN}) {
    Torrent torrent;
    torrent.piece_length = size;
    assert_true(says(verdict(torrent), "'piece length' is "));
  }
  Torrent one;
  one.piece_length = k_piece_size_max;
  one.pieces = 1;
  assert_string_equal(verdict(one).c_str(), "");
}

static void sizes_that_overflow_are_refused(void**) {
  Torrent torrent;
  torrent.length = -1;
  assert_true(says(verdict(torrent), "'length' is negative"));
  torrent.length = INT64_MAX;
  assert_true(says(verdict(torrent), "sum up above 2^62"));
  torrent.length = int64_t{1} << 62;
  assert_true(says(verdict(torrent), "'pieces' has 60 bytes, but 281474976710656 pieces"));
  torrent.files = entry(int64_t{1} << 61, {"a"}) + entry(int64_t{1} << 61, {"b"}) + entry(1, {"c"});
  assert_true(says(verdict(torrent), "file 3: the sizes of the files sum up above 2^62"));
  // 2^64 + 40000 would come out as 40000 in 64 bits.
  torrent.files = entry(INT64_MAX, {"a"}) + entry(INT64_MAX, {"b"}) + entry(40002, {"c"});
  assert_true(says(verdict(torrent), "sum up above 2^62"));
  std::string bytes = Torrent{}.bytes();
  bytes.replace(bytes.find("i40000e"), 7, "i18446744073709591616e");
  assert_true(says(verdict(bytes), "'length' is of the wrong type or out of range"));
}

static void piece_hashes_must_fit_the_payload(void**) {
  for (int64_t count : {0, 1, 2, 4}) {
    Torrent torrent;
    torrent.pieces = count;
    assert_true(says(verdict(torrent), "but 3 pieces need 20 bytes each"));
  }
  std::string bytes = Torrent{}.bytes();
  bytes.replace(bytes.find("6:pieces60:"), 11, "6:pieces59:");
  bytes.erase(bytes.size() - 3, 1);
  assert_true(says(verdict(bytes), "'pieces' has 59 bytes"));
}

static void a_torrent_without_bytes_is_refused(void**) {
  Torrent torrent;
  torrent.length = 0;
  torrent.pieces = 0;
  assert_true(says(verdict(torrent), "the payload has no bytes"));
  torrent.files = entry(0, {"a"});
  assert_true(says(verdict(torrent), "the payload has no bytes"));
  std::string bytes = Torrent{}.bytes();
  bytes.replace(bytes.find("6:lengthi40000e"), 15, "5:filesle");
  assert_true(says(verdict(bytes), "there are no files"));
}

static void missing_and_mistyped_keys_are_named(void**) {
  struct {
    const char* text;
    const char* says;
  } table[] = {
      {"", "is damaged or no .torrent: bencode ends early at byte 0"},
      {"<html>", "is damaged or no .torrent"},
      {"i1e", "is no .torrent: is no dictionary"},
      {"de", "'info' is missing"},
      {"d4:infoi1ee", "info: is no dictionary"},
      {"d4:infod4:name1:xee", "info: 'piece length' is missing"},
      {"d4:infod4:name1:x12:piece lengthi16384eee", "'pieces' is missing"},
      {"d4:infod12:meta versioni2e4:name1:x12:piece lengthi16384eee", "version 2 only"},
      {"d4:infod12:piece lengthi16384e6:pieces0:ee", "'name' is missing"},
      {"d4:infod4:name1:x12:piece lengthi16384e6:pieces0:ee", "has neither 'files' nor 'length'"},
      {"d4:infod5:filesle6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces0:ee", "has both 'files' and 'length'"},
      {"d4:infod5:filesi1e4:name1:x12:piece lengthi16384e6:pieces0:ee", "'files' is no list"},
      {"d4:infod5:filesli1ee4:name1:x12:piece lengthi16384e6:pieces0:ee", "file 1: is no dictionary"},
      {"d4:infod5:filesld6:lengthi1eee4:name1:x12:piece lengthi16384e6:pieces0:ee", "file 1: 'path' is missing or no list"},
      {"d4:infod5:filesld4:pathl1:aeee4:name1:x12:piece lengthi16384e6:pieces0:ee", "file 1: 'length' is missing"},
      {"d4:infod5:filesld6:lengthi1e4:pathli1eeee4:name1:x12:piece lengthi16384e6:pieces0:ee", "component that is no string"},
      {"d4:infod5:filesld4:attr1:p6:lengthi1e4:pathl1:aeee4:name1:x12:piece lengthi16384e6:pieces0:ee", "pad files"},
      {"d4:infod6:lengthi1e6:lengthi2e4:name1:x12:piece lengthi16384e6:pieces0:ee", "'length' is there twice"},
      {"d4:infod6:lengthi1e4:name1:xe4:infodee", "'info' is there twice"},
  };
  for (const auto& row : table) assert_true(says(verdict(std::string(row.text)), row.says));
}

static void nesting_of_ten_thousand_is_refused(void**) {
  Torrent torrent;
  torrent.head = "1:a" + std::string(10000, 'l') + std::string(10000, 'e');
  assert_true(says(verdict(torrent), "nested deeper than 64"));
}

static void a_torrent_of_100_mib_is_refused_by_its_size(void**) {
  assert_true(check_metainfo_size(8 * 1024 * 1024).has_value());
  Status large = check_metainfo_size(100 * 1024 * 1024);
  assert_true(large.error().code == Errc::no_room);
  assert_true(says(large.error().reason, "has 104857600 bytes"));
  assert_true(says(verdict(std::string(k_metainfo_size_max + 1, 'x')), "has 8388609 bytes"));
}

static void a_torrent_of_8_mib_is_read(void**) {
  Torrent torrent;
  torrent.pieces = 419'000;
  torrent.length = 419'000 * int64_t{16384};
  std::string bytes = torrent.bytes();
  assert_true(bytes.size() > 8'380'000 && bytes.size() <= k_metainfo_size_max);
  Result<Metainfo> out = parse_metainfo(as_bytes(bytes));
  assert_int_equal(out->piece_count(), 419'000);
  torrent.pieces = 1;
  torrent.piece_length = k_piece_size_max;
  for (uint32_t i = 0; i < k_files_max; ++i) torrent.files += entry(1, {"folder", std::to_string(i)});
  assert_string_equal(verdict(torrent).c_str(), "");
  torrent.files += entry(1, {"one too many"});
  assert_true(says(verdict(torrent), "more than 100000 files"));
}

static void tiers_of_trackers_count_before_announce(void**) {
  Torrent torrent;
  torrent.head = "8:announce8:http://a13:announce-listll8:http://b7:udp://cel8:http://dei1eleli5e0:ee";
  Result<Metainfo> out = parse_metainfo(as_bytes(torrent.bytes()));
  assert_true(out->tracker_tiers == (std::vector<std::vector<std::string>>{{"http://b", "udp://c"}, {"http://d"}}));
  torrent.head = "8:announce8:http://a13:announce-listle";
  out = parse_metainfo(as_bytes(torrent.bytes()));
  assert_true(out->tracker_tiers == (std::vector<std::vector<std::string>>{{"http://a"}}));
  torrent.head = "8:announcei7e13:announce-listi1e";
  assert_int_equal(parse_metainfo(as_bytes(torrent.bytes()))->tracker_tiers.size(), 0);
  torrent.head = "13:announce-listl";
  for (int i = 0; i < 1000; ++i) torrent.head += "l8:http://be";
  torrent.head += "e";
  assert_int_equal(parse_metainfo(as_bytes(torrent.bytes()))->tracker_tiers.size(), k_trackers_max);
}

static void utf8_keys_count_before_the_others(void**) {
  std::string text =
      "d4:infod5:filesld6:lengthi1e4:pathl1:\xff"
      "e10:path.utf-8l2:\xc3\xa9"
      "eee4:name1:\xfe"
      "10:name.utf-82:\xc3\xa4"
      "12:piece lengthi16384e6:pieces20:"
      "hhhhhhhhhhhhhhhhhhhhee";
  Result<Metainfo> out = parse_metainfo(as_bytes(text));
  assert_true(out.has_value());
  assert_string_equal(out->files[0].path.c_str(), "\xc3\xa4/\xc3\xa9");
}

static void unsorted_and_unknown_keys_and_a_tail_are_taken(void**) {
  std::string info = Torrent{}.info();
  Result<Metainfo> out = parse_metainfo(as_bytes("d1:zle4:info" + info + "13:creation datei1e7:comment2:xxe\r\n"));
  assert_true(out.has_value());
}

static void every_truncation_is_refused(void**) {
  Torrent torrent;
  torrent.files = entry(40000, {"b"}) + entry(5, {"dir", "c"});
  torrent.head = "8:announce8:http://a13:announce-listll8:http://bee";
  std::string bytes = torrent.bytes();
  assert_string_equal(verdict(bytes).c_str(), "");
  for (size_t size = 0; size < bytes.size(); ++size) assert_true(says(verdict(bytes.substr(0, size)), "is damaged or no .torrent"));
}

static void mutations_never_pass_a_bad_path(void**) {
  Torrent torrent;
  torrent.files = entry(40000, {"b"}) + entry(5, {"d", "c"}) + entry(5, {"d", "e"});
  torrent.head = "8:announce8:http://a";
  std::string bytes = torrent.bytes();
  size_t accepted = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      Result<Metainfo> out = parse_metainfo(as_bytes(changed));
      if (!out) continue;
      ++accepted;
      assert_true(out->piece_count() == (out->total_size + out->piece_size - 1) / out->piece_size);
      for (const MetainfoFile& file : out->files) {
        assert_true(is_utf8(file.path) && file.path.find("..") == std::string::npos && file.path.find("//") == std::string::npos);
      }
    }
  }
  assert_true(accepted > 1000);
}

static void utf8_is_what_rfc_3629_says(void**) {
  for (const char* good :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    assert_true(is_utf8(good));
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xe2\x82", "\xe2\x28\xa1", "a\xff"}) {
    assert_false(is_utf8(bad));
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(single_file_torrent_is_read),
      cmocka_unit_test(many_files_keep_their_order_and_empty_ones_stay),
      cmocka_unit_test(paths_that_leave_or_break_the_folder_are_refused),
      cmocka_unit_test(names_that_only_look_odd_are_taken),
      cmocka_unit_test(colliding_paths_are_refused),
      cmocka_unit_test(piece_lengths_that_make_no_sense_are_refused),
      cmocka_unit_test(sizes_that_overflow_are_refused),
      cmocka_unit_test(piece_hashes_must_fit_the_payload),
      cmocka_unit_test(a_torrent_without_bytes_is_refused),
      cmocka_unit_test(missing_and_mistyped_keys_are_named),
      cmocka_unit_test(nesting_of_ten_thousand_is_refused),
      cmocka_unit_test(a_torrent_of_100_mib_is_refused_by_its_size),
      cmocka_unit_test(a_torrent_of_8_mib_is_read),
      cmocka_unit_test(tiers_of_trackers_count_before_announce),
      cmocka_unit_test(utf8_keys_count_before_the_others),
      cmocka_unit_test(unsorted_and_unknown_keys_and_a_tail_are_taken),
      cmocka_unit_test(every_truncation_is_refused),
      cmocka_unit_test(mutations_never_pass_a_bad_path),
      cmocka_unit_test(utf8_is_what_rfc_3629_says),
  };
  return RUN_TESTS(tests);
}
