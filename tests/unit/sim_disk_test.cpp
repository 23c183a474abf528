// hal/sim: files of a simulated machine. Cold and cached reads, what a crash keeps, full and broken disks, times of change.
#include "unit/test.h"

#include "unit/sim_fixture.h"

namespace millet::sim {
namespace {

constexpr size_t k_page = Disk::k_page_size;

std::vector<uint8_t> bytes_of(size_t size, uint8_t value) { return std::vector<uint8_t>(size, value); }

std::unique_ptr<hal::File> open_file(TestWorld& test, const char* path, hal::OpenMode mode) {
  Result<std::unique_ptr<hal::File>> file = test.system(0).files.open("/data", path, mode);
  return file ? std::move(*file) : nullptr;
}

// Runs one function as a job and measures its virtual time.
template <typename F>
Duration timed(TestWorld& test, F function) {
  struct FunctionJob final : hal::Job {
    FunctionJob(F given, World& in, Instant& end) : body(given), world(in), finished(end) {}
    void run() override { body(); }
    void done() override { finished = world.now(); }
    F body;
    World& world;
    Instant& finished;
  };
  Instant start = test.world.now();
  Instant finished;
  test.system(0).executor.submit(hal::Queue::disk_read, std::make_unique<FunctionJob>(function, test.world, finished));
  test.world.run_for(Duration::seconds(100));
  return finished - start;
}

void what_was_never_read_is_cold(void**) {
  TestWorld test(1);
  test.world.machine(0).disk().install("/data/a", bytes_of(10 * k_page, 7), 5);
  auto file = open_file(test, "a", hal::OpenMode::read);
  std::vector<uint8_t> first(k_page), second(k_page);
  MutBytes parts[] = {first, second};
  assert_int_equal(*file->read_cached(0, parts), 0);
  std::vector<uint8_t> page(k_page);
  Duration cold = timed(test, [&] { assert_int_equal(*file->read_at(0, page), k_page); });
  assert_true(page == bytes_of(k_page, 7));
  assert_int_equal(*file->read_cached(0, parts), k_page);  // the second page is still cold
  Duration warm = timed(test, [&] { assert_int_equal(*file->read_at(0, page), k_page); });
  assert_true(cold >= Duration::us(200) && cold > warm);
  test.world.machine(0).disk().drop_cache();
  assert_int_equal(*file->read_cached(0, parts), 0);
}

void read_ahead_makes_a_range_warm(void**) {
  TestWorld test(1);
  test.world.machine(0).disk().install("/data/a", bytes_of(10 * k_page, 7), 5);
  auto file = open_file(test, "a", hal::OpenMode::read);
  timed(test, [&] { file->will_need(2 * k_page, 3 * k_page); });
  std::vector<uint8_t> out(10 * k_page);
  MutBytes part(out);
  assert_int_equal(*file->read_cached(2 * k_page, {&part, 1}), 3 * k_page);
}

void kernel_that_can_not_tell(void**) {
  TestWorld test(1);
  test.world.machine(0).disk().install("/data/a", bytes_of(k_page, 7), 5);
  DiskOptions options;
  options.knows_cached = false;
  test.world.machine(0).disk().set_options(options);
  auto file = open_file(test, "a", hal::OpenMode::read);
  std::vector<uint8_t> out(k_page);
  MutBytes part(out);
  Result<size_t> size = file->read_cached(0, {&part, 1});
  assert_true(!size && size.error().code == Errc::unsupported);
}

void slow_disk_does_one_thing_at_a_time(void**) {
  TestWorld test(1);
  DiskOptions options;
  options.access = Duration::seconds(8);  // it spins up
  test.world.machine(0).disk().set_options(options);
  test.world.machine(0).disk().install("/data/a", bytes_of(2 * k_page, 7), 5);
  auto file = open_file(test, "a", hal::OpenMode::read);
  std::vector<uint8_t> page(k_page);
  Duration took = timed(test, [&] {
    assert_int_equal(*file->read_at(0, page), k_page);
    assert_int_equal(*file->read_at(k_page, page), k_page);
  });
  assert_true(took >= Duration::seconds(16));
}

void kill_keeps_what_was_written(void**) {
  TestWorld test(1);
  assert_true(open_file(test, "dir/a", hal::OpenMode::create)->write_at(100, bytes_of(k_page, 9)).has_value());
  test.world.machine(0).crash(CrashKind::kill);
  const std::vector<uint8_t>* content = test.world.machine(0).disk().content("/data/dir/a");
  assert_non_null(content);
  assert_int_equal(content->size(), 100 + k_page);
  assert_int_equal((*content)[100], 9);
}

void power_cut_keeps_what_was_synced(void**) {
  uint32_t old_content = 0, new_content = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    TestWorld test(seed);
    Disk& disk = test.world.machine(0).disk();
    disk.install_folder("/data");
    auto file = open_file(test, "a", hal::OpenMode::create);
    assert_true(file->write_at(0, bytes_of(2 * k_page, 1)).has_value());
    assert_true(file->sync().has_value() && test.system(0).files.sync_folder("/data", "").has_value());
    assert_true(file->write_at(k_page, bytes_of(2 * k_page, 2)).has_value());
    assert_true(open_file(test, "never_synced", hal::OpenMode::create)->write_at(0, bytes_of(10, 3)).has_value());
    file.reset();
    test.world.machine(0).crash(CrashKind::power_cut);
    assert_null(disk.content("/data/never_synced"));
    const std::vector<uint8_t>& content = *disk.content("/data/a");
    assert_true(content.size() == 2 * k_page || content.size() == 3 * k_page);
    for (size_t i = 0; i < k_page; ++i) assert_int_equal(content[i], 1);
    // A page that was not synced is the old one or the new one, never a mixture.
    uint8_t second = content[k_page];
    assert_true(second == 1 || second == 2);
    for (size_t i = k_page; i < 2 * k_page; ++i) assert_int_equal(content[i], second);
    (second == 1 ? old_content : new_content) += 1;
    assert_int_equal(disk.used(), content.size() == 2 * k_page ? 2 * k_page : 3 * k_page);
  }
  assert_true(old_content > 5 && new_content > 5);
}

void power_cut_takes_names_that_were_not_synced(void**) {
  TestWorld test(1);
  Disk& disk = test.world.machine(0).disk();
  disk.install_folder("/data");
  hal::Files& files = test.system(0).files;
  const char* paths[] = {"x/y/a", "x/b", "c"};
  for (const char* path : paths) {
    auto file = open_file(test, path, hal::OpenMode::create);
    assert_true(file->write_at(0, bytes_of(10, 1)).has_value() && file->sync().has_value());
  }
  // The name of x/y/a is durable in its folder, but the name of that folder is not.
  assert_true(files.sync_folder("/data", "x/y").has_value() && files.sync_folder("/data", "").has_value());
  disk.power_cut(0);
  assert_false(disk.exists("/data/x/y/a") || disk.exists("/data/x/y") || disk.exists("/data/x/b"));
  assert_true(disk.exists("/data/x") && disk.exists("/data/c"));
  assert_int_equal(disk.used(), k_page);
}

void power_cut_undoes_a_truncation(void**) {
  TestWorld test(1);
  Disk& disk = test.world.machine(0).disk();
  disk.install_folder("/data");
  auto file = open_file(test, "a", hal::OpenMode::create);
  assert_true(file->write_at(0, bytes_of(3 * k_page, 1)).has_value() && file->sync().has_value());
  assert_true(test.system(0).files.sync_folder("/data", "").has_value());
  assert_true(file->resize(100).has_value());
  disk.power_cut(0);
  assert_true(*disk.content("/data/a") == bytes_of(3 * k_page, 1));
}

void times_of_change_come_from_the_wall_clock(void**) {
  TestWorld test(1);
  auto file = open_file(test, "a", hal::OpenMode::create);
  assert_true(file->write_at(0, bytes_of(1, 1)).has_value());
  int64_t first = file->info()->modified_ns;
  assert_true(first / 1'000'000 == test.system(0).clock.wall().in_ms());
  test.world.run_for(Duration::seconds(5));
  assert_true(file->info()->modified_ns == first);  // reading changes nothing
  test.world.machine(0).step_wall(Duration::hours(-1));
  assert_true(file->write_at(0, bytes_of(1, 1)).has_value());
  assert_true(file->info()->modified_ns == first - 3'595'000'000'000);
}

void full_disk(void**) {
  TestWorld test(1);
  DiskOptions options;
  options.capacity = 4 * k_page;
  test.world.machine(0).disk().set_options(options);
  auto file = open_file(test, "a", hal::OpenMode::create);
  assert_true(file->resize(100 * k_page).has_value());  // a hole takes no room
  assert_true(file->write_at(50 * k_page, bytes_of(4 * k_page, 1)).has_value());
  Status status = file->write_at(0, bytes_of(1, 1));
  assert_true(!status && status.error().code == Errc::no_room);
  assert_true(file->write_at(51 * k_page, bytes_of(k_page, 2)).has_value());  // a page that has its place
  file.reset();
  assert_true(test.system(0).files.remove("/data", "a").has_value());
  assert_int_equal(test.world.machine(0).disk().used(), 0);
}

void broken_disks(void**) {
  TestWorld test(1);
  Disk& disk = test.world.machine(0).disk();
  disk.install("/data/a", bytes_of(k_page, 7), 5);
  auto file = open_file(test, "a", hal::OpenMode::read_write);
  std::vector<uint8_t> page(k_page);
  disk.set_read_error("/data/a", true);
  assert_true(file->read_at(0, page).error().code == Errc::io);
  disk.set_read_error("/data/a", false);
  assert_true(file->read_at(0, page).has_value());
  disk.set_read_only(true);
  assert_true(file->write_at(0, page).error().code == Errc::denied);
  disk.set_read_only(false);
  disk.set_denied("/data/a", true);
  assert_true(test.system(0).files.open("/data", "a", hal::OpenMode::read).error().code == Errc::denied);
  disk.set_gone(true);
  assert_true(file->read_at(0, page).error().code == Errc::io);
}

void paths(void**) {
  TestWorld test(1);
  hal::Files& files = test.system(0).files;
  assert_true(files.open("/data", "../etc/passwd", hal::OpenMode::create).error().code == Errc::denied);
  assert_true(files.open("/data", "missing", hal::OpenMode::read).error().code == Errc::not_found);
  assert_true(files.open("/data", "b/c/d", hal::OpenMode::create).has_value());
  assert_true(files.open("/data", "b/c", hal::OpenMode::read).error().code == Errc::conflict);
  assert_true(files.open("/data", "b/c/d/e", hal::OpenMode::create).error().code == Errc::conflict);
  assert_true(files.open("/data", "a", hal::OpenMode::create).has_value());
  std::vector<std::string> names = *files.list("/data");
  assert_int_equal(names.size(), 2);
  assert_string_equal(names[0].c_str(), "a");
  assert_string_equal(names[1].c_str(), "b");
  assert_true(files.info("/data", "b")->is_directory);
  assert_true(!files.remove("/data", "b").has_value());
  assert_true(files.remove("/data", "b/c/d").has_value());
  assert_true(files.remove("/data", "b/c").has_value() && files.remove("/data", "b").has_value());
  test.world.machine(0).disk().install("/etc/x.torrent", bytes_of(100, 1), 5);
  assert_int_equal(files.read_file("/etc/x.torrent", 100)->size(), 100);
  assert_true(files.read_file("/etc/x.torrent", 99).error().code == Errc::no_room);
}

void file_that_is_removed_lives_until_it_is_closed(void**) {
  TestWorld test(1);
  auto file = open_file(test, "a", hal::OpenMode::create);
  assert_true(file->write_at(0, bytes_of(k_page, 1)).has_value());
  assert_true(test.system(0).files.remove("/data", "a").has_value());
  std::vector<uint8_t> page(k_page);
  assert_int_equal(*file->read_at(0, page), k_page);
  assert_int_equal(test.world.machine(0).disk().used(), k_page);
  file.reset();
  assert_int_equal(test.world.machine(0).disk().used(), 0);
}

}  // namespace
}  // namespace millet::sim

int main() {
  using namespace millet::sim;
  const CMUnitTest tests[] = {
      cmocka_unit_test(what_was_never_read_is_cold),
      cmocka_unit_test(read_ahead_makes_a_range_warm),
      cmocka_unit_test(kernel_that_can_not_tell),
      cmocka_unit_test(slow_disk_does_one_thing_at_a_time),
      cmocka_unit_test(kill_keeps_what_was_written),
      cmocka_unit_test(power_cut_keeps_what_was_synced),
      cmocka_unit_test(power_cut_takes_names_that_were_not_synced),
      cmocka_unit_test(power_cut_undoes_a_truncation),
      cmocka_unit_test(times_of_change_come_from_the_wall_clock),
      cmocka_unit_test(full_disk),
      cmocka_unit_test(broken_disks),
      cmocka_unit_test(paths),
      cmocka_unit_test(file_that_is_removed_lives_until_it_is_closed),
  };
  return RUN_TESTS(tests);
}
