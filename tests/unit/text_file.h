// Whole files, without the streams of the C++ library: what tests for small devices are linked with lacks them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

// Empty if there is no such file.
inline std::string read_text_file(const std::string& path) {
  std::string out;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return out;
  char buffer[4096];
  for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;) out.append(buffer, got);
  std::fclose(file);
  return out;
}

// Makes or replaces it.
inline void write_text_file(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fclose(file) != 0) std::abort();
}
