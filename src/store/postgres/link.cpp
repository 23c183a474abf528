#include "store/postgres/link.h"

#include <cstring>

#include <libpq-fe.h>

namespace millet {
namespace {

constexpr uint32_t k_oid_bytea = 17, k_oid_text = 25;
constexpr int k_binary = 1;

std::string one_line(const char* text) {
  std::string line(text == nullptr ? "" : text);
  while (!line.empty() && line.back() == '\n') line.pop_back();
  for (char& c : line) c = c == '\n' ? ' ' : c;
  return line;
}

bool succeeded(const PGresult* result) {
  ExecStatusType status = PQresultStatus(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

void append_be32(std::string& out, uint32_t value) {
  uint8_t raw[4];
  store_be<uint32_t>(raw, value);
  out.append(reinterpret_cast<const char*>(raw), sizeof raw);
}

// libpq's own words would name the parts of it that it can't read, and one may be the password.
Status check_conninfo(const std::string& conninfo) {
  PQconninfoOption* options = PQconninfoParse(conninfo.c_str(), nullptr);
  if (options == nullptr) {
    return error(Errc::bad_input,
                 "ledgerd.store: what stands after postgres: is no connection string of libpq; in host=... user=... "
                 "values with spaces or quotes are quoted: password='it\\'s'");
  }
  PQconninfoFree(options);
  return ok;
}

std::string to_string(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

PgRows::~PgRows() { PQclear(result_); }
int PgRows::size() const { return PQntuples(result_); }
Bytes PgRows::at(int row, int column) const {
  return {reinterpret_cast<const uint8_t*>(PQgetvalue(result_, row, column)), static_cast<size_t>(PQgetlength(result_, row, column))};
}

PgParams& PgParams::bytes(Bytes value) {
  values_.push_back(to_string(value));
  return *this;
}
PgParams& PgParams::text(std::string_view value) { return bytes(as_bytes(value)); }
PgParams& PgParams::number(int32_t value) {
  append_be32(values_.emplace_back(), static_cast<uint32_t>(value));
  return *this;
}

// dimensions, has nulls, element type, then of the one dimension its size and lower bound, then each element with its size.
PgParams& PgParams::array(uint32_t element_type, std::span<const Bytes> values) {
  std::string& out = values_.emplace_back();
  for (uint32_t word : {uint32_t{1}, uint32_t{0}, element_type, static_cast<uint32_t>(values.size()), uint32_t{1}}) append_be32(out, word);
  for (Bytes value : values) {
    append_be32(out, static_cast<uint32_t>(value.size()));
    out.append(to_string(value));
  }
  return *this;
}
PgParams& PgParams::bytes_array(std::span<const Bytes> values) { return array(k_oid_bytea, values); }
PgParams& PgParams::text_array(std::span<const std::string_view> values) {
  std::vector<Bytes> texts;
  for (std::string_view value : values) texts.push_back(as_bytes(value));
  return array(k_oid_text, texts);
}

PgLink::~PgLink() { PQfinish(connection_); }

Result<std::unique_ptr<PgLink>> PgLink::connect(const std::string& conninfo) {
  TRY(check_conninfo(conninfo));
  // What stands later wins: the operator's own words over these.
  // A server that is gone without a word is noticed within some 20 s: what was sent is not acknowledged, or what is idle is not alive.
  const char* keys[] = {"connect_timeout",
                        "tcp_user_timeout",
                        "keepalives",
                        "keepalives_idle",
                        "keepalives_interval",
                        "keepalives_count",
                        "target_session_attrs",
                        "application_name",
                        "client_encoding",
                        "dbname",
                        nullptr};
  const char* values[] = {"10", "15000", "1", "5", "5", "3", "read-write", "millet-ledgerd", "UTF8", conninfo.c_str(), nullptr};
  std::unique_ptr<PgLink> link(new PgLink(PQconnectdbParams(keys, values, 1)));
  if (link->connection_ == nullptr) return error(Errc::no_room, "can't connect to PostgreSQL: out of memory");
  if (PQstatus(link->connection_) != CONNECTION_OK) {
    return error(Errc::unavailable, "can't connect to PostgreSQL: " + one_line(PQerrorMessage(link->connection_)) +
                                        "; check ledgerd.store, and that the server runs there");
  }
  PQsetNoticeReceiver(link->connection_, on_notice, link.get());
  return link;
}

bool PgLink::is_good() const { return takes_writes_ && PQstatus(connection_) == CONNECTION_OK; }

void PgLink::on_notice(void* self, const PGresult* notice) {
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != nullptr && std::strcmp(severity, "WARNING") == 0) {
    static_cast<PgLink*>(self)->warning_ = one_line(PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
  }
}

Error PgLink::failure(const PGresult* result) {
  const char* field = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  std::string state(field == nullptr ? "" : field);
  std::string reason = "PostgreSQL: " + one_line(result == nullptr ? PQerrorMessage(connection_) : PQresultErrorMessage(result));
  if (state.starts_with("40")) return error(Errc::conflict, reason);                             // serialization failure, deadlock
  if (state == "25006" || state == "57P03" || state.starts_with("57P0")) takes_writes_ = false;  // a standby, or it shuts down
  if (state.starts_with("53")) return error(Errc::no_room, reason + "; make room on the database's machine");
  if (state.starts_with("28") || state == "42501") return error(Errc::denied, reason);
  return error(Errc::io, reason);
}

Status PgLink::run(const std::string& sql) {
  warning_.clear();
  PGresult* result = PQexec(connection_, sql.c_str());
  PgRows owner(result);
  if (!succeeded(result)) return failure(result);
  return ok;
}

Result<std::string> PgLink::ask(const std::string& sql) {
  PGresult* result = PQexec(connection_, sql.c_str());
  PgRows owner(result);
  if (!succeeded(result)) return failure(result);
  if (PQntuples(result) == 0 || PQnfields(result) == 0) return error(Errc::not_found, "no row");
  return std::string(PQgetvalue(result, 0, 0));
}

Status PgLink::prepare(const char* name, const char* sql) {
  PGresult* result = PQprepare(connection_, name, sql, 0, nullptr);
  PgRows owner(result);
  if (!succeeded(result)) return failure(result);
  return ok;
}

namespace {

struct Raw {
  explicit Raw(const PgParams& params) {
    for (const std::string& value : params.values()) {
      values.push_back(value.data());
      sizes.push_back(static_cast<int>(value.size()));
      formats.push_back(k_binary);
    }
  }
  int count() const { return static_cast<int>(values.size()); }
  std::vector<const char*> values;
  std::vector<int> sizes;
  std::vector<int> formats;
};

}  // namespace

Result<PgRows> PgLink::execute(const char* name, const PgParams& params) {
  Raw raw(params);
  PGresult* result = PQexecPrepared(connection_, name, raw.count(), raw.values.data(), raw.sizes.data(), raw.formats.data(), k_binary);
  PgRows rows(result);
  if (!succeeded(result)) return failure(result);
  return rows;
}

Status PgLink::run_together(const std::vector<Step>& steps, const char* last) {
  warning_.clear();
  if (PQenterPipelineMode(connection_) != 1) return failure(nullptr);
  bool sent = true;
  for (const Step& step : steps) {
    Raw raw(step.params);
    sent = sent &&
           PQsendQueryPrepared(connection_, step.name, raw.count(), raw.values.data(), raw.sizes.data(), raw.formats.data(), k_binary) == 1;
  }
  sent = sent && PQsendQueryParams(connection_, last, 0, nullptr, nullptr, nullptr, nullptr, k_binary) == 1;
  sent = sent && PQpipelineSync(connection_) == 1;
  Status status = ok;
  if (!sent) status = failure(nullptr);
  // Of each statement a result and a null; at the end the result of the sync.
  for (bool synced = !sent; !synced && PQstatus(connection_) == CONNECTION_OK;) {
    PGresult* result = PQgetResult(connection_);
    if (result == nullptr) continue;
    PgRows owner(result);
    ExecStatusType kind = PQresultStatus(result);
    synced = kind == PGRES_PIPELINE_SYNC;
    if (!synced && !succeeded(result) && kind != PGRES_PIPELINE_ABORTED && status) status = failure(result);
  }
  if (PQstatus(connection_) != CONNECTION_OK) return status ? Status(error(Errc::io, "PostgreSQL: the connection broke")) : status;
  if (PQexitPipelineMode(connection_) != 1) takes_writes_ = false;  // in disorder: connect anew
  // Such as: the wait for a synchronous standby was cancelled.
  if (status && !warning_.empty()) return error(Errc::io, "PostgreSQL warns: " + warning_);
  return status;
}

}  // namespace millet
