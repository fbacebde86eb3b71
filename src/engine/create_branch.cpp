// A branch: a fork of another branch's volume, started under its own name, port and incarnation.
#include <fmt/format.h>

#include "base/error.h"
#include "base/user_setting.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/incarnations.h"
#include "engine/project_server.h"
#include "engine/recover_body.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

void refuse_main(const BranchPath& path) {
  if (!path.branch.is_main()) return;
  throw Error(ErrorCode::already_exists, fmt::format("branch {} already exists: every project has a main", path.text()),
              "choose another name");
}

std::optional<Body> find_body(Engine& engine, const BranchPath& path) {
  const catalog::ProjectRecord project = require_project(engine, path.project);
  const auto branch = engine.catalog().find_branch(project.id, path.branch);
  if (!branch) return std::nullopt;
  return load_body(engine, project, *branch);
}

Error exists(const BranchPath& path) {
  return Error(ErrorCode::already_exists, fmt::format("branch {} already exists", path.text()),
               fmt::format("`pgtwig branch reset {}` makes it anew from its parent; --if-not-exists takes it as it is",
                           path.text()));
}

Body planned_body(Engine& engine, const CreateBranch& request, const Body& source, std::uint16_t port) {
  const TimePoint now = engine.clock().now();
  Body body{.project = source.project,
            .branch = {.id = BranchId::random(),
                       .project = source.project.id,
                       .name = request.path.branch,
                       .parent = source.branch.id,
                       .incarnation = IncarnationId::random(),
                       .host = "local",
                       .port = port,
                       .wants_running = request.start,
                       .durability = request.durability,
                       .settings = request.settings,
                       .password = source.branch.password,  // the roles come along, with their passwords
                       .held_back = {},
                       .allowed = {},
                       .maybe_has_subscriptions = false,
                       .origin = {.branch = {}, .snapshot = {}, .lsn = {}, .time = now},
                       .created_at = now,
                       .expires_at = std::nullopt,
                       .suspend_after = request.suspend_after},
            .pool = source.pool};
  set_limits(engine, source.project, request.limits, body.branch);
  if (request.time_to_live) body.branch.expires_at = now + *request.time_to_live;
  return body;
}

catalog::IncarnationRecord make_at_the_head(Engine& engine, Operation& operation, const CreateBranch& request,
                                            const Body& source, Body& branch) {
  if (source.snapshot) {
    fork_snapshot(engine, operation, *source.snapshot, branch);
  } else {
    fork_body(engine, operation, source, branch, request.consistency);
  }
  return forked_incarnation(source, branch, "create");
}

}  // namespace

BranchView create_branch(Engine& engine, const CreateBranch& request, Listener& listener) {
  const BranchPath& path = request.path;
  require_project(engine, path.project);
  if (path.branch.is_main() && request.if_not_exists) return branch_view(engine, require_body(engine, path));
  refuse_main(path);
  for (const auto& [name, value] : request.settings) check_user_setting(name, value);
  const Source from = resolve_source(
      engine, path,
      request.from.value_or(BranchReference{.project = std::nullopt, .branch_text = "main", .point = Now{}}),
      request.at);
  const BranchPath& source_path = from.branch;
  if (source_path.project != path.project) {
    require_project(engine, source_path.project);
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} cannot be the parent of {}: a branch and its parent are of one project",
                            source_path.text(), path.text()),
                fmt::format("`pgtwig branch create {}/{}`", source_path.project.text(), path.branch.text()));
  }
  if (source_path == path) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} cannot be its own parent", path.text()));
  }
  const auto lock =
      engine.locks().acquire({project_lock(path.project, LockMode::shared), branch_lock(source_path, LockMode::shared),
                              branch_lock(path, LockMode::exclusive)},
                             lock_timeout);
  if (const auto existing = find_body(engine, path)) {
    if (request.if_not_exists) return branch_view(engine, *existing);
    throw exists(path);
  }
  const Body source = require_source_body(engine, from);
  std::optional<RecoveryPlan> plan;
  if (is_in_the_past(from)) plan = plan_recovery(engine, source, from.point);
  engine.pools().require_room(*source.pool);
  std::optional<Ports::Reservation> port = engine.ports().reserve(request.port);
  Body branch = planned_body(engine, request, source, port->port());

  if (request.start) engine.instances().require_memory(branch);

  return engine.operations().run("branch create", path.text(), listener, [&](Operation& operation) {
    catalog::IncarnationRecord incarnation = plan ? recover_body(engine, operation, *plan, branch, "create")
                                                  : make_at_the_head(engine, operation, request, source, branch);
    if (request.start) start_new_body(engine, operation, branch, port, request.port);
    operation.end_work_beside();
    auto transaction = engine.catalog().begin();
    transaction->insert(branch.branch);
    record_incarnation(*transaction, incarnation, engine.clock().now());
    transaction->remove_sweep(branch.branch.incarnation);
    operation.commit(*transaction);
    refresh_manifest(engine, branch);
    refresh_incarnation_file(*branch.pool, incarnation);
    return branch_view(engine, branch, operation);
  });
}

}  // namespace pgtwig::engine
