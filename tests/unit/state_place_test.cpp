// Where the state goes when nobody names a folder, on machines whose flash has no shared maps.
#include "apps/state_place.h"

#include <map>
#include <set>

#include "store/lmdb/place.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr const char* k_usual = "/var/lib/millet";
constexpr const char* k_data = "/mnt/sda1/torrents";

// A machine by its folders, and which mounts have no shared maps.
struct Machine final : StateFolders {
  std::set<std::string> there = {"/", "/var", "/var/lib"};
  std::set<std::string> unmappable;  // mounts
  std::map<std::string, std::string> links;

  bool exists(const std::string& path) override {
    auto link = links.find(path);
    return there.contains(link == links.end() ? path : link->second);
  }
  std::string link_target(const std::string& path) override { return links.contains(path) ? links[path] : ""; }
  bool can_map(const std::string& folder) override {
    assert_true(exists(folder));
    auto link = links.find(folder);
    const std::string real = link == links.end() ? folder : link->second;
    for (std::string at = real;; at.resize(at.rfind('/') == 0 ? 1 : at.rfind('/'))) {
      if (unmappable.contains(at)) return false;
      if (mappable.contains(at) || at == "/") return true;
    }
  }
  Status make_link(const std::string& path, const std::string& target) override {
    links[path] = target;
    return ok;
  }
  std::set<std::string> mappable;  // mounts in mounts
  void mount_disk() {
    mappable.insert("/mnt/sda1");
    for (const char* path : {"/mnt", "/mnt/sda1", k_data}) there.insert(path);
  }
};

bool says(const Result<StatePlace>& place, const char* words) { return !place && place.error().reason.find(words) != std::string::npos; }

void the_usual_folder_where_it_can_be(void**) {
  Machine machine;
  Result<StatePlace> place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value() && !place->moved);
  assert_string_equal(place->folder.c_str(), k_usual);
  assert_true(machine.links.empty());
}

void on_jffs2_the_payloads_disk_and_a_link_to_it(void**) {
  Machine machine;
  machine.unmappable = {"/"};
  machine.mount_disk();
  Result<StatePlace> place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value() && place->moved);
  assert_string_equal(place->folder.c_str(), "/mnt/sda1/torrents/.millet");
  assert_string_equal(machine.links[k_usual].c_str(), place->folder.c_str());
  machine.there.insert(place->folder);
  place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value() && !place->moved);
  assert_string_equal(place->folder.c_str(), k_usual);
}

void without_a_disk_it_says_what_is_missing(void**) {
  Machine machine;
  machine.unmappable = {"/"};
  assert_true(says(choose_state_place(k_usual, "", machine), "node.data"));
  assert_true(says(choose_state_place(k_usual, k_data, machine), "mount a disk"));
  machine.there.insert("/mnt");
  machine.there.insert("/mnt/sda1");
  machine.there.insert(k_data);  // a folder of the flash itself
  assert_true(says(choose_state_place(k_usual, k_data, machine), "mount a disk"));
  assert_true(machine.links.empty());
}

void a_disk_that_is_gone_starts_no_new_state(void**) {
  Machine machine;
  machine.unmappable = {"/"};
  machine.links[k_usual] = "/mnt/sda1/torrents/.millet";
  assert_true(says(choose_state_place(k_usual, k_data, machine), "is its disk mounted?"));
  machine.mount_disk();
  Result<StatePlace> place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value());
  assert_string_equal(place->folder.c_str(), "/mnt/sda1/torrents/.millet");
}

void this_machine_can_map_files(void**) {
  TempFolder folder;
  assert_true(can_map_files_of(folder.path()));
  assert_true(can_map_files_of("/proc/self/fd"));  // nothing can be made there: opening says why
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_usual_folder_where_it_can_be),
      cmocka_unit_test(on_jffs2_the_payloads_disk_and_a_link_to_it),
      cmocka_unit_test(without_a_disk_it_says_what_is_missing),
      cmocka_unit_test(a_disk_that_is_gone_starts_no_new_state),
      cmocka_unit_test(this_machine_can_map_files),
  };
  return RUN_TESTS(tests);
}
