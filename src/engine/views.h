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
  std::string durability;
  TimePoint created_at;
  std::optional<TimePoint> started_at;
  std::optional<TimePoint> expires_at;
  std::optional<SizeView> size;
  std::optional<OriginView> origin;
  std::map<std::string, std::string> settings;
  std::vector<std::string> held_back;
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
  int branch_count = 0;
  int running_count = 0;
  std::map<std::string, std::string> settings;
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
  std::string url;  // with the password
  std::string password;
  std::string user;
  std::string host;
  std::uint16_t port = 0;
  std::string database;
};

struct StatusView {
  std::string version;
  int pid = 0;
  std::string root;
  TimePoint started_at;
  std::vector<PoolView> pools;
  std::vector<BranchView> branches;
  std::vector<std::string> postgres_versions;
};

// One line of the event stream.
struct Event {
  std::string type;  // "operation.begun", "step.begun", "step.done", "notice", "operation.done", "operation.failed"
  std::string operation;  // id
  std::string kind;
  std::string target;
  std::string text;  // name of the step, or the notice
  std::int64_t ms = 0;
  TimePoint time;
};

}  // namespace pgtwig::engine
