// Reset: the branch gets a new body from its parent's head and keeps its name, port, password and settings. The old
// body lives until the new one has taken its place.
#include <fmt/format.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/incarnations.h"
#include "engine/sweeper.h"
#include "engine/view_of.h"
#include "postgres/hygiene.h"
#include "postgres/roles.h"

namespace pgtwig::engine {
namespace {

// Stops the old instance so that the new one can have its port, and starts it again unless the reset went through.
class OldInstance {
 public:
  OldInstance(Engine& engine, const Body& body) : engine_(engine), body_(body) {}
  ~OldInstance() {
    if (!stopped_ || replaced_) return;
    try {
      engine_.instances().stop(body_);  // its shutdown may have taken longer than we waited for it
      engine_.instances().start(body_,
                                {.subscriptions_off = body_.branch.maybe_has_subscriptions, .is_committed = true});
    } catch (...) {
      log::error("cannot start {} again after its reset failed: {}", body_.name(), describe_current_exception());
    }
  }
  // It is going to be discarded, so it is stopped the short way. Should the reset fail, it recovers as from a crash,
  // which loses nothing but the rows of unlogged tables: where there are any, it is shut down cleanly.
  void stop() {
    const UniqueFd data = open_directory(body_.data());
    const bool has_unlogged = !postgres::databases_with_unlogged_relations(data.get()).empty();
    bring_wal_to_disk();
    stopped_ = true;
    engine_.instances().stop(body_, has_unlogged ? runtime::StopMode::fast : runtime::StopMode::immediate);
  }
  void replaced() { replaced_ = true; }

 private:
  // What was committed until now can be recovered afterwards, that of synchronous_commit=off included.
  void bring_wal_to_disk() {
    try {
      postgres::flush_wal(*engine_.instances().admin(body_));
    } catch (const Error& error) {
      log::info("{} is reset without its last WAL: {}", body_.name(), error.message());
    }
  }

  Engine& engine_;
  const Body& body_;
  bool stopped_ = false;
  bool replaced_ = false;
};

BranchReference parent_head() {
  return {.project = std::nullopt, .branch_text = "^parent", .point = Now{}};
}

void keep_password(Engine& engine, Operation& operation, const Body& source, const Body& branch) {
  if (branch.branch.password.empty() || branch.branch.password == source.branch.password) return;
  operation.step("Keep password", [&] {
    postgres::set_password(*engine.instances().admin(branch), postgres::owner_role, branch.branch.password);
  });
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
  refuse_other_points(from);
  const BranchPath& source_path = from.branch;
  if (source_path.project != path.project) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is of another project than {}", source_path.text(), path.text()),
                "a branch is reset to a branch of its own project");
  }
  if (source_path == path && !from.snapshot) {
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
  Body fresh = old;
  fresh.branch.incarnation = IncarnationId::random();
  fresh.branch.allowed.clear();
  if (old.branch.expires_at) {
    // A branch's time to live begins again with its new body.
    fresh.branch.expires_at = engine.clock().now() + (*old.branch.expires_at - old.branch.origin.time);
  }
  const bool was_running = engine.instances().find(old).has_value();
  if (old.branch.wants_running && !was_running) engine.instances().require_memory(fresh);

  return engine.operations().run("branch reset", path.text(), listener, [&](Operation& operation) {
    if (source.snapshot) {
      fork_snapshot(engine, operation, *source.snapshot, fresh);
    } else {
      fork_body(engine, operation, source, fresh, request.consistency);
    }
    catalog::IncarnationRecord incarnation = forked_incarnation(source, fresh, "reset");
    OldInstance old_instance(engine, old);
    if (was_running) operation.step("Stop old instance", [&] { old_instance.stop(); });
    if (old.branch.wants_running) {
      try {
        start_body(engine, operation, fresh, false);
        keep_password(engine, operation, source, fresh);
      } catch (...) {
        // The port must be free before the old instance can have it back.
        engine.instances().stop(fresh);
        throw;
      }
    }
    catalog::SweepRecord replaced = sweep_record(old);
    replaced.operation = operation.id();
    const TimePoint now = engine.clock().now();
    const auto old_incarnation = ended(engine.catalog(), old.branch.incarnation, now);
    auto transaction = engine.catalog().begin();
    transaction->update(fresh.branch);
    record_incarnation(*transaction, incarnation, now);
    if (old_incarnation) transaction->update(*old_incarnation);
    transaction->remove_sweep(fresh.branch.incarnation);
    transaction->insert(replaced);
    try {
      operation.commit(*transaction);
    } catch (...) {
      transaction.reset();
      engine.instances().stop(fresh);
      throw;
    }
    old_instance.replaced();
    refresh_manifest(engine, fresh);
    refresh_incarnation_file(*fresh.pool, incarnation);
    if (old_incarnation) refresh_incarnation_file(*old.pool, *old_incarnation);
    engine.sweeper().enqueue({replaced});
    return branch_view(engine, fresh, operation);
  });
}

}  // namespace pgtwig::engine
