// Deletion: one transaction takes the branches out of the world; their instances and volumes go in the background.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "engine/body.h"
#include "engine/sweeper.h"

namespace pgtwig::engine {
namespace {

using Branches = std::vector<catalog::BranchRecord>;

// The branch and everything that descends from it, parents before children.
Branches with_descendants(Engine& engine, const catalog::BranchRecord& branch) {
  std::map<BranchId, Branches> children;
  for (const auto& other : engine.catalog().branches(branch.project)) {
    if (other.parent) children[*other.parent].push_back(other);
  }
  Branches all{branch};
  for (std::size_t at = 0; at < all.size(); ++at) {
    const Branches& below = children[all[at].id];
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

catalog::SweepRecord doomed(const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                            const Operation& operation) {
  return {
      .volume = branch.incarnation, .pool = project.pool, .pg_major = project.pg_major, .operation = operation.id()};
}

// Children before parents, as the catalog's references want it.
std::vector<catalog::SweepRecord> remove_all(const Operation& operation, catalog::Transaction& transaction,
                                             const catalog::ProjectRecord& project, const Branches& branches) {
  std::vector<catalog::SweepRecord> volumes;
  for (auto branch = branches.rbegin(); branch != branches.rend(); ++branch) {
    volumes.push_back(doomed(project, *branch, operation));
    transaction.insert(volumes.back());
    transaction.remove_branch(branch->id);
  }
  return volumes;
}

}  // namespace

std::vector<std::string> delete_branch(Engine& engine, const DeleteBranch& request, Listener& listener) {
  const BranchPath& path = request.path;
  if (path.branch.is_main()) {
    throw Error(ErrorCode::conflict, fmt::format("{} is protected: every project has a main", path.text()),
                fmt::format("`pgtwig project delete {}` deletes the whole project", path.project.text()));
  }
  const auto find = [&]() -> std::optional<catalog::BranchRecord> {
    if (request.if_exists) {
      const auto project = engine.catalog().find_project(path.project);
      if (!project || !engine.catalog().find_branch(project->id, path.branch)) return std::nullopt;
    }
    return require_branch(engine, path).second;
  };
  if (!find()) return {};
  // A cascade changes branches whose names are only known once the project stands still.
  const auto lock =
      request.cascade
          ? engine.locks().acquire({project_lock(path.project, LockMode::exclusive)}, lock_timeout)
          : engine.locks().acquire(
                {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::exclusive)}, lock_timeout);
  const auto branch = find();
  if (!branch) return {};
  if (request.only_if_expired) {
    const auto& [id, now] = *request.only_if_expired;
    if (branch->id != id || !branch->expires_at || *branch->expires_at > now) return {};
  }
  const catalog::ProjectRecord project = require_project(engine, path.project);
  const Branches branches = with_descendants(engine, *branch);
  if (branches.size() > 1 && !request.cascade) {
    throw Error(ErrorCode::conflict,
                fmt::format("branch {} has {} that descend from it, {} among them", path.text(), branches.size() - 1,
                            project.name.text() + "/" + branches[1].name.text()),
                fmt::format("`pgtwig branch delete {} --cascade` deletes them, too", path.text()));
  }
  return engine.operations().run("branch delete", path.text(), listener, [&](Operation& operation) {
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    const auto volumes = remove_all(operation, *transaction, project, branches);
    operation.commit(*transaction);
    transaction.reset();
    engine.sweeper().enqueue(volumes);
    std::vector<std::string> names;
    for (const auto& deleted : branches) names.push_back(project.name.text() + "/" + deleted.name.text());
    return names;
  });
}

void delete_project(Engine& engine, const DeleteProject& request, Listener& listener) {
  if (request.if_exists && !engine.catalog().find_project(request.name)) return;
  require_project(engine, request.name);
  const auto lock = engine.locks().acquire({project_lock(request.name, LockMode::exclusive)}, lock_timeout);
  const catalog::ProjectRecord project = require_project(engine, request.name);
  const auto main = engine.catalog().find_branch(project.id, BranchName::main());
  if (!main) throw Error(ErrorCode::internal, fmt::format("project {} has no main", project.name.text()));
  const Branches branches = with_descendants(engine, *main);
  if (branches.size() > 1 && !request.force) {
    throw Error(ErrorCode::conflict,
                fmt::format("project {} has {} beside main", project.name.text(),
                            branches.size() == 2 ? "one branch" : fmt::format("{} branches", branches.size() - 1)),
                fmt::format("`pgtwig project delete {} --force` deletes them, too", project.name.text()));
  }
  engine.operations().run("project delete", project.name.text(), listener, [&](Operation& operation) {
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    const auto volumes = remove_all(operation, *transaction, project, branches);
    transaction->remove_project(project.id);
    operation.commit(*transaction);
    transaction.reset();
    engine.sweeper().enqueue(volumes);
  });
}

}  // namespace pgtwig::engine
