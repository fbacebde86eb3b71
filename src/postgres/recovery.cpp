// See recovery.h.
#include "postgres/recovery.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "postgres/readiness.h"

namespace pgtwig::postgres {
namespace {

constexpr mode_t readable_only = 0555;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == line.npos;
}

// The second word of "1\t0/3000148\tno recovery target specified".
std::optional<Lsn> switch_in(std::string_view line) {
  const auto begin = line.find('\t');
  if (begin == line.npos) return std::nullopt;
  const std::string_view rest = line.substr(begin + 1);
  const auto lsn = parse_lsn(rest.substr(0, rest.find('\t')));
  return lsn ? std::optional(*lsn) : std::nullopt;
}

// One line of one column, as a single-user session can be asked it: "00000002 1764316532259123 f 676964 ...": timeline
// (a WAL file's name begins with it), microseconds since 1970 of the last commit or "-", whether there are
// subscriptions, names of prepared transactions in hexadecimal.
constexpr const char* outcome_query =
    "SELECT concat_ws(' ', substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), "
    "coalesce((extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint::text, '-'), "
    "CASE WHEN EXISTS (SELECT FROM pg_subscription) THEN 't' ELSE 'f' END, "
    "(SELECT string_agg(encode(textsend(gid), 'hex'), ' ') FROM pg_prepared_xacts)) AS outcome";

std::string from_hexadecimal(std::string_view digits) {
  std::string text;
  for (; digits.size() >= 2; digits.remove_prefix(2)) {
    unsigned byte = 0;
    std::from_chars(digits.data(), digits.data() + 2, byte, 16);
    text += static_cast<char>(byte);
  }
  return text;
}

RecoveryOutcome outcome_of(const std::string& answer, int data_directory) {
  RecoveryOutcome outcome;
  std::istringstream words(answer);
  std::string time;
  std::string has_subscriptions;
  words >> std::hex >> outcome.timeline >> time >> has_subscriptions;
  if (!words) throw Error(ErrorCode::postgres_failed, "PostgreSQL doesn't say what its recovery came to");
  if (time != "-") outcome.last_commit = TimePoint(std::chrono::microseconds(std::stoll(time)));
  outcome.has_subscriptions = has_subscriptions == "t";
  for (std::string gid; words >> gid;) outcome.prepared_transactions.push_back(from_hexadecimal(gid));
  const auto history = read_file_beneath(data_directory, fmt::format("pg_wal/{:08X}.history", outcome.timeline));
  const auto switched_at = history ? last_switch(*history) : std::nullopt;
  if (!switched_at)
    throw Error(ErrorCode::postgres_failed, "PostgreSQL has not left the timeline that it recovered from");
  outcome.switched_at = *switched_at;
  return outcome;
}

// In what a single-user session writes: `\t 1: outcome = "..."\t(typeid = 25, ...`.
std::string answer_in(std::string_view output) {
  constexpr std::string_view begin_mark = "outcome = \"";
  const auto begin = output.find(begin_mark);
  if (begin == output.npos) return {};
  const std::string_view rest = output.substr(begin + begin_mark.size());
  return std::string(rest.substr(0, rest.find('"')));
}

}  // namespace

RecoveryTarget time_target(TimePoint time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {"recovery_target_time", fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06}+00", seconds, (time - seconds).count())};
}

RecoveryTarget lsn_target(Lsn lsn) {
  return {"recovery_target_lsn", format_lsn(lsn)};
}

RecoveryTarget transaction_target(std::uint64_t xid) {
  // The setting takes the 32 bits that WAL has; the epoch in front of them is dropped by PostgreSQL, too.
  return {"recovery_target_xid", std::to_string(xid)};
}

RecoveryTarget named_target(const std::string& name) {
  return {"recovery_target_name", name};
}

SettingList recovery_settings(const RecoveryOptions& options) {
  // An LSN is where a record ends (pg_current_wal_lsn()): inclusively, PostgreSQL would replay the one that begins
  // there.
  const bool is_lsn = options.target && options.target->first == "recovery_target_lsn";
  // A target in the configuration file would be a second one, which PostgreSQL refuses.
  SettingList settings = {{"recovery_target", ""},
                          {"recovery_target_time", ""},
                          {"recovery_target_xid", ""},
                          {"recovery_target_name", ""},
                          {"recovery_target_lsn", ""},
                          {"recovery_target_inclusive", is_lsn ? "off" : "on"},
                          {"archive_cleanup_command", ""},
                          {"recovery_end_command", ""},
                          {"hot_standby", "off"},
                          {"recovery_target_action", "promote"},
                          {"lc_messages", "C"}};
  settings.emplace_back("restore_command", options.restore_command);
  settings.emplace_back("recovery_target_timeline", std::to_string(options.timeline));
  if (options.target) settings.push_back(*options.target);
  return settings;
}

void write_recovery_signal(int data_directory, const FileOwner& owner) {
  // Not flushed: whoever recovers flushes what came of it.
  const UniqueFd file =
      open_beneath(data_directory, "recovery.signal", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (::fchown(file.get(), owner.uid, owner.gid) != 0) throw system_error(errno, "cannot make recovery.signal");
}

std::optional<RecoveryFailure> failure_of_recovery(std::string_view words) {
  if (words.find("recovery ended before configured recovery target was reached") != words.npos) {
    return RecoveryFailure::target_not_reached;
  }
  if (words.find("could not create symbolic link \"pg_tblspc/") != words.npos) return RecoveryFailure::makes_tablespace;
  if (words.find("could not create directory \"pg_tblspc/") != words.npos) {
    return RecoveryFailure::makes_tablespace_here;
  }
  return std::nullopt;
}

TablespaceGuard::TablespaceGuard(const std::filesystem::path& data_directory)
    : directory_(open_beneath(open_directory(data_directory).get(), "pg_tblspc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  struct stat status{};
  if (::fstat(directory_.get(), &status) != 0) throw system_error(errno, "cannot look at pg_tblspc");
  mode_ = status.st_mode & 07777;
  if (::fchmod(directory_.get(), readable_only) != 0) throw system_error(errno, "cannot protect pg_tblspc");
}

TablespaceGuard::~TablespaceGuard() {
  if (::fchmod(directory_.get(), mode_) != 0)
    log::warn("cannot open pg_tblspc again: {}", system_error(errno, "").message());
}

RecoveryOutcome read_recovery_outcome(Connection& connection, int data_directory) {
  return outcome_of(connection.value(outcome_query), data_directory);
}

RecoveryOutcome recover_in_session(const RecoverySession& session) {
  Command command;
  command.argv = {session.installation.program("postgres").string(), "--single", "-D", session.data_directory.string()};
  for (const SettingList& list : {session.settings, SettingList{{"fsync", "off"}, {"exit_on_error", "on"}}}) {
    for (const auto& [name, value] : list) {
      command.argv.emplace_back("-c");
      command.argv.push_back(fmt::format("{}={}", name, value));
    }
  }
  // Of all databases this one is the least likely to have been dropped; that nobody may connect to it doesn't count
  // here.
  command.argv.emplace_back("template0");
  command.user = session.user;
  command.environment = {{"LC_ALL", "C"}};
  command.input = fmt::format("{}\n{}\n", outcome_query, fmt::join(session.statements, "\n"));
  command.timeout = session.timeout;
  command.watch = session.watch;
  const UniqueFd log(
      ::open(session.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct stat before{};
  if (!log || ::fstat(log.get(), &before) != 0) {
    throw system_error(errno, fmt::format("cannot open {}", session.log_file.string()));
  }
  command.error_fd = log.get();
  const CommandResult result = run_command(command);
  if (result.exit_status != 0) {
    throw Error(ErrorCode::postgres_failed,
                last_failure_in_log(session.log_file, static_cast<std::uint64_t>(before.st_size)));
  }
  return outcome_of(answer_in(result.output), open_directory(session.data_directory).get());
}

std::optional<Lsn> last_switch(std::string_view history_file) {
  std::optional<Lsn> last;
  while (!history_file.empty()) {
    const auto end = history_file.find('\n');
    const std::string_view line = history_file.substr(0, end);
    history_file.remove_prefix(end == line.npos ? history_file.size() : end + 1);
    if (is_blank(line) || line.starts_with('#')) continue;
    last = switch_in(line);
    if (!last) return std::nullopt;
  }
  return last;
}

}  // namespace pgtwig::postgres
