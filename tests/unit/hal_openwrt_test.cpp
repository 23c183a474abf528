// The drivers of hal/openwrt over a tree of files that stands for /sys, /proc and /dev: hardware that is there, absent, talks nonsense, or
// goes away while the node runs.
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>

#include "hal/linux/system.h"
#include "hal/openwrt/board.h"
#include "unit/temp_folder.h"
#include "unit/text_file.h"

#include "unit/test.h"

using namespace millet;
using namespace millet::hal;

namespace {

struct Lines final : LogSink {
  LogLevel level() const override { return LogLevel::info; }
  void write(LogLevel, std::string_view line) override { lines.emplace_back(line); }
  size_t count(std::string_view text) const {
    size_t found = 0;
    for (const std::string& line : lines) found += line.find(text) != std::string::npos;
    return found;
  }
  std::vector<std::string> lines;
};

struct Tree {
  void put(const std::string& path, const std::string& text) {
    std::filesystem::path file = folder.path() + path;
    std::filesystem::create_directories(file.parent_path());
    write_text_file(file, text);
  }
  std::string get(const std::string& path) const { return read_text_file(folder.path() + path); }
  void remove(const std::string& path) { std::filesystem::remove_all(folder.path() + path); }
  const std::string& root() const { return folder.path(); }
  TempFolder folder;
  Lines log;
};

DeviceReadings read(Sensor& sensor) {
  DeviceReadings out;
  sensor.read(out);
  return out;
}

// ---- heat ----

void put_zone(Tree& tree, const std::string& name, const std::string& type, const std::string& temp) {
  tree.put("/sys/class/thermal/" + name + "/type", type + "\n");
  tree.put("/sys/class/thermal/" + name + "/temp", temp + "\n");
}
void put_trip(Tree& tree, const std::string& zone, int index, const std::string& type, const std::string& temp) {
  const std::string point = "/sys/class/thermal/" + zone + "/trip_point_" + std::to_string(index);
  tree.put(point + "_type", type + "\n");
  tree.put(point + "_temp", temp + "\n");
}

void the_zone_nearest_to_its_limit_counts(void**) {
  Tree tree;
  put_zone(tree, "thermal_zone0", "cpu-thermal", "71000");
  put_trip(tree, "thermal_zone0", 0, "active", "60000");  // a fan
  put_trip(tree, "thermal_zone0", 1, "passive", "95000");
  put_trip(tree, "thermal_zone0", 2, "critical", "110000");
  put_zone(tree, "thermal_zone1", "wifi", "80000");
  put_trip(tree, "thermal_zone1", 0, "critical", "105000");
  tree.put("/sys/class/thermal/cooling_device0/type", "Processor\n");
  ThermalZones zones(tree.root(), 0, tree.log);
  DeviceReadings readings = read(zones);
  assert_true(readings.heat.has_value());
  assert_string_equal(readings.heat->zone.c_str(), "wifi");  // 15 below 95, the other 24
  assert_int_equal(readings.heat->limit_milli_celsius, 95'000);
  assert_int_equal(readings.heat->milli_celsius, 80'000);
  put_zone(tree, "thermal_zone0", "cpu-thermal", "90000");
  assert_string_equal(read(zones).heat->zone.c_str(), "cpu-thermal");
  assert_int_equal(tree.log.count("board_has"), 1);
}

void zones_that_talk_nonsense_do_not_count(void**) {
  Tree tree;
  for (const char* temp : {"", "hot", "-273000", "4294967295", "85000 86000", "\xff\xff"}) {
    put_zone(tree, "thermal_zone0", "cpu", temp);
    put_trip(tree, "thermal_zone0", 0, "passive", "95000");
    ThermalZones zones(tree.root(), 0, tree.log);
    assert_false(read(zones).heat.has_value());
  }
  // Trip points that are none.
  put_zone(tree, "thermal_zone0", "cpu", "85000");
  for (const char* trip : {"0", "-1", "255000", "soon"}) {
    put_trip(tree, "thermal_zone0", 0, "passive", trip);
    ThermalZones zones(tree.root(), 0, tree.log);
    assert_false(read(zones).heat.has_value());
    ThermalZones limited(tree.root(), 90, tree.log);
    assert_int_equal(read(limited).heat->limit_milli_celsius, 90'000);
  }
}

void a_sensor_that_is_absent_or_goes_away_is_told_once(void**) {
  Tree tree;
  ThermalZones zones(tree.root(), 0, tree.log);
  for (int i = 0; i < 3; ++i) assert_false(read(zones).heat.has_value());
  assert_int_equal(tree.log.count("board_lacks what=\"thermal zones\""), 1);
  put_zone(tree, "thermal_zone0", "cpu", "50000");
  put_trip(tree, "thermal_zone0", 0, "hot", "100000");
  for (int i = 0; i < 3; ++i) assert_true(read(zones).heat.has_value());
  tree.remove("/sys/class/thermal");
  for (int i = 0; i < 3; ++i) assert_false(read(zones).heat.has_value());
  assert_int_equal(tree.log.count("board_lost what=\"thermal zones\""), 1);
  assert_int_equal(tree.log.lines.size(), 3);
}

// ---- memory, connection tracking, routes ----

void memory_and_its_stalls_are_read(void**) {
  Tree tree;
  MemoryState memory(tree.root(), tree.log);
  assert_false(read(memory).memory.has_value());
  tree.put("/proc/meminfo", "MemTotal:         57344 kB\nMemFree:            1200 kB\nMemAvailable:      20480 kB\nBuffers: 1 kB\n");
  assert_int_equal(read(memory).memory->total_kib, 57'344);
  assert_int_equal(read(memory).memory->available_kib, 20'480);
  assert_int_equal(read(memory).memory->stalled_permyriad, 0);
  tree.put("/proc/pressure/memory", "some avg10=12.34 avg60=5.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n");
  assert_int_equal(read(memory).memory->stalled_permyriad, 1'234);
  for (const char* nonsense : {"", "some", "some avg10=x.yz", "some avg10=1.2", "some avg10=999.99 ", "full avg10=50.00"}) {
    tree.put("/proc/pressure/memory", nonsense);
    assert_int_equal(read(memory).memory->stalled_permyriad, 0);
  }
  for (const char* nonsense :
       {"", "MemTotal: 57344 kB\n", "MemTotal: 10 kB\nMemAvailable: 20 kB\n", "MemTotal: x kB\nMemAvailable: y kB\n"}) {
    tree.put("/proc/meminfo", nonsense);
    assert_false(read(memory).memory.has_value());
  }
}

void the_table_of_connections_is_read(void**) {
  Tree tree;
  ConnectionTracking tracking(tree.root(), tree.log);
  assert_false(read(tracking).tracking.has_value());
  tree.put("/proc/sys/net/netfilter/nf_conntrack_count", "431\n");
  tree.put("/proc/sys/net/netfilter/nf_conntrack_max", "15872\n");
  assert_int_equal(read(tracking).tracking->count, 431);
  assert_int_equal(read(tracking).tracking->max, 15'872);
  for (const char* nonsense : {"0", "-5", "", "many"}) {
    tree.put("/proc/sys/net/netfilter/nf_conntrack_max", nonsense);
    assert_false(read(tracking).tracking.has_value());
  }
}

constexpr const char* k_route_head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

void a_default_route_needs_a_link_that_is_up(void**) {
  Tree tree;
  Routes routes(tree.root(), tree.log);
  assert_false(read(routes).has_route.has_value());
  tree.put("/proc/net/route", k_route_head);
  assert_false(*read(routes).has_route);
  const std::string lan = "br-lan\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
  tree.put("/proc/net/route", k_route_head + lan);
  assert_false(*read(routes).has_route);
  const std::string wan = "wan\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
  tree.put("/proc/net/route", k_route_head + lan + wan);
  assert_true(*read(routes).has_route);
  tree.put("/sys/class/net/wan/carrier", "0\n");
  assert_false(*read(routes).has_route);
  tree.put("/sys/class/net/wan/carrier", "1\n");
  assert_true(*read(routes).has_route);
  tree.put("/proc/net/route", std::string(k_route_head) + "wan\t00000000\t00000000\t0200\t0\t0\t0\t00000000\n");  // unreachable
  assert_false(*read(routes).has_route);
  // IPv6: the kernel's own unreachable default over lo counts for nothing.
  const std::string zero(32, '0');
  const std::string none = zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n";
  tree.put("/proc/net/ipv6_route", none);
  assert_false(*read(routes).has_route);
  tree.put("/proc/net/ipv6_route",
           none + zero + " 00 " + zero + " 00 fe80" + std::string(28, '0') + " 00000200 00000001 00000000 00000003      wan\n");
  assert_true(*read(routes).has_route);
  for (const char* nonsense : {"", "\n\n\n", "a b c d e f g h i j k\n", "\xff\xfe", "wan 00000000"}) {
    tree.put("/proc/net/ipv6_route", nonsense);
    tree.put("/proc/net/route", nonsense);
    assert_false(*read(routes).has_route);
  }
}

// ---- disks ----

void put_disk(Tree& tree, const std::string& name, const char* rotational, const char* status, const std::string& stat) {
  const std::string disk = "/sys/devices/" + name;
  tree.put(disk + "/queue/rotational", rotational);
  tree.put(disk + "/device/power/runtime_status", status);
  tree.put(disk + "/stat", stat);
  tree.put(disk + "/" + name + "1/partition", "1\n");
  tree.put(disk + "/" + name + "1/stat", "1 0 0 0 1 0 0 0 0 0 0\n");
}
void link_device(Tree& tree, const std::string& number, const std::string& to) {
  std::filesystem::create_directories(tree.root() + "/sys/dev/block");
  std::filesystem::create_symlink(tree.root() + to, tree.root() + "/sys/dev/block/" + number);
}

void a_partition_leads_to_its_disk_and_a_volume_to_all_of_its_disks(void**) {
  Tree tree;
  put_disk(tree, "sda", "1\n", "active\n", "  100 1 2 3  50 5 6 7 8 9 10\n");
  put_disk(tree, "sdb", "1\n", "suspended\n", "7 1 2 3 3 5 6 7 8 9 10\n");
  put_disk(tree, "mmcblk0", "0\n", "unsupported\n", "9 0 0 0 9 0 0 0 0 0 0\n");
  link_device(tree, "8:1", "/sys/devices/sda/sda1");
  link_device(tree, "179:1", "/sys/devices/mmcblk0/mmcblk01");
  tree.put("/sys/devices/dm-0/stat", "1 0 0 0 1\n");
  std::filesystem::create_directories(tree.root() + "/sys/devices/dm-0/slaves");
  std::filesystem::create_symlink(tree.root() + "/sys/devices/sda/sda1", tree.root() + "/sys/devices/dm-0/slaves/sda1");
  std::filesystem::create_symlink(tree.root() + "/sys/devices/sdb/sdb1", tree.root() + "/sys/devices/dm-0/slaves/sdb1");
  link_device(tree, "253:0", "/sys/devices/dm-0");
  DiskUse disks(tree.root(), "8:1", "179:1", tree.log);
  DeviceReadings readings = read(disks);
  assert_true(readings.payload_disk->rotating && !readings.payload_disk->suspended);
  assert_int_equal(readings.payload_disk->accesses, 150);
  assert_false(readings.state_disk->rotating);
  DiskUse volume(tree.root(), "253:0", "", tree.log);
  readings = read(volume);
  assert_true(readings.payload_disk->rotating && !readings.payload_disk->suspended);  // one of the two is awake
  assert_int_equal(readings.payload_disk->accesses, 160);
  assert_false(readings.state_disk.has_value());
  tree.put("/sys/devices/sda/device/power/runtime_status", "suspended\n");
  assert_true(read(volume).payload_disk->suspended);
}

void disks_that_are_absent_broken_or_pulled_tell_nothing(void**) {
  Tree tree;
  DiskUse none(tree.root(), "", "0:31", tree.log);
  for (int i = 0; i < 3; ++i) assert_false(read(none).payload_disk || read(none).state_disk);
  assert_int_equal(tree.log.lines.size(), 1);
  put_disk(tree, "sda", "1\n", "active\n", "100 1 2 3 50\n");
  link_device(tree, "8:1", "/sys/devices/sda/sda1");
  DiskUse disk(tree.root(), "8:1", "", tree.log);
  assert_true(read(disk).payload_disk.has_value());
  tree.put("/sys/devices/sda/stat", "100 1 2\n");
  assert_false(read(disk).payload_disk.has_value());
  tree.put("/sys/devices/sda/stat", "a b c d e f\n");
  assert_false(read(disk).payload_disk.has_value());
  tree.remove("/sys/devices/sda");
  assert_false(read(disk).payload_disk.has_value());
  // A folder that is not there yet is looked for again, and a real one has a device or none; neither is an error.
  DiskUse folder(tree.root(), tree.root() + "/mnt", "", tree.log);
  assert_false(read(folder).payload_disk.has_value());
}

// ---- the light ----

void put_led(Tree& tree, const char* trigger, const char* brightness) {
  tree.put("/sys/class/leds/green:status/trigger", trigger);
  tree.put("/sys/class/leds/green:status/brightness", brightness);
  tree.put("/sys/class/leds/green:status/max_brightness", "255\n");
  // The kernel makes them when "timer" is chosen.
  tree.put("/sys/class/leds/green:status/delay_on", "1\n");
  tree.put("/sys/class/leds/green:status/delay_off", "2\n");
}

void a_light_shows_what_the_node_does_and_is_given_back(void**) {
  Tree tree;
  auto file = [&](const char* what) { return tree.get(std::string("/sys/class/leds/green:status/") + what); };
  put_led(tree, "none [default-on] timer\n", "255\n");
  {
    SysLed led(tree.root(), "green:status", tree.log);
    led.show(LedPattern::seeding);
    assert_string_equal(file("trigger").substr(0, 4).c_str(), "none");
    assert_string_equal(file("brightness").substr(0, 3).c_str(), "255");
    led.show(LedPattern::earning);
    assert_string_equal(file("trigger").substr(0, 5).c_str(), "timer");
    assert_string_equal(file("delay_on").substr(0, 3).c_str(), "900");
    assert_string_equal(file("delay_off").substr(0, 3).c_str(), "100");
    led.show(LedPattern::error);
    assert_string_equal(file("delay_on").substr(0, 3).c_str(), "100");
    led.show(LedPattern::off);
    assert_string_equal(file("brightness").substr(0, 1).c_str(), "0");
  }
  assert_string_equal(file("trigger").substr(0, 10).c_str(), "default-on");
  // One that blinked gets its own times back, one that was set by hand its brightness.
  put_led(tree, "none default-on [timer]\n", "255\n");
  SysLed blinking(tree.root(), "green:status", tree.log);
  blinking.show(LedPattern::seeding);
  assert_string_equal(file("trigger").c_str(), "none default-on [timer]\n");  // not chosen anew
  assert_string_equal(file("delay_off").substr(0, 1).c_str(), "0");
  blinking.show(LedPattern::earning);
  assert_string_equal(file("delay_on").substr(0, 3).c_str(), "900");
  blinking.show(LedPattern::off);
  assert_string_equal(file("delay_on").substr(0, 1).c_str(), "0");
  blinking.restore();
  assert_string_equal(file("trigger").c_str(), "none default-on [timer]\n");
  assert_string_equal(file("delay_on").substr(0, 1).c_str(), "1");  // a file of a folder, unlike one of the kernel, keeps its end
  put_led(tree, "[none] default-on timer\n", "17\n");
  SysLed steady(tree.root(), "green:status", tree.log);
  steady.show(LedPattern::error);
  steady.restore();
  assert_string_equal(file("trigger").substr(0, 4).c_str(), "none");
  assert_string_equal(file("brightness").substr(0, 2).c_str(), "17");
}

void a_light_that_is_absent_or_pulled_is_told_once(void**) {
  Tree tree;
  put_led(tree, "[none] timer\n", "0\n");
  for (const char* name : {"red:power", "../leds/green:status", "/etc", ".."}) {
    Lines log;
    SysLed led(tree.root(), name, log);
    for (LedPattern pattern : {LedPattern::seeding, LedPattern::error, LedPattern::off}) led.show(pattern);
    assert_int_equal(log.lines.size(), 1);
    assert_int_equal(log.count("may be one of: green:status"), 1);
  }
  assert_string_equal(tree.get("/sys/class/leds/green:status/trigger").c_str(), "[none] timer\n");
  SysLed led(tree.root(), "green:status", tree.log);
  led.show(LedPattern::seeding);
  tree.remove("/sys/class/leds/green:status");
  led.show(LedPattern::error);
  led.show(LedPattern::seeding);
  assert_int_equal(tree.log.count("board_lost what=led"), 1);
  put_led(tree, "[none] timer\n", "0\n");
  led.show(LedPattern::error);
  assert_string_equal(tree.get("/sys/class/leds/green:status/trigger").substr(0, 5).c_str(), "timer");
}

// ---- watchdogs ----

void a_watchdog_is_fed_and_disarmed_at_the_end_only(void**) {
  Tree tree;
  tree.put("/dev/watchdog1", "");
  std::unique_ptr<WatchdogDevice> device = WatchdogDevice::open(tree.root() + "/dev/watchdog1", tree.log);
  assert_non_null(device.get());
  // A plain file takes no timeout: it is fed as if it had a short one.
  assert_int_equal(device->period().in_seconds(), WatchdogDevice::k_timeout_unsaid_s / 3);
  device->feed();
  device->feed();
  assert_string_equal(tree.get("/dev/watchdog1").c_str(), "ww");
  device->release();
  device->feed();
  device->release();
  assert_string_equal(tree.get("/dev/watchdog1").c_str(), "wwV");
  assert_null(WatchdogDevice::open(tree.root() + "/dev/watchdog7", tree.log).get());
  assert_int_equal(tree.log.count("board_lacks what=watchdog"), 1);
}

void systemd_hears_that_the_node_is_ready_lives_and_ends(void**) {
  Tree tree;
  const std::string path = tree.root() + "/notify";
  int server = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  assert_int_equal(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  auto heard = [&] {
    char text[64] = {};
    ssize_t got = recv(server, text, sizeof text, 0);
    return got < 0 ? std::string() : std::string(text, static_cast<size_t>(got));
  };
  assert_null(ServiceWatchdog::open(nullptr, "1000000", nullptr).get());
  assert_null(ServiceWatchdog::open("", nullptr, nullptr).get());
  assert_null(ServiceWatchdog::open("relative", nullptr, nullptr).get());
  assert_null(ServiceWatchdog::open(std::string(200, '/').c_str(), nullptr, nullptr).get());
  auto watchdog = ServiceWatchdog::open(path.c_str(), "30000000", nullptr);
  assert_int_equal(watchdog->period().in_seconds(), 15);
  watchdog->feed();
  assert_string_equal(heard().c_str(), "READY=1");
  assert_string_equal(heard().c_str(), "WATCHDOG=1");
  watchdog->feed();
  assert_string_equal(heard().c_str(), "WATCHDOG=1");
  watchdog->release();
  assert_string_equal(heard().c_str(), "STOPPING=1");
  // Without WatchdogSec=, with nonsense, or meant for another process, it only hears of the beginning.
  for (auto [us, process] : {std::pair<const char*, const char*>(nullptr, nullptr), {"soon", nullptr}, {"30000000", "1"}}) {
    auto quiet = ServiceWatchdog::open(path.c_str(), us, process);
    assert_true(quiet->period() >= Duration::minutes(1));
    quiet->feed();
    quiet->feed();
    assert_string_equal(heard().c_str(), "READY=1");
    assert_string_equal(heard().c_str(), "");
  }
  close(server);
}

// ---- the board ----

void a_board_without_anything_costs_a_line_each(void**) {
  Tree tree;
  Lines log;
  LinuxSystem machine(log);
  size_t before = log.lines.size();
  {
    BoardOptions options;
    options.root = tree.root();
    options.led = "green:status";
    options.watchdog = tree.root() + "/dev/watchdog";
    LinuxBoard board(options, machine.uv(), log);
    DeviceReadings readings;
    for (int i = 0; i < 5; ++i) {
      for (Sensor* sensor : board.sensors()) sensor->read(readings);
      board.led()->show(i % 2 == 0 ? LedPattern::seeding : LedPattern::error);
    }
    assert_false(readings.heat || readings.memory || readings.tracking || readings.payload_disk || readings.state_disk ||
                 readings.has_route);
    assert_int_equal(board.watchdogs().size(), 0);
    board.trim_memory();
  }
  assert_in_range(log.lines.size() - before, 7, 9);
}

// Whatever this machine has: nothing fails, and what is told makes sense.
void the_board_of_this_machine_is_read(void**) {
  Lines log;
  LinuxSystem machine(log);
  BoardOptions options;
  options.payload = "/";
  options.state = "/tmp";
  LinuxBoard board(options, machine.uv(), log);
  DeviceReadings readings;
  for (Sensor* sensor : board.sensors()) sensor->read(readings);
  assert_true(readings.memory.has_value());
  assert_in_range(readings.memory->available_kib, 1, readings.memory->total_kib);
  assert_true(readings.has_route.has_value());
}

// In a network of its own, where the loopback interface is still down.
void a_link_that_comes_up_wakes_the_loop(void**) {
  if (unshare(CLONE_NEWNET) != 0) skip();  // needs rights
  struct Events final : BoardEvents {
    void on_board_changed() override { ++count; }
    int count = 0;
  } events;
  Tree tree;
  LinuxSystem machine(tree.log);
  BoardOptions options;
  options.root = tree.root();
  LinuxBoard board(options, machine.uv(), tree.log);
  board.set_events(&events);
  uv_run(machine.uv(), UV_RUN_NOWAIT);
  assert_int_equal(events.count, 0);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request = {};
  strcpy(request.ifr_name, "lo");
  assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
  request.ifr_flags |= IFF_UP;
  assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
  close(fd);
  for (int i = 0; i < 1000 && events.count == 0; ++i) {
    uv_run(machine.uv(), UV_RUN_NOWAIT);
    usleep(1000);
  }
  assert_true(events.count > 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_zone_nearest_to_its_limit_counts),
      cmocka_unit_test(zones_that_talk_nonsense_do_not_count),
      cmocka_unit_test(a_sensor_that_is_absent_or_goes_away_is_told_once),
      cmocka_unit_test(memory_and_its_stalls_are_read),
      cmocka_unit_test(the_table_of_connections_is_read),
      cmocka_unit_test(a_default_route_needs_a_link_that_is_up),
      cmocka_unit_test(a_partition_leads_to_its_disk_and_a_volume_to_all_of_its_disks),
      cmocka_unit_test(disks_that_are_absent_broken_or_pulled_tell_nothing),
      cmocka_unit_test(a_light_shows_what_the_node_does_and_is_given_back),
      cmocka_unit_test(a_light_that_is_absent_or_pulled_is_told_once),
      cmocka_unit_test(a_watchdog_is_fed_and_disarmed_at_the_end_only),
      cmocka_unit_test(systemd_hears_that_the_node_is_ready_lives_and_ends),
      cmocka_unit_test(a_board_without_anything_costs_a_line_each),
      cmocka_unit_test(the_board_of_this_machine_is_read),
      cmocka_unit_test(a_link_that_comes_up_wakes_the_loop),
  };
  return RUN_TESTS(tests);
}
