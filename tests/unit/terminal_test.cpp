// What `millet` prints for people: units, columns, views of replies; and how it reads arguments.
#include "apps/terminal.h"
#include "apps/command.h"
#include "apps/views.h"
#include "control/rows.h"
#include "unit/test.h"

using namespace millet;

namespace {

void sizes_are_decimal_and_rounded_down(void**) {
  struct {
    uint64_t bytes;
    const char* text;
  } rows[] = {{0, "0 B"},
              {999, "999 B"},
              {1000, "1.0 kB"},
              {139'123'456, "139.1 MB"},
              {999'999'999, "999.9 MB"},
              {1'000'000'000, "1.0 GB"},
              {UINT64_MAX, "18.4 EB"}};
  for (const auto& row : rows) assert_string_equal(human_size(row.bytes).c_str(), row.text);
  assert_string_equal(human_rate(0).c_str(), "-");
  assert_string_equal(human_rate(8'000'000).c_str(), "8.0 MB/s");
}

void only_what_is_complete_is_100_percent(void**) {
  assert_string_equal(human_percent(0, 0).c_str(), "-");
  assert_string_equal(human_percent(999'999, 1'000'000).c_str(), "99.9 %");
  assert_string_equal(human_percent(1'000'000, 1'000'000).c_str(), "100.0 %");
  assert_string_equal(human_percent((uint64_t{1} << 62) - (uint64_t{1} << 52), uint64_t{1} << 62).c_str(), "99.9 %");
}

void columns_are_as_wide_as_their_widest_cell(void**) {
  Table table({"NAME", ">SIZE", "STATE"});
  table.add({"\xc3\xa4\xc3\xb6", "1", "seeding"});
  table.add({"a longer name", "1000", "ok"});
  table.add({"bell\a\x1b[2J", "7", ""});
  assert_string_equal(table.text().c_str(),
                      "NAME           SIZE  STATE\n"
                      "\xc3\xa4\xc3\xb6                1  seeding\n"
                      "a longer name  1000  ok\n"
                      "bell??[2J         7\n");
}

void views_say_so_when_there_is_nothing(void**) {
  Json empty = Json::object();
  empty.set("torrents", Json::array())
      .set("peers", Json::array())
      .set("auctions", Json::array())
      .set("own_bids", Json::array())
      .set("channels", Json::array());
  assert_string_equal(torrents_view(empty).c_str(), "no torrents; add one with: millet add FILE.torrent\n");
  assert_string_equal(peers_view(empty).c_str(), "no peers\n");
  assert_string_equal(channels_view(empty).c_str(), "no channels\n");
  assert_true(bids_view(empty).starts_with("no bids"));
}

// The rows are those of the node, so a name that the view expects and the row lacks shows here.
void bids_say_what_they_were_based_on(void**) {
  OwnBid own;
  own.remote = *Endpoint::parse("192.0.2.9:6881");
  own.bid = Rate::pico_per_byte(2'500'000);
  own.state = "waiting";
  own.basis.budget_left = Amount::micro(7'000'000);
  own.basis.bytes_left = 1 << 20;
  own.basis.formula = Rate::pico_per_byte(9'000'000);
  own.basis.max_rate = Rate::pico_per_byte(4'000'000);
  own.basis.market = Rate::pico_per_byte(2'000'000);
  own.basis.rare_quarters = 1;
  own.basis.limited_by = "market";
  AuctionRound round;
  round.slots = 1;
  AuctionBid lost;
  lost.remote = *Endpoint::parse("192.0.2.7:6881");
  lost.outcome = "lost";
  round.bids.push_back(lost);
  Json reply = Json::object();
  Json auctions = Json::array();
  auctions.append(row_of(round));
  Json bids = Json::array();
  bids.append(row_of(own));
  reply.set("auctions", std::move(auctions)).set("own_bids", std::move(bids));
  std::string text = bids_explained(reply);
  assert_non_null(strstr(text.c_str(), "lost: others bid more, or bid the same and were first"));
  assert_non_null(strstr(text.c_str(), "own bid to 192.0.2.9:6881"));
  assert_non_null(strstr(text.c_str(), (": " + own.bid.to_btt_per_gb() + " BTT/GB, waiting\n").c_str()));
  assert_non_null(strstr(text.c_str(), ("7 BTT of the budget for " + human_size(1 << 20) + " left").c_str()));
  assert_non_null(strstr(
      text.c_str(), ("is " + own.basis.formula.to_btt_per_gb() + "; speed.max_rate is " + own.basis.max_rate.to_btt_per_gb()).c_str()));
  assert_non_null(strstr(text.c_str(), ("the prices seen lately make " + own.basis.market->to_btt_per_gb() + " sensible").c_str()));
  assert_non_null(
      strstr(text.c_str(), "-> limited by market, a quarter more for each quarter of its pieces that few others have (1 of 4)"));
}

void history_adds_up_the_torrents_of_a_day(void**) {
  HistoryDay first, second, other_day;
  first.day = second.day = 20'000;
  first.info_hash = InfoHash();
  first.name = "debian.iso";
  first.earned = Amount::micro(1'500'000);
  first.bytes_sold = 1 << 20;
  second.earned = Amount::micro(500'000);
  other_day.day = 20'001;
  other_day.spent = Amount::micro(250'000);
  second.lost = Amount::micro(30'000);
  other_day.returned = Amount::micro(125'000);
  Json rows = Json::array();
  for (const HistoryDay* day : {&first, &second, &other_day}) rows.append(row_of(*day));
  Json reply = Json::object();
  reply.set("history", std::move(rows));
  std::string text = history_view(reply);
  assert_non_null(strstr(text.c_str(), "2024-10-04"));
  assert_non_null(strstr(text.c_str(), "2024-10-05"));
  size_t all = text.find("\nall");
  assert_true(all != std::string::npos);
  assert_true(text.find(" 2 ", all) != std::string::npos && text.find("0.25", all) != std::string::npos);
  assert_true(text.find("0.03", all) != std::string::npos && text.find("0.125", all) != std::string::npos);
  std::string by_torrent = history_by_torrent(reply);
  assert_non_null(strstr(by_torrent.c_str(), "debian.iso"));
  assert_non_null(strstr(by_torrent.c_str(), "others"));
}

void each_connection_says_what_carries_it(void**) {
  Json rows = Json::array();
  for (const char* transport : {"tcp", "utp"}) {
    PeerStatus peer;
    peer.remote = *Endpoint::parse("192.0.2.1:6881");
    peer.client = "abc";
    peer.incoming = true;
    peer.transport = std::string_view(transport) == "utp" ? Transport::utp : Transport::tcp;
    Json row = row_of(peer);
    assert_true(json_text(row.raw(), "transport") == transport);
    rows.append(std::move(row));
  }
  Json reply = Json::object();
  reply.set("peers", std::move(rows));
  std::string text = peers_view(reply);
  assert_true(text.starts_with("ADDRESS         VIA  CLIENT  SLOT  STATE"));
  assert_non_null(std::strstr(text.c_str(), "\n192.0.2.1:6881  tcp  abc     -     <c"));
  assert_non_null(std::strstr(text.c_str(), "\n192.0.2.1:6881  utp  abc     -     <c"));
}

void arguments_come_in_both_forms(void**) {
  const char* list[] = {"--data", "/a b", "--budget=1=2", "file", "--flag", "-", "--last"};
  ArgumentReader reader(list);
  std::string value;
  assert_true(reader.next() && reader.is("--data") && reader.is_option());
  assert_true(reader.value_into(value).has_value());
  assert_string_equal(value.c_str(), "/a b");
  assert_true(reader.next() && reader.is("--budget"));
  assert_true(reader.value_into(value).has_value());
  assert_string_equal(value.c_str(), "1=2");
  assert_true(reader.next() && reader.is("file") && !reader.is_option());
  assert_true(reader.next() && reader.is("--flag"));
  assert_true(reader.next() && !reader.is_option());
  assert_true(reader.next() && reader.is("--last"));
  assert_false(reader.value_into(value).has_value());
  assert_false(reader.next());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(sizes_are_decimal_and_rounded_down),       cmocka_unit_test(only_what_is_complete_is_100_percent),
      cmocka_unit_test(columns_are_as_wide_as_their_widest_cell), cmocka_unit_test(views_say_so_when_there_is_nothing),
      cmocka_unit_test(bids_say_what_they_were_based_on),         cmocka_unit_test(history_adds_up_the_torrents_of_a_day),
      cmocka_unit_test(each_connection_says_what_carries_it),     cmocka_unit_test(arguments_come_in_both_forms),
  };
  return RUN_TESTS(tests);
}
