// New names for projects and branches: ports, passwords and data stay as they are.
#include <fmt/format.h>

#include "base/error.h"
#include "engine/body.h"
#include "engine/view_of.h"

namespace pgtwig::engine {

ProjectView rename_project(Engine& engine, const ProjectName& name, const ProjectName& new_name, Listener& listener) {
  require_project(engine, name);
  const auto lock = engine.locks().acquire(
      {project_lock(name, LockMode::exclusive), project_lock(new_name, LockMode::exclusive)}, lock_timeout);
  catalog::ProjectRecord project = require_project(engine, name);
  if (name == new_name) return project_view(engine, project);
  if (engine.catalog().find_project(new_name)) {
    throw Error(ErrorCode::already_exists, fmt::format("project {} already exists", new_name.text()),
                "choose another name");
  }
  const auto pool = engine.pools().open(project.pool);
  return engine.operations().run("project rename", name.text(), listener, [&](Operation& operation) {
    project.name = new_name;
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    transaction->update(project);
    operation.commit(*transaction);
    transaction.reset();
    for (const auto& branch : engine.catalog().branches(project.id)) {
      refresh_manifest(engine, {.project = project, .branch = branch, .pool = pool});
    }
    return project_view(engine, project);
  });
}

BranchView rename_branch(Engine& engine, const BranchPath& path, const BranchName& new_name, Listener& listener) {
  if (path.branch.is_main()) {
    throw Error(ErrorCode::conflict, fmt::format("{} is protected: every project has a main", path.text()));
  }
  if (new_name.is_main()) {
    throw Error(ErrorCode::already_exists, fmt::format("branch {}/main already exists", path.project.text()));
  }
  const BranchPath new_path{path.project, new_name};
  const auto lock =
      engine.locks().acquire({project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::exclusive),
                              branch_lock(new_path, LockMode::exclusive)},
                             lock_timeout);
  Body body = require_body(engine, path);
  if (path == new_path) return branch_view(engine, body);
  if (engine.catalog().find_branch(body.project.id, new_name)) {
    throw Error(ErrorCode::already_exists, fmt::format("branch {} already exists", new_path.text()),
                "choose another name");
  }
  return engine.operations().run("branch rename", path.text(), listener, [&](Operation& operation) {
    body.branch.name = new_name;
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    transaction->update(body.branch);
    operation.commit(*transaction);
    transaction.reset();
    refresh_manifest(engine, body);
    return branch_view(engine, body, operation);
  });
}

}  // namespace pgtwig::engine
