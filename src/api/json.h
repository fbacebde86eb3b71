// JSON of the engine's views, both ways: the server writes it, the client reads it. Field names are those of views.h
// and stable; what is not there is null.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/views.h"

namespace pgtwig::api {

// What GET /v1/version answers.
struct VersionView {
  std::string version;
  int pid = 0;
  std::string root;
  TimePoint started_at;
};

// What POST /v1/snapshots/cleanup answers.
struct SnapshotCleanupView {
  std::vector<std::string> deleted;  // or, on a dry run, what would be
  std::vector<std::string> kept;     // "demo/main@v1: it has branches"
  bool is_dry_run = false;
};

// As compact text. A list is {"<plural>": [...]}.
std::string to_json(const engine::BranchView& branch);
std::string to_json(const engine::ProjectView& project);
std::string to_json(const engine::PoolView& pool);
std::string to_json(const engine::OperationView& operation);
std::string to_json(const engine::CredentialsView& credentials);
std::string to_json(const engine::SnapshotView& snapshot);
std::string to_json(const SnapshotCleanupView& cleanup);
std::string to_json(const engine::ScheduleView& schedule);
std::string to_json(const engine::WalView& wal);
std::string to_json(const engine::WalVerifyView& verification);
std::string to_json(const engine::WalCleanupView& cleanup);
std::string to_json(const engine::StatusView& status);
std::string to_json(const engine::Event& event);
std::string to_json(const VersionView& version);
// {"error": {"code", "message", "hint"}}
std::string to_json(const Error& error);
std::string to_json(const std::vector<engine::BranchView>& branches);
std::string to_json(const std::vector<engine::ProjectView>& projects);
std::string to_json(const std::vector<engine::PoolView>& pools);
std::string to_json(const std::vector<engine::OperationView>& operations);
std::string to_json(const std::vector<engine::SnapshotView>& snapshots);
std::string to_json(const std::vector<engine::LogEntryView>& history);

// Reads what to_json() wrote, a list as std::vector<View>; unknown fields are skipped (a newer daemon's). Throws Error
// internal. Defined for the types above.
template <class View>
View from_json(std::string_view text);
// The Error of {"error": {...}}.
Error error_from_json(std::string_view text);

// One line of a streamed answer: {"event": {...}}, {"result": {...}} or {"error": {...}}.
enum class LineKind { event, result, error };
struct StreamLine {
  LineKind kind;
  std::string json;  // of the event or result alone; of an error the whole line
};
std::string event_line(const engine::Event& event);
std::string result_line(const std::string& result_json);
StreamLine parse_stream_line(std::string_view line);

}  // namespace pgtwig::api
