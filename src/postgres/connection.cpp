// See connection.h. Everything is asynchronous libpq with a deadline: a server that hangs (stopped, or on a disk that
// does not answer) must not hang the daemon.
#include "postgres/connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "postgres/libpq.h"

namespace pgtwig::postgres {
namespace {

using namespace std::chrono_literals;
using SteadyTime = std::chrono::steady_clock::time_point;

// How long an idle server may take to answer before it counts as dead.
constexpr auto answer_timeout = 2s;

// The session is the daemon's own, whatever the database or role was set to: names resolve to PostgreSQL's own objects
// only, and no setting of the user's cuts a statement short. A commit waits for the disk, but for no standby. The
// server looks whether we are still there, so that a statement given up does not go on for ever.
constexpr const char* session_options =
    "-c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 "
    "-c client_connection_check_interval=1000 "
    "-c default_transaction_read_only=off -c synchronous_commit=local -c jit=off -c client_min_messages=error";

struct ResultCloser {
  void operator()(PGresult* result) const { libpq().clear(result); }
};
using Result = std::unique_ptr<PGresult, ResultCloser>;

// Waits for the socket; false when the deadline has passed.
bool wait_for_socket(PGconn* connection, short events, SteadyTime deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    // Also for a server that goes on sending without ever coming to an end.
    if (left.count() < 0) return false;
    pollfd socket{.fd = libpq().socket(connection), .events = events, .revents = 0};
    const int ready = ::poll(&socket, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000)));
    if (ready > 0) return true;
    if (ready == 0 && left.count() <= 3'600'000) return false;
    if (ready < 0 && errno != EINTR) throw system_error(errno, "cannot wait for PostgreSQL");
  }
}

// Sends the statement and waits until its results can be read; false when the deadline has passed.
bool wait_for_results(PGconn* connection, SteadyTime deadline) {
  while (true) {
    const int unsent = libpq().flush(connection);
    if (unsent < 0) return true;  // PQgetResult will say what is wrong
    if (unsent == 0 && libpq().isBusy(connection) == 0) return true;
    const short events = unsent > 0 ? POLLIN | POLLOUT : POLLIN;
    if (!wait_for_socket(connection, events, deadline)) return false;
    if (libpq().consumeInput(connection) == 0) return true;
  }
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// libpq gives no SQLSTATE of a refused connection, but writes it into a verbose message:
// "connection to server on socket "..." failed: FATAL:  57P03: the database system is starting up\nLOCATION:  ..."
ConnectFailure connect_failure(PGconn* connection) {
  std::string text = libpq().errorMessage(connection);
  if (const auto location = text.find("\nLOCATION:"); location != std::string::npos) text.resize(location);
  constexpr std::string_view mark = "FATAL:  ";
  const auto start = text.find(mark);
  if (start == std::string::npos || text.size() < start + mark.size() + 7)
    return {.sqlstate = {}, .message = trimmed(text)};
  const auto code = start + mark.size();
  return {.sqlstate = text.substr(code, 5), .message = trimmed(text.substr(code + 7))};
}

// Whether another process than the expected one listens on the socket; libpq itself looks at its user.
std::optional<ConnectFailure> wrong_server(PGconn* connection, const ConnectOptions& options) {
  if (!options.server_pid) return std::nullopt;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(libpq().socket(connection), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    throw system_error(errno, "cannot examine who answers as PostgreSQL");
  }
  if (peer.pid == *options.server_pid) return std::nullopt;
  return ConnectFailure{
      .sqlstate = {},
      .message = fmt::format("process {} answers on the private socket in {}, not PostgreSQL's process {}", peer.pid,
                             options.socket_directory.string(), *options.server_pid)};
}

// Takes the results left over, so that the connection can be used again.
void drain(PGconn* connection, SteadyTime deadline) {
  while (wait_for_results(connection, deadline)) {
    const Result result(libpq().getResult(connection));
    if (!result || libpq().status(connection) != CONNECTION_OK) return;
  }
}

Error statement_error(PGconn* connection, const PGresult* result) {
  const char* message = result == nullptr ? nullptr : libpq().resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* sqlstate = result == nullptr ? nullptr : libpq().resultErrorField(result, PG_DIAG_SQLSTATE);
  if (message == nullptr || sqlstate == nullptr) {
    return {ErrorCode::postgres_failed,
            fmt::format("PostgreSQL does not answer: {}", trimmed(libpq().errorMessage(connection)))};
  }
  const char* hint = libpq().resultErrorField(result, PG_DIAG_MESSAGE_HINT);
  constexpr std::string_view disk_full = "53100";
  return {sqlstate == disk_full ? ErrorCode::no_space : ErrorCode::postgres_failed,
          fmt::format("{} (SQLSTATE {})", message, sqlstate), hint == nullptr ? "" : hint};
}

std::vector<Row> rows_of(const PGresult* result) {
  std::vector<Row> rows(static_cast<std::size_t>(libpq().ntuples(result)));
  for (int row = 0; row < libpq().ntuples(result); ++row) {
    for (int column = 0; column < libpq().nfields(result); ++column) {
      auto& cells = rows[static_cast<std::size_t>(row)];
      if (libpq().getisnull(result, row, column) != 0) {
        cells.emplace_back(std::nullopt);
      } else {
        cells.emplace_back(std::string(libpq().getvalue(result, row, column)));
      }
    }
  }
  return rows;
}

std::string verifier_of(PGconn* connection, const std::string& role, const std::string& password) {
  const std::unique_ptr<char, decltype(Libpq::freemem)> verifier(
      libpq().encryptPasswordConn(connection, password.c_str(), role.c_str(), "scram-sha-256"), libpq().freemem);
  if (!verifier) throw Error(ErrorCode::postgres_failed, "cannot compute a SCRAM verifier of the password");
  return verifier.get();
}

}  // namespace

void require_client_library() {
  libpq();
}

void Connection::Closer::operator()(pg_conn* connection) const {
  libpq().finish(connection);
}

Connection::Connection(pg_conn* connection, std::chrono::milliseconds statement_timeout)
    : connection_(connection), statement_timeout_(statement_timeout) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

std::expected<Connection, ConnectFailure> Connection::try_open(const ConnectOptions& options) {
  auto connection = try_open_database(options, options.database);
  constexpr std::string_view no_such_database = "3D000";
  const bool is_dropped = !connection && connection.error().sqlstate == no_such_database;
  if (!is_dropped || options.database != ConnectOptions{}.database) return connection;
  return try_open_database(options, "template1");
}

std::expected<Connection, ConnectFailure> Connection::try_open_database(const ConnectOptions& options,
                                                                        const std::string& database) {
  const std::string host = options.socket_directory.string();
  const std::string port = std::to_string(options.port);
  // Each is given, so that no PG* variable and no password file of the daemon's user has a say.
  const char* const names[] = {"host",
                               "port",
                               "dbname",
                               "user",
                               "options",
                               "application_name",
                               "sslmode",
                               "gssencmode",
                               "passfile",
                               "client_encoding",
                               "target_session_attrs",
                               "requirepeer",
                               nullptr};
  const char* const values[] = {host.c_str(),
                                port.c_str(),
                                database.c_str(),
                                options.user.c_str(),
                                session_options,
                                "pgtwig",
                                "disable",
                                "disable",
                                "/dev/null/none",
                                "UTF8",
                                "any",
                                options.server_user.c_str(),
                                nullptr};
  const SteadyTime deadline = std::chrono::steady_clock::now() + options.timeout;
  Connection connection(libpq().connectStartParams(names, values, 0), options.statement_timeout);
  PGconn* const raw = connection.connection_.get();
  if (raw == nullptr) throw std::bad_alloc();
  libpq().setErrorVerbosity(raw, PQERRORS_VERBOSE);
  libpq().setNoticeProcessor(raw, [](void*, const char*) {}, nullptr);
  PostgresPollingStatusType status =
      libpq().status(raw) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK) {
    if (status == PGRES_POLLING_FAILED) return std::unexpected(connect_failure(raw));
    if (!wait_for_socket(raw, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) {
      return std::unexpected(
          ConnectFailure{.sqlstate = {},
                         .message = fmt::format("PostgreSQL did not answer within {} ms", options.timeout.count()),
                         .timed_out = true});
    }
    status = libpq().connectPoll(raw);
  }
  if (auto failure = wrong_server(raw, options)) return std::unexpected(std::move(*failure));
  libpq().setnonblocking(raw, 1);
  return connection;
}

Connection Connection::open(const ConnectOptions& options) {
  auto connection = try_open(options);
  if (connection) return std::move(*connection);
  const ConnectFailure& failure = connection.error();
  if (failure.timed_out) throw Error(ErrorCode::timed_out, failure.message);
  throw Error(ErrorCode::postgres_failed, failure.sqlstate.empty()
                                              ? failure.message
                                              : fmt::format("{} (SQLSTATE {})", failure.message, failure.sqlstate));
}

std::vector<Row> Connection::query(const std::string& sql, const std::vector<std::string>& parameters) {
  PGconn* const raw = connection_.get();
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  if (libpq().sendQueryParams(raw, sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(), nullptr,
                              nullptr, 0) == 0) {
    throw statement_error(raw, nullptr);
  }
  if (!wait_for_results(raw, std::chrono::steady_clock::now() + statement_timeout_)) {
    // No request to cancel: libpq would wait for the answer to it without a limit.
    connection_.reset();
    throw Error(ErrorCode::timed_out,
                fmt::format("PostgreSQL did not finish a statement within {} ms", statement_timeout_.count()));
  }
  const Result result(libpq().getResult(raw));
  const ExecStatusType status = libpq().resultStatus(result.get());
  const bool succeeded = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
  auto rows = succeeded ? rows_of(result.get()) : std::vector<Row>{};
  auto error = succeeded ? std::optional<Error>{} : std::optional<Error>{statement_error(raw, result.get())};
  drain(raw, std::chrono::steady_clock::now() + statement_timeout_);
  if (error) throw std::move(*error);
  return rows;
}

std::string Connection::value(const std::string& sql, const std::vector<std::string>& parameters) {
  const std::vector<Row> rows = query(sql, parameters);
  if (rows.empty() || rows.front().empty() || !rows.front().front()) {
    throw Error(ErrorCode::postgres_failed, "PostgreSQL answered without a value");
  }
  return *rows.front().front();
}

std::vector<Row> Connection::query_within(std::chrono::milliseconds timeout, const std::string& sql) {
  const auto usual_timeout = std::exchange(statement_timeout_, timeout);
  try {
    auto rows = query(sql);
    statement_timeout_ = usual_timeout;
    return rows;
  } catch (...) {
    statement_timeout_ = usual_timeout;
    throw;
  }
}

std::vector<Row> Connection::query_prepared(const std::string& sql) {
  auto statement = prepared_.find(sql);
  if (statement == prepared_.end()) {
    const std::string name = fmt::format("pgtwig_{}", prepared_.size() + 1);
    query(fmt::format("PREPARE {} AS {}", name, sql));
    statement = prepared_.emplace(sql, name).first;
  }
  return query("EXECUTE " + statement->second);
}

bool Connection::is_usable() {
  PGconn* const raw = connection_.get();
  if (raw == nullptr || libpq().status(raw) != CONNECTION_OK) return false;
  try {
    query_within(answer_timeout, "");
    return libpq().status(raw) == CONNECTION_OK;
  } catch (const Error&) {
    return false;
  }
}

int Connection::server_version() const {
  return libpq().serverVersion(connection_.get());
}

int Connection::backend_pid() const {
  return libpq().backendPID(connection_.get());
}

std::string Connection::database() const {
  const char* const name = libpq().db(connection_.get());
  return name == nullptr ? "" : name;
}

std::string Connection::scram_verifier(const std::string& role, const std::string& password) {
  return verifier_of(connection_.get(), role, password);
}

std::string scram_verifier(const std::string& role, const std::string& password) {
  // It is computed here: the library takes a connection only for what its server wants, and for its errors.
  const std::unique_ptr<PGconn, decltype(Libpq::finish)> unconnected(libpq().connectStart("host=/ port=none"),
                                                                     libpq().finish);
  return verifier_of(unconnected.get(), role, password);
}

std::string quote_literal(const std::string& text) {
  // E'' is safe whatever standard_conforming_strings says.
  std::string quoted = text.find('\\') == std::string::npos ? "'" : "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

std::string quote_identifier(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += c;
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace pgtwig::postgres
