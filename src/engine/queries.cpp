// What can be asked without changing anything: readers never wait for a lock.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "engine/body.h"
#include "engine/connection_counter.h"
#include "engine/lineage_of.h"
#include "engine/size_meter.h"
#include "engine/sleep.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

constexpr std::chrono::milliseconds patience_for_a_size{500};
constexpr std::uint64_t longest_log_read = 4u << 20;

// The state of a branch whose pool cannot be reached.
BranchView away_view(const Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                     const Error& error) {
  BranchView view;
  view.project = project.name.text();
  view.branch = branch.name.text();
  view.name = view.project + "/" + view.branch;
  view.state = "failed";
  view.host = loopback;
  view.port = branch.port;
  view.runtime = project.runtime;
  view.pg_version = project.pg_major;
  view.durability = catalog::durability_name(branch.durability);
  view.created_at = branch.created_at;
  view.expires_at = branch.expires_at;
  view.suspend_after = suspend_after_text(suspend_after_of(engine.config(), project, branch));
  view.settings = branch.settings;
  view.warnings.push_back(error.message());
  return view;
}

// Not part of what an operation answers: the kernel takes some 2 ms to show its table of connections.
void add_connections(Engine& engine, BranchView& view) {
  if (!view.pid) return;
  try {
    view.connections = engine.connections().count(view.port);
  } catch (const Error& error) {
    view.warnings.push_back(fmt::format("its connections cannot be counted: {}", error.message()));
  }
}

void add_branches(Engine& engine, const catalog::ProjectRecord& project, std::vector<BranchView>& views) {
  for (const auto& branch : engine.catalog().branches(project.id)) {
    try {
      BranchView view = branch_view(engine, load_body(engine, project, branch));
      add_connections(engine, view);
      views.push_back(std::move(view));
    } catch (const Error& error) {
      views.push_back(away_view(engine, project, branch, error));
    }
  }
}

// The last `lines` lines of a file, of which not more than longest_log_read bytes are looked at.
std::string last_lines(const std::filesystem::path& file, int lines) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return {};
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  const off_t from = std::max<off_t>(0, size - static_cast<off_t>(longest_log_read));
  std::string text(static_cast<std::size_t>(size - from), '\0');
  const ssize_t count = ::pread(fd.get(), text.data(), text.size(), from);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  std::size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  for (int found = 0; found < lines && at != std::string::npos && at > 0; ++found) at = text.rfind('\n', at - 1);
  if (at == std::string::npos || at == 0) return text;
  return text.substr(at + 1);
}

}  // namespace

std::vector<ProjectView> list_projects(Engine& engine) {
  std::vector<ProjectView> views;
  for (const auto& project : engine.catalog().projects()) views.push_back(project_view(engine, project));
  return views;
}

ProjectView get_project(Engine& engine, const ProjectName& name) {
  return project_view(engine, require_project(engine, name));
}

std::vector<BranchView> list_branches(Engine& engine, const std::optional<ProjectName>& project) {
  std::vector<BranchView> views;
  if (project) {
    add_branches(engine, require_project(engine, *project), views);
  } else {
    for (const auto& record : engine.catalog().projects()) add_branches(engine, record, views);
  }
  return views;
}

BranchView get_branch(Engine& engine, const BranchPath& path) {
  const Body body = require_body(engine, path);
  engine.sizes().measure(body.pool, body.branch.incarnation, patience_for_a_size);
  BranchView view = branch_view(engine, body);
  add_connections(engine, view);
  try {
    add_history(engine, body, view);
  } catch (const Error& error) {
    view.warnings.push_back(fmt::format("its history cannot be read: {}", error.message()));
  }
  return view;
}

CredentialsView branch_credentials(Engine& engine, const BranchPath& path) {
  const auto [project, branch] = require_branch(engine, path);
  return credentials_view(engine, {.project = project, .branch = branch, .pool = nullptr});
}

std::string branch_log(Engine& engine, const BranchPath& path, int lines) {
  const auto [project, branch] = require_branch(engine, path);
  engine.instances().collect_log(branch.incarnation);
  return last_lines(engine.paths().instance_log(branch.incarnation), lines);
}

std::vector<PoolView> list_pools(Engine& engine) {
  std::vector<PoolView> views;
  for (const auto& pool : engine.catalog().pools()) views.push_back(engine.pools().view(pool));
  return views;
}

PoolView get_pool(Engine& engine, const PoolName& name) {
  const auto pool = engine.catalog().find_pool(name);
  if (pool) return engine.pools().view(*pool);
  throw Error(ErrorCode::not_found, fmt::format("pool {} does not exist", name.text()), "`pgtwig pool list` shows all");
}

std::vector<OperationView> list_operations(Engine& engine, int limit) {
  // What runs now knows more of itself than its record does.
  std::vector<OperationView> views = engine.operations().live();
  for (const auto& record : engine.catalog().operations(limit)) {
    const bool is_live = std::ranges::any_of(views, [&](const auto& view) { return view.id == record.id.text(); });
    if (!is_live) views.push_back(operation_view(record));
  }
  std::ranges::stable_sort(views, std::ranges::greater(), &OperationView::started_at);
  if (views.size() > static_cast<std::size_t>(limit)) views.resize(static_cast<std::size_t>(limit));
  return views;
}

OperationView get_operation(Engine& engine, const std::string& id_or_prefix) {
  std::vector<OperationView> found;
  for (const OperationView& view : list_operations(engine, 100'000)) {
    if (view.id.starts_with(id_or_prefix)) found.push_back(view);
  }
  if (found.size() == 1 && !id_or_prefix.empty()) return found.front();
  if (found.empty()) {
    throw Error(ErrorCode::not_found, fmt::format("operation {} does not exist", id_or_prefix),
                "`pgtwig operation list` shows the last ones");
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("more than one operation's id begins with \"{}\"", id_or_prefix),
              "write more of it; `pgtwig operation list` shows the last ones");
}

StatusView get_status(Engine& engine) {
  StatusView view{.version = PGTWIG_VERSION,
                  .pid = ::getpid(),
                  .root = engine.paths().state.string(),
                  .started_at = engine.opened_at(),
                  .pools = list_pools(engine),
                  .branches = list_branches(engine, std::nullopt),
                  .postgres_versions = {},
                  .endpoint = engine.endpoint(),
                  .metrics = engine.metrics_place()};
  for (const auto& installation : engine.installations()) view.postgres_versions.push_back(installation.version);
  return view;
}

}  // namespace pgtwig::engine
