// Restore in place: the branch gets a body that holds its own past, and what was there becomes a snapshot, so that it
// can be undone.
#include <fmt/format.h>

#include "base/error.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/incarnations.h"
#include "engine/recover_body.h"
#include "engine/replace_body.h"
#include "engine/snapshots.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

BranchReference own(const Point& at) {
  return {.project = std::nullopt, .branch_text = "^self", .point = at};
}

// Its volume is the old body's own. Where it begins and ends is noted once that is stopped.
catalog::SnapshotRecord state_before(Engine& engine, const Body& old, const std::string& at) {
  return {.id = old.branch.incarnation,
          .project = old.project.id,
          .branch = old.branch.id,
          .incarnation = old.branch.incarnation,
          .name = snapshot_name_at(engine.clock().now(), engine.catalog().snapshots(old.branch.id), "before-restore-"),
          .message = fmt::format("before the restore to {}", at),
          .kind = catalog::SnapshotKind::restore,
          .redo = {},
          .end = {},
          .timeline = 1,
          .next_xid = 0,
          .password = old.branch.password,
          .held_back = old.branch.held_back,
          .maybe_has_subscriptions = old.branch.maybe_has_subscriptions,
          .created_at = engine.clock().now()};
}

catalog::IncarnationRecord make_volume(Engine& engine, Operation& operation, const Body& source,
                                       const std::optional<RecoveryPlan>& plan, Body& fresh) {
  if (plan) return recover_body(engine, operation, *plan, fresh, "restore");
  fork_snapshot(engine, operation, *source.snapshot, fresh);
  return forked_incarnation(source, fresh, "restore");
}

// A restored main would archive other WAL under the names that its own archive has already.
void refuse_own_archive(const Body& old, const Body& source) {
  if (!old.branch.name.is_main() || !(archives_on_its_own(old) || archives_on_its_own(source))) return;
  throw Error(
      ErrorCode::not_allowed,
      fmt::format("{} archives, or archived then, by an archive_command of its own: restored, it would write "
                  "other WAL under the same names",
                  old.name()),
      fmt::format("make a branch of that moment instead: `pgtwig branch create NAME --from {} --at ...`", old.name()));
}

}  // namespace

BranchView restore_branch(Engine& engine, const RestoreBranch& request, Listener& listener) {
  const BranchPath& path = request.path;
  require_body(engine, path);
  const Source from = resolve_source(engine, path, own(request.at), std::nullopt);
  if (std::holds_alternative<Now>(from.point)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} is what it is now already", path.text()),
                "name a point in its past with --at");
  }
  const auto lock = engine.locks().acquire(
      {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::exclusive)}, lock_timeout);
  const Body old = require_body(engine, path);
  const Body source = require_source_body(engine, from);
  refuse_own_archive(old, source);
  std::optional<RecoveryPlan> plan;
  if (is_in_the_past(from)) plan = plan_recovery(engine, old, from.point);
  engine.pools().require_room(*old.pool);
  Body fresh = planned_replacement(engine, old);
  if (old.branch.wants_running) engine.instances().require_memory(fresh);

  return engine.operations().run("branch restore", path.text(), listener, [&](Operation& operation) {
    catalog::IncarnationRecord incarnation = make_volume(engine, operation, source, plan, fresh);
    const catalog::SnapshotRecord before = state_before(engine, old, plan ? plan->moment.text : source.snapshot->name);
    for (const std::string& held : fresh.branch.held_back) {
      if (old.branch.name.is_main()) operation.warn(fmt::format("not in the restored {}: {}", old.name(), held));
    }
    replace_body(engine, operation,
                 {.old = old,
                  .fresh = fresh,
                  .incarnation = std::move(incarnation),
                  .has_same_password = plan.has_value() || source.branch.password == old.branch.password,
                  .keep_old_as = before});
    operation.notice(fmt::format("what was there is kept as {}", snapshot_path(old.project, old.branch, before.name)));
    return branch_view(engine, fresh, operation);
  });
}

}  // namespace pgtwig::engine
