// What the daemon does before it serves, and when it takes all instances down with it.
#include "engine/open_installation.h"

#include "base/error.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/housekeeping.h"
#include "engine/pools.h"
#include "engine/sweeper.h"
#include "engine/use_cases.h"

namespace pgtwig::engine {
namespace {

// Records that say "running" belong to a daemon that is no more.
void end_interrupted_operations(Engine& engine) {
  constexpr int all = 100'000;
  auto records = engine.catalog().operations(all);
  std::erase_if(records, [](const auto& record) { return record.state != catalog::OperationState::running; });
  if (records.empty()) return;
  auto transaction = engine.catalog().begin();
  for (catalog::OperationRecord& record : records) {
    record.state = catalog::OperationState::failed;
    record.error_code = error_code_info(ErrorCode::internal).name;
    record.error_message = "the daemon ended in the middle of it";
    record.finished_at = engine.clock().now();
    transaction->update(record);
  }
  transaction->commit();
}

void restore_instance(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& record) {
  const BranchPath path{project.name, record.name};
  const auto lock = engine.locks().acquire(
      {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::exclusive)}, lock_timeout);
  const auto branch = engine.catalog().find_branch(record.id);
  const auto current_project = engine.catalog().find_project(project.id);
  if (!branch || !current_project) return;
  if (branch->name != record.name || current_project->name != project.name) {
    throw Error(ErrorCode::busy, "it was renamed meanwhile");
  }
  // As it is now that nobody can change it: it may have got another runtime since it was listed.
  Body body = load_body(engine, *current_project, *branch);
  bring_manifest_up_to_date(engine, body);
  for (const auto& incarnation : engine.catalog().incarnations(branch->id)) {
    refresh_incarnation_file(*body.pool, incarnation);
  }
  if (const auto process = engine.instances().find(body)) {
    if (branch->wants_running && engine.instances().runs_as_recorded(body)) {
      log::info("{} is running as process {}", body.name(), process->pid());
      return;
    }
    log::warn("{} runs otherwise than the catalog has it: a start was interrupted; it is stopped", body.name());
    engine.instances().stop(body);
  }
  if (!branch->wants_running) return;
  refuse_if_tainted(body);
  engine.instances().require_memory(body);
  engine.instances().start(body, {.subscriptions_off = body.branch.maybe_has_subscriptions, .is_committed = true});
  log::info("{} was started again", body.name());
}

// A daemon can end between the commit of a snapshot and its manifest.
void bring_snapshot_up_to_date(Engine& engine, const catalog::ProjectRecord& project,
                               const catalog::SnapshotRecord& snapshot) {
  const auto lock = engine.locks().acquire({snapshot_lock(snapshot, LockMode::shared)}, lock_timeout);
  const auto branch = engine.catalog().find_branch(snapshot.branch);
  const auto current_project = engine.catalog().find_project(project.id);
  if (!branch || !current_project || !engine.catalog().find_snapshot(snapshot.id)) return;
  Body body = snapshot_body(engine, *current_project, *branch, snapshot);
  bring_manifest_up_to_date(engine, body);
}

}  // namespace

bool restore_instances(Engine& engine, const std::function<bool()>& is_stopping) {
  bool all_had_their_turn = true;
  for (const auto& project : engine.catalog().projects()) {
    for (const auto& branch : engine.catalog().branches(project.id)) {
      if (is_stopping()) return true;
      try {
        restore_instance(engine, project, branch);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::storage_failed || error.code() == ErrorCode::busy) all_had_their_turn = false;
        log::error("{}/{}: {}", project.name.text(), branch.name.text(), error.message());
      } catch (...) {
        log::error("{}/{}: {}", project.name.text(), branch.name.text(), describe_current_exception());
      }
    }
    for (const auto& snapshot : engine.catalog().snapshots(project.id)) {
      if (is_stopping()) return true;
      try {
        bring_snapshot_up_to_date(engine, project, snapshot);
      } catch (...) {
        all_had_their_turn = false;
        log::warn("snapshot {} of {}: {}", snapshot.name, project.name.text(), describe_current_exception());
      }
    }
  }
  return all_had_their_turn;
}

void open_installation(Engine& engine) {
  end_interrupted_operations(engine);
  // Pools before anything is judged: a branch whose pool is away is away, not lost.
  for (const auto& pool : engine.catalog().pools()) {
    try {
      engine.pools().open(pool);
    } catch (...) {
      log::error("{}", describe_current_exception());
    }
  }
  // Before anything starts: what is swept may hold a port that a branch wants back.
  engine.sweeper().begin();
  engine.housekeeping().begin();
}

void sweep(Engine& engine) {
  engine.sweeper().enqueue_all();
  engine.sweeper().wait_until_idle();
}

void shut_down(Engine& engine) {
  engine.housekeeping().end();
  // What was deleted a moment ago may still run, and is in no catalog any more.
  sweep(engine);
  for (const auto& project : engine.catalog().projects()) {
    for (const auto& branch : engine.catalog().branches(project.id)) {
      try {
        engine.instances().stop(load_body(engine, project, branch));
      } catch (...) {
        log::error("cannot stop {}/{}: {}", project.name.text(), branch.name.text(), describe_current_exception());
      }
    }
  }
  engine.pools().unmount_images();
}

}  // namespace pgtwig::engine
