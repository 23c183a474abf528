#include "driver/storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/random.h"
#include "hal/linux/cpu.h"
#include "hal/linux/files.h"
#include "unit/inline_executor.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr uint32_t k_piece_size = 65536;
constexpr TorrentHandle k_torrent = 5;

// A storage on a real disk that writes down what it is answered.
struct World final : StorageEvents {
  explicit World(size_t open_files_max = 16) : storage(files, executor, hal::detect_cpu(), *this, open_files_max) {}
  void on_block_read(PeerHandle, const BlockRef&, const Status& status, std::vector<uint8_t> block_bytes) override {
    answers.push_back(status);
    data = std::move(block_bytes);
  }
  void on_block_written(Ticket, const Status& status) override { answers.push_back(status); }
  void on_piece_hashed(Ticket ticket, const Result<Sha1Digest>& result) override {
    hashed.emplace(ticket, result);
    answers.push_back(result ? Status(ok) : Status(result.error()));
    if (result) digest = *result;
  }
  void on_files_checked(Ticket, const Result<FileStates>& result) override {
    answers.push_back(result ? Status(ok) : Status(result.error()));
    if (result) states = *result;
  }
  void on_files_deleted(const std::string&, const Status& status) override { answers.push_back(status); }

  void open(std::vector<TorrentFile> torrent_files) {
    bytes.clear();
    Random random(3);
    uint64_t total = 0;
    for (const TorrentFile& file : torrent_files) total += file.size;
    bytes.resize(static_cast<size_t>(total));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next());
    storage.open({k_torrent, folder / "data", torrent_files, k_piece_size});
    list = std::move(torrent_files);
  }
  // Writes everything through the storage, block by block.
  bool write_all() {
    for (size_t at = 0; at < bytes.size(); at += k_block_size) {
      BlockRef block = ref(at);
      storage.write({1, block,
                     std::vector<uint8_t>(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                          bytes.begin() + static_cast<std::ptrdiff_t>(at + block.length))});
    }
    return finish();
  }
  // The block at an offset in the torrent.
  BlockRef ref(size_t at) const {
    uint32_t length = static_cast<uint32_t>(std::min<size_t>(k_block_size, bytes.size() - at));
    return {k_torrent, static_cast<uint32_t>(at / k_piece_size), static_cast<uint32_t>(at % k_piece_size), length};
  }
  bool matches(const BlockRef& block, Bytes got) const {
    size_t at = size_t{block.piece} * k_piece_size + block.begin;
    return equal(got, Bytes(bytes).subspan(at, block.length));
  }
  // Runs the jobs; true if every answer was good.
  bool finish() {
    answers.clear();
    executor.run_all();
    return !answers.empty() && std::all_of(answers.begin(), answers.end(), [](const Status& status) { return status.has_value(); });
  }
  bool read(const BlockRef& block) {
    storage.read(1, block, {});
    return finish() && matches(block, data);
  }

  TempFolder folder;
  hal::LinuxFiles files;
  InlineExecutor executor;
  Storage storage;
  std::vector<TorrentFile> list;
  std::vector<uint8_t> bytes;
  std::vector<Status> answers;
  std::vector<uint8_t> data;
  Sha1Digest digest;
  std::map<Ticket, Result<Sha1Digest>> hashed;
  FileStates states;
};

const std::vector<TorrentFile> k_files = {{"t/a", 30'000}, {"t/empty", 0}, {"t/sub/b", 1}, {"t/sub/c", 200'000}, {"t/d", 77'777}};

void what_is_written_is_read_hashed_and_listed(void**) {
  World world;
  world.open(k_files);
  assert_true(world.write_all());
  for (size_t at = 0; at < world.bytes.size(); at += k_block_size) assert_true(world.read(world.ref(at)));
  for (uint32_t piece = 0; piece * size_t{k_piece_size} < world.bytes.size(); ++piece) {
    world.storage.hash({1, k_torrent, piece});
    assert_true(world.finish());
    size_t begin = piece * size_t{k_piece_size};
    assert_true(world.digest == Sha1::of(Bytes(world.bytes).subspan(begin, std::min<size_t>(k_piece_size, world.bytes.size() - begin))));
  }
  world.storage.check({1, k_torrent});
  assert_true(world.finish());
  assert_int_equal(world.states.size(), 5);
  assert_int_equal(world.states[1]->size, 0);  // empty files come with the first write
  assert_int_equal(world.states[3]->size, 200'000);
  assert_int_equal(unlink((world.folder / "data/t/empty").c_str()), 0);
  world.storage.sync({1, k_torrent});
  assert_true(world.finish());
  assert_int_equal(world.states[1]->size, 0);  // and again with a sync
}

// Pieces that are asked for together are hashed two at a time: fewer jobs, each digest its own, and one that can't be read spoils no other.
void pieces_are_hashed_in_pairs(void**) {
  World world;
  world.open(k_files);
  assert_true(world.write_all());
  uint32_t pieces = static_cast<uint32_t>((world.bytes.size() + k_piece_size - 1) / k_piece_size);
  assert_int_equal(truncate((world.folder / ("data/" + k_files[3].path)).c_str(), 100'000), 0);
  for (uint32_t piece = 0; piece < pieces; ++piece) world.storage.hash({100 + piece, k_torrent, piece});
  assert_int_equal(world.executor.run_all(), 1 + pieces / 2);
  uint32_t unreadable = 0;
  for (uint32_t piece = 0; piece < pieces; ++piece) {
    size_t begin = piece * size_t{k_piece_size};
    Bytes whole = Bytes(world.bytes).subspan(begin, std::min<size_t>(k_piece_size, world.bytes.size() - begin));
    const Result<Sha1Digest>& got = world.hashed.at(100 + piece);
    unreadable += got ? 0 : 1;
    assert_true(!got || *got == Sha1::of(whole));
  }
  assert_true(unreadable > 0 && unreadable <= 3);
}

// Blocks over several files, between room for headers, by one call; all open files come from the jobs before.
void cached_blocks_are_read_in_one_go(void**) {
  World world;
  world.open(k_files);
  assert_true(world.write_all());
  std::vector<BlockRef> blocks;
  for (size_t at = 0; at < world.bytes.size(); at += k_block_size) blocks.push_back(world.ref(at));
  std::vector<uint8_t> staging(world.bytes.size() + blocks.size() * 13, 0xee);
  std::vector<MutBytes> out;
  size_t used = 0;
  for (const BlockRef& block : blocks) {
    out.push_back(MutBytes(staging).subspan(used + 13, block.length));
    used += 13 + block.length;
  }
  size_t whole = world.storage.read_cached(blocks, out);
  if (whole == 0) skip();  // a kernel or file system that can't tell
  assert_int_equal(whole, blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) assert_true(world.matches(blocks[i], out[i]));
  for (size_t i = 0; i < 13; ++i) assert_int_equal(staging[i], 0xee);
}

void a_file_that_is_not_open_is_cold_and_a_job_opens_it(void**) {
  World world;
  world.open(k_files);
  assert_true(world.write_all());
  world.storage.check({1, k_torrent});  // forgets what is open
  assert_true(world.finish());
  assert_int_equal(world.storage.open_file_count(), 0);
  std::vector<uint8_t> buffer(k_block_size);
  BlockRef blocks[] = {world.ref(0)};
  MutBytes out[] = {buffer};
  assert_int_equal(world.storage.read_cached(blocks, out), 0);
  assert_true(world.read(world.ref(0)));
  assert_true(world.storage.open_file_count() > 0);
}

// The first blocks of a call are good although a later one is not there.
void reading_stops_at_the_first_block_that_is_missing(void**) {
  World world;
  world.open({{"one", k_block_size}, {"two", k_block_size}, {"three", k_block_size}});
  assert_true(world.write_all());
  assert_int_equal(truncate((world.folder / "data/two").c_str(), 100), 0);
  std::vector<uint8_t> buffer(3 * k_block_size);
  std::vector<BlockRef> blocks;
  std::vector<MutBytes> out;
  for (size_t i = 0; i < 3; ++i) {
    blocks.push_back(world.ref(i * k_block_size));
    out.push_back(MutBytes(buffer).subspan(i * k_block_size, k_block_size));
  }
  size_t whole = world.storage.read_cached(blocks, out);
  assert_true(whole <= 1);
  assert_false(world.read(world.ref(k_block_size)));
  assert_int_equal(world.answers[0].error().code, Errc::io);
  assert_non_null(strstr(world.answers[0].error().reason.c_str(), "data/two' ends at byte 100, the torrent says 16384"));
}

void a_vanished_or_unreadable_file_is_an_answer_with_its_name(void**) {
  World world;
  world.open({{"t/one", k_block_size}});
  assert_true(world.write_all());
  world.storage.check({1, k_torrent});
  assert_true(world.finish());
  assert_int_equal(unlink((world.folder / "data/t/one").c_str()), 0);
  assert_false(world.read(world.ref(0)));
  assert_int_equal(world.answers[0].error().code, Errc::not_found);
  assert_non_null(strstr(world.answers[0].error().reason.c_str(), "data/t/one"));
  world.storage.hash({1, k_torrent, 0});
  assert_false(world.finish());
  world.storage.check({1, k_torrent});
  assert_true(world.finish());
  assert_false(world.states[0].has_value());
  assert_int_equal(mkdir((world.folder / "data/t/one").c_str(), 0700), 0);
  world.storage.check({1, k_torrent});
  assert_false(world.finish());
  assert_int_equal(world.answers[0].error().code, Errc::conflict);
}

// Put in place of the old one by rename: after a check the new file is what is read.
void a_replaced_file_is_noticed_by_a_check(void**) {
  World world;
  world.open({{"one", k_block_size}});
  assert_true(world.write_all());
  assert_true(world.read(world.ref(0)));
  int fd = ::open((world.folder / "new").c_str(), O_CREAT | O_WRONLY, 0600);
  std::vector<uint8_t> other(k_block_size, 1);
  assert_int_equal(write(fd, other.data(), other.size()), other.size());
  close(fd);
  assert_int_equal(rename((world.folder / "new").c_str(), (world.folder / "data/one").c_str()), 0);
  world.storage.check({1, k_torrent});
  assert_true(world.finish());
  assert_false(world.read(world.ref(0)));
  assert_true(world.data == other);
}

void open_files_are_bounded(void**) {
  World world(4);
  std::vector<TorrentFile> files;
  for (int i = 0; i < 40; ++i) files.push_back({"f" + std::to_string(i), 5000});
  world.open(files);
  assert_true(world.write_all());
  for (size_t at = 0; at < world.bytes.size(); at += k_block_size) {
    assert_true(world.read(world.ref(at)));
    assert_true(world.storage.open_file_count() <= 4);
  }
}

void removing_deletes_the_torrents_files_and_nothing_else(void**) {
  World world;
  world.open(k_files);
  assert_true(world.write_all());
  int fd = ::open((world.folder / "data/t/mine").c_str(), O_CREAT | O_WRONLY, 0600);
  close(fd);
  world.storage.close(k_torrent, true);
  assert_true(world.finish());
  assert_int_equal(access((world.folder / "data/t/mine").c_str(), F_OK), 0);
  assert_int_not_equal(access((world.folder / "data/t/a").c_str(), F_OK), 0);
  assert_int_not_equal(access((world.folder / "data/t/sub").c_str(), F_OK), 0);
}

// Jobs that are under way when a torrent is closed are answered, and the torrent's memory outlives them.
void jobs_outlive_their_torrent(void**) {
  World world;
  world.open(k_files);
  assert_true(world.write_all());
  for (size_t at = 0; at < world.bytes.size(); at += k_block_size) world.storage.read(1, world.ref(at), {});
  size_t jobs = world.executor.waiting.size();
  world.storage.close(k_torrent, false);
  assert_true(world.finish());
  assert_int_equal(world.answers.size(), jobs);
  assert_int_equal(world.storage.open_file_count(), 0);
}

void a_failed_write_says_why(void**) {
  World world;
  world.open({{"t/one", k_block_size}});
  assert_int_equal(mkdir((world.folder / "data").c_str(), 0700), 0);
  int fd = ::open((world.folder / "data/t").c_str(), O_CREAT | O_WRONLY, 0600);
  close(fd);
  assert_false(world.write_all());
  assert_non_null(strstr(world.answers[0].error().reason.c_str(), "t/one"));
  // A sync of what could not be written is no error by itself: the file is reported as missing.
  assert_int_equal(unlink((world.folder / "data/t").c_str()), 0);
  world.storage.sync({1, k_torrent});
  assert_true(world.finish());
  assert_false(world.states[0].has_value());
}

// As an owner seeds who lets the node only read: verified files are synced without being opened for writing.
void a_payload_that_may_only_be_read_is_synced(void**) {
  World world;
  world.open({{"t/one", k_block_size}, {"t/none", 0}});
  assert_true(world.write_all());
  assert_int_equal(chmod((world.folder / "data/t/one").c_str(), 0444), 0);
  assert_int_equal(chmod((world.folder / "data/t").c_str(), 0555), 0);
  chmod(world.folder.path().c_str(), 0755);
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
    world.storage.check({1, k_torrent});  // forgets what is open for writing
    world.storage.hash({2, k_torrent, 0});
    world.storage.sync({3, k_torrent});
    _exit(world.finish() ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  chmod((world.folder / "data/t").c_str(), 0755);
}

// A torrent whose pieces were hashed first gets its empty files with the first write all the same.
void empty_files_come_with_the_first_write_after_hashing(void**) {
  World world;
  world.open({{"one", k_block_size}, {"none", 0}});
  world.storage.hash({1, k_torrent, 0});
  assert_false(world.finish());
  assert_int_not_equal(access((world.folder / "data/none").c_str(), F_OK), 0);
  assert_true(world.write_all());
  assert_int_equal(access((world.folder / "data/none").c_str(), F_OK), 0);
}

// As on a router whose disk was taken away: its mount point is a folder of the router's own flash or memory.
void where_no_payload_belongs_none_is_made_or_looked_for(void**) {
  struct statfs memory = {};
  if (statfs("/dev/shm", &memory) != 0 || memory.f_type != 0x01021994) skip();
  World world;
  const std::string root = "/dev/shm/millet-storage-test-" + std::to_string(getpid());
  world.files.set_disk_only(true);
  world.storage.open({k_torrent, root, {{"one", k_block_size}, {"none", 0}}, k_piece_size});
  world.bytes.resize(k_block_size);
  assert_false(world.write_all());
  assert_true(world.answers.back().error().reason.find(root + "' is in memory (tmpfs)") != std::string::npos);
  assert_int_not_equal(access(root.c_str(), F_OK), 0);
  world.storage.check({1, k_torrent});
  assert_false(world.finish());
  world.files.set_disk_only(false);
  assert_true(world.write_all());
  world.storage.close(k_torrent, true);
  world.executor.run_all();
  assert_int_equal(rmdir(root.c_str()), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(what_is_written_is_read_hashed_and_listed),
      cmocka_unit_test(pieces_are_hashed_in_pairs),
      cmocka_unit_test(cached_blocks_are_read_in_one_go),
      cmocka_unit_test(a_file_that_is_not_open_is_cold_and_a_job_opens_it),
      cmocka_unit_test(reading_stops_at_the_first_block_that_is_missing),
      cmocka_unit_test(a_vanished_or_unreadable_file_is_an_answer_with_its_name),
      cmocka_unit_test(a_replaced_file_is_noticed_by_a_check),
      cmocka_unit_test(open_files_are_bounded),
      cmocka_unit_test(removing_deletes_the_torrents_files_and_nothing_else),
      cmocka_unit_test(jobs_outlive_their_torrent),
      cmocka_unit_test(a_failed_write_says_why),
      cmocka_unit_test(a_payload_that_may_only_be_read_is_synced),
      cmocka_unit_test(empty_files_come_with_the_first_write_after_hashing),
      cmocka_unit_test(where_no_payload_belongs_none_is_made_or_looked_for),
  };
  return RUN_TESTS(tests);
}
