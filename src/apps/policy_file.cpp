#include "apps/policy_file.h"

#include <charconv>

#include "codec/uci.h"
#include "ledger/common/address.h"

namespace millet {
namespace {

Error refuse(const uci::Entry& entry, const std::string& what) {
  return error(Errc::bad_input, "line " + std::to_string(entry.line) + ": " + what);
}

Status read_number(const uci::Entry& entry, uint64_t most, uint64_t& out) {
  const char* end = entry.value.data() + entry.value.size();
  auto [stopped, failure] = std::from_chars(entry.value.data(), end, out);
  if (!entry.value.empty() && failure == std::errc() && stopped == end && out <= most) return ok;
  return refuse(entry, entry.option + " '" + printable(entry.value) + "' is no whole number up to " + std::to_string(most));
}

Status read_time(const uci::Entry& entry, LedgerTime& out) {
  uint64_t seconds = 0;
  TRY(read_number(entry, uint64_t{1} << 40, seconds));
  out = LedgerTime::from_seconds(seconds);
  return ok;
}

Status read_amount(const uci::Entry& entry, Amount& out) {
  Result<Amount> amount = Amount::parse_btt(entry.value);
  if (!amount) return refuse(entry, entry.option + ": " + amount.error().reason);
  out = *amount;
  return ok;
}

Status read_account(const uci::Entry& entry, PublicKey& out) {
  Result<PublicKey> key = parse_address(entry.value);
  if (!key) return refuse(entry, entry.option + ": " + key.error().reason);
  out = *key;
  return ok;
}

class Reader {
 public:
  Status take(const uci::Entry& entry) {
    if (entry.section_type != "policy") return refuse(entry, "a policy is one section, written: config policy");
    PolicyStatement& s = out_.statement;
    if (entry.option == "recipient") return take_recipient(entry);
    if (entry.is_list) return refuse(entry, entry.option + " is one value: write option " + entry.option + " 'VALUE'");
    for (const std::string& seen : seen_) {
      if (seen == entry.option) return refuse(entry, entry.option + " is given twice; leave one of them");
    }
    seen_.push_back(entry.option);
    if (entry.option == "pool") return take_pool(entry);
    if (entry.option == "begin") return read_time(entry, s.begin);
    if (entry.option == "until") return read_time(entry, s.until);
    if (entry.option == "per_grant") return read_amount(entry, s.per_grant);
    if (entry.option == "per_period") return read_amount(entry, s.per_period);
    if (entry.option == "granter") return read_account(entry, s.granter);
    if (entry.option == "period") {
      uint64_t period_s = 0;
      TRY(read_number(entry, UINT32_MAX, period_s));
      s.period_s = static_cast<uint32_t>(period_s);
      return ok;
    }
    if (entry.option == "replaces") {
      Result<OperationId> id = OperationId::from_hex(entry.value);
      if (!id) return refuse(entry, "replaces '" + printable(entry.value) + "' is no policy: its 64 hexadecimal digits");
      s.replaces = *id;
      return ok;
    }
    return refuse(entry, "a policy has no option '" + entry.option +
                             "'; it has pool, begin, until, period, per_grant, per_period, granter, recipient, replaces");
  }

  Result<PolicyDocument> finish(LedgerTime now) {
    for (const char* needed : {"pool", "until", "period", "per_grant", "per_period", "granter"}) {
      bool given = false;
      for (const std::string& seen : seen_) given = given || seen == needed;
      if (!given) return error(Errc::bad_input, std::string("the policy has no ") + needed + "; write option " + needed + " 'VALUE'");
    }
    PolicyStatement& s = out_.statement;
    if (s.begin.in_seconds() == 0) s.begin = now;
    if (s.until <= now || s.until <= s.begin) return error(Errc::bad_input, "the policy's `until` is past, or not later than its `begin`");
    if (s.period_s == 0) return error(Errc::bad_input, "the policy's period has no seconds");
    if (s.per_grant > s.per_period) return error(Errc::bad_input, "the policy allows more for one grant (per_grant) than in a period");
    return out_;
  }

 private:
  Status take_pool(const uci::Entry& entry) {
    Result<uint8_t> index = pool_index(entry.value);
    if (!index) return refuse(entry, index.error().reason);
    out_.pool = *index;
    return ok;
  }

  Status take_recipient(const uci::Entry& entry) {
    if (!entry.is_list) return refuse(entry, "there may be several recipients: write list recipient 'ADDRESS'");
    if (recipients_ == k_policy_recipients_max) {
      return refuse(entry, "a policy names at most " + std::to_string(k_policy_recipients_max) + " recipients");
    }
    return read_account(entry, out_.statement.recipients[recipients_++]);
  }

  PolicyDocument out_;
  std::vector<std::string> seen_;
  size_t recipients_ = 0;
};

}  // namespace

Result<uint8_t> pool_index(std::string_view name) {
  std::string names;
  for (size_t i = 0; i < k_policy_pools; ++i) {
    if (name == k_pool_names[i]) return static_cast<uint8_t>(i);
    names += (i == 0 ? "" : ", ") + std::string(k_pool_names[i]);
  }
  return error(Errc::bad_input, "there is no pool '" + printable(name) + "'; the white paper has " + names);
}

Result<PolicyDocument> parse_policy_file(std::string_view text, LedgerTime now) {
  TRY_ASSIGN(std::vector<uci::Entry> entries, uci::parse(text));
  Reader reader;
  for (const uci::Entry& entry : entries) TRY(reader.take(entry));
  return reader.finish(now);
}

}  // namespace millet
