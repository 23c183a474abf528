#include "control/rows.h"

#include <algorithm>

#include "ledger/common/address.h"

namespace millet {
namespace {

// Counters of payload that several rows have.
template <typename Status>
void set_traffic(Json& row, const Status& status) {
  row.set("uploaded", status.uploaded).set("downloaded", status.downloaded);
  row.set("upload_rate", status.upload_rate).set("download_rate", status.download_rate);
}

}  // namespace

Json row_of(const TorrentStatus& torrent) {
  Json row = Json::object();
  row.set("info_hash", torrent.info_hash.hex()).set("name", torrent.name).set("root", torrent.root);
  row.set("state", torrent_state_name(torrent.state)).set("error", torrent.error);
  row.set("size", torrent.size).set("done", torrent.done);
  row.set("pieces", torrent.pieces).set("pieces_done", torrent.pieces_done).set("pieces_checked", torrent.pieces_checked);
  row.set("piece_size", torrent.piece_size).set("private", torrent.is_private).set("peers", torrent.peers);
  set_traffic(row, torrent);
  row.set("budget", torrent.budget).set("max_rate", torrent.max_rate).set("reserve", torrent.reserve);
  row.set("earned", torrent.earned).set("spent", torrent.spent);
  row.set("pieces_paid_up", torrent.pieces_paid_up);
  row.set("bytes_paid_up", torrent.bytes_paid_up).set("bytes_free_up", torrent.bytes_free_up);
  row.set("bytes_paid_down", torrent.bytes_paid_down).set("bytes_free_down", torrent.bytes_free_down);
  Json trackers = Json::array();
  for (const std::string& url : torrent.trackers) trackers.append(Json::text(url));
  row.set("trackers", std::move(trackers)).set("tracker_message", torrent.tracker_message);
  return row;
}

Json row_of(const PeerStatus& peer) {
  Json row = Json::object();
  row.set("info_hash", peer.info_hash.hex())
      .set("remote", peer.remote.to_string())
      .set("client", peer.client)
      .set("incoming", peer.incoming);
  row.set("transport", peer.transport == Transport::utp ? "utp" : "tcp");
  row.set("choking_us", peer.choking_us).set("choked_by_us", peer.choked_by_us);
  row.set("interested_in_us", peer.interested_in_us).set("we_are_interested", peer.we_are_interested);
  row.set("speed", peer.speed).set("slot", peer.slot).set("pieces", peer.pieces);
  set_traffic(row, peer);
  return row;
}

Json row_of(const AuctionRound& round) {
  Json row = Json::object();
  row.set("round", round.round).set("time_ms", static_cast<uint64_t>(round.wall_ms < 0 ? 0 : round.wall_ms));
  row.set("slots", round.slots).set("price", round.price).set("reserve", round.reserve);
  const bool by_bid = round.losing_bid >= 0;
  row.set("price_set_by", by_bid ? "losing_bid" : "reserve");
  row.set("losing_bid", by_bid ? Json::number(static_cast<uint64_t>(round.losing_bid)) : Json::null());
  Json bids = Json::array();
  for (const AuctionBid& bid : round.bids) {
    Json entry = Json::object();
    entry.set("info_hash", bid.info_hash.hex()).set("payer", bid.payer.hex()).set("remote", bid.remote.to_string());
    entry.set("bid", bid.rate)
        .set("bonus", bid.bonus)
        .set("reserve", bid.reserve)
        .set("price", bid.price)
        .set("backed", bid.backed)
        .set("won", bid.won)
        .set("outcome", bid.outcome);
    bids.append(std::move(entry));
  }
  row.set("bids", std::move(bids));
  return row;
}

Json row_of(const OwnBid& bid) {
  Json row = Json::object();
  row.set("info_hash", bid.info_hash.hex()).set("remote", bid.remote.to_string()).set("bid_seq", bid.bid_seq);
  row.set("bid", bid.bid).set("price", bid.price).set("state", bid.state);
  const OwnBidBasis& from = bid.basis;
  Json basis = Json::object();
  basis.set("budget_left", from.budget_left).set("bytes_left", from.bytes_left).set("spending_ppm", from.spending_ppm);
  basis.set("formula", from.formula).set("max_rate", from.max_rate).set("rare_quarters", from.rare_quarters);
  if (from.market) basis.set("market", *from.market);
  row.set("basis", std::move(basis.set("limited_by", from.limited_by)));
  return row;
}

Json row_of(const HistoryDay& day) {
  Json row = Json::object();
  row.set("day", day.day).set("info_hash", day.info_hash ? Json::text(day.info_hash->hex()) : Json::null()).set("name", day.name);
  row.set("earned", day.earned).set("spent", day.spent).set("bytes_sold", day.bytes_sold).set("bytes_bought", day.bytes_bought);
  row.set("lost", day.lost).set("returned", day.returned);
  return row;
}

Json row_of(const ChannelStatus& channel) {
  Json row = Json::object();
  row.set("id", channel.id.hex()).set("role", channel.role).set("state", channel.state).set("other", channel.other.hex());
  row.set("capacity", channel.capacity).set("paid", channel.paid).set("durable", channel.durable).set("claimed", channel.claimed);
  row.set("expiry", static_cast<uint64_t>(channel.expiry < 0 ? 0 : channel.expiry));
  return row;
}

Json row_of(const std::vector<MemoryShare>& memory) {
  uint64_t limit = 0, used = 0;
  Json parts = Json::array();
  for (const MemoryShare& share : memory) {
    Json entry = Json::object();
    entry.set("part", share.part).set("limit", share.limit).set("used", share.used);
    parts.append(std::move(entry));
    limit += share.limit;
    used += share.used;
  }
  Json row = Json::object();
  row.set("limit", limit).set("used", used).set("parts", std::move(parts));
  return row;
}

// What the device does not tell is absent.
Json row_of(const DeviceReadings& device, bool disk_sleeps) {
  Json row = Json::object();
  if (device.heat) {
    row.set("heat_zone", device.heat->zone);
    row.set("heat_milli_celsius", static_cast<uint64_t>(std::max(device.heat->milli_celsius, 0)));
    row.set("heat_limit_milli_celsius", static_cast<uint64_t>(device.heat->limit_milli_celsius));
  }
  if (device.memory) {
    row.set("memory_available", device.memory->available_kib * 1024).set("memory_total", device.memory->total_kib * 1024);
    row.set("memory_stalled_permyriad", device.memory->stalled_permyriad);
  }
  if (device.tracking) row.set("tracked_connections", device.tracking->count).set("tracked_connections_max", device.tracking->max);
  if (device.has_route) row.set("has_default_route", *device.has_route);
  if (device.payload_disk) row.set("disk_rotates", device.payload_disk->rotating).set("disk_sleeps", disk_sleeps);
  return row;
}

Json row_of(const NodeStats& stats) {
  Json row = Json::object();
  row.set("address", address_of(stats.address))
      .set("public_key", stats.address.hex())
      .set("uptime_s", stats.uptime_s)
      .set("torrents", stats.torrents)
      .set("peers", stats.peers);
  set_traffic(row, stats);
  row.set("earned", stats.earned).set("spent", stats.spent).set("commits", stats.commits).set("ledger", stats.ledger);
  row.set("ledger_head", stats.ledger_head);
  row.set("wallet_locked", stats.wallet_locked);
  row.set("memory", row_of(stats.memory));
  Json limits = Json::array();
  for (const DeviceLimit& limit : stats.limits) {
    Json entry = Json::object();
    entry.set("what", limit.what).set("value", limit.value).set("reason", limit.why);
    limits.append(std::move(entry));
  }
  row.set("limits", std::move(limits)).set("device", row_of(stats.device, stats.disk_sleeps));
  return row;
}

Json row_of(const TransportStatus& transport) {
  Json row = Json::object();
  row.set("tcp_connections", transport.tcp_connections).set("tcp_background", transport.tcp_background);
  row.set("tcp_payload_way", transport.tcp_payload_way);
  row.set("tcp_uplink_rate", transport.tcp_uplink_rate).set("tcp_uplink_queue_us", transport.tcp_uplink_queue_us);
  row.set("udp_send_way", transport.udp_send_way);
  row.set("udp_received", transport.udp_received).set("udp_received_bytes", transport.udp_received_bytes);
  row.set("udp_receive_calls", transport.udp_receive_calls).set("udp_receive_overflows", transport.udp_receive_overflows);
  row.set("udp_sent", transport.udp_sent).set("udp_sent_bytes", transport.udp_sent_bytes);
  row.set("udp_send_calls", transport.udp_send_calls).set("udp_send_drops", transport.udp_send_drops);
  row.set("udp_too_big", transport.udp_too_big).set("udp_unreachable", transport.udp_unreachable);
  row.set("utp_connections", transport.utp_connections);
  row.set("utp_packets_in", transport.utp_packets_in).set("utp_packets_out", transport.utp_packets_out);
  row.set("utp_payload_in", transport.utp_payload_in).set("utp_payload_out", transport.utp_payload_out);
  row.set("utp_payload_again", transport.utp_payload_again).set("utp_strangers", transport.utp_strangers);
  row.set("utp_resets_in", transport.utp_resets_in).set("utp_refused", transport.utp_refused);
  return row;
}

}  // namespace millet
