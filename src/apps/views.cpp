#include "apps/views.h"

#include <algorithm>

#include "apps/terminal.h"

namespace millet {
namespace {

constexpr size_t k_hash_shown = 8;  // digits of an info hash in a table: enough for commands to take
constexpr size_t k_key_shown = 12;

std::string text(const json_t* row, const char* key) { return std::string(json_text(row, key)); }
std::string start(const json_t* row, const char* key, size_t digits) { return text(row, key).substr(0, digits); }
std::string size(const json_t* row, const char* key) { return human_size(json_number(row, key)); }
std::string rate(const json_t* row, const char* key) { return human_rate(json_number(row, key)); }
std::string money(const json_t* row, const std::string& key) { return text(row, (key + "_btt").c_str()); }
std::string price(const json_t* row, const std::string& key) { return text(row, (key + "_btt_per_gb").c_str()); }

// Done and total of what a torrent is doing: checked pieces while checking, else verified bytes.
std::string torrent_progress(const json_t* torrent) {
  if (json_text(torrent, "state") == "checking")
    return human_percent(json_number(torrent, "pieces_checked"), json_number(torrent, "pieces"));
  return human_percent(json_number(torrent, "done"), json_number(torrent, "size"));
}

// Lines of "name: value".
class Facts {
 public:
  Facts& add(const char* name, const std::string& value) {
    const std::string label = *name == 0 ? std::string() : std::string(name) + ":";
    out_ += label + std::string(label.size() < 18 ? 18 - label.size() : 1, ' ') + shown(value) + "\n";
    return *this;
  }
  Facts& add_if(const char* name, const std::string& value) { return value.empty() ? *this : add(name, value); }
  const std::string& text() const { return out_; }

 private:
  std::string out_;
};

}  // namespace

std::string torrents_view(const Json& reply) {
  Table table({"HASH", "STATE", ">DONE", ">SIZE", ">PEERS", ">UP/S", ">DOWN/S", ">UPLOADED", ">EARNED", ">SPENT", "NAME"});
  std::string errors;
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("torrents"), index, row) {
    table.add({start(row, "info_hash", k_hash_shown), text(row, "state"), torrent_progress(row), size(row, "size"),
               std::to_string(json_number(row, "peers")), rate(row, "upload_rate"), rate(row, "download_rate"), size(row, "uploaded"),
               money(row, "earned"), money(row, "spent"), text(row, "name")});
    if (!json_text(row, "error").empty()) errors += start(row, "info_hash", k_hash_shown) + ": " + shown(json_text(row, "error")) + "\n";
  }
  if (table.empty()) return "no torrents; add one with: millet add FILE.torrent\n";
  return table.text() + errors;
}

std::string torrent_view(const json_t* torrent) {
  Facts facts;
  facts.add("name", text(torrent, "name")).add("info hash", text(torrent, "info_hash")).add("folder", text(torrent, "root"));
  facts.add("state", text(torrent, "state")).add_if("error", text(torrent, "error"));
  if (json_text(torrent, "state") == "checking") facts.add("checked", torrent_progress(torrent));
  facts.add("done", size(torrent, "done") + " of " + size(torrent, "size") + " (" +
                        human_percent(json_number(torrent, "done"), json_number(torrent, "size")) + ")");
  facts.add("pieces", std::to_string(json_number(torrent, "pieces_done")) + " of " + std::to_string(json_number(torrent, "pieces")) +
                          ", each " + std::to_string(json_number(torrent, "piece_size") / 1024) + " KiB");
  facts.add("private", json_flag(torrent, "private") ? "yes" : "no").add("peers", std::to_string(json_number(torrent, "peers")));
  facts.add("uploaded", size(torrent, "uploaded") + ", now " + rate(torrent, "upload_rate"));
  facts.add("downloaded", size(torrent, "downloaded") + ", now " + rate(torrent, "download_rate"));
  facts.add("budget", money(torrent, "budget") + " BTT, spent " + money(torrent, "spent") + " BTT, at most " + price(torrent, "max_rate") +
                          " BTT/GB");
  facts.add("bought", size(torrent, "bytes_paid_down") + " paid, " + size(torrent, "bytes_free_down") + " free");
  facts.add("sold",
            size(torrent, "bytes_paid_up") + " paid for " + money(torrent, "earned") + " BTT, " + size(torrent, "bytes_free_up") + " free");
  size_t index;
  json_t* url;
  json_array_foreach(json_object_get(torrent, "trackers"), index, url) facts.add("tracker", json_string_value(url));
  facts.add_if("tracker says", text(torrent, "tracker_message"));
  return facts.text();
}

std::string peers_view(const Json& reply) {
  Table table({"ADDRESS", "VIA", "CLIENT", "SLOT", "STATE", ">PIECES", ">UP/S", ">DOWN/S", ">UPLOADED", ">DOWNLOADED", "TORRENT"});
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("peers"), index, row) {
    // Letters of the usual meaning: i/I interested and c/C choked, small for the peer, large for us; s: BitTorrent Speed; <: it connected.
    std::string state;
    if (json_flag(row, "incoming")) state += '<';
    if (json_flag(row, "interested_in_us")) state += 'i';
    if (json_flag(row, "choked_by_us")) state += 'c';
    if (json_flag(row, "we_are_interested")) state += 'I';
    if (json_flag(row, "choking_us")) state += 'C';
    if (json_flag(row, "speed")) state += 's';
    const std::string slot = text(row, "slot");
    table.add({text(row, "remote"), text(row, "transport"), text(row, "client"), slot.empty() ? "-" : slot, state,
               std::to_string(json_number(row, "pieces")), rate(row, "upload_rate"), rate(row, "download_rate"), size(row, "uploaded"),
               size(row, "downloaded"), start(row, "info_hash", k_hash_shown)});
  }
  return table.empty() ? "no peers\n" : table.text();
}

static std::string no_bids_text(const Json& reply) {
  std::string out;
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("no_bids"), index, row) {
    out += "no bid for " + start(row, "info_hash", k_hash_shown) + ": " + shown(text(row, "reason")) + "\n";
  }
  return out;
}

std::string bids_view(const Json& reply) {
  std::string out;
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("auctions"), index, row) {
    json_t* bids = json_object_get(row, "bids");
    std::string set_by = "the reserve";
    if (json_text(row, "price_set_by") == "losing_bid") {
      set_by = "the losing bid of " + text(json_array_get(bids, json_number(row, "losing_bid")), "remote");
    }
    out += "round " + std::to_string(json_number(row, "round")) + ", " + local_time(json_number(row, "time_ms") / 1000) + ": " +
           std::to_string(json_number(row, "slots")) + " slots at " + price(row, "price") + " BTT/GB, set by " + shown(set_by) +
           " (reserve " + price(row, "reserve") + ")\n";
    Table table({"  BIDDER", "ADDRESS", "TORRENT", ">BID BTT/GB", "BACKED", "RESULT"});
    size_t bid_index;
    json_t* bid;
    json_array_foreach(bids, bid_index, bid) {
      table.add({"  " + start(bid, "payer", k_key_shown), text(bid, "remote"), start(bid, "info_hash", k_hash_shown), price(bid, "bid"),
                 json_flag(bid, "backed") ? "yes" : "no", text(bid, "outcome")});
    }
    if (!table.empty()) out += table.text();
  }
  Table own({"TORRENT", "PROVIDER", ">BID BTT/GB", ">PRICE BTT/GB", "STATE"});
  json_array_foreach(reply.get("own_bids"), index, row) {
    own.add({start(row, "info_hash", k_hash_shown), text(row, "remote"), price(row, "bid"), price(row, "price"), text(row, "state")});
  }
  if (!own.empty()) out += "own bids\n" + own.text();
  out += no_bids_text(reply);
  return out.empty() ? "no bids: neither an auction was held here nor is a bid of this node open\n" : out;
}

namespace {

// Why a bid of an auction here ended as it did.
std::string explain_bid(const json_t* bid) {
  std::string_view outcome = json_text(bid, "outcome");
  std::string give = json_number(bid, "bonus_pico_per_byte") == 0 ? "" : " (it gives data worth " + price(bid, "bonus") + ")";
  if (outcome == "won") {
    bool by_bid = json_number(bid, "price_pico_per_byte") > json_number(bid, "reserve_pico_per_byte");
    return "won: pays " + price(bid, "price") + ", " +
           (by_bid ? "the least that it could have bid and still won" : "the reserve: no losing bid is higher") + give;
  }
  if (outcome == "lost") return "lost: others bid more, or bid the same and were first" + give;
  if (outcome == "lost_unbacked") return "lost: no funds or channel back it, and at most one such bid wins, where a slot is left over";
  if (outcome == "below_reserve") return "below the reserve of " + price(bid, "reserve");
  if (outcome == "second_of_key") return "not counted: its payer has a higher bid in this round";
  if (outcome == "address_full") return "not counted: its address has two higher bids in this round";
  return std::string(outcome);
}

std::string explain_own(const json_t* row) {
  const json_t* basis = json_object_get(row, "basis");
  std::string_view limited_by = json_text(basis, "limited_by");
  std::string out = "    " + money(basis, "budget_left") + " BTT of the budget for " + human_size(json_number(basis, "bytes_left")) +
                    " left, times the spending rate, is " + price(basis, "formula") + "; speed.max_rate is " + price(basis, "max_rate") +
                    "; ";
  if (json_object_get(basis, "market_pico_per_byte") != nullptr)
    out += "the prices seen lately make " + price(basis, "market") + " sensible";
  else
    out += "too few prices were seen to know the market";
  out += "\n    -> limited by " + (limited_by == "formula" ? "the budget" : std::string(limited_by));
  if (uint64_t quarters = json_number(basis, "rare_quarters"); quarters > 0)
    out += ", a quarter more for each quarter of its pieces that few others have (" + std::to_string(quarters) +
           " of 4), up to speed.max_rate";
  return out + "\n";
}

std::string day_text(uint64_t day) { return day == 0 ? "before" : utc_date(day * 86'400); }

}  // namespace

std::string bids_explained(const Json& reply) {
  std::string out;
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("auctions"), index, row) {
    out += "round " + std::to_string(json_number(row, "round")) + ", " + local_time(json_number(row, "time_ms") / 1000) + ": " +
           std::to_string(json_number(row, "slots")) + " slots, rates in BTT/GB\n";
    size_t bid_index;
    json_t* bid;
    json_array_foreach(json_object_get(row, "bids"), bid_index, bid) {
      out += "  " + start(bid, "payer", k_key_shown) + " at " + shown(text(bid, "remote")) + " for " +
             start(bid, "info_hash", k_hash_shown) + " bid " + price(bid, "bid") + ": " + shown(explain_bid(bid)) + "\n";
    }
  }
  json_array_foreach(reply.get("own_bids"), index, row) {
    out += "own bid to " + shown(text(row, "remote")) + " for " + start(row, "info_hash", k_hash_shown) + ": " + price(row, "bid") +
           " BTT/GB, " + shown(text(row, "state"));
    if (json_number(row, "price_pico_per_byte") > 0) out += " at " + price(row, "price");
    out += "\n" + explain_own(row);
  }
  if (!out.empty()) out += no_bids_text(reply);
  return out.empty() ? bids_view(reply) : out;
}

std::string history_by_torrent(const Json& reply) {
  Table table({"DAY (UTC)", "TORRENT", ">EARNED BTT", ">LOST", ">SPENT BTT", ">RETURNED", ">SOLD", ">BOUGHT", "NAME"});
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("history"), index, row) {
    std::string hash = start(row, "info_hash", k_hash_shown);
    table.add({day_text(json_number(row, "day")), hash.empty() ? "others" : hash, money(row, "earned"), money(row, "lost"),
               money(row, "spent"), money(row, "returned"), size(row, "bytes_sold"), size(row, "bytes_bought"), text(row, "name")});
  }
  return table.empty() ? "nothing earned or spent yet\n" : table.text();
}

std::string history_view(const Json& reply) {
  struct Sums {
    uint64_t earned = 0, lost = 0, spent = 0, returned = 0, sold = 0, bought = 0;
    void add(const json_t* row) {
      earned += json_number(row, "earned_micro");
      lost += json_number(row, "lost_micro");
      spent += json_number(row, "spent_micro");
      returned += json_number(row, "returned_micro");
      sold += json_number(row, "bytes_sold");
      bought += json_number(row, "bytes_bought");
    }
  };
  Table table({"DAY (UTC)", ">EARNED BTT", ">LOST", ">SPENT BTT", ">RETURNED", ">SOLD", ">BOUGHT"});
  auto line = [&](const std::string& name, const Sums& sums) {
    auto btt = [](uint64_t micro) { return Amount::micro(std::min(micro, k_supply_micro)).to_btt(); };
    table.add(
        {name, btt(sums.earned), btt(sums.lost), btt(sums.spent), btt(sums.returned), human_size(sums.sold), human_size(sums.bought)});
  };
  Sums all, day;
  uint64_t current = UINT64_MAX;
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("history"), index, row) {
    if (current != UINT64_MAX && json_number(row, "day") != current) {
      line(day_text(current), day);
      day = Sums();
    }
    current = json_number(row, "day");
    day.add(row);
    all.add(row);
  }
  if (current == UINT64_MAX) return "nothing earned or spent yet\n";
  line(day_text(current), day);
  line("all", all);
  return table.text();
}

std::string channels_view(const Json& reply) {
  Table table({"CHANNEL", "ROLE", "STATE", "OTHER", ">CAPACITY", ">PAID", ">DURABLE", ">CLAIMED", "EXPIRES"});
  size_t index;
  json_t* row;
  json_array_foreach(reply.get("channels"), index, row) {
    table.add({start(row, "id", k_key_shown), text(row, "role"), text(row, "state"), start(row, "other", k_key_shown),
               money(row, "capacity"), money(row, "paid"), money(row, "durable"), money(row, "claimed"),
               local_time(json_number(row, "expiry"))});
  }
  return table.empty() ? "no channels\n" : table.text();
}

namespace {

// What the transports have done, in a line each.
void add_transport(Facts& facts, const json_t* row) {
  if (row == nullptr) return;
  auto count = [row](const char* key) { return std::to_string(json_number(row, key)); };
  std::string tcp = count("tcp_connections") + " connections, payload by " + text(row, "tcp_payload_way") +
                    ", in the background: " + text(row, "tcp_background");
  if (text(row, "tcp_background") == "rate") tcp += " of " + rate(row, "tcp_uplink_rate");
  facts.add("tcp", tcp);
  if (text(row, "udp_send_way").empty()) return;
  facts.add("utp", count("utp_connections") + " connections, " + size(row, "utp_payload_out") + " sent, " + size(row, "utp_payload_again") +
                       " again, " + size(row, "utp_payload_in") + " received");
  facts.add("udp", count("udp_sent") + " datagrams sent by " + count("udp_send_calls") + " calls (" + text(row, "udp_send_way") + "), " +
                       count("udp_send_drops") + " dropped; " + count("udp_received") + " received by " + count("udp_receive_calls") +
                       " calls, " + count("udp_receive_overflows") + " dropped because we were late");
}

// What the device tells of itself, in one line.
void add_device(Facts& facts, const json_t* row) {
  std::string out;
  auto add = [&](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
  if (json_object_get(row, "heat_zone") != nullptr) {
    add(std::to_string(json_number(row, "heat_milli_celsius") / 1000) + " \u00b0C (" + text(row, "heat_zone") + ", slows down at " +
        std::to_string(json_number(row, "heat_limit_milli_celsius") / 1000) + ")");
  }
  if (json_object_get(row, "memory_total") != nullptr)
    add(size(row, "memory_available") + " of " + size(row, "memory_total") + " available");
  if (json_object_get(row, "tracked_connections_max") != nullptr) {
    add(std::to_string(json_number(row, "tracked_connections")) + " of " + std::to_string(json_number(row, "tracked_connections_max")) +
        " connections tracked");
  }
  if (json_flag(row, "disk_rotates")) add(json_flag(row, "disk_sleeps") ? "disk asleep" : "disk awake");
  facts.add_if("device", out);
}

// The budget, and what each part takes and may take.
void add_memory(Facts& facts, const json_t* row) {
  if (row == nullptr) return;
  facts.add("memory", size(row, "used") + " of " + size(row, "limit"));
  size_t index;
  json_t* part;
  json_array_foreach(json_object_get(row, "parts"), index, part) {
    facts.add("", text(part, "part") + " " + size(part, "used") + " of " + size(part, "limit"));
  }
}

}  // namespace

std::string stats_view(const Json& reply) {
  const json_t* row = reply.raw();
  const uint64_t uptime = json_number(row, "uptime_s");
  Facts facts;
  facts.add("address", text(row, "address"));
  facts.add("running",
            std::to_string(uptime / 3600) + " h " + std::to_string(uptime / 60 % 60) + " min " + std::to_string(uptime % 60) + " s");
  facts.add("torrents", std::to_string(json_number(row, "torrents"))).add("peers", std::to_string(json_number(row, "peers")));
  facts.add("uploaded", size(row, "uploaded") + ", now " + rate(row, "upload_rate"));
  facts.add("downloaded", size(row, "downloaded") + ", now " + rate(row, "download_rate"));
  facts.add("earned", money(row, "earned") + " BTT").add("spent", money(row, "spent") + " BTT").add("ledger", text(row, "ledger"));
  facts.add("state", std::to_string(json_number(row, "commits")) + " commits, " + size(row, "state_written") + " written");
  add_transport(facts, json_object_get(row, "transport"));
  add_device(facts, json_object_get(row, "device"));
  add_memory(facts, json_object_get(row, "memory"));
  size_t index;
  json_t* limit;
  json_array_foreach(json_object_get(row, "limits"), index, limit) {
    facts.add("limited", text(limit, "what") + " " + text(limit, "value") + ": " + text(limit, "reason"));
  }
  return facts.text();
}

}  // namespace millet
