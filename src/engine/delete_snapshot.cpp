// Snapshots go one by one, or all that are old enough and that nothing needs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "engine/restore_points.h"
#include "engine/snapshots.h"
#include "engine/sweeper.h"

namespace pgtwig::engine {
namespace {

// Bodies whose volume was forked from the snapshot's, by a driver whose volumes need what they were forked from.
void refuse_if_children_need_it(Engine& engine, const catalog::ProjectRecord& project,
                                const catalog::SnapshotRecord& snapshot, const std::string& name) {
  const auto made_from = branches_by_snapshot(engine, project);
  const auto made = made_from.find(snapshot.id);
  if (made == made_from.end()) return;
  if (engine.pools().open(project.pool)->driver->capabilities().children_outlive_parent) return;
  throw Error(ErrorCode::conflict, fmt::format("{} has branches: {}", name, fmt::join(made->second, ", ")),
              "delete or reset them first");
}

}  // namespace

void remove_snapshot(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                     const catalog::SnapshotRecord& snapshot, Listener& listener) {
  const std::string name = snapshot_path(project, branch, snapshot.name);
  const auto lock = engine.locks().acquire({snapshot_lock(snapshot, LockMode::exclusive)}, lock_timeout);
  if (!engine.catalog().find_snapshot(snapshot.id)) {
    throw Error(ErrorCode::not_found, fmt::format("snapshot {} was deleted meanwhile", name));
  }
  refuse_if_children_need_it(engine, project, snapshot, name);
  engine.operations().run("snapshot delete", name, listener, [&](Operation& operation) {
    const catalog::SweepRecord volume = doomed_snapshot(project, snapshot, operation);
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    transaction->remove_snapshot(snapshot.id);
    transaction->insert(volume);
    operation.commit(*transaction);
    transaction.reset();
    engine.sweeper().enqueue({volume});
  });
}

std::vector<std::string> delete_snapshot(Engine& engine, const DeleteSnapshot& request, Listener& listener) {
  const BranchPath& path = request.branch;
  const auto find = [&]() -> std::optional<catalog::SnapshotRecord> {
    try {
      return require_snapshot(engine, path, request.name_or_id);
    } catch (const Error& error) {
      if (request.if_exists && error.code() == ErrorCode::not_found) return std::nullopt;
      throw;
    }
  };
  if (!find()) return {};
  const auto lock = engine.locks().acquire(
      {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::shared)}, lock_timeout);
  const auto snapshot = find();
  if (!snapshot) return {};
  const auto [project, branch] = require_branch(engine, path);
  remove_snapshot(engine, project, branch, *snapshot, listener);
  return {snapshot_path(project, branch, snapshot->name)};
}

namespace {

// Why a snapshot stays though it is old; empty when it may go.
std::string why_kept(const catalog::SnapshotRecord& snapshot, const std::set<IncarnationId>& with_branches,
                     const std::set<IncarnationId>& needed, std::chrono::seconds window) {
  if (with_branches.contains(snapshot.id)) return "it has branches";
  if (needed.contains(snapshot.id)) {
    return fmt::format("recovery to the last {} begins with it", format_duration(window));
  }
  return {};
}

void clean_up_project(Engine& engine, const CleanUpSnapshots& request, const catalog::ProjectRecord& project,
                      SnapshotCleanup& cleanup, Listener& listener) {
  const TimePoint now = engine.clock().now();
  const std::chrono::seconds window = engine.config().recovery_window;
  const auto snapshots = engine.catalog().snapshots(project.id);
  // Without archived WAL nothing begins with a snapshot but itself.
  const auto needed = engine.config().wal_archive
                          ? needed_restore_points(snapshots, engine.catalog().incarnations(project.id), now - window)
                          : std::set<IncarnationId>();
  std::set<IncarnationId> with_branches;
  for (const auto& [id, branches] : branches_by_snapshot(engine, project)) with_branches.insert(id);
  PromisedWindows windows = promised_windows(engine, project);
  for (const auto& snapshot : snapshots) {
    const auto branch = engine.catalog().find_branch(snapshot.branch);
    if (!branch || snapshot.created_at > now - request.older_than) continue;
    if (request.branch && branch->name != request.branch->branch) continue;
    const std::string name = snapshot_path(project, *branch, snapshot.name);
    std::string why = why_kept(snapshot, with_branches, needed, window);
    if (why.empty() && !windows.can_do_without(snapshot.id)) {
      why = fmt::format("without it less of the last {} could be recovered", format_duration(window));
    }
    if (!why.empty()) {
      cleanup.kept.push_back(name + ": " + why);
      continue;
    }
    try {
      if (!request.dry_run) remove_snapshot(engine, project, *branch, snapshot, listener);
      cleanup.deleted.push_back(name);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::busy && error.code() != ErrorCode::not_found) throw;
      cleanup.kept.push_back(name + ": " + error.message());
    }
  }
}

}  // namespace

SnapshotCleanup clean_up_snapshots(Engine& engine, const CleanUpSnapshots& request, Listener& listener) {
  SnapshotCleanup cleanup;
  std::vector<catalog::ProjectRecord> projects;
  if (request.branch) {
    projects.push_back(require_branch(engine, *request.branch).first);
  } else if (request.project) {
    projects.push_back(require_project(engine, *request.project));
  } else {
    projects = engine.catalog().projects();
  }
  for (const auto& project : projects) clean_up_project(engine, request, project, cleanup, listener);
  return cleanup;
}

}  // namespace pgtwig::engine
