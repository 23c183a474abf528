// Power cuts at every point of a paid download, and stores that come back from a backup (PROTOCOL.md section 10).
#include <algorithm>

#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

Settings small() {
  Settings settings;
  settings.pieces = 12;
  settings.commit_time = Duration::ms(15);
  return settings;
}

// The number of events of an undisturbed run.
uint64_t length_of_a_run() {
  Duo duo(small());
  duo.start();
  if (!duo.run_to_end()) return 0;
  return duo.world.events;
}

// Kills one side after `event` events, starts it again, and expects everything to end well.
std::string killed_at(uint64_t event, bool provider) {
  Duo duo(small());
  duo.start();
  duo.run(3600, [&] { return duo.world.events >= event; });
  Node& victim = provider ? *duo.provider : *duo.requester;
  duo.world.crash(victim);
  duo.run(1);
  duo.world.start(victim);
  for (Link& link : duo.world.links) link.reconnect_at = duo.world.now + Duration::seconds(1);
  bool complete = duo.run(300, [&] { return duo.requester->complete(); });
  if (!duo.world.violations.empty()) return duo.world.violations[0];
  if (!complete) return "not complete";
  if (duo.banned_for() > 0) return "banned";
  // Unless it was killed before it could say that it has finished, the channel is closed at once; else after ten idle minutes.
  if (!duo.run_to_end(2 * 3600)) return duo.world.violations.empty() ? "a channel stays open" : duo.world.violations[0];
  // The provider loses no more than what it gave on trust: the piece that was under way.
  uint64_t paid_bytes = duo.world.transfers[{1, 0}].bytes_paid;
  uint64_t full = paid_bytes * 1000 / 1'000'000;
  uint64_t piece = duo.world.set.piece_size * 1000 / 1'000'000 + 2;
  if (duo.earned() + piece < full) return "earned " + std::to_string(duo.earned()) + " of " + std::to_string(full);
  return "";
}

// Attacks 13 and 14.
void killed_at_any_point_on_any_side_it_goes_on(void**) {
  uint64_t events = length_of_a_run();
  assert_true(events > 150);
  for (bool provider : {false, true}) {
    for (uint64_t event = 1; event < events + 20; ++event) {
      std::string failure = killed_at(event, provider);
      if (!failure.empty())
        print_error("%s killed at event %llu: %s\n", provider ? "provider" : "requester", static_cast<unsigned long long>(event),
                    failure.c_str());
      assert_true(failure.empty());
    }
  }
  print_message("killed at %llu points on each side\n", static_cast<unsigned long long>(events + 20));
}

// Killed between CLOSE and the commit that says so: the store has an open channel, and the torrent will never need the provider again.
void a_payer_killed_after_its_download_learns_how_the_channel_ended(void**) {
  Duo duo(small());
  duo.start();
  assert_true(duo.run(60, [&] { return duo.requester->complete(); }));
  duo.world.crash(*duo.requester);
  duo.world.start(*duo.requester);
  duo.run(30);
  assert_int_equal(duo.requester->speed->payer().channels().size(), 1);
  duo.run(13 * 60);  // the provider hears nothing of the requester, and closes after ten minutes
  assert_true(duo.world.all_channels_ended());
  assert_true(duo.requester->speed->payer().channels().empty());
  assert_int_equal(duo.world.violations.size(), 0);
}

// A payment that came before the ledger's word on its channel is counted later. The payer has crashed meanwhile: what it signed then and
// what it signs now are not for the same piece.
void a_payment_that_waited_for_the_ledger_is_not_forgotten_by_a_crash(void**) {
  Duo duo(small());
  duo.start();
  assert_true(duo.run(10, [&] { return !duo.world.ledger.channels.empty(); }));
  duo.world.ledger.up = false;
  assert_true(duo.run(20, [&] { return !duo.world.highest_pay.empty(); }));
  duo.run(7);  // the provider asks the ledger again with growing pauses
  assert_int_equal(duo.counted(), 0);
  duo.world.crash(*duo.requester);
  duo.world.ledger.up = true;
  duo.world.start(*duo.requester);
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run(300, [&] { return duo.requester->complete(); }));
  assert_int_equal(duo.banned_for(), 0);
  assert_true(duo.run_to_end());
  uint64_t full = duo.world.transfers[{1, 0}].bytes_paid * 1000 / 1'000'000;
  assert_in_range(duo.earned(), full - 2, full + 2);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Attack 15. A payer whose store is from an hour ago has forgotten what it signed; the payee shows it its own signature.
void a_payer_restored_from_a_backup_goes_on(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(40);
  Duo duo(settings);
  duo.start_and_restore_the_requester();
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.banned_for(), 0);
  uint64_t full = uint64_t{settings.pieces} * settings.piece_size / 1000;
  assert_in_range(duo.earned(), full - 200, full + 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

// A payee whose store is from a while ago holds less than it acknowledged; the payer sends its newest payment again.
void a_payee_restored_from_a_backup_goes_on(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(100);
  Duo duo(settings);
  duo.start();
  duo.run(30, [&] { return duo.counted() > 0; });
  duo.run(11);
  auto backup = duo.provider->store;
  uint64_t then = duo.counted();
  duo.run(5);
  assert_true(duo.counted() > then);
  uint64_t before = duo.counted();
  duo.world.crash(*duo.provider);
  duo.provider->store = backup;
  duo.world.forget_promises();
  duo.world.start(*duo.provider);
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run(5, [&] { return duo.counted() >= before; }));
  assert_true(duo.run_to_end());
  uint64_t full = uint64_t{settings.pieces} * settings.piece_size / 1000;
  assert_in_range(duo.earned(), full - 100, full + 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

// The whole lease counts as spent until somebody knows better.
void after_a_crash_the_lease_counts_against_the_budget(void**) {
  Settings settings;
  settings.pieces = 200;
  settings.block_time = Duration::ms(20);
  Duo duo(settings, 20'000'000);
  duo.requester->max_rate = Rate::pico_per_byte(1000);
  duo.start();
  duo.run(30, [&] { return duo.counted() > 700; });
  duo.world.crash(*duo.provider);
  duo.world.crash(*duo.requester);
  duo.world.start(*duo.requester);
  const Payer& payer = duo.requester->speed->payer();
  uint64_t spent = payer.spent(duo.world.info_hash).in_micro();
  uint64_t signed_before = duo.world.liability(duo.requester->key);
  assert_true(spent >= signed_before);
  duo.world.start(*duo.provider);
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.violations.size(), 0);
  // In the end what was spent is what was paid, once the payer has heard of it.
  duo.run(10);
  uint64_t paid = duo.world.liability(duo.requester->key);
  assert_in_range(duo.requester->speed->payer().spent(duo.world.info_hash).in_micro(), paid, paid + 200);
}

// What is in its channels is all that a payer knows of its money until the ledger answers: that is no bid of its own, and holds none back.
void a_payer_that_starts_again_bids_what_its_account_can_pay(void**) {
  Settings settings;
  settings.pieces = 200;
  settings.block_time = Duration::ms(20);
  Duo duo(settings, 20'000'000);
  duo.start();
  Tap<BidMessage> bids(duo.world, *duo.requester);
  duo.run(30, [&] { return duo.counted() > 100; });
  assert_int_equal(duo.requester->speed->payer().channels().size(), 1);
  duo.world.crash(*duo.requester);
  assert_false(bids.seen.empty());
  Rate before = bids.seen.front().rate;
  bids.seen.clear();
  duo.world.funds_late = Duration::seconds(2);
  duo.world.start(*duo.requester);
  duo.world.links[0].reconnect_at = duo.world.now;
  duo.run(20, [&] { return !bids.seen.empty(); });
  assert_false(bids.seen.empty());
  assert_true(bids.seen[0].rate >= before);
}

// Money is not locked a second time because the provider has not said yet what it holds of the channel that is there.
void a_payer_that_starts_again_pays_over_the_channel_that_it_has(void**) {
  Settings settings;
  settings.pieces = 200;
  settings.block_time = Duration::ms(20);
  Duo duo(settings, 20'000'000);
  duo.start();
  duo.run(30, [&] { return duo.counted() > 100; });
  assert_int_equal(duo.requester->speed->payer().channels().size(), 1);
  duo.world.crash(*duo.requester);
  bool silent = true;
  tamper<ResumeMessage>(duo.world, *duo.provider, [&](ResumeMessage&) { return !silent; });
  duo.world.start(*duo.requester);
  duo.world.links[0].reconnect_at = duo.world.now;
  duo.run(3);
  assert_int_equal(duo.requester->speed->payer().channels().size(), 1);
  silent = false;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.banned_for(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

void a_clean_stop_leaves_nothing_open(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(40);
  Duo duo(settings);
  duo.start();
  duo.run(20, [&] { return duo.counted() > 1000; });
  uint64_t counted = duo.counted();
  for (Node* node : {duo.provider, duo.requester}) {
    node->speed->shut_down(duo.world.now);
    duo.world.drain(*node);
  }
  assert_true(duo.run(5, [&] { return duo.provider->speed->is_quiet() && duo.requester->speed->is_quiet(); }));
  duo.run(1);
  assert_true(duo.provider->speed->is_quiet());
  duo.world.crash(*duo.provider);
  duo.world.crash(*duo.requester);
  duo.world.start(*duo.provider);
  duo.world.start(*duo.requester);
  assert_true(duo.counted() >= counted);
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.banned_for(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(killed_at_any_point_on_any_side_it_goes_on),
      cmocka_unit_test(a_payer_killed_after_its_download_learns_how_the_channel_ended),
      cmocka_unit_test(a_payment_that_waited_for_the_ledger_is_not_forgotten_by_a_crash),
      cmocka_unit_test(a_payer_restored_from_a_backup_goes_on),
      cmocka_unit_test(a_payee_restored_from_a_backup_goes_on),
      cmocka_unit_test(after_a_crash_the_lease_counts_against_the_budget),
      cmocka_unit_test(a_payer_that_starts_again_bids_what_its_account_can_pay),
      cmocka_unit_test(a_payer_that_starts_again_pays_over_the_channel_that_it_has),
      cmocka_unit_test(a_clean_stop_leaves_nothing_open),
  };
  return RUN_TESTS(tests);
}
