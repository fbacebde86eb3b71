#include "catalog/rows.h"

#include <boost/json.hpp>
#include <utility>

#include "catalog/json_members.h"
#include "catalog/manifest.h"

namespace json = boost::json;

namespace pgtwig::catalog {
namespace {

constexpr std::pair<Durability, std::string_view> durability_names[] = {
    {Durability::full, "full"}, {Durability::relaxed, "relaxed"}, {Durability::none, "none"}};
constexpr std::pair<SnapshotKind, std::string_view> snapshot_kind_names[] = {
    {SnapshotKind::manual, "manual"}, {SnapshotKind::scheduled, "scheduled"}, {SnapshotKind::restore, "restore"}};
constexpr std::pair<OperationState, std::string_view> operation_state_names[] = {
    {OperationState::running, "running"}, {OperationState::done, "done"}, {OperationState::failed, "failed"}};

Durability read_durability(Row& row) {
  std::string text = row.text();
  if (auto durability = parse_durability(text)) return *durability;
  Row::malformed("a durability", text);
}

SnapshotKind read_snapshot_kind(Row& row) {
  std::string text = row.text();
  if (auto kind = parse_snapshot_kind(text)) return *kind;
  Row::malformed("the kind of a snapshot", text);
}

Lsn read_lsn(Row& row) {
  std::string text = row.text();
  if (auto lsn = parse_lsn(text)) return *lsn;
  Row::malformed("an LSN", text);
}

OperationState read_operation_state(Row& row) {
  std::string text = row.text();
  for (const auto& [state, name] : operation_state_names) {
    if (name == text) return state;
  }
  Row::malformed("the state of an operation", text);
}

// Reads a column of JSON with `read`; anything that is not what this pgtwig writes is damage.
template <class Read>
auto read_json(Row& row, Read read) {
  std::string text = row.text();
  try {
    return read(json::parse(text));
  } catch (const std::exception&) {
    Row::malformed("what this column holds", text);
  }
}

Settings read_settings(Row& row) {
  return read_json(row, [](const json::value& value) {
    Settings settings;
    for (const auto& [name, setting] : value.as_object()) {
      settings.emplace(std::string_view(name), json::value_to<std::string>(setting));
    }
    return settings;
  });
}

std::vector<std::string> read_texts(Row& row) {
  return read_json(row, [](const json::value& value) {
    std::vector<std::string> texts;
    for (const json::value& text : value.as_array()) texts.push_back(json::value_to<std::string>(text));
    return texts;
  });
}

std::optional<ImageRecord> read_image(Row& row) {
  return read_json(row, [](const json::value& value) -> std::optional<ImageRecord> {
    if (value.is_null()) return std::nullopt;
    return parse_image(json::serialize(value)).value();
  });
}

std::vector<StepRecord> read_steps(Row& row) {
  return read_json(row, [](const json::value& value) {
    std::vector<StepRecord> steps;
    for (const json::value& step : value.as_array()) {
      steps.push_back({.name = json::value_to<std::string>(step.at("name")),
                       .milliseconds = json::value_to<std::int64_t>(step.at("ms"))});
    }
    return steps;
  });
}

}  // namespace

std::string_view durability_name(Durability durability) {
  for (const auto& [value, name] : durability_names) {
    if (value == durability) return name;
  }
  std::unreachable();
}

std::optional<Durability> parse_durability(std::string_view text) {
  for (const auto& [value, name] : durability_names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string_view snapshot_kind_name(SnapshotKind kind) {
  for (const auto& [value, name] : snapshot_kind_names) {
    if (value == kind) return name;
  }
  std::unreachable();
}

std::optional<SnapshotKind> parse_snapshot_kind(std::string_view text) {
  for (const auto& [value, name] : snapshot_kind_names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string_view operation_state_name(OperationState state) {
  for (const auto& [value, name] : operation_state_names) {
    if (value == state) return name;
  }
  std::unreachable();
}

// Braced initialisers are evaluated from left to right, which is the order of the columns.

PoolRecord read_pool(Row row) {
  return {.id = row.id<PoolId>(),
          .name = row.name<PoolName>(),
          .driver = row.text(),
          .directory = row.text(),
          .image = row.text(),
          .mount_point = row.text(),
          .created_at = row.time()};
}

ProjectRecord read_project(Row row) {
  return {.id = row.id<ProjectId>(),
          .name = row.name<ProjectName>(),
          .pool = row.id<PoolId>(),
          .pg_major = static_cast<int>(row.integer()),
          .runtime = row.text(),
          .settings = read_settings(row),
          .created_at = row.time(),
          .suspend_after = row.optional_seconds(),
          .image = read_image(row),
          .accepted_collations = read_texts(row),
          .files = read_settings(row)};
}

BranchRecord read_branch(Row row) {
  return {.id = row.id<BranchId>(),
          .project = row.id<ProjectId>(),
          .name = row.name<BranchName>(),
          .parent = row.optional_id<BranchId>(),
          .incarnation = row.id<IncarnationId>(),
          .host = row.text(),
          .port = static_cast<std::uint16_t>(row.integer()),
          .wants_running = row.boolean(),
          .durability = read_durability(row),
          .settings = read_settings(row),
          .password = row.text(),
          .held_back = read_texts(row),
          .allowed = read_texts(row),
          .maybe_has_subscriptions = row.boolean(),
          .origin = {.branch = row.text(), .snapshot = row.text(), .lsn = row.text(), .time = row.time()},
          .created_at = row.time(),
          .expires_at = row.optional_time(),
          .is_suspended = row.boolean(),
          .suspend_after = row.optional_seconds(),
          .cpus = row.text(),
          .memory = row.text()};
}

IncarnationRecord read_incarnation(Row row) {
  return {.id = row.id<IncarnationId>(),
          .project = row.id<ProjectId>(),
          .branch = row.id<BranchId>(),
          .cause = row.text(),
          .source = row.optional_id<IncarnationId>(),
          .origin = row.text(),
          .source_time = row.time(),
          .own_from = read_lsn(row),
          .timeline = static_cast<std::uint32_t>(row.integer()),
          .began_at = row.time(),
          .ended_at = row.optional_time(),
          .snapshot = row.optional_id<IncarnationId>()};
}

SnapshotRecord read_snapshot(Row row) {
  return {.id = row.id<IncarnationId>(),
          .project = row.id<ProjectId>(),
          .branch = row.id<BranchId>(),
          .incarnation = row.id<IncarnationId>(),
          .name = row.text(),
          .message = row.text(),
          .kind = read_snapshot_kind(row),
          .redo = read_lsn(row),
          .end = read_lsn(row),
          .timeline = static_cast<std::uint32_t>(row.integer()),
          .next_xid = static_cast<std::uint64_t>(row.integer()),
          .password = row.text(),
          .held_back = read_texts(row),
          .maybe_has_subscriptions = row.boolean(),
          .created_at = row.time()};
}

ScheduleRecord read_schedule(Row row) {
  return {.branch = row.id<BranchId>(), .every = std::chrono::seconds(row.integer()), .keep = row.text()};
}

SweepRecord read_sweep(Row row) {
  return {.volume = row.id<IncarnationId>(),
          .pool = row.id<PoolId>(),
          .pg_major = static_cast<int>(row.integer()),
          .operation = row.id<OperationId>(),
          .staged = row.boolean()};
}

OperationRecord read_operation(Row row) {
  return {.id = row.id<OperationId>(),
          .kind = row.text(),
          .target = row.text(),
          .state = read_operation_state(row),
          .steps = read_steps(row),
          .error_code = row.text(),
          .error_message = row.text(),
          .started_at = row.time(),
          .finished_at = row.optional_time()};
}

std::string image_json(const std::optional<ImageRecord>& image) {
  return image ? write_image(*image) : "null";
}

std::string settings_json(const Settings& settings) {
  json::object object;
  for (const auto& [name, value] : settings) object.emplace(name, value);
  return json::serialize(object);
}

std::string texts_json(const std::vector<std::string>& texts) {
  return json::serialize(texts_to_json(texts));
}

std::string steps_json(const std::vector<StepRecord>& steps) {
  json::array array;
  for (const StepRecord& step : steps) array.push_back({{"name", step.name}, {"ms", step.milliseconds}});
  return json::serialize(array);
}

}  // namespace pgtwig::catalog
