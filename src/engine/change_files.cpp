// The configuration files that a project's user keeps: tried on a server that has nothing else, then taken over. Its
// branches have them from their next start on.
#include <fmt/format.h>

#include "base/error.h"
#include "engine/new_cluster.h"
#include "engine/sweeper.h"
#include "engine/user_files.h"
#include "engine/view_of.h"
#include "postgres/readiness.h"

namespace pgtwig::engine {
namespace {

constexpr const char* any_locale = "C";

Error not_taken(const std::string& words) {
  return Error(ErrorCode::invalid_argument, fmt::format("PostgreSQL does not start with these files: {}", words),
               "nothing was changed; mend the file and set it again");
}

void try_files(Engine& engine, Operation& operation, Body& trial, std::optional<Ports::Reservation>& port) {
  make_cluster(engine, operation, trial, {.locale = any_locale, .is_synced = false});
  try {
    start_new_body(engine, operation, trial, port, std::nullopt);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::postgres_failed) throw;
    const std::string words = postgres::last_failure_in_log(engine.instances().log_file(trial), 0);
    throw not_taken(words.empty() ? error.message() : words);
  }
}

// Begins the operation. Returns the volume on which they were tried, to be swept.
catalog::SweepRecord begin_with_trial(Engine& engine, Operation& operation, const catalog::ProjectRecord& project,
                                      const std::shared_ptr<OpenPool>& pool) {
  engine.pools().require_room(*pool);
  std::optional<Ports::Reservation> port = engine.ports().reserve(std::nullopt);
  Body trial = planned_main(engine, project, pool, port->port());
  engine.instances().require_memory(trial);
  catalog::SweepRecord volume = sweep_record(trial);
  volume.operation = operation.id();
  operation.begin({volume});
  try_files(engine, operation, trial, port);
  return volume;
}

}  // namespace

ProjectView change_files(Engine& engine, const ProjectName& name, const catalog::Files& changes, Listener& listener) {
  const auto lock = engine.locks().acquire({project_lock(name, LockMode::exclusive)}, lock_timeout);
  catalog::ProjectRecord project = require_project(engine, name);
  project.files = changed_files(std::move(project.files), changes);
  const auto pool = engine.pools().open(project.pool);
  return engine.operations().run("project files", name.text(), listener, [&](Operation& operation) {
    for (const std::string& warning : warnings_of(project.files, engine.config().proxy)) operation.warn(warning);
    std::vector<catalog::SweepRecord> tried;
    if (project.files.empty()) {
      operation.begin();
    } else {
      tried.push_back(begin_with_trial(engine, operation, project, pool));
    }
    auto transaction = engine.catalog().begin();
    transaction->update(project);
    operation.commit(*transaction);
    transaction.reset();
    engine.sweeper().enqueue(tried);
    for (const auto& branch : engine.catalog().branches(project.id)) {
      refresh_manifest(engine, {.project = project, .branch = branch, .pool = pool});
    }
    ProjectView view = project_view(engine, project);
    add_course(view, operation);
    return view;
  });
}

}  // namespace pgtwig::engine
