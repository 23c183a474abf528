// Drives a fuzz target: first over its samples and their truncations and over its corpus (corpus/NAME), then over mutations of both.
//
//   NAME_fuzz [SEED [COUNT [LAST]]]    LAST: a file that holds the input under way, and so, after a failure, the one that failed
//   NAME_fuzz --file PATH              to see again what failed
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "base/random.h"
#include "fuzz/fuzz.h"

namespace {

using millet::Random;

std::string last_path;  // empty: nobody wants it

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The files of a folder, in the order of their names. None: there is no such folder.
std::vector<std::string> read_corpus(const std::string& folder) {
  std::vector<std::string> paths, out;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) out.push_back(read_file(path));
  return out;
}

// A copy of exactly this size on the heap, so that a read past the end is one that the sanitizer sees.
void run(const std::string& input) {
  std::vector<uint8_t> bytes(input.begin(), input.end());
  bytes.shrink_to_fit();
  if (!last_path.empty()) std::ofstream(last_path, std::ios::binary) << input;
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

void mutate(Random& random, const std::vector<std::string>& samples, std::string& text) {
  static constexpr std::string_view k_words[] = {
      "0",  "e", "i",  "l", "d",  ":",  "-", "1:", "0:", "i0e", "9223372036854775807",   "18446744073709551616", "\r\n",
      "\n", " ", "\t", "'", "\"", "\\", ";", "/",  "..", "%00", "Content-Length: 1\r\n", "\xff\xff\xff\xff"};
  auto place = [&] { return static_cast<size_t>(random.below(text.size() + 1)); };
  size_t at = place();
  size_t length = std::min<size_t>(static_cast<size_t>(random.below(16)), text.size() - at);
  const std::string_view word = k_words[static_cast<size_t>(random.below(std::size(k_words)))];
  switch (random.below(8)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(random.below(256));
      break;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(static_cast<unsigned char>(text[at]) ^ (1u << random.below(8)));
      break;
    case 2: text.erase(at, length); break;
    case 3: text.insert(place(), text.substr(at, length)); break;
    case 4: text.insert(at, word); break;
    case 5: text.replace(at, length, word); break;
    case 6: text.replace(at, std::min(word.size(), text.size() - at), word); break;
    default: {
      const std::string& other = samples[static_cast<size_t>(random.below(samples.size()))];
      text = text.substr(0, at) + other.substr(static_cast<size_t>(random.below(other.size() + 1)));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--file") {
    if (!std::filesystem::is_regular_file(argv[2])) return fprintf(stderr, "%s is no file\n", argv[2]), 1;
    return run(read_file(argv[2])), 0;
  }
  if (argc > 3) last_path = argv[3];
  const uint64_t seed = argc > 1 ? strtoull(argv[1], nullptr, 10) : 1;
  const uint64_t count = argc > 2 ? strtoull(argv[2], nullptr, 10) : 100'000;
  std::vector<std::string> samples = fuzz_samples();
  for (const std::string& sample : samples) {
    for (size_t size = 0; size <= sample.size(); ++size) run(sample.substr(0, size));
  }
  const std::string name = std::filesystem::path(argv[0]).stem().string();
  for (std::string& input : read_corpus(std::string(MILLET_SOURCE_DIR) + "/tests/fuzz/corpus/" + name.substr(0, name.rfind("_fuzz")))) {
    run(input);
    samples.push_back(std::move(input));
  }
  Random random(seed);
  std::string text;
  for (uint64_t i = 0; i < count; ++i) {
    // Mutations pile up for a while: some faults need two mistakes.
    if (text.empty() || text.size() > 4096 || random.below(8) == 0) text = samples[static_cast<size_t>(random.below(samples.size()))];
    mutate(random, samples, text);
    run(text);
  }
  printf("%llu inputs of seed %llu\n", static_cast<unsigned long long>(count), static_cast<unsigned long long>(seed));
  return 0;
}
