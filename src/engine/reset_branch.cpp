// Reset: the branch gets a new body from its parent's head and keeps its name, port, password and settings. The old
// body lives until the new one has taken its place.
#include <fmt/format.h>

#include <future>

#include "base/error.h"
#include "base/log.h"
#include "engine/body.h"
#include "engine/incarnations.h"
#include "engine/recover_body.h"
#include "engine/replace_body.h"
#include "engine/restore_point_keeper.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

BranchReference parent_head() {
  return {.project = std::nullopt, .branch_text = "^parent", .point = Now{}};
}

// Out of what `from` names, which the plan, if there is one, leads to.
catalog::IncarnationRecord make_volume(Engine& engine, Operation& operation, const ResetBranch& request,
                                       const Body& source, const std::optional<RecoveryPlan>& plan, Body& fresh) {
  if (plan) return recover_body(engine, operation, *plan, fresh, "reset");
  if (source.snapshot) {
    fork_snapshot(engine, operation, *source.snapshot, fresh);
  } else {
    fork_body(engine, operation, source, fresh, request.consistency);
  }
  return forked_incarnation(source, fresh, "reset");
}

// Whether the branch descends from this one, which then can't be deleted without it.
bool descends_from(Engine& engine, const catalog::BranchRecord& branch, const BranchId& ancestor) {
  for (auto above = branch.parent; above;) {
    if (*above == ancestor) return true;
    const auto record = engine.catalog().find_branch(*above);
    above = record ? record->parent : std::nullopt;
  }
  return false;
}

// Opens the connection that the end of the old instance is going to ask for, so that nobody waits for it then.
void connect_ahead(Engine& engine, const Body& old) noexcept {
  try {
    engine.instances().admin(old);
  } catch (...) {
    log::debug("no connection to {} ahead of its end: {}", old.name(), describe_current_exception());
  }
}

}  // namespace

BranchView reset_branch(Engine& engine, const ResetBranch& request, Listener& listener) {
  const BranchPath& path = request.path;
  if (path.branch.is_main()) {
    throw Error(ErrorCode::conflict, fmt::format("{} is protected: it cannot be reset", path.text()),
                "reset a branch of it, or make a new project");
  }
  require_body(engine, path);
  const Source from = resolve_source(engine, path, request.from.value_or(parent_head()), request.at);
  const BranchPath& source_path = from.branch;
  if (source_path.project != path.project) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is of another project than {}", source_path.text(), path.text()),
                "a branch is reset to a branch of its own project");
  }
  if (source_path == path && std::holds_alternative<Now>(from.point)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} cannot be reset to itself as it is now", path.text()),
                fmt::format("`pgtwig branch reset {}` resets it to its parent", path.text()));
  }
  const auto lock =
      engine.locks().acquire({project_lock(path.project, LockMode::shared), branch_lock(source_path, LockMode::shared),
                              branch_lock(path, LockMode::exclusive)},
                             lock_timeout);
  const Body old = require_body(engine, path);
  const Body source = require_source_body(engine, from);
  if (!request.from && source.branch.id != *old.branch.parent) {
    throw Error(ErrorCode::busy, fmt::format("the parent of {} was renamed meanwhile", path.text()), "try again");
  }
  engine.pools().require_room(*source.pool);
  std::optional<RecoveryPlan> plan;
  if (is_in_the_past(from)) plan = plan_recovery(engine, source, from.point);
  Body fresh = planned_replacement(engine, old);
  const bool was_running = engine.instances().find(old).has_value();
  if (old.branch.wants_running && !was_running) engine.instances().require_memory(fresh);

  return engine.operations().run("branch reset", path.text(), listener, [&](Operation& operation) {
    auto connecting = std::async(std::launch::async, [&] {
      if (was_running) connect_ahead(engine, old);
    });
    catalog::IncarnationRecord incarnation = make_volume(engine, operation, request, source, plan, fresh);
    connecting.get();
    replace_body(engine, operation,
                 {.old = old,
                  .fresh = fresh,
                  .incarnation = std::move(incarnation),
                  .has_same_password = plan.has_value() || old.branch.password == source.branch.password});
    // What it is from now on is not to depend on whether that other branch is there.
    const bool is_of_its_own = source.branch.id == old.branch.id || descends_from(engine, old.branch, source.branch.id);
    const bool can_have_one = old.branch.wants_running && engine.config().wal_archive;
    if (!is_of_its_own && can_have_one) take_first_restore_point(engine, operation, fresh);
    return branch_view(engine, fresh, operation);
  });
}

}  // namespace pgtwig::engine
