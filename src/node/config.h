// The settings of a node, as values. Their names, defaults, ranges and help are declared once, in control/options.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/amount.h"
#include "base/endpoint.h"
#include "base/ids.h"

namespace millet {

enum class Automatic : uint8_t { no, yes, automatic };

struct NodeConfig {
  // node.*
  Endpoint listen;            // port 0: any free one
  std::string data;           // default payload folder
  uint32_t memory_mib = 64;   // the one memory budget
  uint32_t upload_slots = 8;  // of the whole node
  uint64_t upload_rate = 0;   // bytes per second; 0: unlimited
  uint64_t download_rate = 0;
  uint32_t peers_max = 200;  // connections of the whole node; 0: as many as suit memory_mib
  uint32_t peers_per_address = 8;
  // transport.*
  bool tcp = true;  // at least one of the two
  bool utp = true;
  bool tcp_background = true;
  Automatic tcp_sendfile = Automatic::automatic;
  // discovery.*
  bool trackers = true;
  // speed.*
  bool speed_enabled = false;
  Rate reserve = Rate::pico_per_byte(1000);  // 1 BTT per GB
  uint32_t free_slots = 1;
  uint32_t spending_ppm = 1'000'000;  // the paper's spending rate, 1.0, in millionths
  Amount budget;                      // default per torrent; zero: no bidding
  Rate max_rate = Rate::pico_per_byte(10'000);
  uint32_t exposure_pieces = 1;                     // that a payer with a clean history may have unpaid
  Amount claim_threshold = Amount::micro(100'000);  // earned and not claimed, over all channels
  // board.*
  std::string led;               // name under /sys/class/leds; empty: none
  std::string watchdog;          // device; empty: none
  uint32_t heat_limit = 0;       // degrees Celsius; 0: as the thermal zones say
  uint32_t tracking_share = 25;  // percent of the kernel's table of connections that peers may fill
  uint32_t disk_sleep_s = 600;   // without access for so long, a rotating disk counts as asleep; 0: never
  uint32_t disk_bursts_s = 0;    // peers without a bid wait for a sleeping disk up to so long; 0: they don't
  // ledger.*
  std::string ledger_url;
  PublicKey ledger_key;  // zero: none pinned, nothing is paid
};

}  // namespace millet
