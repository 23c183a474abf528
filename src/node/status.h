// What a node shows of itself: plain values for control/ to print. Taken from memory; asking costs no disk access.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/amount.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "node/device_policy.h"
#include "node/io.h"
#include "node/memory_plan.h"

namespace millet {

// missing: files that should be there are not (a disk that was taken away); it goes on by itself when they are back.
enum class TorrentState : uint8_t { checking, downloading, seeding, paused, missing, error };
const char* torrent_state_name(TorrentState state);

struct TorrentStatus {
  InfoHash info_hash;
  std::string name;
  std::string root;
  TorrentState state = TorrentState::checking;
  bool paused = false;  // by the user, whatever the state
  std::string error;    // why it stands still, and the way out; empty if it does not
  uint64_t size = 0;
  uint64_t done = 0;  // bytes verified
  uint32_t pieces = 0;
  uint32_t pieces_done = 0;
  uint32_t pieces_checked = 0;  // progress while checking
  uint32_t piece_size = 0;
  bool is_private = false;
  uint32_t peers = 0;
  uint64_t uploaded = 0;  // payload bytes since the torrent was added
  uint64_t downloaded = 0;
  uint64_t upload_rate = 0;  // bytes per second now
  uint64_t download_rate = 0;
  Amount budget;  // for bids; zero: none
  Rate max_rate;
  Rate reserve;                 // of slots that are sold to its peers
  Amount earned;                // counted as provider
  Amount spent;                 // signed as requester
  uint64_t pieces_paid_up = 0;  // pieces' worth of bytes sent for money, and for nothing
  uint64_t bytes_paid_up = 0;
  uint64_t bytes_free_up = 0;
  uint64_t bytes_paid_down = 0;
  uint64_t bytes_free_down = 0;
  std::vector<std::string> trackers;
  std::string tracker_message;  // last failure or warning
};

struct PeerStatus {
  InfoHash info_hash;
  Endpoint remote;
  std::string client;  // BEP 10 "v", else from the peer id
  bool incoming = false;
  Transport transport = Transport::tcp;
  bool choking_us = true;
  bool choked_by_us = true;
  bool interested_in_us = false;
  bool we_are_interested = false;
  bool speed = false;  // both sides proved BitTorrent Speed
  std::string slot;    // "", "regular", "optimistic", "auction", "free"
  uint64_t uploaded = 0;
  uint64_t downloaded = 0;
  uint64_t upload_rate = 0;
  uint64_t download_rate = 0;
  uint32_t pieces = 0;  // that the peer has
};

// One auction round that this node held, explained (speed/PROTOCOL.md).
struct AuctionBid {
  InfoHash info_hash;
  PublicKey payer;
  Endpoint remote;
  Rate rate;
  Rate bonus;    // what the peer's own uploads counted for, beside the bid
  Rate reserve;  // of its torrent
  Rate price;    // that it pays if it won: the least that it could have bid and still won
  bool backed = false;
  bool won = false;
  std::string outcome;  // "won", or why not, in snake_case
};
struct AuctionRound {
  uint64_t round = 0;
  int64_t wall_ms = 0;
  uint32_t slots = 0;
  Rate price;                    // of winners without a bonus, on torrents with the node's reserve
  Rate reserve;                  // the node's
  int losing_bid = -1;           // index into bids of the one that set the price; -1: the reserve did
  std::vector<AuctionBid> bids;  // highest first
};

// What an own bid was computed from: the least of formula, max_rate and market, and a quarter more for each rare quarter, up to max_rate.
struct OwnBidBasis {
  Amount budget_left;
  uint64_t bytes_left = 0;
  uint32_t spending_ppm = 0;
  Rate formula;  // spending rate x budget left / bytes left
  Rate max_rate;
  std::optional<Rate> market;  // what the prices seen so far make sensible; nothing: too few were seen
  uint32_t rare_quarters = 0;  // of the pieces that are wanted from this peer, how many quarters few others have
  std::string limited_by;      // "formula", "max_rate", "market", "nothing_left"
};

// One of our own bids as requester.
struct OwnBid {
  InfoHash info_hash;
  Endpoint remote;
  uint32_t bid_seq = 0;
  Rate bid;
  Rate price;         // the provider's answer; zero while choked or free
  std::string state;  // "waiting", "won", "free", "stopped", "withdrawn"; "ended": the connection is, with the last bid and price
  OwnBidBasis basis;
};

// A download with a budget that bids nothing.
struct NoBid {
  InfoHash info_hash;
  std::string reason;  // and the way out
};

// What was earned and spent on one day (speed/history.h).
struct HistoryDay {
  uint32_t day = 0;                   // of the ledger's clock, since 1970; 0: all before the days that are listed
  std::optional<InfoHash> info_hash;  // nothing: torrents that are not listed by themselves
  std::string name;                   // empty: the torrent is not there any more
  Amount earned;
  Amount spent;
  uint64_t bytes_sold = 0;
  uint64_t bytes_bought = 0;
  Amount lost;      // earned, and never paid out
  Amount returned;  // spent, and never taken
};

struct ChannelStatus {
  ChannelId id;
  std::string role;   // "payer" or "payee"
  std::string state;  // snake_case name of the channel's state
  PublicKey other;
  Amount capacity;
  Amount paid;  // cumulative amount signed (payer) or counted (payee)
  Amount durable;
  Amount claimed;
  int64_t expiry = 0;  // ledger time, seconds since 1970
};

struct NodeStats {
  uint64_t uptime_s = 0;
  uint32_t torrents = 0;
  uint32_t peers = 0;
  uint64_t uploaded = 0;
  uint64_t downloaded = 0;
  uint64_t upload_rate = 0;
  uint64_t download_rate = 0;
  Amount earned;
  Amount spent;
  uint64_t commits = 0;
  std::string ledger;               // "off", "unknown", "reachable", "unreachable: why", "wallet locked: millet unlock"
  std::string ledger_head;          // what it last signed about its log (ledger/common/head_text.h); empty: nothing yet
  PublicKey address;                // account of this node
  bool wallet_locked = false;       // nothing is signed until its passphrase comes
  DeviceReadings device;            // as read last
  bool disk_sleeps = false;         // the payload's
  std::vector<MemoryShare> memory;  // the budget, part by part
  std::vector<DeviceLimit> limits;  // what the device's state takes away from the settings, and why
};

// What carries the connections, as the driver and the system count it since the start.
struct TransportStatus {
  // TCP.
  uint32_t tcp_connections = 0;
  std::string tcp_payload_way;   // "copy", "sendfile"
  std::string tcp_background;    // "off"; "unused" while nobody was over the uplink; else the kernel's control, or "rate"
  uint64_t tcp_uplink_rate = 0;  // bytes per second that TCP leaves the uplink with "rate"
  uint64_t tcp_uplink_queue_us = 0;
  // The UDP socket; all zero without uTP.
  std::string udp_send_way;  // "single", "batch", "offload"; empty: no socket
  uint64_t udp_received = 0;
  uint64_t udp_received_bytes = 0;
  uint64_t udp_receive_calls = 0;
  uint64_t udp_receive_overflows = 0;  // that the system dropped because we were late
  uint64_t udp_sent = 0;
  uint64_t udp_sent_bytes = 0;
  uint64_t udp_send_calls = 0;
  uint64_t udp_send_drops = 0;
  uint64_t udp_too_big = 0;
  uint64_t udp_unreachable = 0;
  // uTP.
  uint32_t utp_connections = 0;
  uint64_t utp_packets_in = 0;
  uint64_t utp_packets_out = 0;
  uint64_t utp_payload_in = 0;
  uint64_t utp_payload_out = 0;
  uint64_t utp_payload_again = 0;  // retransmitted
  uint64_t utp_strangers = 0;
  uint64_t utp_resets_in = 0;
  uint64_t utp_refused = 0;
};

// Who can tell it.
class TransportSource {
 public:
  virtual ~TransportSource() = default;
  virtual TransportStatus transport_status() const = 0;
  // Bytes that commits of the state gave to its disk since the start; 0: not known.
  virtual uint64_t state_written() const { return 0; }
  // Adds what it holds in memory to the node's budget.
  virtual void add_memory(std::vector<MemoryShare>& budget) const { static_cast<void>(budget); }
};

}  // namespace millet
