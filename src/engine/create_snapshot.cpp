// A snapshot: a fork of a branch's volume that is never started.
#include <fmt/format.h>

#include "base/error.h"
#include "engine/snapshots.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

// What would be read as another point when somebody names the snapshot later is no name.
void require_snapshot_name(const std::string& name) {
  const auto point = parse_point(name);
  if (!point) throw Error(ErrorCode::invalid_argument, fmt::format("bad snapshot name: {}", point.error()));
  if (std::holds_alternative<SnapshotName>(*point)) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("\"{}\" can't be the name of a snapshot: it would be read as a time or another point", name),
              "choose a name like before-migration");
}

// A line of a listing is no place for more.
constexpr std::size_t longest_message = 1000;

void require_message(const std::string& message) {
  if (message.size() <= longest_message) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("the message has {} bytes; {} are the most", message.size(), longest_message));
}

LockRequest snapshots_lock(const BranchPath& path) {
  return {"snapshots of " + path.text(), LockMode::exclusive};
}

Body planned_snapshot(Engine& engine, const Body& source, const CreateSnapshot& request, const std::string& name) {
  Body body = source;
  body.branch.incarnation = IncarnationId::random();
  body.snapshot = catalog::SnapshotRecord{.id = body.branch.incarnation,
                                          .project = source.project.id,
                                          .branch = source.branch.id,
                                          .incarnation = source.branch.incarnation,
                                          .name = name,
                                          .message = request.message,
                                          .kind = request.kind,
                                          .redo = {},
                                          .end = {},
                                          .timeline = 1,
                                          .next_xid = 0,
                                          .password = source.branch.password,
                                          .held_back = {},
                                          .maybe_has_subscriptions = false,
                                          .created_at = engine.clock().now()};
  return body;
}

}  // namespace

SnapshotView create_snapshot(Engine& engine, const CreateSnapshot& request, Listener& listener) {
  return take_snapshot(engine, request, listener, lock_timeout);
}

SnapshotView take_snapshot(Engine& engine, const CreateSnapshot& request, Listener& listener,
                           std::chrono::milliseconds patience) {
  const BranchPath& path = request.branch;
  if (request.name) require_snapshot_name(*request.name);
  require_message(request.message);
  require_branch(engine, path);
  const auto lock = engine.locks().acquire(
      {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::shared), snapshots_lock(path)},
      patience);
  return take_snapshot_of(engine, require_body(engine, path), request, listener);
}

SnapshotView take_snapshot_of(Engine& engine, const Body& source, const CreateSnapshot& request, Listener& listener) {
  const BranchPath& path = request.branch;
  const std::string name =
      request.name.value_or(snapshot_name_at(engine.clock().now(), engine.catalog().snapshots(source.branch.id)));
  if (engine.catalog().find_snapshot(source.branch.id, name)) {
    throw Error(ErrorCode::already_exists, fmt::format("snapshot {}@{} already exists", path.text(), name),
                "choose another name, or none: it is then made of the time");
  }
  engine.pools().require_room(*source.pool);
  Body snapshot = planned_snapshot(engine, source, request, name);
  return engine.operations().run(
      "snapshot create", snapshot_path(source.project, source.branch, name), listener, [&](Operation& operation) {
        fork_body(engine, operation, source, snapshot, postgres::Consistency::automatic);
        auto transaction = engine.catalog().begin();
        transaction->insert(*snapshot.snapshot);
        transaction->remove_sweep(snapshot.snapshot->id);
        operation.commit(*transaction);
        transaction.reset();
        refresh_manifest(engine, snapshot);
        SnapshotView view = snapshot_view(engine, source.project, source.branch, *snapshot.snapshot);
        add_course(view, operation);
        return view;
      });
}

}  // namespace pgtwig::engine
