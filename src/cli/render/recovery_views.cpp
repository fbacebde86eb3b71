// Snapshots, a branch's history and the WAL archive as tables and cards.
#include <fmt/format.h>

#include <algorithm>

#include "cli/render/facts.h"
#include "cli/render/style.h"
#include "cli/render/table.h"
#include "cli/render/views.h"

namespace pgtwig::cli {
namespace {

std::string whole_seconds(TimePoint time) {
  return format_rfc3339(std::chrono::floor<std::chrono::seconds>(time));
}

// Long words beside a table's other columns: on a terminal they get what those leave of it, but never less than this.
std::string beside(const std::string& text, const Terminal& terminal, int others) {
  constexpr int least = 30;
  if (!terminal.is_terminal) return text;
  return cut_to_width(terminal, text, static_cast<std::size_t>(std::max(least, terminal.width - others)));
}

std::string gap_text(const engine::GapView& gap) {
  return gap.from == gap.to ? fmt::format("{}: {}", gap.from, gap.reason)
                            : fmt::format("{} to {}: {}", gap.from, gap.to, gap.reason);
}

std::string segments_text(const engine::WalView& wal) {
  std::string text = fmt::format("{}, {}", wal.segments, format_bytes(wal.bytes));
  return wal.limit.count == 0 ? text : fmt::format("{} of at most {}", text, format_bytes(wal.limit));
}

}  // namespace

std::string snapshot_table(const std::vector<engine::SnapshotView>& snapshots, const Terminal& terminal,
                           TimePoint now) {
  Table table;
  table.columns = {{.title = "NAME", .importance = 9, .may_shrink = true},
                   {.title = "KIND", .importance = 5},
                   {.title = "TAKEN", .importance = 8},
                   {.title = "LSN", .importance = 3},
                   {.title = "BRANCHES", .is_number = true, .importance = 4},
                   {.title = "METHOD", .importance = 2},
                   {.title = "MESSAGE", .importance = 7, .may_shrink = true}};
  for (const auto& snapshot : snapshots)
    table.rows.push_back({snapshot.name, snapshot.kind, format_age(snapshot.created_at, now), snapshot.lsn,
                          snapshot.branches.empty() ? "" : std::to_string(snapshot.branches.size()), snapshot.method,
                          beside(without_control_characters(snapshot.message), terminal, 80)});
  return render_table(table, terminal);
}

std::string snapshot_card(const engine::SnapshotView& snapshot, const Terminal& terminal, TimePoint now) {
  Facts facts{{"Snapshot", snapshot.name},
              {"Message", snapshot.message},
              {"Id", snapshot.id},
              {"Kind", snapshot.kind},
              {"Taken", format_moment(snapshot.created_at, now)},
              {"LSN", snapshot.lsn},
              {"Branches", fmt::format("{}", fmt::join(snapshot.branches, ", "))},
              {"Pool", fmt::format("{} ({})", snapshot.pool, snapshot.method)}};
  add_timings(facts, snapshot.steps, snapshot.total_ms);
  return render_card(facts, terminal);
}

std::string history_table(const std::vector<engine::LogEntryView>& history, const Terminal& terminal, TimePoint now) {
  Table table;
  table.columns = {{.title = "TIME", .importance = 8},
                   {.title = "AGE", .importance = 4},
                   {.title = "WHAT", .importance = 9, .may_shrink = true},
                   {.title = "LSN", .importance = 3},
                   {.title = "ID", .importance = 2}};
  for (const auto& entry : history)
    table.rows.push_back({whole_seconds(entry.time), format_age(entry.time, now),
                          beside(without_control_characters(entry.text), terminal, 22), entry.lsn,
                          entry.id.substr(0, brief_id)});
  return render_table(table, terminal);
}

std::string wal_card(const engine::WalView& wal, const Terminal& terminal, TimePoint now) {
  Facts facts{
      {"Branch", wal.branch},
      {"Archiving", wal.is_archiving || wal.why_not.empty() ? (wal.is_archiving ? "yes" : "no") : "no: " + wal.why_not},
      {"Segments", segments_text(wal)},
      {"Oldest", wal.oldest.value_or("")},
      {"Newest", wal.newest.value_or("")}};
  std::vector<std::string> gaps;
  for (const auto& gap : wal.gaps) gaps.push_back(gap_text(gap));
  add_lines(facts, "Gaps", gaps);
  add_windows(facts, wal.windows, now);
  return render_card(facts, terminal);
}

std::string wal_problem_table(const std::vector<engine::WalProblemView>& problems, const Terminal& terminal) {
  Table table;
  table.columns = {{.title = "BRANCH", .importance = 7, .may_shrink = true},
                   {.title = "SEGMENT", .importance = 8},
                   {.title = "PROBLEM", .importance = 9, .may_shrink = true}};
  for (const auto& problem : problems) table.rows.push_back({problem.branch, problem.segment, problem.problem});
  return render_table(table, terminal);
}

std::string wal_cleanup_card(const engine::WalCleanupView& cleanup, const Terminal& terminal) {
  Facts facts{{cleanup.is_dry_run ? "Would remove" : "Removed",
               fmt::format("{} segments, {}", cleanup.removed_segments, format_bytes(cleanup.removed_bytes))},
              {"Kept", fmt::format("{} segments", cleanup.kept_segments)}};
  add_lines(facts, "Because", cleanup.kept_because);
  return render_card(facts, terminal);
}

}  // namespace pgtwig::cli
