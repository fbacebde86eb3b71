#include "engine/schedule.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/keep_rules.h"
#include "engine/body.h"
#include "engine/use_cases.h"

namespace pgtwig::engine {
namespace {

std::optional<TimePoint> last_restore_point(Engine& engine, const catalog::BranchRecord& branch) {
  std::optional<TimePoint> last;
  for (const auto& snapshot : engine.catalog().snapshots(branch.id)) {
    if (snapshot.kind == catalog::SnapshotKind::scheduled) last = snapshot.created_at;
  }
  return last;
}

ScheduleView schedule_view(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch) {
  const Schedule schedule = schedule_of(engine, project, branch);
  ScheduleView view{.branch = project.name.text() + "/" + branch.name.text(),
                    .every = schedule.every.count() == 0 ? "off" : format_duration(schedule.every),
                    .keep = schedule.keep,
                    .is_default = schedule.is_default,
                    .last = last_restore_point(engine, branch),
                    .next = std::nullopt};
  if (schedule.every.count() == 0) return view;
  const TimePoint now = engine.clock().now();
  view.next = view.last ? std::max(now, *view.last + schedule.every) : now;
  return view;
}

}  // namespace

Schedule schedule_of(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch) {
  const Config& config = engine.config();
  if (const auto set = engine.catalog().find_schedule(branch.id)) {
    return {.every = set->every, .keep = set->keep, .is_default = false};
  }
  Schedule schedule{.every = {}, .keep = config.snapshots_keep, .is_default = true};
  if (!branch.name.is_main() || config.snapshots_every.count() == 0) return schedule;
  const auto pool = engine.pools().open(project.pool);
  if (pool->driver->capabilities().method != storage::Method::copy) schedule.every = config.snapshots_every;
  return schedule;
}

ScheduleView get_schedule(Engine& engine, const BranchPath& path) {
  const auto [project, branch] = require_branch(engine, path);
  return schedule_view(engine, project, branch);
}

ScheduleView set_schedule(Engine& engine, const SetSchedule& request) {
  if (request.keep) {
    const auto rules = parse_keep_rules(*request.keep);
    if (!rules) throw Error(ErrorCode::invalid_argument, rules.error());
  }
  if (request.every && request.every->count() < 0) {
    throw Error(ErrorCode::invalid_argument, "a schedule can't go back in time", "write it like 1h, or off");
  }
  const BranchPath& path = request.branch;
  require_branch(engine, path);
  const auto lock = engine.locks().acquire(
      {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::shared)}, lock_timeout);
  const auto [project, branch] = require_branch(engine, path);
  auto transaction = engine.catalog().begin();
  if (!request.every && !request.keep) {
    transaction->remove_schedule(branch.id);
  } else {
    // What is not given stays as it is; a branch that had none and is given only rules for keeping goes by the
    // configuration for the rest.
    const Schedule present = schedule_of(engine, project, branch);
    const auto every =
        present.every.count() == 0 && present.is_default ? engine.config().snapshots_every : present.every;
    transaction->put(catalog::ScheduleRecord{
        .branch = branch.id, .every = request.every.value_or(every), .keep = request.keep.value_or(present.keep)});
  }
  transaction->commit();
  transaction.reset();
  refresh_manifest(engine, load_body(engine, project, branch));
  return schedule_view(engine, project, branch);
}

}  // namespace pgtwig::engine
