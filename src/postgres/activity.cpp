#include "postgres/activity.h"

#include <fmt/format.h>

namespace pgtwig::postgres {
namespace {

constexpr std::chrono::milliseconds patience{10'000};
constexpr int first_with_session_counts = 140000;

// Documentation, "The Cumulative Statistics System". The state of a session is null until it is let in, and "disabled"
// without track_activities: whatever isn't known to be idle is in use.
std::string activity_query(bool has_session_counts) {
  return fmt::format(
      "WITH client AS (SELECT state, state_change FROM pg_stat_activity "
      "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename IS DISTINCT FROM '{}') "
      "SELECT EXISTS (SELECT FROM client WHERE state IS DISTINCT FROM 'idle') "
      "OR EXISTS (SELECT FROM pg_stat_replication WHERE state <> 'streaming') "
      "OR EXISTS (SELECT FROM pg_stat_subscription WHERE pid IS NOT NULL), "
      "(SELECT floor(1000 * extract(epoch FROM clock_timestamp() - max(state_change)))::bigint FROM client), "
      "{}, "
      "concat_ws('; ', (SELECT string_agg(datid || ' ' || coalesce(stats_reset::text, ''), ', ' ORDER BY datid) "
      "FROM pg_stat_database), (SELECT string_agg(sent_lsn::text, ', ' ORDER BY sent_lsn) FROM pg_stat_replication))",
      admin_role, has_session_counts ? "(SELECT coalesce(sum(sessions), 0) FROM pg_stat_database)" : "0");
}

}  // namespace

Activity read_activity(Connection& connection) {
  // A session is in the statistics when its first statement is over; this one is counted from now on.
  connection.query_within(patience, "SELECT 1");
  const auto rows =
      connection.query_within(patience, activity_query(connection.server_version() >= first_with_session_counts));
  const Row& row = rows.at(0);
  return {.is_in_use = row.at(0) == "t",
          .idle_for = row.at(1) ? std::optional(std::chrono::milliseconds(std::stoll(*row.at(1)))) : std::nullopt,
          .sessions = std::stoll(row.at(2).value_or("0")),
          .marks = row.at(3).value_or("")};
}

}  // namespace pgtwig::postgres
