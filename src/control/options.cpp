#include "control/options.h"

#include <algorithm>
#include <charconv>
#include <variant>

#include "codec/url.h"
#include "ledger/common/faucet.h"

namespace millet {
namespace {

// Access to an option's place in the settings; the type says how its text is read.
struct Number32 {
  uint32_t& (*at)(Settings&);
};
struct Number64 {
  uint64_t& (*at)(Settings&);
};
struct Switch {
  bool& (*at)(Settings&);
};
struct AutomaticSwitch {
  Automatic& (*at)(Settings&);
};
struct Money {
  Amount& (*at)(Settings&);
};
struct Price {
  Rate& (*at)(Settings&);
};
struct Factor {
  uint32_t& (*at)(Settings&);
};  // decimal number, kept in millionths
struct Address {
  Endpoint& (*at)(Settings&);
};
struct OptionalAddress {
  std::optional<Endpoint>& (*at)(Settings&);
};
struct Key {
  PublicKey& (*at)(Settings&);
};
struct Text {
  std::string& (*at)(Settings&);
};
// A name of the system's: of a user, of an interface.
struct Name {
  std::string& (*at)(Settings&);
};
struct Paths {
  std::string& (*at)(Settings&);
};
struct LedgerUrl {
  std::string& (*at)(Settings&);
};
struct StoreName {
  std::string& (*at)(Settings&);
};
struct AutomaticNumber {
  uint32_t& (*at)(Settings&);
};  // k_auto: as suits the machine
using Access = std::variant<Number32, Number64, Switch, AutomaticSwitch, Money, Price, Factor, Address, OptionalAddress, Key, Text, Name,
                            Paths, LedgerUrl, StoreName, AutomaticNumber>;

enum class When : uint8_t { live, start };  // takes effect at once / at the next start

struct Option {
  const char* name;
  Access access;
  const char* initial;  // the default, as text
  uint64_t min;         // of numbers: in units of the field (micro-BTT, pBTT per byte, millionths)
  uint64_t max;
  const char* unit;  // of numbers, for people
  When when;
  const char* help;
};

constexpr uint32_t k_auto = 0;  // outside the range of numbers
constexpr uint64_t k_terabyte = 1'000'000'000'000;
constexpr uint64_t k_rate_max_pico = 1'000'000'000;  // 10^6 BTT per GB: a price beyond it is a slip of the keyboard

#define AT(type, field) [](Settings& s) -> type& { return s.field; }
const Option k_milletd_options[] = {
    {"node.listen", Address{AT(Endpoint, node.listen)}, "[::]:6881", 0, 0, "", When::start,
     "Address and port for peers; port 0 picks a free one, [::] takes IPv4 too."},
    {"node.data", Text{AT(std::string, node.data)}, "", 0, 0, "", When::live, "Payload folder of torrents that are added without one."},
    {"node.disk_only", AutomaticSwitch{AT(Automatic, disk_only)}, "auto", 0, 1, "", When::start,
     "Refuse payload folders in memory, on an overlay and on raw flash (tmpfs, overlay, JFFS2, UBIFS); auto refuses them on OpenWrt."},
    {"node.memory", AutomaticNumber{AT(uint32_t, node.memory_mib)}, "auto", 8, 65536, "MiB", When::start,
     "Memory budget of the whole node: peers, buffers and caches; auto is an eighth of the machine's memory, 8 to 256 MiB."},
    {"node.upload_slots", Number32{AT(uint32_t, node.upload_slots)}, "8", 1, 500, "slots", When::live,
     "Peers that are served at once: one optimistic, speed.free_slots without a bid, the rest auctioned if speed.enabled."},
    {"node.upload_rate", Number64{AT(uint64_t, node.upload_rate)}, "0", 0, k_terabyte, "bytes per second", When::live,
     "Limit on uploading; 0 is unlimited."},
    {"node.download_rate", Number64{AT(uint64_t, node.download_rate)}, "0", 0, k_terabyte, "bytes per second", When::live,
     "Limit on downloading; 0 is unlimited."},
    {"node.peers_max", AutomaticNumber{AT(uint32_t, node.peers_max)}, "auto", 1, 10000, "connections", When::live,
     "Connections of the whole node; auto is 20 with a node.memory of 8 MiB, 60 with 16, 150 with 32, 200 from 64 on."},
    {"node.peers_per_address", Number32{AT(uint32_t, node.peers_per_address)}, "8", 1, 10000, "connections", When::live,
     "Connections from and to one address."},
    {"transport.tcp", Switch{AT(bool, node.tcp)}, "1", 0, 1, "", When::start,
     "Connect to peers over TCP. With uTP on too, whichever answers first is kept."},
    {"transport.utp", Switch{AT(bool, node.utp)}, "1", 0, 1, "", When::start,
     "Connect to peers over uTP, which gives way to everything else on the line."},
    {"transport.tcp_background", Switch{AT(bool, node.tcp_background)}, "1", 0, 1, "", When::start,
     "Over TCP, too, give way to everything else on the line; peers in the local network are not held back."},
    {"transport.tcp_sendfile", AutomaticSwitch{AT(Automatic, node.tcp_sendfile)}, "auto", 0, 1, "", When::start,
     "Send cached payload over TCP without a copy; auto measures what costs this device less."},
    {"discovery.trackers", Switch{AT(bool, node.trackers)}, "1", 0, 1, "", When::live, "Announce to the trackers that a torrent names."},
    {"control.socket", Text{AT(std::string, control_socket)}, "", 0, 0, "", When::start,
     "Local socket of the command line; empty is control.socket in the state folder."},
    {"speed.enabled", Switch{AT(bool, node.speed_enabled)}, "0", 0, 1, "", When::live,
     "BitTorrent Speed as a whole: answer bids, bid, pay, be paid."},
    {"speed.reserve", Price{AT(Rate, node.reserve)}, "1", 0, k_rate_max_pico, "BTT per GB", When::live,
     "Lowest price of an auctioned slot."},
    {"speed.free_slots", Number32{AT(uint32_t, node.free_slots)}, "1", 0, 500, "slots", When::live, "Slots for peers without a bid."},
    {"speed.spending_rate", Factor{AT(uint32_t, node.spending_ppm)}, "1", 1000, 100'000'000, "", When::live,
     "Own bids: this times the budget left, by bytes left."},
    {"speed.budget", Money{AT(Amount, node.budget)}, "0", 0, k_supply_micro, "BTT", When::live,
     "Most that one torrent's download may cost; 0 does not bid."},
    {"speed.max_rate", Price{AT(Rate, node.max_rate)}, "10", 0, k_rate_max_pico, "BTT per GB", When::live, "Highest own bid."},
    {"speed.exposure", Number32{AT(uint32_t, node.exposure_pieces)}, "1", 1, 64, "pieces", When::live,
     "Most that a payer may have unpaid once it has paid for long; a new one has one piece. 1 trusts nobody."},
    {"speed.claim_threshold", Money{AT(Amount, node.claim_threshold)}, "0.1", 1, k_supply_micro, "BTT", When::live,
     "Unclaimed over all channels: the largest are claimed at once. All is claimed at half of a channel's life and at shutdown anyway."},
    {"board.led", Text{AT(std::string, node.led)}, "", 0, 0, "", When::start,
     "Light below /sys/class/leds: steady while seeding, a blink a second while earning, fast on errors. Empty: none."},
    {"board.watchdog", Text{AT(std::string, node.watchdog)}, "", 0, 0, "", When::start,
     "Watchdog that resets the board when the node hangs or dies, as /dev/watchdog1. Empty: none; procd has /dev/watchdog on OpenWrt."},
    {"board.heat_limit", Number32{AT(uint32_t, node.heat_limit)}, "0", 0, 125, "degrees Celsius", When::start,
     "Where the chip slows itself down: uploads slow down before. 0: as the thermal zones say."},
    {"board.disk_sleep", Number32{AT(uint32_t, node.disk_sleep_s)}, "600", 0, 86'400, "seconds", When::live,
     "A rotating disk that nobody used for so long counts as asleep, and is not woken for state that can wait. 0: never asleep."},
    {"board.disk_bursts", Number32{AT(uint32_t, node.disk_bursts_s)}, "0", 0, 86'400, "seconds", When::live,
     "Peers without a bid wait up to so long for a sleeping disk and are then served together; longer than its spin-down time. 0: no "
     "wait."},
    {"board.tracking_share", Number32{AT(uint32_t, node.tracking_share)}, "25", 1, 100, "percent", When::live,
     "Most of the kernel's connection tracking table (nf_conntrack_max) that peers may fill."},
    {"ledger.url", LedgerUrl{AT(std::string, node.ledger_url)}, "", 0, 0, "", When::start,
     "The private ledger: https://HOST:PORT, or http://HOST:PORT where nobody listens on the way."},
    {"ledger.key", Key{AT(PublicKey, node.ledger_key)}, "", 0, 0, "", When::start,
     "The ledger's public key, 64 hexadecimal digits; millet-ledgerd logs it at start."},
    {"ledger.passphrase_file", Text{AT(std::string, passphrase_file)}, "", 0, 0, "", When::start,
     "File (mode 0600) with the passphrase of a locked wallet; empty: torrents are seeded for nothing until `millet unlock`."},
    {"openwrt.state", Text{AT(std::string, openwrt.state)}, "", 0, 0, "", When::start,
     "State folder that /etc/init.d/millet of OpenWrt gives to milletd, as do the options below; empty is .millet beside node.data."},
    {"openwrt.folders", Paths{AT(std::string, openwrt.folders)}, "", 0, 0, "", When::start,
     "Payload folders beside node.data: milletd sees no others from its jail."},
    {"openwrt.user", Name{AT(std::string, openwrt.user)}, "millet", 0, 0, "", When::start, "User that milletd runs as."},
    {"openwrt.firewall", Switch{AT(bool, openwrt.firewall)}, "0", 0, 1, "", When::start,
     "Open the port of node.listen in the router's firewall while milletd runs."},
    {"openwrt.zone", Name{AT(std::string, openwrt.zone)}, "wan", 0, 0, "", When::start, "Firewall zone that the port is opened to."},
    {"openwrt.interface", Name{AT(std::string, openwrt.interface)}, "", 0, 0, "", When::start,
     "Network interface, as in wan, whose address all connections have: milletd runs only while it is up. Empty is any."},
};
const Option k_ledgerd_options[] = {
    {"ledgerd.listen", Address{AT(Endpoint, ledgerd.listen)}, "127.0.0.1:7411", 0, 0, "", When::start,
     "Address and port for nodes and wallets, without TLS; port 0 picks a free one."},
    {"ledgerd.tls_listen", OptionalAddress{AT(std::optional<Endpoint>, ledgerd.tls_listen)}, "", 0, 0, "", When::start,
     "Address and port with TLS, as in [::]:7412; empty is none. The ledger's key authorises the certificate: nothing else is needed."},
    {"ledgerd.tls_key_life", Number32{AT(uint32_t, ledgerd.tls_key_life_s)}, "604800", 10, 31'536'000, "seconds", When::start,
     "How long a certificate counts; it is replaced after half of that."},
    {"ledgerd.address_rate", Number32{AT(uint32_t, ledgerd.address_rate)}, "1000", 0, 1'000'000, "requests per second", When::start,
     "Most that one address may ask, each operation counted, and an eighth of what its network (/24, /48) may; 0 is no limit."},
    {"ledgerd.key_rate", Number32{AT(uint32_t, ledgerd.key_rate)}, "1000", 0, 1'000'000, "per second", When::start,
     "Most operations, queries and signed reads of one key; 0 is no limit."},
    {"ledgerd.public_metrics", Switch{AT(bool, ledgerd.public_metrics)}, "0", 0, 1, "", When::start,
     "Show /metrics to everybody, not only to programs on this machine: it tells how much business the ledger does."},
    {"ledgerd.public_records", Switch{AT(bool, ledgerd.public_records)}, "0", 0, 1, "", When::start,
     "Show /v1/records to everybody, not only to programs on this machine: it tells who pays whom."},
    {"ledgerd.store", StoreName{AT(std::string, ledgerd.store)}, "lmdb:", 0, 0, "", When::start,
     "Where accounts and channels are kept: lmdb: in the state folder, lmdb:FOLDER, or postgres:CONNECTION as libpq takes it."},
    {"ledgerd.witness", Text{AT(std::string, ledgerd.witness)}, "", 0, 0, "", When::start,
     "File that remembers how long the log has been, so that an old backup is refused; best on another disk. Empty: in the state folder."},
    {"ledgerd.clock_leap_max", Number32{AT(uint32_t, ledgerd.clock_leap_max_days)}, "30", 0, 36'500, "days", When::start,
     "A clock that is further ahead of the last record is not believed, since what it lets vest and expire can't be taken back; 0: any "
     "is."},
    {"ledgerd.faucet_grant", Money{AT(Amount, ledgerd.faucet_grant)}, "10", 0, k_faucet_grant_max.in_micro(), "BTT", When::start,
     "Initial balance of an account for a proof of work; 0 gives none."},
    {"ledgerd.faucet_budget", Money{AT(Amount, ledgerd.faucet_budget)}, "1000000", 0, k_faucet_day_max.in_micro(), "BTT", When::start,
     "Most that initial balances may cost in a day."},
    {"ledgerd.faucet_per_network", Number32{AT(uint32_t, ledgerd.faucet_per_network)}, "100", 0, 1'000'000, "per day", When::start,
     "Most initial balances for the addresses of one network (/24, /48) in a day; 0 is no limit, as behind a proxy."},
    {"ledgerd.captcha_url", Text{AT(std::string, ledgerd.captcha_url)}, "", 0, 0, "", When::start,
     "Who judges CAPTCHAs for initial balances, as hCaptcha's, Turnstile's or reCAPTCHA's siteverify: http://HOST:PORT/PATH; empty: "
     "nobody."},
    {"ledgerd.captcha_secret_file", Text{AT(std::string, ledgerd.captcha_secret_file)}, "", 0, 0, "", When::start,
     "File with the secret that belongs to it."},
    {"ledgerd.captcha_with_work", Switch{AT(bool, ledgerd.captcha_with_work)}, "0", 0, 1, "", When::start,
     "A solved CAPTCHA is needed beside the proof of work, not instead of it."},
    {"ledgerd.faucet_spend_only", Number32{AT(uint32_t, ledgerd.faucet_spend_only_days)}, "30", 0, 3650, "days", When::start,
     "An initial balance only pays for service for so long: it can't be transferred."},
    {"ledgerd.faucet_hashcash_bits", Number32{AT(uint32_t, ledgerd.faucet_hashcash_bits)}, "18", 0, 32, "bits", When::start,
     "Work of the hashcash stage: 2^bits hashes; every bit doubles it."},
    {"ledgerd.faucet_memory_bits", Number32{AT(uint32_t, ledgerd.faucet_memory_bits)}, "4", 0, 32, "bits", When::start,
     "Work of the memory stage: 2^bits evaluations of Argon2id."},
    {"ledgerd.faucet_memory", Number32{AT(uint32_t, ledgerd.faucet_memory_kib)}, "16384", 8, 65536, "KiB", When::start,
     "Memory of one evaluation, for the account's owner and for the ledger."},
};
#undef AT

// Known by name from the design, refused with the reason.
struct NotBuilt {
  const char* name;
  const char* instead;
};
constexpr NotBuilt k_not_built[] = {
    {"transport.encryption", "connections are plaintext"},        {"discovery.dht", "peers come from trackers and --peer"},
    {"discovery.pex", "peers come from trackers and --peer"},     {"discovery.lsd", "peers come from trackers and --peer"},
    {"control.http", "the command line talks to control.socket"},
};

std::span<const Option> options_of(Program program) {
  if (program == Program::milletd) return k_milletd_options;
  return k_ledgerd_options;
}

const Option* find(std::string_view name) {
  for (Program program : {Program::milletd, Program::ledgerd}) {
    for (const Option& option : options_of(program)) {
      if (option.name == name) return &option;
    }
  }
  return nullptr;
}

// Errors: not_found, unsupported.
Result<const Option*> find_or_refuse(std::string_view name) {
  if (const Option* option = find(name)) return option;
  for (const NotBuilt& missing : k_not_built) {
    if (missing.name == name) return error(Errc::unsupported, "option " + std::string(name) + " is not built yet: " + missing.instead);
  }
  return error(Errc::not_found, "there is no option '" + std::string(name.substr(0, 60)) + "': --print-config lists all of them");
}

std::string bound(const Option& option, uint64_t value) {
  if (std::holds_alternative<Money>(option.access)) return Amount::micro(value).to_btt();
  if (std::holds_alternative<Price>(option.access)) return Rate::pico_per_byte(value).to_btt_per_gb();
  if (std::holds_alternative<Factor>(option.access)) return Amount::micro(value).to_btt();
  return std::to_string(value);
}

// What an option takes, for people: "1 to 500 slots".
std::string allowed(const Option& option) {
  struct Describe {
    const Option& option;
    std::string numbers(const char* kind) const {
      std::string text = std::string(kind) + bound(option, option.min) + " to " + bound(option, option.max);
      return *option.unit ? text + " " + option.unit : text;
    }
    std::string operator()(const Number32&) const { return numbers(""); }
    std::string operator()(const Number64&) const { return numbers(""); }
    std::string operator()(const AutomaticNumber&) const { return numbers("auto, or "); }
    std::string operator()(const Money&) const { return numbers("") + ", at most six decimals"; }
    std::string operator()(const Price&) const { return numbers("") + ", at most three decimals"; }
    std::string operator()(const Factor&) const { return numbers("") + ", at most six decimals"; }
    std::string operator()(const Switch&) const { return "0 or 1"; }
    std::string operator()(const AutomaticSwitch&) const { return "auto, 0 or 1"; }
    std::string operator()(const Address&) const { return "ADDRESS:PORT, as in 127.0.0.1:6881 or [::]:6881"; }
    std::string operator()(const OptionalAddress&) const { return "ADDRESS:PORT, as in [::]:7412, or nothing"; }
    std::string operator()(const Key&) const { return "64 hexadecimal digits, or nothing"; }
    std::string operator()(const Text&) const { return "a path, or nothing"; }
    std::string operator()(const Name&) const { return *option.initial ? "a name" : "a name, or nothing"; }
    std::string operator()(const Paths&) const { return "paths with spaces between them, or nothing"; }
    std::string operator()(const LedgerUrl&) const { return "http://HOST:PORT or https://HOST:PORT, or nothing"; }
    std::string operator()(const StoreName&) const { return "lmdb:, lmdb:FOLDER or postgres:CONNECTION"; }
  };
  return std::visit(Describe{option}, option.access);
}

Result<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return error(Errc::bad_input, "not a whole number");
  return value;
}

// Reads the text as the option's type into the settings. An error's reason is replaced by the caller, unless it is `unsupported`.
struct Assign {
  const Option& option;
  Settings& settings;
  std::string_view text;

  Status check(uint64_t value) const {
    if (value < option.min || value > option.max) return error(Errc::bad_input, "out of range");
    return ok;
  }
  Result<uint64_t> checked(Result<uint64_t> value) const {
    if (value) TRY(check(*value));
    return value;
  }
  Status operator()(const Number32& field) const {
    TRY_ASSIGN(uint64_t value, checked(parse_number(text)));
    field.at(settings) = static_cast<uint32_t>(value);
    return ok;
  }
  Status operator()(const Number64& field) const {
    TRY_ASSIGN(field.at(settings), checked(parse_number(text)));
    return ok;
  }
  Status operator()(const AutomaticNumber& field) const {
    if (text == "auto") return field.at(settings) = k_auto, ok;
    return (*this)(Number32{field.at});
  }
  Status operator()(const Switch& field) const {
    for (std::string_view yes : {"1", "on", "yes", "true", "enabled"}) {
      if (text == yes) return field.at(settings) = true, ok;
    }
    for (std::string_view no : {"0", "off", "no", "false", "disabled"}) {
      if (text == no) return field.at(settings) = false, ok;
    }
    return error(Errc::bad_input, "not a switch");
  }
  Status operator()(const AutomaticSwitch& field) const {
    for (auto [word, value] : {std::pair("auto", Automatic::automatic), std::pair("0", Automatic::no), std::pair("1", Automatic::yes)}) {
      if (text == word) return field.at(settings) = value, ok;
    }
    return error(Errc::bad_input, "not a switch");
  }
  Status operator()(const Money& field) const {
    TRY_ASSIGN(Amount value, Amount::parse_btt(text));
    TRY(check(value.in_micro()));
    field.at(settings) = value;
    return ok;
  }
  Status operator()(const Price& field) const {
    TRY_ASSIGN(Rate value, Rate::parse_btt_per_gb(text));
    TRY(check(value.in_pico_per_byte()));
    field.at(settings) = value;
    return ok;
  }
  Status operator()(const Factor& field) const {
    TRY_ASSIGN(Amount value, Amount::parse_btt(text));  // six decimals, as millionths have
    TRY(check(value.in_micro()));
    field.at(settings) = static_cast<uint32_t>(value.in_micro());
    return ok;
  }
  Status operator()(const Address& field) const {
    TRY_ASSIGN(field.at(settings), Endpoint::parse(text));
    return ok;
  }
  Status operator()(const OptionalAddress& field) const {
    if (text.empty()) return field.at(settings) = std::nullopt, ok;
    TRY_ASSIGN(field.at(settings), Endpoint::parse(text));
    return ok;
  }
  Status operator()(const Key& field) const {
    if (text.empty()) return field.at(settings) = PublicKey{}, ok;
    TRY_ASSIGN(field.at(settings), PublicKey::from_hex(text));
    return ok;
  }
  Status operator()(const Text& field) const {
    if (text.find('\0') != std::string_view::npos || text.find('\n') != std::string_view::npos) return error(Errc::bad_input, "not a path");
    field.at(settings) = std::string(text);
    return ok;
  }
  Status operator()(const Name& field) const {
    if (text.empty() && *option.initial) return error(Errc::bad_input, "no name");
    for (char c : text) {
      bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!letter && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') return error(Errc::bad_input, "not a name");
    }
    field.at(settings) = std::string(text);
    return ok;
  }
  Status operator()(const Paths& field) const { return (*this)(Text{field.at}); }
  Status operator()(const LedgerUrl& field) const {
    if (!text.empty() && !Url::parse(text, Url::Schemes::http_and_https)) return error(Errc::bad_input, "not a URL");
    return (*this)(Text{field.at});
  }
  Status operator()(const StoreName& field) const {
    if (!text.starts_with(k_store_lmdb) && !text.starts_with(k_store_postgres)) return error(Errc::bad_input, "not a store");
    return (*this)(Text{field.at});
  }
};

struct Show {
  Settings& settings;
  std::string operator()(const Number32& field) const { return std::to_string(field.at(settings)); }
  std::string operator()(const Number64& field) const { return std::to_string(field.at(settings)); }
  std::string operator()(const AutomaticNumber& field) const {
    return field.at(settings) == k_auto ? "auto" : std::to_string(field.at(settings));
  }
  std::string operator()(const Switch& field) const { return field.at(settings) ? "1" : "0"; }
  std::string operator()(const AutomaticSwitch& field) const {
    Automatic value = field.at(settings);
    return value == Automatic::automatic ? "auto" : value == Automatic::yes ? "1" : "0";
  }
  std::string operator()(const Money& field) const { return field.at(settings).to_btt(); }
  std::string operator()(const Price& field) const { return field.at(settings).to_btt_per_gb(); }
  std::string operator()(const Factor& field) const { return Amount::micro(field.at(settings)).to_btt(); }
  std::string operator()(const Address& field) const { return field.at(settings).to_string(); }
  std::string operator()(const OptionalAddress& field) const { return field.at(settings) ? field.at(settings)->to_string() : ""; }
  std::string operator()(const Key& field) const { return field.at(settings).is_zero() ? "" : field.at(settings).hex(); }
  std::string operator()(const Text& field) const { return field.at(settings); }
  std::string operator()(const Name& field) const { return field.at(settings); }
  std::string operator()(const Paths& field) const { return field.at(settings); }
  std::string operator()(const LedgerUrl& field) const { return field.at(settings); }
  std::string operator()(const StoreName& field) const { return field.at(settings); }
};

// UCI: a value in single quotes; a quote inside is written '\''.
std::string quoted(const std::string& value) {
  std::string out = "'";
  for (char c : value) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

std::string_view section_of(const Option& option) {
  std::string_view name = option.name;
  return name.substr(0, name.find('.'));
}

}  // namespace

Settings default_settings() {
  Settings settings;
  for (Program program : {Program::milletd, Program::ledgerd}) {
    for (const Option& option : options_of(program)) CHECK(set_option(settings, option.name, option.initial));
  }
  return settings;
}

void fit_to_machine(Settings& settings, uint64_t memory_mib) {
  if (settings.node.memory_mib != k_auto) return;
  // An eighth leaves a router its other work; 8 MiB is the smallest plan (node/memory_plan.h), above 256 MiB nothing gets faster. What the
  // kernel has taken for itself, up to a sixteenth, is added again: a board with 128 MB says 118.
  settings.node.memory_mib =
      memory_mib == 0 ? 64 : static_cast<uint32_t>(std::clamp<uint64_t>((memory_mib + memory_mib / 16 + 7) / 8, 8, 256));
}

Status set_option(Settings& settings, std::string_view name, std::string_view value) {
  TRY_ASSIGN(const Option* option, find_or_refuse(name));
  Status assigned = std::visit(Assign{*option, settings, value}, option->access);
  if (assigned) return ok;
  const std::string what = "option " + std::string(name) + ": '" + std::string(value.substr(0, 80)) + "' ";
  if (assigned.error().code == Errc::unsupported)
    return error(Errc::unsupported, what + "is refused, " + assigned.error().reason + "; allowed: " + allowed(*option));
  return error(Errc::bad_input, what + "is not allowed; allowed: " + allowed(*option));
}

Status set_from_argument(Settings& settings, Program program, std::string_view argument) {
  const size_t equals = argument.find('=');
  if (equals == std::string_view::npos) {
    return error(Errc::bad_input, "'" + std::string(argument.substr(0, 80)) + "' is not SECTION.OPTION=VALUE, as in node.upload_slots=4");
  }
  const std::string_view name = argument.substr(0, equals);
  TRY_ASSIGN(const Option* option, find_or_refuse(name));
  const bool of_ledgerd = section_of(*option) == "ledgerd";
  if (of_ledgerd != (program == Program::ledgerd)) {
    return error(Errc::bad_input, "option " + std::string(name) + " belongs to " + (of_ledgerd ? "millet-ledgerd" : "milletd"));
  }
  return set_option(settings, name, argument.substr(equals + 1));
}

Status check_settings(const Settings& settings, Program program) {
  if (program == Program::ledgerd) {
    const LedgerdConfig& ledgerd = settings.ledgerd;
    if (ledgerd.faucet_grant <= ledgerd.faucet_budget) return ok;
    return error(Errc::bad_input, "option ledgerd.faucet_budget: " + ledgerd.faucet_budget.to_btt() + " BTT a day pay for no grant of " +
                                      ledgerd.faucet_grant.to_btt() + " BTT; allowed: at least ledgerd.faucet_grant");
  }
  const NodeConfig& node = settings.node;
  if (!node.tcp && !node.utp) return error(Errc::bad_input, "option transport.tcp: no transport is left; allowed: 0 if transport.utp is 1");
  if (node.speed_enabled && node.free_slots >= node.upload_slots) {
    return error(Errc::bad_input, "option speed.free_slots: " + std::to_string(node.free_slots) + " of node.upload_slots " +
                                      std::to_string(node.upload_slots) + " leave none: one is optimistic, so allowed: 0 to " +
                                      std::to_string(node.upload_slots - 1));
  }
  if (!node.ledger_url.empty() && node.ledger_key.is_zero()) {
    return error(Errc::bad_input, "option ledger.key: is missing, so replies of ledger.url " + node.ledger_url +
                                      " could come from anybody; set the key that millet-ledgerd logs at start");
  }
  return ok;
}

std::string option_value(const Settings& settings, std::string_view name) {
  const Option* option = find(name);
  CHECK(option != nullptr);
  Settings copy = settings;
  return std::visit(Show{copy}, option->access);
}

Result<bool> option_is_live(std::string_view name) {
  TRY_ASSIGN(const Option* option, find_or_refuse(name));
  return option->when == When::live;
}

std::vector<std::string_view> option_names(Program program) {
  std::vector<std::string_view> names;
  for (const Option& option : options_of(program)) names.push_back(option.name);
  return names;
}

std::string print_config(const Settings& settings, Program program) {
  std::string out = program == Program::milletd ? "# Configuration of milletd" : "# Configuration of millet-ledgerd";
  out += ": every option with its help, what it takes, and its value.\n";
  std::string_view section;
  for (const Option& option : options_of(program)) {
    const std::string_view name = option.name;
    if (section_of(option) != section) {
      section = section_of(option);
      out += "\nconfig " + std::string(section) + " '" + std::string(section) + "'\n";
    }
    out += "\t# " + std::string(option.help) + "\n\t# Takes " + allowed(option) + ". Default " +
           (*option.initial ? option.initial : "nothing") + ".\n";
    out += "\toption " + std::string(name.substr(section.size() + 1)) + " " + quoted(option_value(settings, name)) + "\n";
  }
  return out;
}

}  // namespace millet
