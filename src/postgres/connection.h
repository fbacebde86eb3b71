// A connection to one instance: libpq behind RAII. Results are text; absence is nullopt.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct pg_conn;

namespace pgtwig::postgres {

// Loads libpq, which all of this stands on. Throws Error not_available when it is not installed.
void require_client_library();

// The role of the daemon inside every cluster: superuser, reachable only by peer authentication on the private socket.
inline constexpr const char* admin_role = "pgtwig_admin";

struct ConnectOptions {
  std::filesystem::path socket_directory;
  std::uint16_t port = 0;
  std::string database = "postgres";
  std::string user = admin_role;
  std::chrono::milliseconds timeout{10'000};             // for connecting
  std::chrono::milliseconds statement_timeout{600'000};  // for each statement; a CHECKPOINT can be long
  // Who must answer. The socket lies where PostgreSQL's user can put another, or a link to another branch's.
  std::string server_user{};          // the name of the system user; empty: anybody
  std::optional<pid_t> server_pid{};  // the postmaster; nullopt: any process
};

// Why a server did not let us in.
struct ConnectFailure {
  std::string sqlstate;  // empty: nobody answered
  std::string message;   // one line
  bool timed_out = false;
};

using Row = std::vector<std::optional<std::string>>;

class Connection {
 public:
  // Throws Error postgres_failed with the server's words, timed_out. Where the default database was dropped, template1
  // is opened: database() tells. Such a connection must not be kept, as it stands in the way of CREATE DATABASE.
  static Connection open(const ConnectOptions& options);
  // The same for callers who try again.
  static std::expected<Connection, ConnectFailure> try_open(const ConnectOptions& options);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // One statement with parameters $1, $2, ... Throws Error postgres_failed with the server's words and SQLSTATE,
  // no_space when its disk is full, timed_out when the statement timeout is over: the connection is closed, and the
  // server ends the statement when it notices.
  std::vector<Row> query(const std::string& sql, const std::vector<std::string>& parameters = {});
  // The same with a statement timeout of its own.
  std::vector<Row> query_within(std::chrono::milliseconds timeout, const std::string& sql);
  // query() for a statement that this connection will see again: it is planned once.
  std::vector<Row> query_prepared(const std::string& sql);
  // The first column of the first row; throws when there is none.
  std::string value(const std::string& sql, const std::vector<std::string>& parameters = {});
  // Whether the other end still answers, without a round trip when it is plainly dead.
  bool is_usable();
  int server_version() const;                                                        // 150018
  std::string scram_verifier(const std::string& role, const std::string& password);  // as the server wants it
  int backend_pid() const;
  std::string database() const;

 private:
  Connection(pg_conn* connection, std::chrono::milliseconds statement_timeout);
  static std::expected<Connection, ConnectFailure> try_open_database(const ConnectOptions& options,
                                                                     const std::string& database);
  struct Closer {
    void operator()(pg_conn* connection) const;
  };
  std::unique_ptr<pg_conn, Closer> connection_;
  std::chrono::milliseconds statement_timeout_;
  std::map<std::string, std::string> prepared_;  // the names of statements
};

// What ALTER ROLE takes instead of the password itself, which then reaches neither the server's log nor its statistics.
// A connection's own function knows how many iterations its server wants (scram_iterations).
std::string scram_verifier(const std::string& role, const std::string& password);

std::string quote_literal(const std::string& text);
std::string quote_identifier(const std::string& text);

}  // namespace pgtwig::postgres
