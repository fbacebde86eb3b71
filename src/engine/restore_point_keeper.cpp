#include "engine/restore_point_keeper.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/operation.h"
#include "engine/restore_points.h"
#include "engine/snapshots.h"
#include "postgres/consistency.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {
namespace {

// How long a restore point waits for a branch that somebody changes; nobody waits for it.
constexpr std::chrono::milliseconds lock_patience{1'000};
constexpr std::chrono::seconds longest_pause{60};
// One transaction can write for hours before its id is followed by another.
constexpr std::uint64_t much_wal = 64u << 20;

// The newest restore point of each branch that has one.
std::map<BranchId, catalog::SnapshotRecord> newest_restore_points(
    const std::vector<catalog::SnapshotRecord>& snapshots) {
  std::map<BranchId, catalog::SnapshotRecord> newest;
  for (const auto& snapshot : snapshots) {
    if (snapshot.kind == catalog::SnapshotKind::scheduled) newest.insert_or_assign(snapshot.branch, snapshot);
  }
  return newest;
}

}  // namespace

void RestorePointKeeper::take_due(const std::function<bool()>& is_stopping) {
  std::set<BranchId> scheduled;
  for (const auto& schedule : engine_.catalog().schedules()) scheduled.insert(schedule.branch);
  for (const auto& project : engine_.catalog().projects()) {
    const auto last = newest_restore_points(engine_.catalog().snapshots(project.id));
    for (const auto& branch : engine_.catalog().branches(project.id)) {
      if (is_stopping()) return;
      if (!branch.name.is_main() && !scheduled.contains(branch.id)) continue;
      const auto newest = last.find(branch.id);
      try {
        take_if_due(project, branch, newest == last.end() ? std::nullopt : std::optional(newest->second));
      } catch (...) {
        not_before_.insert_or_assign(branch.id, engine_.clock().now() + longest_pause);
        log::warn("no restore point of {}/{}: {}", project.name.text(), branch.name.text(),
                  describe_current_exception());
      }
    }
  }
}

void RestorePointKeeper::take_if_due(const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                                     const std::optional<catalog::SnapshotRecord>& last) {
  const TimePoint now = engine_.clock().now();
  const auto pause = not_before_.find(branch.id);
  if (pause != not_before_.end() && now < pause->second) return;
  const Schedule schedule = schedule_of(engine_, project, branch);
  if (schedule.every.count() == 0 || (last && now < last->created_at + schedule.every)) return;
  if (last && !has_written_since(load_body(engine_, project, branch), *last)) {
    not_before_.insert_or_assign(branch.id, now + std::min(schedule.every, longest_pause));
    return;
  }
  NobodyListens nobody;
  take_snapshot(engine_, {.branch = {project.name, branch.name}, .kind = catalog::SnapshotKind::scheduled}, nobody,
                lock_patience);
  not_before_.erase(branch.id);
}

// A transaction that changed anything has an id; one that had it before `last` can have committed since, which the
// amount of WAL tells when it matters.
bool RestorePointKeeper::has_written_since(const Body& body, const catalog::SnapshotRecord& last) {
  if (last.incarnation != body.branch.incarnation) return true;
  std::uint64_t next_xid = 0;
  Lsn end;
  if (engine_.instances().find(body)) {
    Instances::Admin admin = engine_.instances().admin(body);
    const postgres::WalMoment moment = postgres::read_wal_moment(*admin);
    end = moment.end;
    next_xid = moment.next_xid;
  } else {
    const UniqueFd data = open_directory(body.data());
    const postgres::ControlFile control = postgres::read_control_file(data.get());
    if (!control.was_cleanly_shut_down()) return true;
    end = control.checkpoint;
    next_xid = control.next_xid;
  }
  return next_xid != last.next_xid || end.value > last.end.value + much_wal;
}

void RestorePointKeeper::prune(const std::function<bool()>& is_stopping) {
  for (const auto& project : engine_.catalog().projects()) {
    if (is_stopping()) return;
    try {
      prune_project(project);
    } catch (...) {
      log::warn("cannot remove old restore points of {}: {}", project.name.text(), describe_current_exception());
    }
  }
}

void RestorePointKeeper::prune_project(const catalog::ProjectRecord& project) {
  const auto snapshots = engine_.catalog().snapshots(project.id);
  if (newest_restore_points(snapshots).empty()) return;
  Pruning pruning{.rules = {}, .now = engine_.clock().now(), .needed = {}, .with_branches = {}};
  if (engine_.config().wal_archive) {
    pruning.needed = needed_restore_points(snapshots, engine_.catalog().incarnations(project.id),
                                           pruning.now - engine_.config().recovery_window);
  }
  for (const auto& [id, branches] : branches_by_snapshot(engine_, project)) pruning.with_branches.insert(id);
  NobodyListens nobody;
  std::optional<PromisedWindows> windows;  // they take looking at every archive, so only when something may go
  for (const auto& branch : engine_.catalog().branches(project.id)) {
    const auto rules = parse_keep_rules(schedule_of(engine_, project, branch).keep);
    if (!rules) throw Error(ErrorCode::internal, rules.error());
    pruning.rules = *rules;
    for (const auto& snapshot : restore_points_to_prune(engine_.catalog().snapshots(branch.id), pruning)) {
      if (!windows) windows.emplace(promised_windows(engine_, project));
      if (windows->can_do_without(snapshot.id)) remove_snapshot(engine_, project, branch, snapshot, nobody);
    }
  }
}

void take_first_restore_point(Engine& engine, Operation& operation, const Body& body) {
  try {
    operation.step("First restore point", [&] {
      NobodyListens nobody;
      take_snapshot_of(engine, body,
                       {.branch = {body.project.name, body.branch.name}, .kind = catalog::SnapshotKind::scheduled},
                       nobody);
    });
  } catch (...) {
    operation.warn(
        fmt::format("it has no restore point yet, and branches made before it has one can't be recovered: {}",
                    describe_current_exception()));
  }
}

}  // namespace pgtwig::engine
