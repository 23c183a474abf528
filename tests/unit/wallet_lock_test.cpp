// The lock of a wallet: a worker opens it, one try at a time, from what the key file has then.
#include "driver/wallet_lock.h"

#include <algorithm>
#include <new>

#include "driver/key_file.h"
#include "unit/counting_random.h"
#include "unit/inline_executor.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;
using millet::testing::CountingRandom;

namespace {

struct TestClock final : hal::Clock {
  Instant now() override { return time; }
  WallTime wall() override { return WallTime(); }
  Instant time = Instant::from_us(1'000'000);
};

// A key that is locked with "open sesame".
struct Fixture final : WalletLockEvents {
  Fixture() { lock_with("open sesame"); }
  void lock_with(std::string_view passphrase) {
    Result<SealedKey> sealed = seal_key(key, as_bytes(passphrase), random);
    CHECK(sealed.has_value() && write_key_file(path, *sealed).has_value());
  }
  Status open(std::string_view passphrase) {
    Secret secret;
    secret.text = passphrase;
    return lock.open(std::move(secret));
  }
  // What a whole try says: "open", or the code of its error.
  std::string try_with(std::string_view passphrase) {
    Status begun = open(passphrase);
    if (!begun) return errc_name(begun.error().code);
    CHECK(executor.waiting.front().first == hal::Queue::compute && executor.run_all() == 1);
    return said;
  }
  void on_key_opened(Result<SigningKey> opened) override {
    CHECK(!opened || equal(opened->seed(), key.seed()));
    said = opened ? "open" : errc_name(opened.error().code);
  }

  CountingRandom random;
  TempFolder folder;
  std::string path = folder / "wallet.key";
  SigningKey key = SigningKey::generate(random);
  InlineExecutor executor;
  TestClock clock;
  std::string said;
  WalletLock lock{path, key.public_key(), executor, clock, *this};
};

void a_wallet_is_opened_by_a_worker_one_try_at_a_time(void**) {
  Fixture f;
  assert_true(f.open("open barley").has_value());
  assert_true(f.said.empty());  // not on the loop
  Status second = f.open("open sesame");
  assert_true(!second && second.error().code == Errc::conflict);
  assert_int_equal(f.executor.run_all(), 1);
  assert_string_equal(f.said.c_str(), "denied");
  // A wrong one costs time, whoever tries next.
  assert_string_equal(f.try_with("open sesame").c_str(), "unavailable");
  f.clock.time = f.clock.time + WalletLock::k_pause;
  assert_string_equal(f.try_with("open sesame").c_str(), "open");
}

void what_the_key_file_has_now_counts(void**) {
  Fixture f;
  f.lock_with("new words");
  assert_string_equal(f.try_with("open sesame").c_str(), "denied");
  f.clock.time = f.clock.time + WalletLock::k_pause;
  assert_string_equal(f.try_with("new words").c_str(), "open");
  assert_true(write_key_file(f.path, f.key).has_value());  // without a passphrase
  assert_string_equal(f.try_with("anything").c_str(), "open");
  assert_true(write_key_file(f.path, SigningKey::generate(f.random)).has_value());
  assert_string_equal(f.try_with("anything").c_str(), "conflict");
  unlink(f.path.c_str());
  assert_string_equal(f.try_with("new words").c_str(), "not_found");
}

// Short texts lie within a string, long ones elsewhere; both may have been longer once.
void a_secret_leaves_nothing_where_it_was(void**) {
  for (size_t size : {size_t{5}, size_t{1000}}) {
    alignas(Secret) unsigned char room[sizeof(Secret)];
    Secret* first = new (room) Secret();
    first->text.assign(size, 'x');
    first->text.resize(3);
    Secret second(std::move(*first));
    first->~Secret();
    // The compiler must not reason that nothing is there any more.
    const volatile unsigned char* left = room;
    size_t kept = 0;
    for (size_t i = 0; i < sizeof room; ++i) kept += left[i] == 'x' ? 1 : 0;
    assert_int_equal(kept, 0);
    assert_string_equal(second.text.c_str(), "xxx");
    wipe_text(second.text);
    second.text.resize(second.text.capacity());
    assert_int_equal(second.text.find('x'), std::string::npos);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_wallet_is_opened_by_a_worker_one_try_at_a_time),
      cmocka_unit_test(what_the_key_file_has_now_counts),
      cmocka_unit_test(a_secret_leaves_nothing_where_it_was),
  };
  return RUN_TESTS(tests);
}
