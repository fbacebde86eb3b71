// Deletion: one transaction takes the branches out of the world; their instances and volumes go in the background.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "engine/body.h"
#include "engine/snapshots.h"
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

catalog::SweepRecord doomed(const catalog::ProjectRecord& project, const IncarnationId& volume,
                            const Operation& operation) {
  return {.volume = volume, .pool = project.pool, .pg_major = project.pg_major, .operation = operation.id()};
}

// Branches with all that belongs to them.
struct Doomed {
  Branches branches;
  std::vector<catalog::SnapshotRecord> snapshots;
  std::vector<catalog::IncarnationRecord> bodies;  // those of before included: their WAL archives go, too
};

Doomed with_belongings(Engine& engine, const Branches& branches) {
  Doomed all{.branches = branches, .snapshots = {}, .bodies = {}};
  for (const auto& branch : branches) {
    for (const auto& snapshot : engine.catalog().snapshots(branch.id)) all.snapshots.push_back(snapshot);
    for (const auto& body : engine.catalog().incarnations(branch.id)) all.bodies.push_back(body);
  }
  return all;
}

// Nobody forks from one of their snapshots while this is held. Taken after the branches' own locks, under which they
// get no more of them.
NamedLocks::Guard lock_snapshots(Engine& engine, const Branches& branches) {
  std::vector<LockRequest> locks;
  for (const auto& snapshot : with_belongings(engine, branches).snapshots) {
    locks.push_back(snapshot_lock(snapshot, LockMode::exclusive));
  }
  return engine.locks().acquire(std::move(locks), lock_timeout);
}

// The branches that stay and whose history began as one of these: they were reset from it, as children go with their
// parents.
std::vector<std::string> heirs(Engine& engine, const catalog::ProjectRecord& project, const Doomed& all) {
  std::set<IncarnationId> doomed_bodies;
  for (const auto& body : all.bodies) doomed_bodies.insert(body.id);
  std::map<IncarnationId, catalog::IncarnationRecord> bodies;
  for (auto& body : engine.catalog().incarnations(project.id)) bodies.emplace(body.id, body);
  std::vector<std::string> names;
  for (const auto& branch : engine.catalog().branches(project.id)) {
    if (doomed_bodies.contains(branch.incarnation)) continue;
    std::set<IncarnationId> seen;  // ends a lineage that a damaged record made a circle of
    auto body = bodies.find(branch.incarnation);
    while (body != bodies.end() && body->second.source && seen.insert(body->first).second) {
      body = bodies.find(*body->second.source);
      if (body == bodies.end() || !doomed_bodies.contains(body->first)) continue;
      names.push_back(project.name.text() + "/" + branch.name.text());
      break;
    }
  }
  return names;
}

// Those of them that `lasts` finds, as "demo/dev@v1".
std::vector<std::string> lasting_snapshots(const catalog::ProjectRecord& project, const Doomed& all,
                                           bool (*lasts)(const catalog::SnapshotRecord&)) {
  std::vector<std::string> names;
  for (const auto& snapshot : all.snapshots) {
    if (!lasts(snapshot)) continue;
    const auto branch = std::ranges::find(all.branches, snapshot.branch, &catalog::BranchRecord::id);
    names.push_back(snapshot_path(project, *branch, snapshot.name));
  }
  return names;
}

std::string count_of_snapshots(const std::vector<std::string>& names) {
  return names.size() == 1 ? fmt::format("a snapshot, {}", names.front())
                           : fmt::format("{} snapshots, {} among them", names.size(), names.front());
}

// Children before parents, as the catalog's references want it.
std::vector<catalog::SweepRecord> remove_all(const Operation& operation, catalog::Transaction& transaction,
                                             const catalog::ProjectRecord& project, const Doomed& all) {
  std::map<IncarnationId, catalog::SweepRecord> volumes;  // a snapshot can be the volume of a former body
  for (const auto& snapshot : all.snapshots) {
    volumes.emplace(snapshot.id, doomed_snapshot(project, snapshot, operation));
    transaction.remove_snapshot(snapshot.id);
  }
  for (auto branch = all.branches.rbegin(); branch != all.branches.rend(); ++branch) {
    volumes.emplace(branch->incarnation, doomed(project, branch->incarnation, operation));
    transaction.remove_branch(branch->id);
  }
  for (const auto& body : all.bodies) {
    volumes.emplace(body.id, doomed(project, body.id, operation));
    transaction.remove_incarnation(body.id);
  }
  std::vector<catalog::SweepRecord> list;
  for (const auto& [id, volume] : volumes) {
    transaction.insert(volume);
    list.push_back(volume);
  }
  return list;
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
  const auto snapshots_lock = lock_snapshots(engine, branches);
  const Doomed all = with_belongings(engine, branches);
  const auto lasting =
      lasting_snapshots(project, all, request.only_if_expired ? outlasts_its_branch : is_kept_by_somebody);
  if (!lasting.empty() && !request.cascade) {
    throw Error(ErrorCode::conflict, fmt::format("branch {} has {}", path.text(), count_of_snapshots(lasting)),
                fmt::format("`pgtwig branch delete {} --cascade` deletes them, too", path.text()));
  }
  return engine.operations().run("branch delete", path.text(), listener, [&](Operation& operation) {
    for (const std::string& heir : heirs(engine, project, all)) {
      operation.notice(fmt::format(
          "{} was reset from it, and can't be recovered to before its own oldest restore point any more", heir));
    }
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    const auto volumes = remove_all(operation, *transaction, project, all);
    operation.commit(*transaction);
    transaction.reset();
    engine.sweeper().enqueue(volumes);
    std::vector<std::string> names;
    for (const auto& deleted : branches) names.push_back(project.name.text() + "/" + deleted.name.text());
    return names;
  });
}

std::vector<std::string> delete_project(Engine& engine, const DeleteProject& request, Listener& listener) {
  if (request.if_exists && !engine.catalog().find_project(request.name)) return {};
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
  const auto snapshots_lock = lock_snapshots(engine, branches);
  const Doomed all = with_belongings(engine, branches);
  const auto lasting = lasting_snapshots(project, all, is_kept_by_somebody);
  if (!lasting.empty() && !request.force) {
    throw Error(ErrorCode::conflict, fmt::format("project {} has {}", project.name.text(), count_of_snapshots(lasting)),
                fmt::format("`pgtwig project delete {} --force` deletes them, too", project.name.text()));
  }
  engine.operations().run("project delete", project.name.text(), listener, [&](Operation& operation) {
    auto transaction = engine.catalog().begin();
    operation.record_begin(*transaction);
    const auto volumes = remove_all(operation, *transaction, project, all);
    transaction->remove_project(project.id);
    operation.commit(*transaction);
    transaction.reset();
    engine.sweeper().enqueue(volumes);
  });
  return {project.name.text()};
}

}  // namespace pgtwig::engine
