// The truth about this installation: one SQLite database, one writer (the daemon).
//
// Every volume that is made is first written to the sweep list; the transaction that makes it part of the world takes
// it off again, and puts on what it replaces. So whatever is on the list and not in the hands of a living operation may
// be destroyed, and nothing else ever is: not even a volume of ours that an older, restored catalog has not heard of,
// or knows as staged only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/names.h"
#include "base/time.h"

namespace pgtwig::catalog {

struct PoolRecord {
  PoolId id;
  PoolName name;
  std::string driver;                 // "btrfs", "zfs", "reflink", "copy"
  std::filesystem::path directory;    // holds the volumes
  std::filesystem::path image;        // empty: the directory is not ours to mount
  std::filesystem::path mount_point;  // of the image; empty without one
  TimePoint created_at;
};

using Settings = std::map<std::string, std::string>;

// Configuration files that somebody keeps himself: "pg_hba.conf" -> its text.
using Files = std::map<std::string, std::string>;

// What a project's instances run from where its runtime runs images; pinned when it was chosen.
struct ImageRecord {
  std::string reference;   // as it was asked for: "postgres:17"
  std::string id;          // of exactly this image: what is run
  std::string digest;      // by which a registry has it, "postgres@sha256:..."; empty: only this machine has it
  std::string version;     // of its PostgreSQL: "17.5"
  std::string collations;  // which libraries sort its texts: "glibc 2.36, ICU 72"
  std::vector<std::string> volumes;  // the mount points that it declares
};

struct ProjectRecord {
  ProjectId id;
  ProjectName name;
  PoolId pool;
  int pg_major;
  std::string runtime;  // "native", "docker", ...
  Settings settings;    // --set of the project
  TimePoint created_at;
  std::optional<std::chrono::seconds> suspend_after = {};  // of its branches but main; absent: as configured
  std::optional<ImageRecord> image = {};                   // of a runtime that runs images
  // Whose texts were sorted by these may be run on: its user was told, and said yes.
  std::vector<std::string> accepted_collations = {};
  Files files = {};  // of its user, for every branch
};

enum class Durability { full, relaxed, none };
std::string_view durability_name(Durability durability);
std::optional<Durability> parse_durability(std::string_view text);

// Where a branch body came from.
struct Origin {
  std::string branch;    // "demo/main"; empty for a project's main
  std::string snapshot;  // empty: the head
  std::string lsn;       // empty when not known
  TimePoint time;
};

struct BranchRecord {
  BranchId id;
  ProjectId project;
  BranchName name;
  std::optional<BranchId> parent;
  IncarnationId incarnation;  // its volume's id, too
  std::string host;           // "local"
  std::uint16_t port = 0;
  bool wants_running = true;  // is started again after the machine was
  Durability durability = Durability::full;
  Settings settings;                     // --set of the branch
  std::string password;                  // of role postgres as pgtwig made it; empty: not known
  std::vector<std::string> held_back;    // see postgres/hygiene.h
  std::vector<std::string> allowed;      // of held_back, what the user let through
  bool maybe_has_subscriptions = false;  // they have not been disabled yet: workers stay off until they are
  Origin origin;
  TimePoint created_at;  // of the branch; a reset keeps it
  std::optional<TimePoint> expires_at;
  // Rests, and is started when somebody connects; `wants_running` is false then. Neither: stopped by hand.
  bool is_suspended = false;
  // Unused for so long it is suspended; zero: never; absent: as its project's branches.
  std::optional<std::chrono::seconds> suspend_after = {};
  std::string cpus = {};    // what its container may use at most: "1.5"; empty: no limit
  std::string memory = {};  // likewise, in bytes
};

// One body that a branch has or had: kept, with its WAL archive, for as long as its history can be recovered from. The
// newest of a branch is its present body.
struct IncarnationRecord {
  IncarnationId id;
  ProjectId project;
  BranchId branch;
  std::string cause;                    // "create", "reset", "restore"
  std::optional<IncarnationId> source;  // the body that it continues; absent: a project's first
  std::string origin;                   // in words, "demo/main@before-migration"; empty: a project's first
  // The moment of the source that it began with.
  TimePoint source_time;
  // Its own copies of WAL segments begin with the one that holds this; before that its history is its source's.
  Lsn own_from;
  std::uint32_t timeline = 1;              // of its own WAL
  TimePoint began_at;                      // when it became the branch's body
  std::optional<TimePoint> ended_at = {};  // when another took its place
  // The snapshot whose volume it was forked from; absent: the source's own. That snapshot may be gone.
  std::optional<IncarnationId> snapshot = {};
};

enum class SnapshotKind {
  manual,     // somebody asked for it: only somebody who asks removes it
  scheduled,  // a restore point, pruned by its schedule's rules
  restore,    // what was there before a restore in place; as lasting as a manual one
};
std::string_view snapshot_kind_name(SnapshotKind kind);
std::optional<SnapshotKind> parse_snapshot_kind(std::string_view text);

// A volume that is never started: one moment of a branch.
struct SnapshotRecord {
  IncarnationId id;  // of its volume
  ProjectId project;
  BranchId branch;
  IncarnationId incarnation;  // the body it was taken of
  std::string name;           // unique in the branch
  std::string message = {};
  SnapshotKind kind = SnapshotKind::manual;
  // Where replay begins, and the least LSN that can be reached from it (a running source's insert position just after).
  Lsn redo = {};
  Lsn end = {};
  std::uint32_t timeline = 1;
  std::uint64_t next_xid = 0;  // transactions from this one on committed after it, if at all
  std::string password = {};   // of role postgres in it, as pgtwig knows it
  std::vector<std::string> held_back = {};
  bool maybe_has_subscriptions = false;
  TimePoint created_at;  // taken just after the moment that it holds
};

// How often a branch gets a restore point by itself, and which are kept.
struct ScheduleRecord {
  BranchId branch;
  std::chrono::seconds every{0};  // zero: never, whatever the configuration says
  std::string keep;               // "24h,14d,8w"
};

// A volume that may be destroyed once `operation` is over; with it goes the WAL archive of that id, when no incarnation
// record has it any more.
struct SweepRecord {
  IncarnationId volume;
  PoolId pool;
  int pg_major;
  OperationId operation;
  bool staged = false;  // made by the operation; false: replaced or deleted by it
};

enum class OperationState { running, done, failed };
std::string_view operation_state_name(OperationState state);

struct StepRecord {
  std::string name;
  std::int64_t milliseconds = 0;
};

struct OperationRecord {
  OperationId id;
  std::string kind;    // "branch create"
  std::string target;  // "demo/dev"
  OperationState state = OperationState::running;
  std::vector<StepRecord> steps;
  std::string error_code;  // of a failed one
  std::string error_message;
  TimePoint started_at;
  std::optional<TimePoint> finished_at;
};

// A write transaction: BEGIN IMMEDIATE, durable at commit() (synchronous=FULL); undone by the destructor without it.
// Holds the catalog's writer mutex until then, so keep it short and never do anything slow inside.
class Transaction {
 public:
  virtual ~Transaction() = default;

  virtual void insert(const PoolRecord& pool) = 0;

  virtual void insert(const ProjectRecord& project) = 0;
  virtual void update(const ProjectRecord& project) = 0;
  virtual void remove_project(const ProjectId& project) = 0;

  // insert and update throw Error already_exists for a name or port that is taken in the project or host.
  virtual void insert(const BranchRecord& branch) = 0;
  virtual void update(const BranchRecord& branch) = 0;
  virtual void remove_branch(const BranchId& branch) = 0;
  // nullopt: none.
  virtual void select_branch(const std::optional<BranchId>& branch) = 0;

  virtual void insert(const IncarnationRecord& incarnation) = 0;
  virtual void update(const IncarnationRecord& incarnation) = 0;
  virtual void remove_incarnation(const IncarnationId& incarnation) = 0;

  // Throws Error already_exists for a name that the branch has.
  virtual void insert(const SnapshotRecord& snapshot) = 0;
  virtual void update(const SnapshotRecord& snapshot) = 0;
  virtual void remove_snapshot(const IncarnationId& snapshot) = 0;

  virtual void put(const ScheduleRecord& schedule) = 0;
  virtual void remove_schedule(const BranchId& branch) = 0;

  // Fine when it is on the list already: what is swept by one operation is swept for all.
  virtual void insert(const SweepRecord& sweep) = 0;
  virtual void remove_sweep(const IncarnationId& volume) = 0;

  virtual void insert(const OperationRecord& operation) = 0;
  virtual void update(const OperationRecord& operation) = 0;
  // Keeps the newest `keep` finished ones.
  virtual void prune_operations(int keep) = 0;

  virtual void commit() = 0;
};

// Thread-safe: any number of readers on their own connections, one writer at a time.
class Catalog {
 public:
  virtual ~Catalog() = default;

  virtual const InstallationId& installation() const = 0;

  virtual std::vector<PoolRecord> pools() = 0;
  virtual std::optional<PoolRecord> find_pool(const PoolName& name) = 0;
  virtual std::optional<PoolRecord> find_pool(const PoolId& id) = 0;

  virtual std::vector<ProjectRecord> projects() = 0;  // by name
  virtual std::optional<ProjectRecord> find_project(const ProjectName& name) = 0;
  virtual std::optional<ProjectRecord> find_project(const ProjectId& id) = 0;

  virtual std::vector<BranchRecord> branches() = 0;
  virtual std::vector<BranchRecord> branches(const ProjectId& project) = 0;  // main first, then by name
  virtual std::optional<BranchRecord> find_branch(const ProjectId& project, const BranchName& name) = 0;
  virtual std::optional<BranchRecord> find_branch(const BranchId& id) = 0;
  virtual std::vector<BranchRecord> children(const BranchId& branch) = 0;
  // Where the installation's endpoint leads who names no branch.
  virtual std::optional<BranchRecord> selected_branch() = 0;
  // Of a host's branches; cheap with thousands of them.
  virtual std::vector<std::uint16_t> used_ports(const std::string& host) = 0;

  virtual std::vector<IncarnationRecord> incarnations(const ProjectId& project) = 0;  // oldest first
  virtual std::vector<IncarnationRecord> incarnations(const BranchId& branch) = 0;    // oldest first
  virtual std::optional<IncarnationRecord> find_incarnation(const IncarnationId& id) = 0;

  virtual std::vector<SnapshotRecord> snapshots(const ProjectId& project) = 0;  // oldest first
  virtual std::vector<SnapshotRecord> snapshots(const BranchId& branch) = 0;    // oldest first
  virtual std::optional<SnapshotRecord> find_snapshot(const BranchId& branch, const std::string& name) = 0;
  virtual std::optional<SnapshotRecord> find_snapshot(const IncarnationId& id) = 0;

  virtual std::vector<ScheduleRecord> schedules() = 0;
  virtual std::optional<ScheduleRecord> find_schedule(const BranchId& branch) = 0;

  virtual std::vector<SweepRecord> sweep_list() = 0;
  virtual std::vector<OperationRecord> operations(int limit) = 0;  // newest first

  virtual std::unique_ptr<Transaction> begin() = 0;
};

// Opens or makes it (0600), migrating an older schema forward. Throws Error conflict for one written by a newer pgtwig,
// internal for one that is damaged (the hint names `pgtwig state rebuild`). `new_installation` is the identity of a
// catalog that is made.
std::unique_ptr<Catalog> open_catalog(const std::filesystem::path& file, const InstallationId& new_installation);

}  // namespace pgtwig::catalog
