// node: payload that is missing, short, changed or unreadable, and disks without room: one clear line, nothing overwritten, a way out.
#include "unit/node_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr uint32_t k_piece = 64 * 1024;

struct Fixture {
  World world;
  Payload payload = make_payload(1, k_piece, {300'000, 200'000, 500'000});
  Machine* seed = &world.add();

  Fixture() { seed->put(payload); }
  std::string path(int file) const { return "/payload/data/file" + std::to_string(file); }
  void start() {
    seed->start();
    seed->add(payload, {}, true);
    settle();
  }
  void restart() {
    seed->crash();
    seed->start();
    settle();
  }
  void settle() {
    world.run_until(Duration::seconds(30), [&] { return status().state != TorrentState::checking; });
    world.run(Duration::ms(100));
  }
  TorrentStatus status() { return seed->status(payload.hash); }
  // The torrent stands still, says so in one line that has all of these words, and the disk is untouched.
  bool stands_still(std::initializer_list<const char*> words, TorrentState state = TorrentState::error) {
    TorrentStatus now = status();
    if (now.state != state || now.peers != 0) return false;
    for (const char* word : words) {
      if (now.error.find(word) == std::string::npos) return false;
    }
    return now.error.find('\n') == std::string::npos && now.error.find(payload.hash.hex()) != std::string::npos &&
           seed->log.has("event=torrent_stopped");
  }
  bool waits(std::initializer_list<const char*> words) { return stands_still(words, TorrentState::missing); }
  bool seeds() { return status().state == TorrentState::seeding && status().error.empty(); }
};

}  // namespace

static void a_missing_file_stops_the_torrent_until_it_is_back(void**) {
  for (bool by_command : {false, true}) {
    Fixture f;
    DiskFile file = f.seed->disk[f.path(1)];
    f.seed->disk.erase(f.path(1));
    f.start();
    assert_true(f.waits({"file1", "missing", "/payload", "millet resume", "without --seed"}));
    assert_int_equal(f.seed->disk.count(f.path(1)), 0);
    f.restart();
    assert_true(f.waits({"file1", "missing"}));
    f.seed->disk[f.path(1)] = file;
    if (by_command) f.seed->command(&Node::verify_torrent, f.payload.hash);
    assert_true(f.world.run_until(Duration::seconds(by_command ? 1 : 61), [&] { return f.seeds(); }));
  }
}

static void a_disk_that_goes_and_comes_back_needs_no_check(void**) {
  for (bool by_command : {false, true}) {
    Fixture f;
    f.start();
    assert_true(f.seeds());
    uint32_t hashed = f.seed->pieces_hashed;
    std::map<std::string, DiskFile> disk = std::exchange(f.seed->disk, {});
    // Found out by who asks for a block. The next look tells a disk that is gone from one that is broken.
    Machine& leecher = f.world.add();
    leecher.start();
    leecher.add(f.payload, {f.seed->endpoint});
    assert_true(f.world.run_until(Duration::seconds(30), [&] { return f.status().state == TorrentState::error; }));
    assert_true(f.world.run_until(Duration::seconds(61), [&] { return f.waits({"missing in /payload", "mount its disk"}); }));
    f.world.run(Duration::minutes(10));
    assert_true(f.waits({"missing in /payload"}));
    int lines = 0;
    for (const std::string& line : f.seed->log.lines) lines += line.find("event=torrent_stopped") != std::string::npos;
    assert_int_equal(lines, 2);
    f.seed->disk = disk;
    if (by_command) f.seed->command(&Node::resume_torrent, f.payload.hash);
    assert_true(f.world.run_until(Duration::seconds(by_command ? 1 : 61), [&] { return f.seeds(); }));
    assert_int_equal(f.seed->pieces_hashed, hashed);
    assert_true(f.world.run_until(Duration::minutes(5), [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
  }
}

static void a_file_that_is_being_copied_back_is_waited_for(void**) {
  Fixture f;
  f.start();
  DiskFile file = f.seed->disk[f.path(2)];
  f.seed->disk.erase(f.path(2));
  f.restart();
  f.seed->disk[f.path(2)] = file;
  f.seed->disk[f.path(2)].bytes.resize(70'000);
  f.world.run(Duration::minutes(3));
  assert_true(f.waits({"file2", "missing"}));
  f.seed->disk[f.path(2)] = file;
  assert_true(f.world.run_until(Duration::seconds(61), [&] { return f.seeds(); }));
}

static void a_paused_torrent_does_not_go_on_when_its_files_are_back(void**) {
  Fixture f;
  f.start();
  std::map<std::string, DiskFile> disk = std::exchange(f.seed->disk, {});
  f.restart();
  assert_true(f.waits({"missing"}));
  f.seed->command(&Node::pause_torrent, f.payload.hash);
  f.seed->disk = disk;
  f.world.run(Duration::minutes(3));
  assert_false(f.seeds());
  f.seed->command(&Node::resume_torrent, f.payload.hash);
  assert_true(f.world.run_until(Duration::seconds(1), [&] { return f.seeds(); }));
}

// A leecher that has some of the payload.
static Machine& add_part(Fixture& f) {
  Machine& leecher = f.world.add();
  leecher.config.download_rate = 50'000;
  leecher.start();
  leecher.add(f.payload, {f.seed->endpoint});
  f.world.run(Duration::seconds(15));
  return leecher;
}

// The mount point of a disk that is not there is a folder of the router's flash.
static void a_download_does_not_begin_anew_where_its_disk_was(void**) {
  Fixture f;
  f.start();
  Machine& leecher = add_part(f);
  uint64_t done = leecher.status(f.payload.hash).done;
  assert_true(done > 0 && done < f.payload.size);
  std::map<std::string, DiskFile> disk = std::exchange(leecher.disk, {});
  leecher.crash();
  leecher.start();
  f.world.run(Duration::minutes(2));
  TorrentStatus status = leecher.status(f.payload.hash);
  assert_true(status.state == TorrentState::missing);
  assert_true(status.error.find("'millet verify " + f.payload.hash.hex() + "' downloads it again") != std::string::npos);
  assert_true(leecher.disk.empty());
  leecher.disk = disk;
  assert_true(f.world.run_until(Duration::seconds(61), [&] { return leecher.status(f.payload.hash).state == TorrentState::downloading; }));
  assert_true(leecher.status(f.payload.hash).done >= done);
  assert_true(f.world.run_until(Duration::minutes(2), [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
}

static void a_download_whose_files_are_lost_begins_anew_by_command(void**) {
  Fixture f;
  f.start();
  Machine& leecher = add_part(f);
  leecher.disk.clear();
  leecher.crash();
  leecher.start();
  f.world.run(Duration::seconds(5));
  assert_true(leecher.status(f.payload.hash).state == TorrentState::missing);
  leecher.command(&Node::verify_torrent, f.payload.hash);
  assert_true(f.world.run_until(Duration::minutes(2), [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
  assert_true(leecher.holds(f.payload));
}

static void a_file_that_vanishes_and_comes_back_unchanged_needs_no_check(void**) {
  Fixture f;
  f.start();
  assert_true(f.seeds());
  DiskFile file = f.seed->disk[f.path(2)];
  f.seed->disk.erase(f.path(2));
  f.restart();
  assert_true(f.waits({"file2", "missing"}));
  f.seed->disk[f.path(2)] = file;
  uint32_t hashed = f.seed->pieces_hashed;
  f.restart();
  assert_true(f.seeds());
  assert_int_equal(f.seed->pieces_hashed, hashed);
}

static void a_short_file_is_named_with_its_sizes(void**) {
  Fixture f;
  f.seed->disk[f.path(0)].bytes.resize(1000);
  f.start();
  assert_true(f.stands_still({"file0", "1000 bytes", "300000"}));
  assert_int_equal(f.seed->disk[f.path(0)].bytes.size(), 1000);
}

static void a_changed_file_is_found_and_never_overwritten(void**) {
  Fixture f;
  f.start();
  uint32_t hashed = f.seed->pieces_hashed;
  DiskFile& file = f.seed->disk[f.path(1)];
  file.bytes[100'000] ^= 1;
  file.modified_ns += 5;
  std::vector<uint8_t> changed = file.bytes;
  f.restart();
  assert_true(f.stands_still({"file1", "1 of 16 pieces", "millet verify"}));
  // Only the changed file was read.
  assert_in_range(f.seed->pieces_hashed - hashed, 3, 5);
  f.world.run(Duration::hours(1));
  assert_true(f.seed->disk[f.path(1)].bytes == changed);
  f.seed->disk[f.path(1)].bytes[100'000] ^= 1;
  f.seed->command(&Node::resume_torrent, f.payload.hash);
  f.settle();
  assert_true(f.seeds());
}

static void a_touched_file_that_is_the_same_goes_on(void**) {
  Fixture f;
  f.start();
  f.seed->disk[f.path(2)].modified_ns += 1;
  uint32_t hashed = f.seed->pieces_hashed;
  f.restart();
  assert_true(f.seeds());
  assert_true(f.seed->pieces_hashed > hashed);
  hashed = f.seed->pieces_hashed;
  f.world.run(Duration::seconds(10));
  f.restart();
  assert_true(f.seeds());
  assert_int_equal(f.seed->pieces_hashed, hashed);
}

static void unreadable_files_stop_the_torrent(void**) {
  Fixture f;
  f.seed->reads_fail = true;
  f.start();
  assert_true(f.stands_still({"permission denied", "millet resume"}));
  f.seed->reads_fail = false;
  f.seed->command(&Node::resume_torrent, f.payload.hash);
  f.settle();
  assert_true(f.seeds());
}

static void a_read_error_while_serving_stops_the_torrent_and_nothing_else(void**) {
  Fixture f;
  f.start();
  Payload other = make_payload(2, k_piece, {400'000});
  f.seed->put(make_payload(3, k_piece, {1}));
  f.seed->disk["/other/data/file0"] = {other.files["data/file0"], 1};
  AddTorrent request;
  request.metainfo = other.metainfo;
  request.root = "/other";
  request.seed = true;
  assert_true(f.seed->node->add_torrent(f.world.now, request).has_value());
  f.seed->drain();
  f.settle();
  f.seed->disk.erase(f.path(0));
  f.seed->disk.erase(f.path(1));
  f.seed->disk.erase(f.path(2));
  Machine& leecher = f.world.add();
  leecher.start();
  leecher.add(f.payload, {f.seed->endpoint});
  leecher.add(other, {f.seed->endpoint});
  f.world.run(Duration::seconds(20));
  assert_true(f.stands_still({"file", "does not exist"}));
  assert_true(f.seed->status(other.hash).state == TorrentState::seeding);
  assert_true(leecher.status(other.hash).state == TorrentState::seeding);
}

static void a_torrent_that_was_downloaded_is_the_owners_too(void**) {
  Fixture f;
  f.start();
  Machine& leecher = f.world.add();
  leecher.start();
  leecher.add(f.payload, {f.seed->endpoint});
  assert_true(f.world.run_until(Duration::minutes(1), [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
  f.world.run(Duration::seconds(10));
  leecher.disk[f.path(0)].bytes[5] ^= 1;
  leecher.disk[f.path(0)].modified_ns += 1;
  std::vector<uint8_t> changed = leecher.disk[f.path(0)].bytes;
  leecher.crash();
  leecher.start();
  f.world.run(Duration::minutes(1));
  assert_true(leecher.status(f.payload.hash).state == TorrentState::error);
  assert_true(leecher.disk[f.path(0)].bytes == changed);
}

static void adding_over_part_of_the_payload_downloads_the_rest(void**) {
  Fixture f;
  f.start();
  Machine& leecher = f.world.add();
  leecher.disk[f.path(0)] = f.seed->disk[f.path(0)];
  leecher.disk[f.path(2)] = f.seed->disk[f.path(2)];
  leecher.disk[f.path(2)].bytes[70'000] ^= 1;
  leecher.start();
  leecher.add(f.payload, {f.seed->endpoint});
  assert_true(f.world.run_until(Duration::minutes(1), [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
  assert_true(leecher.holds(f.payload));
  assert_true(leecher.status(f.payload.hash).downloaded < f.payload.size / 2);
}

static void a_full_disk_pauses_the_download_and_nothing_is_lost(void**) {
  for (bool by_command : {false, true}) {
    Fixture f;
    f.start();
    Machine& leecher = f.world.add();
    leecher.disk_room = 500'000;
    leecher.start();
    leecher.add(f.payload, {f.seed->endpoint});
    f.world.run(Duration::seconds(30));
    TorrentStatus status = leecher.status(f.payload.hash);
    assert_true(status.state == TorrentState::error);
    assert_true(status.error.find("disk is full") != std::string::npos && status.error.find("millet resume") != std::string::npos);
    uint64_t done = status.done;
    assert_true(done > 0);
    uint64_t downloaded = status.downloaded;
    f.world.run(Duration::minutes(10));
    // It tries once a minute, with little traffic, and says so once.
    assert_true(leecher.status(f.payload.hash).downloaded - downloaded < 11 * 3 * 1'000'000);
    int lines = 0;
    for (const std::string& line : leecher.log.lines) lines += line.find("event=download_waits") != std::string::npos;
    assert_int_equal(lines, 1);
    leecher.disk_room = UINT64_MAX;
    if (by_command) leecher.command(&Node::resume_torrent, f.payload.hash);
    Duration time = by_command ? Duration::seconds(10) : Duration::seconds(90);
    assert_true(f.world.run_until(time, [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
    assert_true(leecher.holds(f.payload));
    assert_true(leecher.status(f.payload.hash).error.empty());
  }
}

static void a_full_disk_over_a_restart_loses_nothing(void**) {
  Fixture f;
  f.start();
  Machine& leecher = f.world.add();
  leecher.disk_room = 500'000;
  leecher.start();
  leecher.add(f.payload, {f.seed->endpoint});
  f.world.run(Duration::seconds(30));
  uint64_t done = leecher.status(f.payload.hash).done;
  leecher.crash();
  leecher.start();
  f.world.run(Duration::seconds(5));
  assert_true(leecher.status(f.payload.hash).done >= done);
  leecher.disk_room = UINT64_MAX;
  assert_true(f.world.run_until(Duration::minutes(3), [&] { return leecher.status(f.payload.hash).state == TorrentState::seeding; }));
  assert_true(leecher.holds(f.payload));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_missing_file_stops_the_torrent_until_it_is_back),
      cmocka_unit_test(a_disk_that_goes_and_comes_back_needs_no_check),
      cmocka_unit_test(a_file_that_is_being_copied_back_is_waited_for),
      cmocka_unit_test(a_paused_torrent_does_not_go_on_when_its_files_are_back),
      cmocka_unit_test(a_download_does_not_begin_anew_where_its_disk_was),
      cmocka_unit_test(a_download_whose_files_are_lost_begins_anew_by_command),
      cmocka_unit_test(a_file_that_vanishes_and_comes_back_unchanged_needs_no_check),
      cmocka_unit_test(a_short_file_is_named_with_its_sizes),
      cmocka_unit_test(a_changed_file_is_found_and_never_overwritten),
      cmocka_unit_test(a_touched_file_that_is_the_same_goes_on),
      cmocka_unit_test(unreadable_files_stop_the_torrent),
      cmocka_unit_test(a_read_error_while_serving_stops_the_torrent_and_nothing_else),
      cmocka_unit_test(a_torrent_that_was_downloaded_is_the_owners_too),
      cmocka_unit_test(adding_over_part_of_the_payload_downloads_the_rest),
      cmocka_unit_test(a_full_disk_pauses_the_download_and_nothing_is_lost),
      cmocka_unit_test(a_full_disk_over_a_restart_loses_nothing),
  };
  return RUN_TESTS(tests);
}
