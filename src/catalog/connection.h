// One connection to the catalog's database: its settings, its prepared statements, and SQLite's failures as Errors.
// Used by one thread at a time; catalog.cpp sees to that.
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/names.h"
#include "base/time.h"

namespace pgtwig::catalog {

// The Error of a catalog that can't be trusted; `reason` completes "the catalog <file> is damaged: ".
Error damaged(const std::filesystem::path& file, std::string_view reason);
// The Error that stands for what SQLite threw.
Error translate(const SQLite::Exception& exception, const std::filesystem::path& file);

// The columns of a result's current row, read from left to right.
class Row {
 public:
  explicit Row(SQLite::Statement& statement) : statement_(statement) {}
  std::string text() { return statement_.getColumn(next_++).getString(); }
  std::int64_t integer() { return statement_.getColumn(next_++).getInt64(); }
  bool boolean() { return integer() != 0; }
  TimePoint time() { return TimePoint(std::chrono::microseconds(integer())); }
  std::optional<TimePoint> optional_time() {
    if (skip_null()) return std::nullopt;
    return time();
  }
  std::optional<std::chrono::seconds> optional_seconds() {
    if (skip_null()) return std::nullopt;
    return std::chrono::seconds(integer());
  }
  template <class AnyId>
  AnyId id() {
    std::string value = text();
    if (auto id = AnyId::parse(value)) return *id;
    malformed("an id", value);
  }
  template <class AnyId>
  std::optional<AnyId> optional_id() {
    if (skip_null()) return std::nullopt;
    return id<AnyId>();
  }
  template <class Name>
  Name name() {
    std::string value = text();
    if (auto name = Name::parse(value)) return *name;
    malformed("a name", value);
  }
  // Ends the reading of a row whose contents no pgtwig can have written.
  [[noreturn]] static void malformed(std::string_view what, std::string_view value);

 private:
  bool skip_null() {
    if (!statement_.getColumn(next_).isNull()) return false;
    ++next_;
    return true;
  }
  SQLite::Statement& statement_;
  int next_ = 0;
};

// A prepared statement in use; gives it back reset, so that it holds no read snapshot open.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { statement_.tryReset(); }

  // Runs it to its end; returns how many rows were changed.
  int run() { return statement_.exec(); }
  bool next() { return statement_.executeStep(); }
  Row row() { return Row(statement_); }

 private:
  SQLite::Statement& statement_;
};

class Connection {
 public:
  enum class Role { writer, reader };
  Connection(const std::filesystem::path& file, Role role);

  const std::filesystem::path& file() const { return file_; }
  SQLite::Database& database() { return database_; }

  // `sql` must be a literal: prepared statements are kept by it.
  template <class... Values>
  Query query(const char* sql, const Values&... values) {
    SQLite::Statement& statement = prepared(sql);
    int index = 0;
    (bind(statement, ++index, values), ...);
    return Query(statement);
  }

 private:
  static void bind(SQLite::Statement& statement, int index, const std::string& value) { statement.bind(index, value); }
  static void bind(SQLite::Statement& statement, int index, std::string_view value) {
    statement.bind(index, std::string(value));
  }
  static void bind(SQLite::Statement& statement, int index, const std::filesystem::path& value) {
    statement.bind(index, value.string());
  }
  static void bind(SQLite::Statement& statement, int index, int value) { statement.bind(index, value); }
  static void bind(SQLite::Statement& statement, int index, std::int64_t value) { statement.bind(index, value); }
  static void bind(SQLite::Statement& statement, int index, Lsn value) { statement.bind(index, format_lsn(value)); }
  static void bind(SQLite::Statement& statement, int index, TimePoint value) {
    statement.bind(index, static_cast<std::int64_t>(value.time_since_epoch().count()));
  }
  static void bind(SQLite::Statement& statement, int index, std::chrono::seconds value) {
    statement.bind(index, std::int64_t{value.count()});
  }
  template <class Tag>
  static void bind(SQLite::Statement& statement, int index, const Id<Tag>& value) {
    statement.bind(index, value.text());
  }
  template <class Value>
  static void bind(SQLite::Statement& statement, int index, const std::optional<Value>& value) {
    if (value) {
      bind(statement, index, *value);
    } else {
      statement.bind(index);
    }
  }
  SQLite::Statement& prepared(const char* sql);

  std::filesystem::path file_;
  SQLite::Database database_;
  std::map<std::string_view, SQLite::Statement> statements_;
};

}  // namespace pgtwig::catalog
