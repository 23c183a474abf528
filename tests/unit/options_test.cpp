// The options of the programs: one table, read and written as text, with errors that name what is allowed; and the daemons' arguments.
#include <string>

#include "control/arguments.h"
#include "control/options.h"
#include "unit/test.h"

using namespace millet;

namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string refusal(std::string_view name, std::string_view value, Errc code = Errc::bad_input) {
  Settings settings = default_settings();
  Status status = set_option(settings, name, value);
  if (status) return "accepted";
  if (status.error().code != code) return "wrong code " + std::string(errc_name(status.error().code));
  return status.error().reason;
}

void defaults_are_those_of_the_design(void**) {
  Settings settings = default_settings();
  assert_string_equal(settings.node.listen.to_string().c_str(), "[::]:6881");
  assert_int_equal(settings.node.upload_slots, 8);
  assert_int_equal(settings.node.upload_rate, 0);
  assert_true(settings.node.tcp && settings.node.utp);
  assert_true(settings.node.trackers);
  assert_false(settings.node.speed_enabled);
  assert_int_equal(settings.node.reserve.in_pico_per_byte(), 1000);
  assert_int_equal(settings.node.free_slots, 1);
  assert_int_equal(settings.node.spending_ppm, 1'000'000);
  assert_true(settings.node.budget.is_zero());
  assert_int_equal(settings.node.max_rate.in_pico_per_byte(), 10'000);
  assert_true(settings.node.ledger_key.is_zero());
  assert_string_equal(settings.ledgerd.listen.to_string().c_str(), "127.0.0.1:7411");
  assert_string_equal(settings.ledgerd.store.c_str(), "lmdb:");
  assert_true(check_settings(settings, Program::milletd).has_value());
  assert_true(check_settings(settings, Program::ledgerd).has_value());
}

// What a NodeConfig is by itself is what the options say.
void a_configuration_of_nothing_has_the_defaults_of_the_options(void**) {
  Settings nothing;
  Settings defaults = default_settings();
  size_t compared = 0;
  for (std::string_view name : option_names(Program::milletd)) {
    if (!name.starts_with("transport.") && !name.starts_with("discovery.") && !name.starts_with("speed.")) continue;
    assert_string_equal(option_value(nothing, name).c_str(), option_value(defaults, name).c_str());
    ++compared;
  }
  assert_true(compared > 8);
}

void every_value_written_is_read_back_the_same(void**) {
  Settings settings = default_settings();
  struct {
    const char* name;
    const char* value;
  } changes[] = {{"node.listen", "127.0.0.3:0"},
                 {"node.data", "/srv/it's here"},
                 {"node.memory", "96"},
                 {"node.upload_slots", "4"},
                 {"node.upload_rate", "8000000"},
                 {"discovery.trackers", "0"},
                 {"speed.enabled", "1"},
                 {"speed.reserve", "0.125"},
                 {"speed.budget", "12.000001"},
                 {"speed.max_rate", "1000"},
                 {"speed.spending_rate", "1.5"},
                 {"ledger.url", "http://127.0.0.1:7411"},
                 {"ledger.key", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
                 {"ledgerd.store", "lmdb:/srv/ledger"}};
  for (const auto& change : changes) {
    Status set = set_option(settings, change.name, change.value);
    assert_string_equal(set ? "" : set.error().reason.c_str(), "");
    assert_string_equal(option_value(settings, change.name).c_str(), change.value);
  }
  assert_int_equal(settings.node.spending_ppm, 1'500'000);
  for (Program program : {Program::milletd, Program::ledgerd}) {
    Settings copy = default_settings();
    for (std::string_view name : option_names(program)) {
      assert_true(set_option(copy, name, option_value(settings, name)).has_value());
      assert_string_equal(option_value(copy, name).c_str(), option_value(settings, name).c_str());
    }
  }
}

void a_wrong_value_is_refused_with_what_is_allowed(void**) {
  assert_string_equal(refusal("node.upload_slots", "0").c_str(), "option node.upload_slots: '0' is not allowed; allowed: 1 to 500 slots");
  assert_string_equal(refusal("node.upload_slots", "501").c_str(),
                      "option node.upload_slots: '501' is not allowed; allowed: 1 to 500 slots");
  for (const char* value : {"", "-1", "8 ", "0x8", "8.0", "99999999999999999999999", "4294967297"})
    assert_true(contains(refusal("node.upload_slots", value), "1 to 500"));
  for (const char* value : {"localhost:1", ":6881", "127.0.0.1", "[::]:65536", "1.2.3.4:"})
    assert_true(contains(refusal("node.listen", value), "ADDRESS:PORT"));
  for (const char* value : {"1.0000001", "-1", "1e3", "990000000001", "free"}) assert_true(contains(refusal("speed.budget", value), "BTT"));
  for (const char* value : {"0.0001", "1000001"}) assert_true(contains(refusal("speed.reserve", value), "BTT per GB"));
  assert_true(contains(refusal("speed.enabled", "2"), "0 or 1"));
  assert_true(contains(refusal("ledger.key", "abcd"), "64 hexadecimal digits"));
  assert_true(contains(refusal("ledger.url", "ftp://x"), "https://HOST:PORT"));
  assert_true(contains(refusal("ledgerd.tls_listen", "7412"), "[::]:7412, or nothing"));
  assert_true(contains(refusal("node.memory", "7"), "auto, or 8 to 65536 MiB"));
  assert_true(contains(refusal("node.data", std::string_view("a\0b", 3)), "a path"));
  for (const char* value : {"", "a b", "wan;reboot", "m\xc3\xbcller"}) assert_true(contains(refusal("openwrt.zone", value), "a name"));
  assert_true(contains(refusal("openwrt.folders", "/a\n/b"), "paths with spaces between them"));
  assert_true(contains(refusal("node.disk_only", "maybe"), "auto, 0 or 1"));
}

void what_is_unknown_or_not_built_is_refused_by_name(void**) {
  assert_true(contains(refusal("node.colour", "1", Errc::not_found), "'node.colour'"));
  assert_true(contains(refusal("discovery.dht", "0", Errc::unsupported), "discovery.dht is not built yet"));
  assert_true(contains(refusal("transport.encryption", "1", Errc::unsupported), "transport.encryption is not built yet"));
  assert_true(contains(refusal("ledgerd.store", "mysql:", Errc::bad_input), "postgres:CONNECTION"));
  Settings settings = default_settings();
  assert_true(
      contains(set_from_argument(settings, Program::milletd, "ledgerd.listen=127.0.0.1:1").error().reason, "belongs to millet-ledgerd"));
  assert_true(contains(set_from_argument(settings, Program::ledgerd, "node.data=/x").error().reason, "belongs to milletd"));
  assert_true(contains(set_from_argument(settings, Program::milletd, "node.data").error().reason, "SECTION.OPTION=VALUE"));
  assert_true(set_from_argument(settings, Program::milletd, "node.data=/a=b").has_value());
  assert_string_equal(settings.node.data.c_str(), "/a=b");
}

void options_that_exclude_each_other_are_refused(void**) {
  Settings settings = default_settings();
  assert_true(set_option(settings, "node.upload_slots", "4").has_value());
  assert_true(set_option(settings, "speed.free_slots", "4").has_value());
  assert_true(check_settings(settings, Program::milletd).has_value());  // without auction the free slots mean nothing
  assert_true(set_option(settings, "speed.enabled", "1").has_value());
  assert_true(contains(check_settings(settings, Program::milletd).error().reason, "allowed: 0 to 3"));
  assert_true(set_option(settings, "speed.free_slots", "3").has_value());
  assert_true(check_settings(settings, Program::milletd).has_value());
  assert_true(set_option(settings, "ledger.url", "http://127.0.0.1:7411").has_value());
  assert_true(contains(check_settings(settings, Program::milletd).error().reason, "ledger.key"));
  settings = default_settings();
  assert_true(set_option(settings, "transport.tcp", "0").has_value() && set_option(settings, "transport.utp", "0").has_value());
  assert_true(contains(check_settings(settings, Program::milletd).error().reason, "transport.tcp"));
  assert_true(set_option(settings, "transport.utp", "1").has_value());
  assert_true(check_settings(settings, Program::milletd).has_value());
}

void automatic_memory_suits_the_machine(void**) {
  struct {
    uint64_t machine;
    uint32_t budget;
  } rows[] = {{0, 64}, {24, 8}, {56, 8}, {118, 16}, {245, 33}, {490, 65}, {1024, 136}, {64 * 1024, 256}};
  for (const auto& row : rows) {
    Settings settings = default_settings();
    fit_to_machine(settings, row.machine);
    assert_int_equal(settings.node.memory_mib, row.budget);
    assert_true(set_option(settings, "node.memory", "9").has_value());
    fit_to_machine(settings, row.machine);
    assert_int_equal(settings.node.memory_mib, 9);
  }
}

std::string file_text(const std::string& name) {
  std::string text;
  FILE* file = fopen((MILLET_SOURCE_DIR "/" + name).c_str(), "r");
  if (file == nullptr) return "can't open " + name;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, n);
  fclose(file);
  return text;
}

// After a change of an option: milletd --print-config >config/millet.conf, the same for the other two.
void the_default_configuration_is_what_print_config_writes(void**) {
  const std::string milletd = print_config(default_settings(), Program::milletd);
  assert_string_equal(file_text("config/millet.conf").c_str(), milletd.c_str());
  assert_string_equal(file_text("rootfs/etc/config/millet").c_str(), milletd.c_str());
  assert_string_equal(file_text("config/millet-ledgerd.conf").c_str(), print_config(default_settings(), Program::ledgerd).c_str());
}

void daemon_arguments_are_read_in_both_forms(void**) {
  const char* args[] = {
      "--state",  "/s", "--set=node.data=/d", "--set", "speed.enabled=1", "--seed", "a.torrent", "--data", "/p", "--seed=folder",
      "--config", "c"};
  Result<DaemonArguments> parsed = parse_daemon_arguments(Program::milletd, args);
  assert_true(parsed.has_value());
  assert_string_equal(parsed->state.c_str(), "/s");
  assert_string_equal(parsed->config_file.c_str(), "c");
  assert_int_equal(parsed->sets.size(), 2);
  assert_string_equal(parsed->sets[0].c_str(), "node.data=/d");
  assert_int_equal(parsed->seeds.size(), 2);
  assert_string_equal(parsed->seeds[0].data.c_str(), "/p");
  assert_string_equal(parsed->seeds[1].path.c_str(), "folder");
  assert_true(parsed->seeds[1].data.empty());

  auto refused = [](Program program, std::initializer_list<const char*> list, std::string_view text) {
    Result<DaemonArguments> result = parse_daemon_arguments(program, std::span(list.begin(), list.size()));
    return !result && contains(result.error().reason, text);
  };
  assert_true(refused(Program::milletd, {"--state"}, "--state needs a value"));
  assert_true(refused(Program::milletd, {"--sate", "x"}, "'--sate'"));
  assert_true(refused(Program::milletd, {"file.torrent"}, "'file.torrent'"));
  assert_true(refused(Program::milletd, {"--data", "/x"}, "before its --seed"));
  assert_true(refused(Program::ledgerd, {"--seed", "x"}, "'--seed'"));
  assert_true(contains(daemon_usage(Program::milletd), "--seed PATH"));
  assert_false(contains(daemon_usage(Program::ledgerd), "--seed PATH"));
}

std::string settings_error(const std::string& text, std::vector<std::string> sets = {}, Program program = Program::milletd) {
  Result<Settings> settings = make_settings(program, ConfigText{"m.conf", text}, sets);
  return settings ? "accepted" : settings.error().reason;
}

void set_goes_over_the_file_which_goes_over_the_defaults(void**) {
  const std::string text =
      "config millet 'node'\n\toption upload_slots '4'\n\toption upload_rate 7\nconfig speed\n\toption budget \"2.5\"\nconfig ledgerd "
      "'ledgerd'\n\toption listen '127.0.0.1:1'\n";
  const std::vector<std::string> sets = {"node.upload_slots=5", "node.upload_slots=6"};
  Result<Settings> settings = make_settings(Program::milletd, ConfigText{"m.conf", text}, sets);
  assert_true(settings.has_value());
  assert_int_equal(settings->node.upload_slots, 6);
  assert_int_equal(settings->node.upload_rate, 7);
  assert_int_equal(settings->node.peers_max, 0);
  assert_string_equal(settings->node.budget.to_btt().c_str(), "2.5");
  for (Program program : {Program::milletd, Program::ledgerd}) {
    Result<Settings> again = make_settings(program, ConfigText{"printed", print_config(*settings, program)}, {});
    assert_true(again.has_value());
    assert_string_equal(print_config(*again, program).c_str(), print_config(*settings, program).c_str());
  }
  assert_true(make_settings(Program::milletd, std::nullopt, {}).has_value());
}

void errors_name_the_file_and_line_or_the_argument(void**) {
  assert_true(settings_error("config x 'node'\n\n\toption upload_slots 'many'\n")
                  .starts_with("m.conf: line 3: option node.upload_slots: 'many' is not allowed"));
  assert_true(settings_error("config x 'nod'\n\toption listen ''\n").starts_with("m.conf: line 2: there is no option 'nod.listen'"));
  assert_true(
      settings_error("config x 'discovery'\n\toption dht 1\n").starts_with("m.conf: line 2: option discovery.dht is not built yet"));
  assert_true(settings_error("config x 'node'\n\tlist listen 1\n").starts_with("m.conf: line 2: no option is a list"));
  assert_true(settings_error("option a 'b'\n").starts_with("m.conf: "));
  assert_true(settings_error("", {"speed.reserve=free"}).starts_with("--set: option speed.reserve: 'free' is not allowed"));
  assert_true(contains(settings_error("", {"speed.enabled=1", "speed.free_slots=8"}), "speed.free_slots"));
  assert_true(contains(settings_error("", {"node.data=/x"}, Program::ledgerd), "belongs to milletd"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(defaults_are_those_of_the_design),
      cmocka_unit_test(a_configuration_of_nothing_has_the_defaults_of_the_options),
      cmocka_unit_test(every_value_written_is_read_back_the_same),
      cmocka_unit_test(a_wrong_value_is_refused_with_what_is_allowed),
      cmocka_unit_test(what_is_unknown_or_not_built_is_refused_by_name),
      cmocka_unit_test(options_that_exclude_each_other_are_refused),
      cmocka_unit_test(automatic_memory_suits_the_machine),
      cmocka_unit_test(the_default_configuration_is_what_print_config_writes),
      cmocka_unit_test(set_goes_over_the_file_which_goes_over_the_defaults),
      cmocka_unit_test(errors_name_the_file_and_line_or_the_argument),
      cmocka_unit_test(daemon_arguments_are_read_in_both_forms),
  };
  return RUN_TESTS(tests);
}
