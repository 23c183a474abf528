// Fifo beside a queue of the standard library.
#include <deque>
#include <memory>
#include <string>

#include "base/fifo.h"
#include "base/random.h"
#include "unit/test.h"

using namespace millet;

namespace {

bool same(const Fifo<std::string>& fifo, const std::deque<std::string>& model) {
  return fifo.size() == model.size() && fifo.empty() == model.empty() && std::equal(fifo.begin(), fifo.end(), model.begin());
}

// One operation on both; long texts, so that a wrong move is seen by the sanitizers.
void operate(Random& random, Fifo<std::string>& fifo, std::deque<std::string>& model, bool growing) {
  size_t kind = random.below(10);
  if (kind < (growing ? 6u : 3u)) {
    std::string item = "an element that fits no short string: " + std::to_string(random.next());
    fifo.push_back(item);
    model.push_back(item);
  } else if (kind < 8 && !model.empty()) {
    fifo.pop_front();
    model.pop_front();
  } else if (kind == 8 && !model.empty()) {
    size_t at = random.below(model.size());
    fifo.erase(fifo.begin() + at);
    model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
  } else if (random.below(50) == 0) {
    auto odd = [](const std::string& item) { return (item.back() - '0') % 2 == 1; };
    fifo.erase_if(odd);
    std::erase_if(model, odd);
  } else if (size_t count = random.below(4); count <= model.size()) {
    fifo.pop_front(count);
    model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void a_fifo_does_what_a_deque_does(void**) {
  Random random(1);
  Fifo<std::string> fifo;
  std::deque<std::string> model;
  for (int i = 0; i < 20'000; ++i) {
    operate(random, fifo, model, i / 1000 % 2 == 0);
    assert_true(same(fifo, model));
    if (!model.empty()) {
      assert_true(fifo.front() == model.front() && fifo.back() == model.back());
      size_t at = random.below(model.size());
      assert_true(fifo[at] == model[at]);
    }
  }
  fifo.clear();
  assert_true(fifo.empty());
}

void what_leaves_a_fifo_is_freed_at_once(void**) {
  auto shared = std::make_shared<int>(1);
  Fifo<std::shared_ptr<int>> fifo;
  for (int i = 0; i < 5; ++i) fifo.push_back(shared);
  fifo.pop_front();
  assert_int_equal(shared.use_count(), 5);
  fifo.pop_front(2);
  assert_int_equal(shared.use_count(), 3);
  fifo.clear();
  assert_int_equal(shared.use_count(), 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_fifo_does_what_a_deque_does),
      cmocka_unit_test(what_leaves_a_fifo_is_freed_at_once),
  };
  return RUN_TESTS(tests);
}
