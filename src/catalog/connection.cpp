#include "catalog/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace pgtwig::catalog {
namespace {

// Another process may only meet us here by mistake, or to look (sqlite3 on the command line).
constexpr int busy_timeout_ms = 10'000;
// A checkpoint copies the pages of the log home with some extra syncs. At 4 MiB of log, about one change in a hundred
// pays for it.
constexpr int pages_between_checkpoints = 1000;

// SQLite's own locking is left out (NOMUTEX): a connection is used by one thread at a time.
int open_flags(Connection::Role role) {
  return (role == Connection::Role::writer ? SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE : SQLite::OPEN_READONLY) |
         SQLite::OPEN_NOMUTEX;
}

}  // namespace

Error damaged(const std::filesystem::path& file, std::string_view reason) {
  return Error(ErrorCode::internal, fmt::format("the catalog {} is damaged: {}", file.string(), reason),
               "recreate it from the volumes with: pgtwig state rebuild");
}

Error translate(const SQLite::Exception& exception, const std::filesystem::path& file) {
  std::string message = fmt::format("the catalog {} failed: {}", file.string(), exception.what());
  switch (exception.getErrorCode()) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
    case SQLITE_MISMATCH:
      return damaged(file, exception.what());
    case SQLITE_FULL:
      return Error(ErrorCode::no_space, message, "free some space on the file system of the state directory");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(ErrorCode::busy, message, "close whatever else has the catalog open, then try again");
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return Error(ErrorCode::storage_failed, message,
                   "see whether the file system of the state directory is whole and writable: pgtwig status");
    default:
      return Error(ErrorCode::internal, message);
  }
}

void Row::malformed(std::string_view what, std::string_view value) {
  throw SQLite::Exception(fmt::format("'{}' is not {}", value, what), SQLITE_CORRUPT);
}

Connection::Connection(const std::filesystem::path& file, Role role)
    : file_(file), database_(file.string(), open_flags(role), busy_timeout_ms) {
  database_.exec("PRAGMA foreign_keys = ON");
  if (role == Role::reader) return;
  std::string mode = database_.execAndGet("PRAGMA journal_mode = WAL").getString();
  if (mode != "wal") {
    throw Error(
        ErrorCode::storage_failed,
        fmt::format("the file system of {} can't hold the catalog: SQLite's write-ahead log does not work there",
                    file.string()),
        "put the state directory on a local file system (PGTWIG_ROOT)");
  }
  // FULL: the log is synced at each commit, so that what was reported as done outlives a power failure.
  database_.exec("PRAGMA synchronous = FULL");
  database_.exec(fmt::format("PRAGMA wal_autocheckpoint = {}", pages_between_checkpoints));
}

SQLite::Statement& Connection::prepared(const char* sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) found = statements_.try_emplace(sql, database_, sql).first;
  return found->second;
}

}  // namespace pgtwig::catalog
