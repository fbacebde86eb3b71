// Sleep: a branch that nobody uses costs no process, and is started by who connects to it.
#include <fmt/format.h>

#include <future>

#include "base/error.h"
#include "engine/run_branch.h"
#include "engine/sleep.h"
#include "engine/view_of.h"
#include "engine/wakes.h"

namespace pgtwig::engine {
namespace {

bool is_stopped(const Body& body) {
  return !body.branch.wants_running && !body.branch.is_suspended;
}

BranchAddress address_of(const Body& body, bool is_running) {
  return {.path = {body.project.name, body.branch.name},
          .incarnation = body.branch.incarnation,
          .host = loopback,
          .port = body.branch.port,
          .is_running = is_running,
          .is_stopped = is_stopped(body)};
}

void refuse_stopped(const Body& body) {
  if (!is_stopped(body)) return;
  throw Error(ErrorCode::conflict, fmt::format("{} was stopped, and nobody who connects starts it", body.name()),
              fmt::format("`pgtwig start {}` starts it", body.name()));
}

BranchAddress wake(Engine& engine, const BranchPath& path,
                   const std::function<void(const BranchAddress&)>& on_listening) {
  const auto lock = lock_to_run(engine, path);
  Body body = require_body(engine, path);
  const bool runs = engine.instances().find(body).has_value();
  if (runs && body.branch.wants_running) return address_of(body, true);
  refuse_stopped(body);
  refuse_if_tainted(body);
  const Wakes::Turn turn(engine.wakes());
  engine.instances().require_memory(body);
  body.branch.wants_running = true;
  body.branch.is_suspended = false;
  NobodyListens nobody;
  engine.operations().run("branch wake", body.name(), nobody, [&](Operation& operation) {
    // A daemon ended between its start and the commit.
    if (runs) operation.step("Stop instance", [&] { engine.instances().stop(body); });
    // Somebody is waiting: the record becomes durable while PostgreSQL starts, and they go on before its end does.
    // Until then the branch is locked, and a daemon that dies leaves a server that its record doesn't know, as in any
    // start.
    auto begun = std::async(std::launch::async, [&] { operation.begin(); });
    try {
      return start_and_record(engine, operation, body, std::move(begun), [&] {
        if (on_listening) on_listening(address_of(body, true));
      });
    } catch (const Error& error) {
      refuse_taken_port(error, body);
      throw;
    }
  });
  return address_of(body, true);
}

}  // namespace

BranchView suspend_branch(Engine& engine, const BranchPath& path, Listener& listener) {
  const auto lock = lock_to_run(engine, path);
  const Body body = require_body(engine, path);
  if (body.branch.is_suspended && !engine.instances().find(body)) return branch_view(engine, body);
  return engine.operations().run("branch suspend", body.name(), listener, [&](Operation& operation) {
    return stop_and_record(engine, operation, body, Rest::suspended);
  });
}

bool suspend_if(Engine& engine, const BranchPath& path, const std::function<bool(const Body&)>& is_unused) {
  const auto lock = lock_to_run(engine, path, std::chrono::milliseconds(0));
  const Body body = require_body(engine, path);
  if (!body.branch.wants_running || !engine.instances().find(body) || !is_unused(body)) return false;
  NobodyListens nobody;
  engine.operations().run("branch suspend", body.name(), nobody, [&](Operation& operation) {
    return stop_and_record(engine, operation, body, Rest::suspended);
  });
  return true;
}

std::chrono::seconds suspend_after_of(const Config& config, const catalog::ProjectRecord& project,
                                      const catalog::BranchRecord& branch) {
  if (branch.suspend_after) return *branch.suspend_after;
  if (branch.name.is_main()) return std::chrono::seconds(0);
  return project.suspend_after.value_or(config.branch_suspend_after);
}

std::string suspend_after_text(std::chrono::seconds after) {
  return after.count() == 0 ? "off" : format_duration(after);
}

BranchView set_suspend_after(Engine& engine, const BranchPath& path, std::optional<std::chrono::seconds> after) {
  const auto lock = lock_to_run(engine, path);
  Body body = require_body(engine, path);
  body.branch.suspend_after = after;
  auto transaction = engine.catalog().begin();
  transaction->update(body.branch);
  transaction->commit();
  transaction.reset();
  refresh_manifest(engine, body);
  return branch_view(engine, body);
}

ProjectView set_suspend_after(Engine& engine, const ProjectName& name, std::optional<std::chrono::seconds> after) {
  const auto lock = engine.locks().acquire({project_lock(name, LockMode::exclusive)}, lock_timeout);
  catalog::ProjectRecord project = require_project(engine, name);
  const auto pool = engine.pools().open(project.pool);
  project.suspend_after = after;
  auto transaction = engine.catalog().begin();
  transaction->update(project);
  transaction->commit();
  transaction.reset();
  for (const auto& branch : engine.catalog().branches(project.id)) {
    refresh_manifest(engine, {.project = project, .branch = branch, .pool = pool});
  }
  return project_view(engine, project);
}

std::optional<BranchAddress> find_address(Engine& engine, const BranchPath& path) {
  const auto project = engine.catalog().find_project(path.project);
  if (!project) return std::nullopt;
  const auto branch = engine.catalog().find_branch(project->id, path.branch);
  if (!branch) return std::nullopt;
  const Body body = load_body(engine, *project, *branch);
  return address_of(body, engine.instances().is_serving(body));
}

BranchAddress wake_branch(Engine& engine, const BranchPath& path,
                          const std::function<void(const BranchAddress&)>& on_listening) {
  return engine.wakes().share(path, [&] { return wake(engine, path, on_listening); });
}

}  // namespace pgtwig::engine
