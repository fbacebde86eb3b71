// A new catalog from the volumes alone, when the old one is lost or damaged.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/error.h"
#include "base/fs.h"
#include "catalog/manifest.h"
#include "engine/body.h"
#include "engine/known_pools.h"
#include "engine/pools.h"
#include "engine/ports.h"
#include "engine/rebuild_history.h"
#include "engine/use_cases.h"
#include "storage/pool_image.h"

namespace pgtwig::engine {
namespace {

using std::filesystem::path;

struct FoundPool {
  PoolMarker marker;
  path directory;
  path image;
};
using Notes = std::vector<std::string>;

// Where pools may lie: below the state directory, where some were made, and where the caller says; with their images.
std::map<path, path> candidates(const Paths& paths, const std::vector<path>& more) {
  std::map<path, path> images;  // by directory
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(paths.pools(), error)) {
    if (entry.is_directory(error)) images.try_emplace(entry.path());
    if (entry.path().extension() == ".img") images[path(entry.path()).replace_extension()] = entry.path();
  }
  for (const path& directory : more) images.try_emplace(std::filesystem::weakly_canonical(directory));
  if (const auto known = read_known_pools(paths)) {
    for (const KnownPool& pool : known->pools) {
      path& image = images[pool.directory];
      if (!pool.image.empty()) image = pool.image;
    }
  }
  return images;
}

// Those that can be opened, images mounted; the others are noted.
std::vector<FoundPool> find_pools(const Paths& paths, const std::vector<path>& more, Notes& notes) {
  std::vector<FoundPool> pools;
  for (const auto& [directory, image] : candidates(paths, more)) {
    try {
      if (!image.empty() && !storage::is_mounted(directory)) {
        make_directories(directory, 0711);
        storage::mount_image(image, directory);
      }
      const auto marker = read_pool_marker(directory);
      if (!marker) {
        notes.push_back(
            fmt::format("{} is not a pool, or not mounted: what it holds was left out; with it in place, "
                        "`pgtwig state rebuild` takes it up",
                        directory.string()));
        continue;
      }
      pools.push_back({.marker = *marker, .directory = directory, .image = image});
    } catch (...) {
      notes.push_back(fmt::format("the pool in {} cannot be opened and was left out: {}", directory.string(),
                                  describe_current_exception()));
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
  Collection(Engine& engine, const DoomedVolumes& doomed, RebuildReport& report)
      : engine_(engine), doomed_(doomed), report_(report) {}

  void add_pool(const FoundPool& pool) {
    try {
      const auto driver = engine_.open_driver(pool.marker.driver, pool.directory);
      const auto volumes = driver->list();
      if (!pool_names_.insert(pool.marker.name.text()).second || !pool_ids_.insert(pool.marker.id).second) {
        note("a second pool {} in {} was left out", pool.marker.name.text(), pool.directory.string());
        return;
      }
      pools_.push_back({.id = pool.marker.id,
                        .name = pool.marker.name,
                        .driver = pool.marker.driver,
                        .directory = pool.directory,
                        .image = pool.image,
                        .mount_point = pool.image.empty() ? path() : pool.directory,
                        .created_at = engine_.clock().now()});
      for (const storage::VolumeEntry& entry : volumes) {
        if (entry.id) add_volume(pool, *driver, *entry.id);
      }
      history_.add_archives(pool.directory);
    } catch (...) {
      note("pool {} in {} was left out: {}", pool.marker.name.text(), pool.directory.string(),
           describe_current_exception());
    }
  }

  void insert_into_catalog() {
    auto transaction = engine_.catalog().begin();
    for (const auto& pool : pools_) transaction->insert(pool);
    insert_doomed(*transaction);
    std::map<ProjectId, std::vector<catalog::BranchRecord>> by_project;
    std::map<ProjectId, catalog::ProjectRecord> by_id;
    for (const auto& [id, manifest] : manifests_) {
      by_id.emplace(manifest.project.id, manifest.project);
      by_project[manifest.project.id].push_back(manifest.branch);
    }
    std::vector<catalog::ProjectRecord> projects;
    for (const auto& [id, project] : by_id) projects.push_back(project);
    // Of two with one name, the older has been deleted and its volumes not yet.
    std::ranges::sort(projects, std::greater(), &catalog::ProjectRecord::created_at);
    for (const auto& project : projects) insert_project(*transaction, project, by_project[project.id]);
    report_.pools = static_cast<int>(pools_.size());
    transaction->commit();
    history_.note_the_rest();
    for (const std::string& text : history_.notes()) report_.notes.push_back(text);
  }

 private:
  using Branches = std::vector<catalog::BranchRecord>;

  template <class... Arguments>
  void note(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    report_.notes.push_back(fmt::format(text, std::forward<Arguments>(arguments)...));
  }

  void add_volume(const FoundPool& pool, storage::VolumeDriver& driver, const storage::VolumeId& volume) {
    try {
      const auto manifest = read_manifest(pool.directory / volume.text());
      if (!manifest || manifest->installation != engine_.catalog().installation() ||
          manifest->project.pool != pool.marker.id || manifest->branch.incarnation != volume ||
          manifest->identity != driver.identity(volume)) {
        note("volume {} in pool {} has no manifest of its own and was left alone", volume.text(),
             pool.marker.name.text());
      } else if (!manifest->committed) {
        note("volume {} was being made for {}/{} and never finished; it was left alone", volume.text(),
             manifest->project.name.text(), manifest->branch.name.text());
      } else if (doomed_.volumes.contains(volume)) {
        note("volume {} of {}/{} had been replaced or deleted and does not come back", volume.text(),
             manifest->project.name.text(), manifest->branch.name.text());
      } else if (manifest->snapshot) {
        history_.add_snapshot(*manifest->snapshot);
      } else {
        add_body(*manifest);
      }
    } catch (...) {
      note("volume {} in pool {} cannot be read and was left alone: {}", volume.text(), pool.marker.name.text(),
           describe_current_exception());
    }
  }

  void add_body(const catalog::Manifest& manifest) {
    const auto [at, is_new] = manifests_.try_emplace(manifest.branch.id, manifest);
    if (is_new) return;
    const bool is_newer = at->second.branch.origin.time < manifest.branch.origin.time;
    const IncarnationId& older = is_newer ? at->second.branch.incarnation : manifest.branch.incarnation;
    note("volume {} is an older body of {}/{} and was left alone", older.text(), manifest.project.name.text(),
         manifest.branch.name.text());
    if (is_newer) at->second = manifest;
  }

  // On the list of the new catalog, they go, and another rebuild before that knows them, too. In a pool that is away
  // they do when it is back: its record comes along.
  void insert_doomed(catalog::Transaction& transaction) {
    for (const auto& [id, volume] : doomed_.volumes) {
      const auto pool = std::ranges::find(doomed_.pools, volume.pool, &catalog::PoolRecord::id);
      if (!pool_ids_.contains(volume.pool) && pool != doomed_.pools.end() &&
          pool_names_.insert(pool->name.text()).second) {
        pool_ids_.insert(pool->id);
        transaction.insert(*pool);
      }
      if (pool_ids_.contains(volume.pool)) {
        transaction.insert(volume);
      } else {
        note(
            "volume {} had been replaced or deleted, and its pool was left out: with that in place, a rebuild takes "
            "it for what it was",
            id.text());
      }
    }
  }

  void insert_project(catalog::Transaction& transaction, const catalog::ProjectRecord& project, Branches branches) {
    leave_out_namesakes(project, branches);
    const auto main = std::ranges::find_if(branches, [](const auto& branch) { return branch.name.is_main(); });
    if (main == branches.end()) {
      note("project {} has no volume of main: its {} other volumes were left alone", project.name.text(),
           branches.size());
      return;
    }
    if (project_names_.contains(project.name.text())) {
      note("a second project {} ({}) was left alone", project.name.text(), project.id.text());
      return;
    }
    const BranchId main_id = main->id;
    if (!insert_branch(transaction, project, *main)) return;
    transaction.insert(project);
    project_names_.insert(project.name.text());
    ++report_.projects;
    branches.erase(main);
    // Parents before children; whose parent is lost, or would come in a circle, descends from main.
    std::set<BranchId> inserted{main_id};
    while (!branches.empty()) {
      const auto next = next_branch(branches, inserted);
      if (!next->parent || !inserted.contains(*next->parent)) {
        note("the parent of {}/{} is lost; it descends from main now", project.name.text(), next->name.text());
        next->parent = main_id;
      }
      if (insert_branch(transaction, project, *next)) inserted.insert(next->id);
      branches.erase(next);
    }
  }

  // Of two branches with one name, the older has been deleted and its volume not yet.
  void leave_out_namesakes(const catalog::ProjectRecord& project, Branches& branches) {
    std::ranges::sort(branches, std::greater(), &catalog::BranchRecord::created_at);
    std::set<std::string> names;
    std::erase_if(branches, [&](const catalog::BranchRecord& branch) {
      if (names.insert(branch.name.text()).second) return false;
      note("volume {} is of an older branch {}/{} and was left alone", branch.incarnation.text(), project.name.text(),
           branch.name.text());
      return true;
    });
  }

  // One whose parent is there; else one whose parent will never be.
  static Branches::iterator next_branch(Branches& branches, const std::set<BranchId>& inserted) {
    const auto has_parent = [&](const auto& branch) { return branch.parent && inserted.contains(*branch.parent); };
    const auto is_orphan = [&](const auto& branch) {
      return !branch.parent ||
             std::ranges::find(branches, *branch.parent, &catalog::BranchRecord::id) == branches.end();
    };
    auto next = std::ranges::find_if(branches, has_parent);
    if (next == branches.end()) next = std::ranges::find_if(branches, is_orphan);
    return next == branches.end() ? branches.begin() : next;
  }

  std::optional<std::uint16_t> free_port(std::uint16_t wanted) const {
    if (!used_ports_.contains(wanted)) return wanted;
    const PortRange& range = engine_.config().ports;
    const DaemonPorts daemons = daemon_ports(engine_.config());
    for (int number = range.first; number <= range.last; ++number) {
      const auto port = static_cast<std::uint16_t>(number);
      if (!used_ports_.contains(port) && !daemons.contains(port)) return port;
    }
    return std::nullopt;
  }

  // Whether it could be given a port.
  bool insert_branch(catalog::Transaction& transaction, const catalog::ProjectRecord& project,
                     catalog::BranchRecord branch) {
    const auto port = free_port(branch.port);
    if (!port) {
      note("{}/{} was left alone: its port {} was given twice and no other is free", project.name.text(),
           branch.name.text(), branch.port);
      return false;
    }
    if (*port != branch.port) {
      note("{}/{} moves from port {} to {}, which was given twice", project.name.text(), branch.name.text(),
           branch.port, *port);
      branch.port = *port;
    }
    used_ports_.insert(branch.port);
    transaction.insert(branch);
    const auto pool = std::ranges::find(pools_, project.pool, &catalog::PoolRecord::id);
    history_.insert(transaction, branch, pool->directory / branch.incarnation.text() / "data");
    if (const auto& schedule = manifests_.at(branch.id).schedule) transaction.put(*schedule);
    ++report_.branches;
    return true;
  }

  Engine& engine_;
  const DoomedVolumes& doomed_;
  RebuildReport& report_;
  std::set<std::string> pool_names_;
  std::set<PoolId> pool_ids_;
  std::vector<catalog::PoolRecord> pools_;
  std::map<BranchId, catalog::Manifest> manifests_;
  RebuiltHistory history_;
  std::set<std::string> project_names_;
  std::set<std::uint16_t> used_ports_;
};

std::optional<InstallationId> choose_installation(const Paths& paths, const std::vector<FoundPool>& pools) {
  std::set<InstallationId> found;
  for (const FoundPool& pool : pools) found.insert(pool.marker.installation);
  const auto known = read_known_pools(paths);
  if (known && (found.empty() || found.contains(known->installation))) return known->installation;
  if (found.empty()) return std::nullopt;
  if (found.size() > 1) {
    throw Error(ErrorCode::conflict, fmt::format("there are pools of {} installations", found.size()),
                "name only the pools of one with --pool-directory");
  }
  return *found.begin();
}

// The pool in a directory that was named; a rebuild without it would lose what somebody believes to be taken up.
const FoundPool& require_pool(const std::vector<FoundPool>& pools, const path& directory) {
  const auto pool = std::ranges::find(pools, std::filesystem::weakly_canonical(directory), &FoundPool::directory);
  if (pool != pools.end()) return *pool;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} is no pool, or not mounted", directory.string()),
              fmt::format("a pool is a directory that holds a file {}", pool_marker_file_name));
}

}  // namespace

bool has_pools(const Paths& paths) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(paths.pools(), error)) {
    if (entry.path().extension() == ".img") return true;
    if (entry.is_directory(error) && read_pool_marker(entry.path())) return true;
  }
  const auto known = read_known_pools(paths);
  return known && !known->pools.empty();
}

std::optional<InstallationId> find_installation_of_volumes(const Paths& paths,
                                                           const std::vector<path>& pool_directories) {
  Notes noted_by_the_rebuild;
  const auto pools = find_pools(paths, pool_directories, noted_by_the_rebuild);
  const auto installation = choose_installation(paths, pools);
  for (const path& directory : pool_directories) {
    if (require_pool(pools, directory).marker.installation == installation) continue;
    throw Error(ErrorCode::conflict, fmt::format("{} is a pool of another installation", directory.string()),
                "name only the pools of this one with --pool-directory");
  }
  return installation;
}

RebuildReport rebuild_state(Engine& engine, const std::vector<path>& pool_directories, const DoomedVolumes& doomed) {
  RebuildReport report;
  Collection collection(engine, doomed, report);
  for (const FoundPool& pool : find_pools(engine.paths(), pool_directories, report.notes)) collection.add_pool(pool);
  collection.insert_into_catalog();
  // Those that are away now are still known afterwards.
  const auto known = read_known_pools(engine.paths());
  remember_pools(engine, known ? known->pools : std::vector<KnownPool>());
  return report;
}

}  // namespace pgtwig::engine
