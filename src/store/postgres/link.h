// One connection to PostgreSQL: statements in, rows and errors out. Not for use outside store/postgres.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

struct pg_conn;
struct pg_result;

namespace millet {

// Rows of one statement, in binary.
class PgRows {
 public:
  PgRows() = default;
  explicit PgRows(pg_result* result) : result_(result) {}
  PgRows(PgRows&& other) noexcept : result_(other.result_) { other.result_ = nullptr; }
  PgRows& operator=(PgRows&& other) noexcept {
    std::swap(result_, other.result_);
    return *this;
  }
  ~PgRows();

  int size() const;
  // Valid as long as this.
  Bytes at(int row, int column) const;

 private:
  pg_result* result_ = nullptr;
};

// Parameters of a statement, encoded as PostgreSQL's binary format wants them.
class PgParams {
 public:
  PgParams& bytes(Bytes value);
  PgParams& text(std::string_view value);
  PgParams& number(int32_t value);
  // One-dimensional arrays.
  PgParams& bytes_array(std::span<const Bytes> values);
  PgParams& text_array(std::span<const std::string_view> values);

  const std::vector<std::string>& values() const { return values_; }

 private:
  PgParams& array(uint32_t element_type, std::span<const Bytes> values);
  std::vector<std::string> values_;
};

class PgLink {
 public:
  // Connects to the server that takes writes, of those that `conninfo` names. Errors: io, denied; unavailable if there is none.
  static Result<std::unique_ptr<PgLink>> connect(const std::string& conninfo);
  ~PgLink();
  PgLink(const PgLink&) = delete;
  PgLink& operator=(const PgLink&) = delete;

  // False: the connection is gone, or the server has become one that takes no writes.
  bool is_good() const;

  // One or more statements without parameters, in one round trip. Errors: as error().
  Status run(const std::string& sql);
  // Makes `name` stand for a statement on this connection.
  Status prepare(const char* name, const char* sql);
  // A prepared statement.
  Result<PgRows> execute(const char* name, const PgParams& params);
  // Prepared statements and then `last` (without parameters), in one round trip. The first error; nothing behind it is done then.
  struct Step {
    const char* name;
    PgParams params;
  };
  Status run_together(const std::vector<Step>& steps, const char* last);
  // The first value of the first row, as text. Errors: as run; not_found if there is none.
  Result<std::string> ask(const std::string& sql);

 private:
  explicit PgLink(pg_conn* connection) : connection_(connection) {}
  // Of the last result. Errors: conflict (execute the transaction again), no_room, denied, io.
  Error failure(const pg_result* result);
  static void on_notice(void* self, const pg_result* notice);

  pg_conn* connection_;
  bool takes_writes_ = true;
  std::string warning_;  // that the server sent with the last statements
};

}  // namespace millet
