// What a person wrote for where a body is to come from, as a branch and a moment of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "base/error.h"
#include "engine/body.h"
#include "engine/snapshots.h"

namespace pgtwig::engine {
namespace {

Point one_point(const BranchReference& reference, const std::optional<Point>& at) {
  if (!at || std::holds_alternative<Now>(*at)) return reference.point;
  if (std::holds_alternative<Now>(reference.point)) return *at;
  throw Error(ErrorCode::invalid_argument, "there are two points: one behind the @ and one in --at",
              "leave one of them out");
}

BranchPath parent_of(Engine& engine, const BranchPath& self) {
  const catalog::ProjectRecord project = require_project(engine, self.project);
  const auto branch = engine.catalog().find_branch(project.id, self.branch);
  if (!branch)
    throw Error(ErrorCode::not_found, fmt::format("branch {} does not exist, so it has no parent", self.text()));
  const auto parent = branch->parent ? engine.catalog().find_branch(*branch->parent) : std::nullopt;
  if (!parent) throw Error(ErrorCode::conflict, fmt::format("branch {} has no parent", self.text()));
  return {self.project, parent->name};
}

BranchPath named_branch(Engine& engine, const BranchPath& self, const BranchReference& reference) {
  const auto branch = BranchName::parse(reference.branch_text);
  if (!branch)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("bad branch name {}: {}", reference.branch_text, branch.error()));
  if (!reference.project) return {self.project, *branch};
  const auto project = ProjectName::parse(*reference.project);
  // "feature/x" in `--from feature/x` is a branch of the same project when there is no project "feature".
  const bool is_project = project && engine.catalog().find_project(*project);
  if (!is_project) {
    const auto whole = BranchName::parse(*reference.project + "/" + reference.branch_text);
    const auto own = engine.catalog().find_project(self.project);
    if (whole && own && engine.catalog().find_branch(own->id, *whole)) return {self.project, *whole};
  }
  if (!project)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("bad project name {}: {}", *reference.project, project.error()));
  return {*project, *branch};
}

// The snapshot that a single word names where it names no branch.
std::optional<Source> snapshot_in_place_of_a_branch(Engine& engine, const BranchPath& path) {
  const auto project = engine.catalog().find_project(path.project);
  if (!project || engine.catalog().find_branch(project->id, path.branch)) return std::nullopt;
  std::vector<Source> found;
  for (const auto& branch : engine.catalog().branches(project->id)) {
    const auto snapshot = engine.catalog().find_snapshot(branch.id, path.branch.text());
    if (!snapshot) continue;
    Source source{{path.project, branch.name}, SnapshotName{snapshot->name}, snapshot};
    if (branch.name.is_main()) return source;
    found.push_back(std::move(source));
  }
  if (found.empty()) return std::nullopt;
  if (found.size() == 1) return found.front();
  std::vector<std::string> names;
  for (const Source& source : found) names.push_back(source.branch.text() + "@" + path.branch.text());
  throw Error(ErrorCode::invalid_argument,
              fmt::format("more than one branch has a snapshot {}: {}", path.branch.text(), fmt::join(names, ", ")),
              fmt::format("write --from {}", names.front()));
}

}  // namespace

Source resolve_source(Engine& engine, const BranchPath& self, const BranchReference& reference,
                      const std::optional<Point>& at) {
  Source source{self, one_point(reference, at), {}};
  if (reference.branch_text == "^parent") {
    source.branch = parent_of(engine, self);
  } else if (reference.branch_text != "^self") {
    source.branch = named_branch(engine, self, reference);
    if (std::holds_alternative<Now>(source.point) && !(source.branch == self)) {
      if (const auto snapshot = snapshot_in_place_of_a_branch(engine, source.branch)) return *snapshot;
    }
  }
  if (const auto* name = std::get_if<SnapshotName>(&source.point)) {
    source.snapshot = require_snapshot(engine, source.branch, name->text);
  }
  return source;
}

bool is_in_the_past(const Source& source) {
  return !source.snapshot && !std::holds_alternative<Now>(source.point);
}

Body require_source_body(Engine& engine, const Source& source) {
  const auto [project, branch] = require_branch(engine, source.branch);
  if (source.snapshot && source.snapshot->branch != branch.id) {
    throw Error(ErrorCode::busy, fmt::format("{} was renamed meanwhile", source.branch.text()), "try again");
  }
  return source.snapshot ? snapshot_body(engine, project, branch, *source.snapshot)
                         : load_body(engine, project, branch);
}

}  // namespace pgtwig::engine
