#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "hal/linux/files.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::hal;

namespace {

std::vector<uint8_t> pattern(size_t size) {
  std::vector<uint8_t> out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i * 7 + (i >> 8));
  return out;
}

void a_created_file_has_its_folders_and_its_bytes(void**) {
  TempFolder folder;
  LinuxFiles files;
  auto file = files.open(folder / "data", "a/b/c.bin", OpenMode::create);
  assert_true(file.has_value());
  std::vector<uint8_t> bytes = pattern(100'000);
  assert_true((*file)->write_at(5, bytes).has_value());
  assert_true((*file)->sync().has_value());
  assert_true(files.sync_folder(folder / "data", "a/b").has_value());
  assert_true(files.sync_folder(folder / "data", "").has_value());
  std::vector<uint8_t> back(200'000);
  auto got = (*file)->read_at(5, back);
  assert_int_equal(*got, bytes.size());
  back.resize(bytes.size());
  assert_true(back == bytes);
  auto info = files.info(folder / "data", "a/b/c.bin");
  assert_int_equal(info->size, 100'005);
  assert_false(info->is_directory);
  assert_true(info->modified_ns > 0);
}

void only_the_last_folder_of_a_root_is_made(void**) {
  TempFolder folder;
  LinuxFiles files;
  auto file = files.open(folder / "mount/data", "c.bin", OpenMode::create);
  assert_false(file.has_value());
  assert_int_equal(file.error().code, Errc::not_found);
  assert_non_null(strstr(file.error().reason.c_str(), "mount/data"));
}

void paths_and_links_do_not_lead_out_of_the_root(void**) {
  TempFolder folder;
  LinuxFiles files;
  assert_int_equal(mkdir((folder / "root").c_str(), 0700), 0);
  assert_int_equal(mkdir((folder / "outside").c_str(), 0700), 0);
  assert_true(files.open(folder / "outside", "secret", OpenMode::create).has_value());
  assert_int_equal(symlink((folder / "outside").c_str(), (folder / "root/link").c_str()), 0);
  assert_int_equal(symlink((folder / "outside/secret").c_str(), (folder / "root/file").c_str()), 0);
  for (const char* path :
       {"link/secret", "file", "../outside/secret", "a/../../outside/secret", "/etc/passwd", "", ".", "a//b", "a/", "link/../x"}) {
    for (OpenMode mode : {OpenMode::read, OpenMode::read_write, OpenMode::create}) {
      assert_false(files.open(folder / "root", path, mode).has_value());
    }
    assert_false(files.remove(folder / "root", path).has_value() && strcmp(path, "file") != 0);
  }
  assert_true(files.info(folder / "outside", "secret").has_value());
}

void what_is_not_a_regular_file_is_refused_and_does_not_block(void**) {
  TempFolder folder;
  LinuxFiles files;
  assert_int_equal(mkfifo((folder / "pipe").c_str(), 0600), 0);
  auto file = files.open(folder.path(), "pipe", OpenMode::read);
  assert_false(file.has_value());
  assert_int_equal(file.error().code, Errc::denied);
  assert_int_equal(mkdir((folder / "dir").c_str(), 0700), 0);
  assert_false(files.open(folder.path(), "dir", OpenMode::read).has_value());
  assert_true(files.info(folder.path(), "dir")->is_directory);
}

void missing_files_are_told_apart_from_forbidden_ones(void**) {
  TempFolder folder;
  LinuxFiles files;
  assert_int_equal(files.open(folder.path(), "none", OpenMode::read).error().code, Errc::not_found);
  assert_int_equal(files.info(folder.path(), "none/deeper").error().code, Errc::not_found);
  assert_true(files.open(folder.path(), "locked", OpenMode::create).has_value());
  assert_int_equal(chmod((folder / "locked").c_str(), 0), 0);
  // Root may read everything: ask as nobody.
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (chmod(folder.path().c_str(), 0755) != 0 || setuid(65534) != 0)) _exit(2);
    auto file = files.open(folder.path(), "locked", OpenMode::read);
    _exit(!file && file.error().code == Errc::denied ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void cached_reads_scatter_and_end_at_the_end(void**) {
  TempFolder folder;
  LinuxFiles files;
  auto file = files.open(folder.path(), "f", OpenMode::create);
  std::vector<uint8_t> bytes = pattern(40'000);
  assert_true((*file)->write_at(0, bytes).has_value());
  std::vector<uint8_t> a(16'384);
  std::vector<uint8_t> b(16'384);
  std::vector<uint8_t> c(16'384);
  MutBytes parts[] = {a, b, c};
  auto got = (*file)->read_cached(0, parts);
  if (!got && got.error().code == Errc::unsupported) skip();  // this file system or kernel can't
  assert_int_equal(*got, 40'000);
  assert_memory_equal(a.data(), bytes.data(), a.size());
  assert_memory_equal(b.data(), bytes.data() + a.size(), b.size());
  assert_memory_equal(c.data(), bytes.data() + 32'768, 40'000 - 32'768);
  assert_int_equal(*(*file)->read_cached(50'000, parts), 0);
}

// Pages that were dropped are reported as cold, a blocking read brings them back.
void cold_bytes_are_not_waited_for(void**) {
  TempFolder folder;
  LinuxFiles files;
  auto file = files.open(folder.path(), "f", OpenMode::create);
  std::vector<uint8_t> bytes = pattern(1 << 20);
  assert_true((*file)->write_at(0, bytes).has_value());
  assert_true((*file)->sync().has_value());
  int fd = ::open((folder / "f").c_str(), O_RDONLY);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
  std::vector<uint8_t> out(16'384);
  MutBytes parts[] = {out};
  auto got = (*file)->read_cached(512 * 1024, parts);
  if (!got || *got == out.size()) skip();  // tmpfs has no cold pages
  assert_int_equal(*got, 0);
  assert_int_equal(*(*file)->read_at(512 * 1024, out), out.size());
  assert_memory_equal(out.data(), bytes.data() + 512 * 1024, out.size());
  assert_int_equal(*(*file)->read_cached(512 * 1024, parts), out.size());
}

void a_full_disk_is_no_room(void**) {
  // /dev/full is not a regular file; a file size limit gives the same class of error (EFBIG) on every machine.
  TempFolder folder;
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    LinuxFiles files;
    auto file = files.open(folder.path(), "f", OpenMode::create);
    Status status = (*file)->write_at(0, pattern(8192));
    _exit(!status && status.error().code == Errc::no_room ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void removing_takes_files_and_empty_folders_only(void**) {
  TempFolder folder;
  LinuxFiles files;
  assert_true(files.open(folder.path(), "a/f", OpenMode::create).has_value());
  assert_false(files.remove(folder.path(), "a").has_value());
  assert_true(files.remove(folder.path(), "a/f").has_value());
  assert_true(files.remove(folder.path(), "a").has_value());
  assert_int_equal(files.remove(folder.path(), "a").error().code, Errc::not_found);
}

void whole_files_are_bounded_and_folders_are_listed_in_byte_order(void**) {
  TempFolder folder;
  LinuxFiles files;
  for (const char* name : {"b", "a", "\xc3\xa4", "B", ".hidden"}) {
    auto file = files.open(folder.path(), name, OpenMode::create);
    assert_true((*file)->write_at(0, pattern(1000)).has_value());
  }
  assert_true(*files.read_file(folder / "a", 1000) == pattern(1000));
  assert_int_equal(files.read_file(folder / "a", 999).error().code, Errc::no_room);
  assert_int_equal(files.read_file(folder.path(), 999).error().code, Errc::bad_input);
  std::vector<std::string> expected = {".hidden", "B", "a", "b", "\xc3\xa4"};
  assert_true(*files.list(folder.path()) == expected);
  assert_int_equal(files.list(folder / "none").error().code, Errc::not_found);
}

void payload_is_for_disks_where_the_owner_says_so(void**) {
  for (uint32_t type : {0x01021994u, 0x858458f6u, 0x794c7630u, 0x73717368u, 0x72b6u, 0x24051905u}) assert_non_null(unfit_for_payload(type));
  for (uint32_t type : {0xef53u /* ext4 */, 0xf2f52010u /* F2FS */, 0x4d44u /* vfat */, 0x9123683eu /* btrfs */, 0x58465342u /* XFS */}) {
    assert_null(unfit_for_payload(type));
  }
  LinuxFiles files;
  struct statfs memory = {};
  if (::statfs("/dev/shm", &memory) != 0 || memory.f_type != 0x01021994) skip();
  assert_true(files.takes_payload("/dev/shm").has_value());
  files.set_disk_only(true);
  // What is not there is judged by the folder above it.
  for (const char* root : {"/dev/shm", "/dev/shm/not/there"}) {
    Status refused = files.takes_payload(root);
    assert_false(refused.has_value());
    assert_true(refused.error().code == Errc::denied);
    for (const char* word : {root, "tmpfs", "node.disk_only=0"}) assert_true(refused.error().reason.find(word) != std::string::npos);
  }
}

void payload_never_reaches_the_state_folder(void**) {
  TempFolder folder;
  LinuxFiles files;
  for (const char* name : {"data", "data/state", "data/state/in"}) assert_int_equal(mkdir((folder / name).c_str(), 0700), 0);
  for (const char* name : {"state/key", "state/in/key", "beside"}) {
    assert_true(files.open(folder / "data", name, OpenMode::create).has_value());
  }
  for (const char* name : {"link", "deeper"}) {
    assert_int_equal(symlink((folder / (name[0] == 'l' ? "data/state" : "data/state/in")).c_str(), (folder / name).c_str()), 0);
  }
  assert_false(files.keep_out(folder / "none").has_value());
  assert_true(files.keep_out(folder / "data/state").has_value());
  struct {
    const char* root;
    const char* path;
  } const rows[] = {{"data", "state/key"}, {"data", "state/new"},       {"data", "state/in/key"}, {"data/state", "key"}, {"link", "key"},
                    {"link", "in/key"},    {"data/../data/state", "x"}, {"data/state/in", "key"}, {"deeper", "key"}};
  for (const auto& row : rows) {
    std::string root = folder / row.root;
    auto refused = [&](const auto& result) {
      return !result && result.error().code == Errc::denied && result.error().reason.find(root + "/" + row.path) != std::string::npos &&
             result.error().reason.find("'" + (folder / "data/state") + "'") != std::string::npos;
    };
    for (OpenMode mode : {OpenMode::read, OpenMode::read_write, OpenMode::create}) assert_true(refused(files.open(root, row.path, mode)));
    assert_true(refused(files.info(root, row.path)));
    assert_true(refused(files.remove(root, row.path)));
  }
  assert_int_equal(files.info(folder / "data", "state").error().code, Errc::denied);
  for (const char* root : {"data/state", "data/state/none/deeper", "link", "deeper"}) {
    assert_int_equal(files.takes_payload(folder / root).error().code, Errc::denied);
  }
  for (const char* name : {"data/state/key", "data/state/in/key"}) assert_int_equal(access((folder / name).c_str(), F_OK), 0);
  assert_int_not_equal(access((folder / "data/state/new").c_str(), F_OK), 0);
  // What is beside it is not touched by this.
  assert_true(files.takes_payload(folder / "data").has_value());
  assert_true(files.open(folder / "data", "beside", OpenMode::read_write).has_value());
  assert_true(files.open(folder / "data", "state2/key", OpenMode::create).has_value());
  // Nor by another name that the folder gets.
  assert_int_equal(rename((folder / "data/state").c_str(), (folder / "data/other").c_str()), 0);
  assert_int_equal(files.open(folder / "data", "other/key", OpenMode::read).error().code, Errc::denied);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_created_file_has_its_folders_and_its_bytes),
      cmocka_unit_test(only_the_last_folder_of_a_root_is_made),
      cmocka_unit_test(paths_and_links_do_not_lead_out_of_the_root),
      cmocka_unit_test(what_is_not_a_regular_file_is_refused_and_does_not_block),
      cmocka_unit_test(missing_files_are_told_apart_from_forbidden_ones),
      cmocka_unit_test(cached_reads_scatter_and_end_at_the_end),
      cmocka_unit_test(cold_bytes_are_not_waited_for),
      cmocka_unit_test(a_full_disk_is_no_room),
      cmocka_unit_test(payload_never_reaches_the_state_folder),
      cmocka_unit_test(payload_is_for_disks_where_the_owner_says_so),
      cmocka_unit_test(removing_takes_files_and_empty_folders_only),
      cmocka_unit_test(whole_files_are_bounded_and_folders_are_listed_in_byte_order),
  };
  return RUN_TESTS(tests);
}
