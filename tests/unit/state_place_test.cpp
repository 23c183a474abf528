// Where the state goes when nobody names a folder, on machines whose flash can't hold it.
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

// A machine by its folders, and which mounts can hold no state.
struct Machine final : StateFolders {
  std::set<std::string> there = {"/", "/var", "/var/lib"};
  std::set<std::string> unfit;  // mounts
  std::map<std::string, std::string> links;

  bool exists(const std::string& path) override {
    auto link = links.find(path);
    return there.contains(link == links.end() ? path : link->second);
  }
  std::string link_target(const std::string& path) override { return links.contains(path) ? links[path] : ""; }
  const char* lacks(const std::string& folder) override {
    assert_true(exists(folder));
    auto link = links.find(folder);
    const std::string real = link == links.end() ? folder : link->second;
    for (std::string at = real;; at.resize(at.rfind('/') == 0 ? 1 : at.rfind('/'))) {
      if (unfit.contains(at)) return "shared memory maps";
      if (fit.contains(at) || at == "/") return nullptr;
    }
  }
  Status make_link(const std::string& path, const std::string& target) override {
    links[path] = target;
    return ok;
  }
  std::set<std::string> fit;  // mounts in mounts
  void mount_disk() {
    fit.insert("/mnt/sda1");
    for (const char* path : {"/mnt", "/mnt/sda1", k_data}) there.insert(path);
  }
};

bool says(const Result<StatePlace>& place, const char* words) { return !place && place.error().reason.find(words) != std::string::npos; }

void the_usual_folder_where_it_can_be(void**) {
  Machine machine;
  Result<StatePlace> place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value() && place->lacks == nullptr);
  assert_string_equal(place->folder.c_str(), k_usual);
  assert_true(machine.links.empty());
}

void on_jffs2_the_payloads_disk_and_a_link_to_it(void**) {
  Machine machine;
  machine.unfit = {"/"};
  machine.mount_disk();
  Result<StatePlace> place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value() && place->lacks != nullptr);
  assert_string_equal(place->folder.c_str(), "/mnt/sda1/torrents/.millet");
  assert_string_equal(machine.links[k_usual].c_str(), place->folder.c_str());
  machine.there.insert(place->folder);
  place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value() && place->lacks == nullptr);
  assert_string_equal(place->folder.c_str(), k_usual);
}

void without_a_disk_it_says_what_is_missing(void**) {
  Machine machine;
  machine.unfit = {"/"};
  assert_true(says(choose_state_place(k_usual, "", machine), "node.data"));
  assert_true(says(choose_state_place(k_usual, k_data, machine), "mount a disk"));
  machine.there.insert("/mnt");
  machine.there.insert("/mnt/sda1");
  machine.there.insert(k_data);  // a folder of the flash itself
  assert_true(says(choose_state_place(k_usual, k_data, machine), "mount a disk"));
  machine.mount_disk();
  machine.fit.clear();
  machine.unfit.insert("/mnt/sda1");  // a stick with vfat
  assert_true(says(choose_state_place(k_usual, k_data, machine), "ext4"));
  assert_true(machine.links.empty());
}

void a_disk_that_is_gone_starts_no_new_state(void**) {
  Machine machine;
  machine.unfit = {"/"};
  machine.links[k_usual] = "/mnt/sda1/torrents/.millet";
  assert_true(says(choose_state_place(k_usual, k_data, machine), "is its disk mounted?"));
  machine.mount_disk();
  Result<StatePlace> place = choose_state_place(k_usual, k_data, machine);
  assert_true(place.has_value());
  assert_string_equal(place->folder.c_str(), "/mnt/sda1/torrents/.millet");
}

void this_machine_lacks_nothing(void**) {
  TempFolder folder;
  assert_null(lacks_for_state(folder.path()));
  assert_null(lacks_for_state("/proc/self/fd"));  // nothing can be made there: opening says why
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_usual_folder_where_it_can_be),
      cmocka_unit_test(on_jffs2_the_payloads_disk_and_a_link_to_it),
      cmocka_unit_test(without_a_disk_it_says_what_is_missing),
      cmocka_unit_test(a_disk_that_is_gone_starts_no_new_state),
      cmocka_unit_test(this_machine_lacks_nothing),
  };
  return RUN_TESTS(tests);
}
