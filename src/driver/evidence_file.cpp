#include "driver/evidence_file.h"

#include "crypto/hash.h"

namespace millet {
namespace {

class EvidenceJob final : public hal::Job {
 public:
  EvidenceJob(hal::Files& files, std::string folder, std::vector<uint8_t> evidence, LogSink& log)
      : files_(files), folder_(std::move(folder)), name_("ledger-evidence-" + to_hex(Bytes(blake2b_256(evidence)).first(8))),
        evidence_(std::move(evidence)), log_(log) {}
  void run() override { written_ = write(); }
  void done() override {
    std::string path = folder_ + "/" + name_;
    if (written_) {
      LogLine(log_, LogLevel::error, "ledger_evidence").add("file", path).add("help", "millet ledger verify-evidence " + path);
    } else {
      LogLine(log_, LogLevel::error, "ledger_evidence_not_written").add("file", path).add("reason", written_.error().reason);
    }
  }

 private:
  Status write() {
    TRY_ASSIGN(std::unique_ptr<hal::File> file, files_.open(folder_, name_, hal::OpenMode::create));
    TRY(file->resize(evidence_.size()));
    TRY(file->write_at(0, evidence_));
    TRY(file->sync());
    return files_.sync_folder(folder_, "");
  }

  hal::Files& files_;
  std::string folder_;
  std::string name_;
  std::vector<uint8_t> evidence_;
  LogSink& log_;
  Status written_ = ok;
};

}  // namespace

void keep_evidence(hal::System& system, const std::string& folder, std::vector<uint8_t> evidence, LogSink& log) {
  system.executor.submit(hal::Queue::store, std::make_unique<EvidenceJob>(system.files, folder, std::move(evidence), log));
}

}  // namespace millet
