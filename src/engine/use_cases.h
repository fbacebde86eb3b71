// Everything that pgtwig can be asked to do. One use case, one file of its name; each reads top to bottom like its step
// list.
//
// All are blocking and may be called from several threads at once. All throw Error. Those that change something take
// locks by name, are recorded as an operation, and either happen wholly or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/paths.h"
#include "catalog/catalog.h"
#include "engine/views.h"
#include "postgres/consistency.h"

namespace pgtwig::engine {

class Engine;  // engine/engine.h: the catalog, the drivers, the runtime, the clock
class Listener;

// Hears the events of one operation as they happen; called on the operation's thread.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_event(const Event& event) = 0;
};

// For what is done without anybody asking.
class NobodyListens final : public Listener {
 public:
  void on_event(const Event&) override {}
};

// What a branch's container may use at most, as somebody writes it; "none" takes a limit away, absent leaves it.
struct LimitsChoice {
  std::optional<std::string> cpus = {};    // "1.5"
  std::optional<std::string> memory = {};  // "512MB"
  bool is_empty() const { return !cpus && !memory; }
};

struct CreateProject {
  ProjectName name;
  std::optional<int> pg_major = {};
  std::optional<PoolName> pool = {};
  std::optional<std::string> runtime = {};
  std::optional<std::string> image = {};  // absent: the configured one, or postgres:VERSION
  bool pull = false;                      // fetches the image first
  LimitsChoice limits = {};               // of main
  std::optional<std::uint16_t> port = {};
  catalog::Settings settings = {};
  std::optional<std::chrono::seconds> suspend_after = {};  // of its branches; zero: never; absent: as configured
  catalog::Files files = {};                               // see change_files()
  std::string locale = "C.UTF-8";
  int dump_fd = -1;  // seekable; -1: none
};
ProjectView create_project(Engine&, const CreateProject&, Listener&);
std::vector<ProjectView> list_projects(Engine&);
ProjectView get_project(Engine&, const ProjectName&);
ProjectView rename_project(Engine&, const ProjectName&, const ProjectName& new_name, Listener&);
// The data stay; the branches that run are restarted.
struct ChangeRuntime {
  ProjectName name;
  std::string runtime;
  std::optional<std::string> image = {};
  bool pull = false;
  bool accept_collation_change = false;
};
ProjectView change_runtime(Engine&, const ChangeRuntime&, Listener&);
// The configuration files that its user keeps: "postgresql.conf", "pg_hba.conf", "pg_ident.conf" -> text, of which an
// empty one takes the file away, and what isn't named stays. They are tried first, and count from each branch's next
// start on. Throws Error invalid_argument, with PostgreSQL's own words, when it doesn't start with them.
ProjectView change_files(Engine&, const ProjectName&, const catalog::Files& changes, Listener&);
struct DeleteProject {
  ProjectName name;
  bool force = false;  // with its branches
  bool if_exists = false;
};
// The names of all that were deleted.
std::vector<std::string> delete_project(Engine&, const DeleteProject&, Listener&);

struct CreateBranch {
  BranchPath path;
  std::optional<BranchReference> from = {};  // absent: the project's main, now
  std::optional<Point> at = {};
  postgres::Consistency consistency = postgres::Consistency::automatic;
  std::optional<std::uint16_t> port = {};
  catalog::Durability durability = catalog::Durability::full;
  std::optional<std::chrono::seconds> time_to_live = {};
  bool start = true;
  bool if_not_exists = false;
  catalog::Settings settings = {};
  std::optional<std::chrono::seconds> suspend_after = {};  // zero: never; absent: as its project's
  LimitsChoice limits = {};
};
BranchView create_branch(Engine&, const CreateBranch&, Listener&);
// By project, main first; all projects when absent.
std::vector<BranchView> list_branches(Engine&, const std::optional<ProjectName>&);
BranchView get_branch(Engine&, const BranchPath&);
BranchView rename_branch(Engine&, const BranchPath&, const BranchName& new_name, Listener&);
struct DeleteBranch {
  BranchPath path;
  bool cascade = false;
  bool if_exists = false;
  // Deletes it only if it still is this branch and its time is over, as found once it is locked.
  struct Expiry {
    BranchId branch;
    TimePoint now;
  };
  std::optional<Expiry> only_if_expired = {};
};
// The names of all that were deleted.
std::vector<std::string> delete_branch(Engine&, const DeleteBranch&, Listener&);
struct ResetBranch {
  BranchPath path;
  std::optional<BranchReference> from = {};  // absent: its parent, now
  std::optional<Point> at = {};
  postgres::Consistency consistency = postgres::Consistency::automatic;
};
BranchView reset_branch(Engine&, const ResetBranch&, Listener&);

// In place: the branch gets a body that holds its own past at `at`, and keeps its name, port, password and settings.
// What was there before becomes a snapshot, so that it can be undone.
struct RestoreBranch {
  BranchPath path;
  Point at;
};
BranchView restore_branch(Engine&, const RestoreBranch&, Listener&);
// Its snapshots, and where its bodies came from; newest first.
std::vector<LogEntryView> branch_history(Engine&, const BranchPath&);

struct CreateSnapshot {
  BranchPath branch;
  std::optional<std::string> name = {};  // absent: made of the time
  std::string message = {};
  catalog::SnapshotKind kind = catalog::SnapshotKind::manual;
};
SnapshotView create_snapshot(Engine&, const CreateSnapshot&, Listener&);
struct SnapshotFilter {
  std::optional<ProjectName> project = {};
  std::optional<BranchPath> branch = {};
};
std::vector<SnapshotView> list_snapshots(Engine&, const SnapshotFilter&);  // oldest first
// `name_or_id`: its name, or the beginning of its id.
SnapshotView get_snapshot(Engine&, const BranchPath&, const std::string& name_or_id);
struct DeleteSnapshot {
  BranchPath branch;
  std::string name_or_id;
  bool if_exists = false;
};
// The names of all that were deleted.
std::vector<std::string> delete_snapshot(Engine&, const DeleteSnapshot&, Listener&);
struct CleanUpSnapshots {
  std::optional<ProjectName> project = {};
  std::optional<BranchPath> branch = {};  // neither: all
  std::chrono::hours older_than;
  bool dry_run = false;
};
struct SnapshotCleanup {
  std::vector<std::string> deleted;  // or, on a dry run, what would be
  std::vector<std::string> kept;     // "demo/main@v1: it has branches"
};
SnapshotCleanup clean_up_snapshots(Engine&, const CleanUpSnapshots&, Listener&);
ScheduleView get_schedule(Engine&, const BranchPath&);
struct SetSchedule {
  BranchPath branch;
  std::optional<std::chrono::seconds> every = {};  // zero: off; neither this nor keep: the configured one again
  std::optional<std::string> keep = {};
};
ScheduleView set_schedule(Engine&, const SetSchedule&);

WalView wal_info(Engine&, const BranchPath&);
WalVerifyView verify_wal(Engine&, const std::optional<BranchPath>&);  // absent: of all branches
struct CleanUpWal {
  std::optional<BranchPath> branch = {};
  std::chrono::hours older_than;
  bool dry_run = false;
};
WalCleanupView clean_up_wal(Engine&, const CleanUpWal&);

// Asks a running operation to stop: it fails with code `cancelled` and leaves nothing behind. Throws Error not_found,
// conflict when it is over or past the point where it could.
void cancel_operation(Engine&, const std::string& id_or_prefix);

struct StartBranch {
  BranchPath path;
  std::optional<std::uint16_t> port = {};
  std::vector<std::string> allow = {};  // of held_back
  catalog::Settings settings = {};      // added to the branch's; one with an empty value is taken from them
  LimitsChoice limits = {};
};
BranchView start_branch(Engine&, const StartBranch&, Listener&);
BranchView stop_branch(Engine&, const BranchPath&, Listener&);
BranchView restart_branch(Engine&, const StartBranch&, Listener&);

// Sleep: shut down cleanly, and started by who connects. One that rests already is left as it is, but that one which
// was stopped by hand may be woken from now on.
BranchView suspend_branch(Engine&, const BranchPath&, Listener&);
// By itself once it was unused for so long, from now on; zero: never; absent: as its project says, or as configured.
BranchView set_suspend_after(Engine&, const BranchPath&, std::optional<std::chrono::seconds> after);
ProjectView set_suspend_after(Engine&, const ProjectName&, std::optional<std::chrono::seconds> after);
// Where a branch is reached, and which body of it that is.
struct BranchAddress {
  BranchPath path;
  IncarnationId incarnation;
  std::string host;
  std::uint16_t port = 0;
  // It has a server that nobody is starting or stopping just now. In a recovery that outlasted its start's patience it
  // turns connections away still.
  bool is_running = false;
  bool is_stopped = false;  // by hand, and nobody who connects starts it
};
// Cheap enough for every connection: asks the catalog and the runtime, no PostgreSQL, and waits for no lock. nullopt:
// there is no such branch. Throws Error storage_failed when its pool is away.
std::optional<BranchAddress> find_address(Engine&, const BranchPath&);
// Returns when a query works, starting the branch unless it was stopped by hand, which is Error conflict. Who asks
// while it is being started shares that start and its outcome. One that should run and doesn't is started, too.
// `on_listening` is called earlier in a start of one's own: its server says that it takes connections, which isn't
// proven yet, nor on record.
BranchAddress wake_branch(Engine&, const BranchPath&,
                          const std::function<void(const BranchAddress&)>& on_listening = {});

// Where the installation's endpoint leads who names no branch; `pgtwig use` chooses it. It follows the branch when that
// is renamed, and is none when it is deleted.
std::optional<BranchPath> selected_branch(Engine&);
void select_branch(Engine&, const std::optional<BranchPath>&);

CredentialsView branch_credentials(Engine&, const BranchPath&);
// Sets a new password for role postgres: `password`, or a random one.
CredentialsView reset_branch_password(Engine&, const BranchPath&, const std::optional<std::string>& password,
                                      Listener&);
// The last `lines` lines of PostgreSQL's log.
std::string branch_log(Engine&, const BranchPath&, int lines);

struct CreatePool {
  PoolName name;
  std::optional<std::filesystem::path> directory = {};  // an existing directory, or
  std::optional<Bytes> image_size = {};                 // an image file of this size; neither: the zpool `name`
  std::optional<std::filesystem::path> image = {};      // where the image file is made; absent: below the state folder
  std::optional<std::string> driver = {};               // absent: by probing
  std::optional<std::string> file_system = {};          // of the image: btrfs, xfs, zfs
};
PoolView create_pool(Engine&, const CreatePool&, Listener&);
std::vector<PoolView> list_pools(Engine&);
PoolView get_pool(Engine&, const PoolName&);
PoolView grow_pool(Engine&, const PoolName&, Bytes size, Listener&);
Bytes trim_pool(Engine&, const PoolName&, Listener&);

std::vector<OperationView> list_operations(Engine&, int limit);
OperationView get_operation(Engine&, const std::string& id_or_prefix);
StatusView get_status(Engine&);
// How things stand and what was counted since the daemon began, in the text format of Prometheus.
std::string metrics_text(Engine&);

// Life of the daemon. open: mounts image pools, ends what is to be swept; in the background sweeps, adopts what runs,
// starts what should run.
void open_installation(Engine&);
// Destroys what is on the sweep list and in no living operation's hands.
void sweep(Engine&);
// Stops every instance and unmounts the image pools: nothing of the installation is left running. Called last.
void shut_down(Engine&);
// A new catalog from the volumes of `pool_directories` (and the installation's own pools).
struct RebuildReport {
  int pools = 0;
  int projects = 0;
  int branches = 0;
  std::vector<std::string> notes = {};  // what could not be taken over, and why
};
// What the catalog of before had replaced or deleted, and the pools that it knew.
struct DoomedVolumes {
  std::map<IncarnationId, catalog::SweepRecord> volumes;
  std::vector<catalog::PoolRecord> pools;
};
// Fills the engine's empty catalog from the manifests of the volumes it finds; called before open_installation().
// What is doomed comes back as nothing and stays on the sweep list.
RebuildReport rebuild_state(Engine&, const std::vector<std::filesystem::path>& pool_directories,
                            const DoomedVolumes& doomed = {});
// Whether pools lie below the state directory, or were made elsewhere. With no catalog it is lost, and a new one would
// know nothing of them.
bool has_pools(const Paths&);
// The identity of the installation whose volumes lie in these pools, so that a new catalog can carry it on; nullopt:
// none found. Mounts images that are not. Throws Error invalid_argument when one of `pool_directories` is no pool,
// conflict when it is of another installation: a rebuild would leave it out.
std::optional<InstallationId> find_installation_of_volumes(const Paths&,
                                                           const std::vector<std::filesystem::path>& pool_directories);

}  // namespace pgtwig::engine
