// What the engine says of its things: the shapes that the API sends as JSON and the command line prints.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

namespace pgtwig::engine {

struct StepView {
  std::string name;
  std::int64_t ms = 0;
};

struct SizeView {
  Bytes logical_bytes;
  Bytes unique_bytes;
  Bytes shared_bytes;
  TimePoint measured_at;  // cached: measuring can be slow
};

struct OriginView {
  std::string branch;
  std::optional<std::string> snapshot;
  std::optional<std::string> lsn;
  TimePoint time;
};

// A stretch of a branch's history without gaps: every moment in it can be recovered.
struct WindowView {
  TimePoint from;
  TimePoint to;
  std::string from_lsn;
  std::string to_lsn;
  bool is_open = false;  // it goes on with the running branch; `to` is now
};

// One body in the history of a branch's data, newest first.
struct LineageView {
  std::string branch;                 // whose body it is or was: "demo/main"
  std::string cause;                  // create, reset, restore
  std::optional<std::string> origin;  // "demo/main@2026-..."
  TimePoint began_at;
};

struct BranchView {
  std::string name;  // "demo/dev"
  std::string project;
  std::string branch;
  std::optional<std::string> parent;  // "demo/main"
  std::string state;                  // creating, running, stopped, suspended, failed, deleting
  std::string host;
  std::uint16_t port = 0;
  std::string url;  // password masked
  std::optional<int> pid;
  std::string pool;
  std::string driver;
  std::string method;
  std::string runtime;
  int pg_version = 0;
  std::optional<std::string> cpus;  // what its container may use at most
  std::optional<Bytes> memory;      // likewise
  std::string durability;
  TimePoint created_at;
  std::optional<TimePoint> started_at;
  std::optional<TimePoint> expires_at;
  std::string suspend_after;       // "5m"; "off"
  std::optional<int> connections;  // of clients, while it runs; where it was asked for (list, get, status)
  std::optional<SizeView> size;
  std::optional<OriginView> origin;
  std::map<std::string, std::string> settings;
  std::vector<std::string> held_back;
  std::vector<WindowView> windows;    // oldest first; of `branch get` alone: they take a look at every segment
  std::vector<LineageView> lineage;   // likewise
  std::vector<std::string> warnings;  // of the operation just done: unlogged tables, prepared transactions, ...
  std::vector<StepView> steps;        // of the operation just done
  std::optional<std::int64_t> total_ms;
};

struct ProjectView {
  std::string name;
  std::string pool;
  std::string driver;
  std::string method;
  std::string runtime;
  int pg_version = 0;
  std::optional<std::string> image;     // as it was asked for: "postgres:17"
  std::optional<std::string> image_id;  // of exactly the image that its instances run from
  int branch_count = 0;
  int running_count = 0;
  std::string suspend_after;  // of its branches but main, unless set for them
  std::map<std::string, std::string> settings;
  std::map<std::string, std::string> files;  // "pg_hba.conf" -> its text: those that its user keeps
  TimePoint created_at;
  std::vector<std::string> warnings;
  std::vector<StepView> steps;
  std::optional<std::int64_t> total_ms;
  std::optional<BranchView> main;  // of a project just created
};

struct PoolView {
  std::string name;
  std::string state;  // ready, away
  std::string driver;
  std::string method;
  std::string directory;
  std::optional<std::string> image;
  Bytes total_bytes;
  Bytes free_bytes;
  int volume_count = 0;
  std::vector<std::string> foreign;  // entries of the pool that are not ours
  std::vector<std::string> unowned;  // volumes of this installation that the catalog does not know
  bool is_default = false;
  TimePoint created_at;
  std::vector<std::string> warnings;
};

struct OperationView {
  std::string id;
  std::string kind;
  std::string target;
  std::string state;  // running, done, failed
  std::vector<StepView> steps;
  std::optional<std::string> error;
  TimePoint started_at;
  std::optional<TimePoint> finished_at;
  std::optional<std::int64_t> total_ms;
};

struct CredentialsView {
  std::string url;                          // with the password
  std::optional<std::string> endpoint_url;  // the same by the one endpoint for all branches, where that runs
  std::string password;
  std::string user;
  std::string host;
  std::uint16_t port = 0;
  std::string database;
};

struct SnapshotView {
  std::string id;
  std::string name;  // "demo/main@before-migration"
  std::string project;
  std::string branch;    // "main"
  std::string snapshot;  // "before-migration"
  std::string message;
  std::string kind;  // manual, scheduled, restore
  std::string lsn;
  TimePoint created_at;
  std::vector<std::string> branches;  // made from it: "demo/dev"
  std::string pool;
  std::string method;
  std::vector<std::string> warnings;
  std::vector<StepView> steps;
  std::optional<std::int64_t> total_ms;
};

struct ScheduleView {
  std::string branch;  // "demo/main"
  std::string every;   // "1h"; "off"
  std::string keep;    // "24h,14d,8w"
  bool is_default = false;
  std::optional<TimePoint> last;
  std::optional<TimePoint> next;
};

struct GapView {
  std::string from;  // names of the first and last missing or unusable segment
  std::string to;
  std::string reason;  // "missing", "truncated", ...
};

// The WAL archive of a branch, all its bodies taken together.
struct WalView {
  std::string branch;
  bool is_archiving = false;
  std::string why_not;  // when it is not
  int segments = 0;     // in the archives of all its bodies, past ones included
  Bytes bytes;
  Bytes limit;
  std::optional<std::string> oldest;  // of those segments, the names
  std::optional<std::string> newest;
  std::vector<GapView> gaps;
  std::vector<WindowView> windows;
};

struct WalProblemView {
  std::string branch;
  std::string segment;
  std::string problem;
};
struct WalVerifyView {
  int segments = 0;
  std::vector<WalProblemView> problems;
  std::vector<WindowView> windows;
};
struct WalCleanupView {
  int removed_segments = 0;  // or, on a dry run, that would be
  Bytes removed_bytes;
  int kept_segments = 0;
  std::vector<std::string> kept_because;  // "demo/main: 12 segments, its window of 7d needs them"
  bool is_dry_run = false;
};

// One line of a branch's history, as git log shows commits.
struct LogEntryView {
  TimePoint time;
  std::string kind;  // create, snapshot, reset, restore
  std::string id;    // of the snapshot or body
  std::string text;  // "snapshot before-migration: schema v12"
  std::string lsn;
};

// The one endpoint for all branches.
struct EndpointSessionsView {
  std::string branch;  // "demo/dev"
  std::int64_t sessions = 0;
};
struct EndpointView {
  std::string host;
  std::uint16_t port = 0;
  std::string domain;       // below which host names are <branch>.<project>.<domain>
  std::string certificate;  // the file that clients check it by: sslrootcert
  std::string problem;      // why nobody listens; empty: somebody does
  std::int64_t connections = 0;
  std::vector<EndpointSessionsView> sessions;
};

// Where Prometheus can read the metrics.
struct MetricsPlaceView {
  std::string host;
  std::uint16_t port = 0;
  std::string problem;  // why nobody listens; empty: somebody does
};

struct StatusView {
  std::string version;
  int pid = 0;
  std::string root;
  TimePoint started_at;
  std::vector<PoolView> pools;
  std::vector<BranchView> branches;
  std::vector<std::string> postgres_versions;
  std::optional<EndpointView> endpoint;     // absent: it is off
  std::optional<MetricsPlaceView> metrics;  // likewise
};

// One line of the event stream.
struct Event {
  std::string type;       // "operation.begun", "step.begun", "step.progress", "step.done", "notice", "operation.done",
                          // "operation.failed"
  std::string operation;  // id
  std::string kind;
  std::string target;
  std::string text;  // name of the step, or the notice
  std::int64_t ms = 0;
  TimePoint time;
};

}  // namespace pgtwig::engine
