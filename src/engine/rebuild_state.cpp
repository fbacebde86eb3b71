// A new catalog from the volumes alone, when the old one is lost or damaged.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/fs.h"
#include "catalog/manifest.h"
#include "engine/body.h"
#include "engine/pools.h"
#include "engine/ports.h"
#include "engine/use_cases.h"
#include "storage/pool_image.h"

namespace pgtwig::engine {
namespace {

using std::filesystem::path;

struct FoundPool {
  PoolId id;
  PoolName name;
  path directory;
  path image;
};

// The pools below the state directory, images mounted, and those that were named.
std::vector<FoundPool> find_pools(const Paths& paths, const std::vector<path>& more) {
  std::map<path, path> candidates;  // directory -> image
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(paths.pools(), absent)) {
    if (entry.is_directory()) candidates.try_emplace(entry.path());
    if (entry.path().extension() == ".img") candidates[path(entry.path()).replace_extension()] = entry.path();
  }
  for (const path& directory : more) candidates.try_emplace(std::filesystem::canonical(directory));
  std::vector<FoundPool> pools;
  for (const auto& [directory, image] : candidates) {
    if (!image.empty() && !storage::is_mounted(directory)) {
      make_directories(directory, 0711);
      storage::mount_image(image, directory);
    }
    if (const auto marker = read_pool_marker(directory)) {
      pools.push_back({.id = marker->id, .name = marker->name, .directory = directory, .image = image});
    }
  }
  return pools;
}

std::optional<catalog::Manifest> read_manifest(const path& volume) {
  const auto text = read_file_if_exists(volume / catalog::manifest_file_name);
  if (!text) return std::nullopt;
  auto manifest = catalog::parse_manifest(*text);
  if (!manifest) return std::nullopt;
  return *manifest;
}

// Collects the manifests that are true of their volumes, one a branch: the newest body of it.
class Collection {
 public:
  Collection(Engine& engine, RebuildReport& report) : engine_(engine), report_(report) {}

  void add_pool(const FoundPool& pool) {
    const std::string driver_name = storage::probe_driver_name(pool.directory);
    const auto driver = engine_.open_driver(driver_name, pool.directory);
    pools_.push_back({.id = pool.id,
                      .name = pool.name,
                      .driver = driver_name,
                      .directory = pool.directory,
                      .image = pool.image,
                      .mount_point = pool.image.empty() ? path() : pool.directory,
                      .created_at = engine_.clock().now()});
    for (const storage::VolumeEntry& entry : driver->list()) {
      if (entry.id) add_volume(pool, *driver, *entry.id);
    }
  }

  void insert_into_catalog() {
    auto transaction = engine_.catalog().begin();
    for (const auto& pool : pools_) transaction->insert(pool);
    std::map<ProjectId, std::vector<catalog::BranchRecord>> by_project;
    std::map<ProjectId, catalog::ProjectRecord> projects;
    for (const auto& [id, manifest] : manifests_) {
      projects.emplace(manifest.project.id, manifest.project);
      by_project[manifest.project.id].push_back(manifest.branch);
    }
    for (const auto& [id, project] : projects) insert_project(*transaction, project, by_project[id]);
    report_.pools = static_cast<int>(pools_.size());
    transaction->commit();
  }

 private:
  void add_volume(const FoundPool& pool, storage::VolumeDriver& driver, const storage::VolumeId& volume) {
    const auto manifest = read_manifest(pool.directory / volume.text());
    if (!manifest || manifest->installation != engine_.catalog().installation() ||
        manifest->branch.incarnation != volume || manifest->identity != driver.identity(volume)) {
      report_.notes.push_back(fmt::format("volume {} in pool {} has no manifest of its own and was left alone",
                                          volume.text(), pool.name.text()));
      return;
    }
    const auto [at, is_new] = manifests_.try_emplace(manifest->branch.id, *manifest);
    if (is_new) return;
    const bool is_newer = at->second.branch.origin.time < manifest->branch.origin.time;
    const IncarnationId& older = is_newer ? at->second.branch.incarnation : manifest->branch.incarnation;
    report_.notes.push_back(fmt::format("volume {} is an older body of {}/{} and was left alone", older.text(),
                                        manifest->project.name.text(), manifest->branch.name.text()));
    if (is_newer) at->second = *manifest;
  }

  void insert_project(catalog::Transaction& transaction, const catalog::ProjectRecord& project,
                      std::vector<catalog::BranchRecord> branches) {
    const auto main = std::ranges::find_if(branches, [](const auto& branch) { return branch.name.is_main(); });
    if (main == branches.end()) {
      report_.notes.push_back(fmt::format("project {} has no volume of main: its {} other volumes were left alone",
                                          project.name.text(), branches.size()));
      return;
    }
    if (!project_names_.insert(project.name.text()).second) {
      report_.notes.push_back(
          fmt::format("a second project {} ({}) was left alone", project.name.text(), project.id.text()));
      return;
    }
    const BranchId main_id = main->id;
    transaction.insert(project);
    ++report_.projects;
    // Parents before children; whose parent is lost, or would come in a circle, descends from main.
    std::set<BranchId> inserted;
    while (!branches.empty()) {
      auto next = std::ranges::find_if(branches, [&](const auto& branch) {
        return branch.id == main_id || (branch.parent && inserted.contains(*branch.parent));
      });
      if (next == branches.end()) {
        next = branches.begin();
        report_.notes.push_back(fmt::format("the parent of {}/{} is lost; it descends from main now",
                                            project.name.text(), next->name.text()));
        next->parent = main_id;
      }
      inserted.insert(next->id);
      insert_branch(transaction, project, *next);
      branches.erase(next);
    }
  }

  void insert_branch(catalog::Transaction& transaction, const catalog::ProjectRecord& project,
                     catalog::BranchRecord branch) {
    const PortRange& range = engine_.config().ports;
    for (std::uint16_t port = range.first; used_ports_.contains(branch.port) && port < range.last; ++port) {
      if (used_ports_.contains(port)) continue;
      report_.notes.push_back(fmt::format("{}/{} moves from port {} to {}, which was given twice", project.name.text(),
                                          branch.name.text(), branch.port, port));
      branch.port = port;
    }
    used_ports_.insert(branch.port);
    transaction.insert(branch);
    ++report_.branches;
  }

  Engine& engine_;
  RebuildReport& report_;
  std::vector<catalog::PoolRecord> pools_;
  std::map<BranchId, catalog::Manifest> manifests_;
  std::set<std::string> project_names_;
  std::set<std::uint16_t> used_ports_;
};

}  // namespace

bool has_pools(const Paths& paths) {
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(paths.pools(), absent)) {
    if (entry.path().extension() == ".img" || read_pool_marker(entry.path())) return true;
  }
  return false;
}

std::optional<InstallationId> find_installation_of_volumes(const Paths& paths,
                                                           const std::vector<path>& pool_directories) {
  std::map<InstallationId, int> counts;
  for (const FoundPool& pool : find_pools(paths, pool_directories)) {
    for (const auto& entry : std::filesystem::directory_iterator(pool.directory)) {
      if (!is_hex_128(entry.path().filename().string())) continue;
      if (const auto manifest = read_manifest(entry.path())) ++counts[manifest->installation];
    }
  }
  if (counts.empty()) return std::nullopt;
  if (counts.size() > 1) {
    throw Error(ErrorCode::conflict, fmt::format("the pools hold volumes of {} installations", counts.size()),
                "name only the pools of one with --pool-directory");
  }
  return counts.begin()->first;
}

RebuildReport rebuild_state(Engine& engine, const std::vector<path>& pool_directories) {
  RebuildReport report;
  Collection collection(engine, report);
  for (const FoundPool& pool : find_pools(engine.paths(), pool_directories)) collection.add_pool(pool);
  collection.insert_into_catalog();
  return report;
}

}  // namespace pgtwig::engine
