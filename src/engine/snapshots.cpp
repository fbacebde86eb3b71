#include "engine/snapshots.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/wal_retention.h"

namespace pgtwig::engine {
namespace {

// Fewer digits of an id than this are more likely a slip than meant.
constexpr std::size_t shortest_id_prefix = 4;

std::vector<catalog::SnapshotRecord> with_id_prefix(const std::vector<catalog::SnapshotRecord>& snapshots,
                                                    const std::string& prefix) {
  std::vector<catalog::SnapshotRecord> found;
  if (prefix.size() < shortest_id_prefix) return found;
  for (const auto& snapshot : snapshots) {
    if (snapshot.id.text().starts_with(prefix)) found.push_back(snapshot);
  }
  return found;
}

Error no_such_snapshot(const BranchPath& path, const std::string& name,
                       const std::vector<catalog::SnapshotRecord>& snapshots) {
  std::vector<std::string> names;
  for (const auto& snapshot : snapshots) names.push_back(snapshot.name);
  const auto near = nearest_names(name, names);
  return Error(ErrorCode::not_found, fmt::format("branch {} has no snapshot {}", path.text(), name),
               near.empty() ? fmt::format("`pgtwig snapshot list {}` shows all", path.text())
                            : fmt::format("did you mean {}@{}?", path.text(), near.front()));
}

}  // namespace

catalog::SnapshotRecord require_snapshot(Engine& engine, const BranchPath& path, const std::string& name_or_id) {
  const auto branch = require_branch(engine, path).second;
  if (const auto snapshot = engine.catalog().find_snapshot(branch.id, name_or_id)) return *snapshot;
  const auto snapshots = engine.catalog().snapshots(branch.id);
  const auto found = with_id_prefix(snapshots, name_or_id);
  if (found.size() == 1) return found.front();
  if (found.empty()) throw no_such_snapshot(path, name_or_id, snapshots);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("the ids of {} snapshots of {} begin with {}", found.size(), path.text(), name_or_id),
              "write more of it, or its name");
}

bool is_kept_by_somebody(const catalog::SnapshotRecord& snapshot) {
  return snapshot.kind != catalog::SnapshotKind::scheduled;
}

bool outlasts_its_branch(const catalog::SnapshotRecord& snapshot) {
  return snapshot.kind == catalog::SnapshotKind::manual;
}

std::string snapshot_name_at(TimePoint time, const std::vector<catalog::SnapshotRecord>& others,
                             const std::string& prefix) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  std::string name = fmt::format("{}{:04}{:02}{:02}-{:02}{:02}{:02}", prefix, static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  const auto is_taken = [&](const std::string& candidate) {
    return std::ranges::find(others, candidate, &catalog::SnapshotRecord::name) != others.end();
  };
  if (!is_taken(name)) return name;
  int number = 2;
  while (is_taken(fmt::format("{}-{}", name, number))) ++number;
  return fmt::format("{}-{}", name, number);
}

PromisedWindows promised_windows(Engine& engine, const catalog::ProjectRecord& project) {
  return {WalRetention(engine, project).lineages(), engine.clock().now() - engine.config().recovery_window};
}

std::string snapshot_path(const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                          const std::string& name) {
  return fmt::format("{}/{}@{}", project.name.text(), branch.name.text(), name);
}

std::map<IncarnationId, std::vector<std::string>> branches_by_snapshot(Engine& engine,
                                                                       const catalog::ProjectRecord& project) {
  std::map<IncarnationId, IncarnationId> snapshot_of_body;
  for (const auto& body : engine.catalog().incarnations(project.id)) {
    if (body.snapshot) snapshot_of_body.emplace(body.id, *body.snapshot);
  }
  std::map<IncarnationId, std::vector<std::string>> branches;
  for (const auto& branch : engine.catalog().branches(project.id)) {
    const auto snapshot = snapshot_of_body.find(branch.incarnation);
    if (snapshot == snapshot_of_body.end() || branch.origin.snapshot.empty()) continue;
    branches[snapshot->second].push_back(project.name.text() + "/" + branch.name.text());
  }
  return branches;
}

SnapshotView snapshot_view(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                           const catalog::SnapshotRecord& snapshot) {
  SnapshotView view{.id = snapshot.id.text(),
                    .name = snapshot_path(project, branch, snapshot.name),
                    .project = project.name.text(),
                    .branch = branch.name.text(),
                    .snapshot = snapshot.name,
                    .message = snapshot.message,
                    .kind = std::string(catalog::snapshot_kind_name(snapshot.kind)),
                    .lsn = format_lsn(snapshot.end),
                    .created_at = snapshot.created_at,
                    .branches = {},
                    .pool = {},
                    .method = {},
                    .warnings = {},
                    .steps = {},
                    .total_ms = std::nullopt};
  const auto pool = engine.catalog().find_pool(project.pool);
  if (pool) view.pool = pool->name.text();
  try {
    view.method = storage::method_name(engine.pools().open(project.pool)->driver->capabilities().method);
  } catch (const Error& away) {
    view.warnings.push_back(away.message());
  }
  return view;
}

catalog::SweepRecord doomed_snapshot(const catalog::ProjectRecord& project, const catalog::SnapshotRecord& snapshot,
                                     const Operation& operation) {
  return {.volume = snapshot.id, .pool = project.pool, .pg_major = project.pg_major, .operation = operation.id()};
}

namespace {

void add_snapshots(Engine& engine, const catalog::ProjectRecord& project, const std::optional<BranchId>& only,
                   std::vector<SnapshotView>& views) {
  const auto made_from = branches_by_snapshot(engine, project);
  std::map<BranchId, catalog::BranchRecord> branches;
  for (const auto& branch : engine.catalog().branches(project.id)) branches.emplace(branch.id, branch);
  for (const auto& snapshot : engine.catalog().snapshots(project.id)) {
    const auto branch = branches.find(snapshot.branch);
    if (branch == branches.end() || (only && snapshot.branch != *only)) continue;
    views.push_back(snapshot_view(engine, project, branch->second, snapshot));
    const auto made = made_from.find(snapshot.id);
    if (made != made_from.end()) views.back().branches = made->second;
  }
}

}  // namespace

std::vector<SnapshotView> list_snapshots(Engine& engine, const SnapshotFilter& filter) {
  std::vector<SnapshotView> views;
  if (filter.branch) {
    const auto [project, branch] = require_branch(engine, *filter.branch);
    add_snapshots(engine, project, branch.id, views);
  } else if (filter.project) {
    add_snapshots(engine, require_project(engine, *filter.project), std::nullopt, views);
  } else {
    for (const auto& project : engine.catalog().projects()) add_snapshots(engine, project, std::nullopt, views);
  }
  std::ranges::stable_sort(views, {}, &SnapshotView::created_at);
  return views;
}

SnapshotView get_snapshot(Engine& engine, const BranchPath& path, const std::string& name_or_id) {
  const auto [project, branch] = require_branch(engine, path);
  const auto snapshot = require_snapshot(engine, path, name_or_id);
  SnapshotView view = snapshot_view(engine, project, branch, snapshot);
  const auto made_from = branches_by_snapshot(engine, project);
  const auto made = made_from.find(snapshot.id);
  if (made != made_from.end()) view.branches = made->second;
  return view;
}

}  // namespace pgtwig::engine
