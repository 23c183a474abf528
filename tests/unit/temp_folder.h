// A folder of its own for one test, removed with everything in it when it goes out of scope (a failing assertion leaves it: cmocka jumps).
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <unistd.h>

class TempFolder {
 public:
  explicit TempFolder(const char* base = "/tmp") : path_(std::string(base) + "/millet_test_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  // A base in memory where there is one: for tests that commit thousands of times and are not about disks.
  static const char* memory_base() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};
