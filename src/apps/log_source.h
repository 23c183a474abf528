// Where an audit reads a log from: a ledger's store, or a file that export wrote.
//
//   file:  "BTT1LOGF" | ledger key[32] | tree head[112] | (size u16 | record) x size of the tree head
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "ledger/common/api.h"
#include "store/store.h"

namespace millet {

class LogSource {
 public:
  virtual ~LogSource() = default;
  // Records that it holds.
  virtual uint64_t size() const = 0;
  // The next record; false after the last. Errors: io, bad_input.
  virtual Result<bool> next(std::vector<uint8_t>& record) = 0;
};

class StoreLogSource final : public LogSource {
 public:
  // Requires: the transaction outlives this.
  explicit StoreLogSource(StoreTransaction& store, uint64_t size) : store_(store), size_(size) {}
  uint64_t size() const override { return size_; }
  Result<bool> next(std::vector<uint8_t>& record) override;

 private:
  StoreTransaction& store_;
  uint64_t size_;
  uint64_t next_ = 0;
};

class FileLogSource final : public LogSource {
 public:
  // Errors: io, bad_input (no log).
  static Result<std::unique_ptr<FileLogSource>> open(const std::string& path);
  ~FileLogSource() override;
  uint64_t size() const override { return head_.size; }
  Result<bool> next(std::vector<uint8_t>& record) override;

  const PublicKey& key() const { return key_; }
  const SignedTreeHead& head() const { return head_; }

 private:
  FileLogSource(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
  Status read(MutBytes out);

  std::FILE* file_;
  std::string path_;
  PublicKey key_;
  SignedTreeHead head_;
  uint64_t next_ = 0;
};

// Writes a whole log. The file appears under its name when it is complete. Errors: io, no_room.
Status write_log_file(const std::string& path, const PublicKey& key, const SignedTreeHead& head, LogSource& log);

}  // namespace millet
