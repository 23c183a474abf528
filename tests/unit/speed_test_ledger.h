// For tests of BitTorrent Speed: signatures that cost nothing, and the ledger as far as channels go.
//
// Signatures are a hash of key and message: nobody forges here, and thousands are made per run.
#pragma once

#include <map>
#include <string>

#include "base/log.h"
#include "base/random.h"
#include "crypto/hash.h"
#include "speed/outputs.h"

namespace millet::speed::world {

inline Signature fake_sign(const PublicKey& key, Bytes message) {
  std::vector<uint8_t> all(key.raw.begin(), key.raw.end());
  all.insert(all.end(), message.begin(), message.end());
  Hash32 hash = blake2b_256(all);
  Signature out;
  std::copy(hash.begin(), hash.end(), out.raw.begin());
  std::copy(hash.begin(), hash.end(), out.raw.begin() + 32);
  return out;
}

class TestRandom final : public SecureRandom {
 public:
  explicit TestRandom(uint64_t seed) : random_(seed) {}
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.next() >> 33);
  }

 private:
  Random random_;
};

class PrintLog final : public LogSink {
 public:
  PrintLog(std::string name, const Instant& now) : name_(std::move(name)), now_(now) {}
  LogLevel level() const override { return LogLevel::debug; }
  void write(LogLevel, std::string_view line) override {
    fprintf(stderr, "%10lld [%s] %.*s\n", static_cast<long long>(now_.in_us() / 1000), name_.c_str(), static_cast<int>(line.size()),
            line.data());
  }

 private:
  std::string name_;
  const Instant& now_;
};

// The ledger, as far as channels go.
class TestLedger {
 public:
  struct Entry {
    ChannelTerms terms;
    LedgerTime effective_expiry;
    bool open = true;
    Amount claimed;
  };
  LedgerId id;
  PublicKey key;
  bool up = true;
  std::map<PublicKey, uint64_t> balance;
  std::map<ChannelId, Entry> channels;
  uint64_t supply = 0;
  uint64_t claims = 0;
  std::vector<std::string> faults;

  void fund(const PublicKey& account, uint64_t micro) {
    balance[account] += micro;
    supply += micro;
  }
  void expire(LedgerTime now) {
    for (auto& [cid, entry] : channels) {
      if (!entry.open || now < entry.effective_expiry) continue;
      entry.open = false;
      balance[entry.terms.payer] += entry.terms.capacity.in_micro() - entry.claimed.in_micro();
    }
  }
  bool supply_holds() const {
    uint64_t sum = 0;
    for (const auto& [account, micro] : balance) sum += micro;
    for (const auto& [cid, entry] : channels) {
      if (entry.open) sum += entry.terms.capacity.in_micro() - entry.claimed.in_micro();
    }
    return sum == supply;
  }
  LedgerReply handle(LedgerTime now, const PublicKey& caller, const LedgerRequest& request) {
    expire(now);
    LedgerReply reply;
    reply.time = now;
    std::visit([&](const auto& r) { answer(now, caller, r, reply); }, request);
    return reply;
  }

 private:
  void describe(const Entry& entry, LedgerReply& reply) {
    reply.outcome = LedgerOutcome::done;
    reply.terms = entry.terms;
    reply.open = entry.open;
    reply.effective_expiry = entry.effective_expiry;
    reply.claimed = entry.claimed;
  }
  void answer(LedgerTime now, const PublicKey& caller, const OpenChannel& r, LedgerReply& reply) {
    ChannelId cid{blake2b_256(preimage(r.terms))};
    if (channels.contains(cid)) return describe(channels.at(cid), reply);
    if (fake_sign(r.terms.payer, preimage(r.terms)) != r.signature) faults.push_back("OPEN with a bad signature");
    reply.outcome = LedgerOutcome::too_late;
    if (now > r.terms.valid_until) return;
    reply.outcome = LedgerOutcome::refused;
    if (r.terms.valid_until.seconds_since(now) > 600 || r.terms.payer != caller) return;
    reply.outcome = LedgerOutcome::insufficient;
    uint64_t capacity = r.terms.capacity.in_micro();
    if (balance[r.terms.payer] < capacity) return;
    balance[r.terms.payer] -= capacity;
    Entry entry;
    entry.terms = r.terms;
    entry.effective_expiry = r.terms.expiry;
    channels[cid] = entry;
    describe(entry, reply);
  }
  // CLOSE and CLAIM: what the payer signed is what the payee gets.
  bool pays(const auto& r, LedgerReply& reply) {
    auto it = channels.find(r.statement.channel);
    reply.outcome = LedgerOutcome::unknown_channel;
    if (it == channels.end()) return false;
    Entry& entry = it->second;
    PayStatement pay{id, r.statement.channel, r.statement.seq, r.statement.cum};
    bool signed_by_both = fake_sign(entry.terms.payee, preimage(r.statement)) == r.signature &&
                          (r.statement.cum.is_zero() || fake_sign(entry.terms.payer, preimage(pay)) == r.payer_signature);
    if (!signed_by_both) faults.push_back("CLOSE or CLAIM with a bad signature");
    if (r.statement.cum > entry.terms.capacity) faults.push_back("CLOSE or CLAIM above the capacity");
    reply.outcome = LedgerOutcome::channel_ended;
    if (!entry.open) return false;
    if (r.statement.cum > entry.claimed) {
      balance[entry.terms.payee] += r.statement.cum.in_micro() - entry.claimed.in_micro();
      entry.claimed = r.statement.cum;
    }
    return true;
  }
  void answer(LedgerTime, const PublicKey&, const CloseChannel& r, LedgerReply& reply) {
    if (!pays(r, reply)) return;
    Entry& entry = channels.at(r.statement.channel);
    entry.open = false;
    balance[entry.terms.payer] += entry.terms.capacity.in_micro() - entry.claimed.in_micro();
    describe(entry, reply);
  }
  void answer(LedgerTime, const PublicKey&, const ClaimChannel& r, LedgerReply& reply) {
    if (!pays(r, reply)) return;
    ++claims;
    describe(channels.at(r.statement.channel), reply);
  }
  void answer(LedgerTime, const PublicKey&, const QueryChannel& r, LedgerReply& reply) {
    auto it = channels.find(r.channel);
    reply.outcome = LedgerOutcome::unknown_channel;
    if (it != channels.end()) describe(it->second, reply);
  }
  void answer(LedgerTime now, const PublicKey& caller, const QueryFunds&, LedgerReply& reply) {
    reply.outcome = LedgerOutcome::done;
    reply.available = Amount::micro(balance[caller]);
    reply.fund = fake_sign(key, preimage(FundStatement{id, caller, reply.available, now}));
  }
};

}  // namespace millet::speed::world
