// Durable records of BitTorrent Speed: what must survive a power cut for money to be safe (PROTOCOL.md section 10). One table per kind; a
// value is a version byte and fixed big-endian fields, so a state folder can be read on any processor.
//
//   table                   key               value
//   speed_meta              "clock"           ClockRecord
//   speed_payee_channel     channel id        PayeeChannelRecord    as provider: the newest payment, with the payer's signature
//   speed_payee_debt        payer's key       AccountRecord         due and paid of one payer
//   speed_payer_channel     channel id        PayerChannelRecord    as requester: the lease within which payments may be signed
//   speed_payer_torrent     info hash         TorrentRecord         what a torrent has spent
//   speed_ban               subject           BanRecord
//   speed_history           day:u32 torrent   SettledHistoryRecord  what was earned and spent (history.h)
#pragma once

#include "codec/fields.h"
#include "codec/signed.h"

namespace millet::speed {

inline constexpr const char* k_table_meta = "speed_meta";
inline constexpr const char* k_table_payee_channels = "speed_payee_channel";
inline constexpr const char* k_table_payee_debts = "speed_payee_debt";
inline constexpr const char* k_table_payer_channels = "speed_payer_channel";
inline constexpr const char* k_table_payer_torrents = "speed_payer_torrent";
inline constexpr const char* k_table_bans = "speed_ban";
inline constexpr const char* k_table_history = "speed_history";

inline constexpr const char* k_tables[] = {k_table_meta,           k_table_payee_channels, k_table_payee_debts, k_table_payer_channels,
                                           k_table_payer_torrents, k_table_bans,           k_table_history};

struct ClockRecord {
  static constexpr uint8_t k_version = 1;
  LedgerTime floor;
  static constexpr auto k_fields = field_list(field("floor", &ClockRecord::floor));
  bool operator==(const ClockRecord&) const = default;
};

struct PayeeChannelRecord {
  static constexpr uint8_t k_version = 1;
  ChannelTerms terms;
  uint64_t seq = 0;
  Amount cum;
  Signature signature;  // the payer's, over PAY {seq, cum}
  Amount claimed;       // as far as we know
  LedgerTime effective_expiry;
  LedgerTime claim_at;  // half of the channel's life
  uint8_t closing = 0;  // 1: our CLOSE may be at the ledger; nothing more is counted
  static constexpr auto k_fields =
      field_list(field("terms", &PayeeChannelRecord::terms), field("seq", &PayeeChannelRecord::seq),
                      field("cum", &PayeeChannelRecord::cum), field("signature", &PayeeChannelRecord::signature),
                      field("claimed", &PayeeChannelRecord::claimed), field("effective_expiry", &PayeeChannelRecord::effective_expiry),
                      field("claim_at", &PayeeChannelRecord::claim_at), field("closing", &PayeeChannelRecord::closing));
  bool operator==(const PayeeChannelRecord&) const = default;
};

// A Debt (exposure.h) and how well the payer is known.
struct DebtRecord {
  static constexpr uint8_t k_version = 1;
  uint64_t settled_micro = 0;
  uint32_t settled_rest = 0;
  uint64_t open_micro = 0;
  uint32_t open_rest = 0;
  uint64_t open_bytes = 0;
  Amount paid;
  uint64_t paid_pieces = 0;  // in 256ths of a piece
  uint8_t charged = 0;       // 1: open_bytes are taken from the bucket of unknown payers, for this network:
  uint8_t network_is_v4 = 0;
  std::array<uint8_t, 16> network{};
  static constexpr auto k_fields = field_list(
      field("settled_micro", &DebtRecord::settled_micro), field("settled_rest", &DebtRecord::settled_rest),
      field("open_micro", &DebtRecord::open_micro), field("open_rest", &DebtRecord::open_rest),
      field("open_bytes", &DebtRecord::open_bytes), field("paid", &DebtRecord::paid), field("paid_pieces", &DebtRecord::paid_pieces),
      field("charged", &DebtRecord::charged), field("network_is_v4", &DebtRecord::network_is_v4), field("network", &DebtRecord::network));
  bool operator==(const DebtRecord&) const = default;
};

// The same, and for how many pieces in a row the payer has paid in time. A DebtRecord alone (version 1) stands for none.
struct AccountRecord {
  static constexpr uint8_t k_version = 2;
  DebtRecord debt;
  uint64_t streak = 0;  // in 256ths of a piece
  static constexpr auto k_fields = field_list(field("debt", &AccountRecord::debt), field("streak", &AccountRecord::streak));
  bool operator==(const AccountRecord&) const = default;
};

struct HistoryRecord {
  static constexpr uint8_t k_version = 1;
  Amount earned;
  Amount spent;
  uint64_t bytes_sold = 0;
  uint64_t bytes_bought = 0;
  static constexpr auto k_fields =
      field_list(field("earned", &HistoryRecord::earned), field("spent", &HistoryRecord::spent),
                      field("bytes_sold", &HistoryRecord::bytes_sold), field("bytes_bought", &HistoryRecord::bytes_bought));
  bool operator==(const HistoryRecord&) const = default;
};

// The same, and what did not come to be. A HistoryRecord alone (version 1) stands for none of that.
struct SettledHistoryRecord {
  static constexpr uint8_t k_version = 2;
  HistoryRecord sums;
  Amount lost;
  Amount returned;
  static constexpr auto k_fields = field_list(field("sums", &SettledHistoryRecord::sums), field("lost", &SettledHistoryRecord::lost),
                                                   field("returned", &SettledHistoryRecord::returned));
  bool operator==(const SettledHistoryRecord&) const = default;
};

struct PayerChannelRecord {
  static constexpr uint8_t k_version = 1;
  ChannelTerms terms;
  Amount cum;                // at least this much is signed, or will be
  Amount ceiling;            // at most this much was signed before the next record: cum <= ceiling <= capacity
  uint64_t seq_ceiling = 0;  // no higher sequence was signed
  uint8_t state = 0;         // PayerChannelState
  InfoHash torrent;          // whose budget the difference counts against after a crash
  static constexpr auto k_fields =
      field_list(field("terms", &PayerChannelRecord::terms), field("cum", &PayerChannelRecord::cum),
                      field("ceiling", &PayerChannelRecord::ceiling), field("seq_ceiling", &PayerChannelRecord::seq_ceiling),
                      field("state", &PayerChannelRecord::state), field("torrent", &PayerChannelRecord::torrent));
  bool operator==(const PayerChannelRecord&) const = default;
};

struct TorrentRecord {
  static constexpr uint8_t k_version = 1;
  uint64_t spent_micro = 0;
  uint32_t spent_rest = 0;
  static constexpr auto k_fields =
      field_list(field("spent_micro", &TorrentRecord::spent_micro), field("spent_rest", &TorrentRecord::spent_rest));
  bool operator==(const TorrentRecord&) const = default;
};

struct BanRecord {
  static constexpr uint8_t k_version = 1;
  LedgerTime until;
  uint8_t bans = 0;     // so far: each is twice as long
  LedgerTime strike_1;  // zero: none
  LedgerTime strike_2;
  static constexpr auto k_fields = field_list(field("until", &BanRecord::until), field("bans", &BanRecord::bans),
                                                   field("strike_1", &BanRecord::strike_1), field("strike_2", &BanRecord::strike_2));
  bool operator==(const BanRecord&) const = default;
};

template <typename Record>
std::vector<uint8_t> encode_record(const Record& record) {
  std::vector<uint8_t> out;
  ByteWriter(out).u8(Record::k_version).bytes(encode_fields(record));
  return out;
}
// Errors: bad_input if it is of another version or size, or a value is out of range.
template <typename Record>
Result<Record> decode_record(Bytes value) {
  if (value.empty() || value[0] != Record::k_version) return error(Errc::bad_input, "record of another version than this program reads");
  return decode_fields<Record>(value.subspan(1));
}

// A meter as stored. Errors: bad_input if it can't be one.
Result<Meter> restore_meter(uint64_t micro, uint32_t rest);

}  // namespace millet::speed
