// The branch that the installation's endpoint leads to when a client names none.
#include "engine/body.h"

namespace pgtwig::engine {

std::optional<BranchPath> selected_branch(Engine& engine) {
  const auto branch = engine.catalog().selected_branch();
  if (!branch) return std::nullopt;
  const auto project = engine.catalog().find_project(branch->project);
  if (!project) return std::nullopt;  // deleted between the two questions
  return BranchPath{project->name, branch->name};
}

void select_branch(Engine& engine, const std::optional<BranchPath>& path) {
  std::optional<NamedLocks::Guard> lock;
  std::optional<BranchId> branch;
  if (path) {
    lock.emplace(engine.locks().acquire(
        {project_lock(path->project, LockMode::shared), branch_lock(*path, LockMode::shared)}, lock_timeout));
    branch = require_branch(engine, *path).second.id;
  }
  const auto transaction = engine.catalog().begin();
  transaction->select_branch(branch);
  transaction->commit();
}

}  // namespace pgtwig::engine
