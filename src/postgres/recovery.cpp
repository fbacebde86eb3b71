// See recovery.h.
#include "postgres/recovery.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/log.h"

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

// The name of a WAL file begins with its timeline. Microseconds since 1970, to which PostgreSQL's times are exact.
constexpr const char* outcome_query = R"(
SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
       (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint,
       EXISTS (SELECT FROM pg_subscription),
       gid
FROM (SELECT 1) AS one LEFT JOIN pg_prepared_xacts ON true)";

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
  write_file_durably_at(data_directory, "recovery.signal", "", 0600, owner);
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
  RecoveryOutcome outcome;
  const auto rows = connection.query(outcome_query);
  const Row& first = rows.at(0);
  outcome.timeline = static_cast<std::uint32_t>(std::stoul(first.at(0).value_or("0"), nullptr, 16));
  if (first.at(1)) outcome.last_commit = TimePoint(std::chrono::microseconds(std::stoll(*first.at(1))));
  outcome.has_subscriptions = first.at(2) == "t";
  for (const Row& row : rows) {
    if (row.at(3)) outcome.prepared_transactions.push_back(*row.at(3));
  }
  const auto history = read_file_beneath(data_directory, fmt::format("pg_wal/{:08X}.history", outcome.timeline));
  const auto switched_at = history ? last_switch(*history) : std::nullopt;
  if (!switched_at)
    throw Error(ErrorCode::postgres_failed, "PostgreSQL has not left the timeline that it recovered from");
  outcome.switched_at = *switched_at;
  return outcome;
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
