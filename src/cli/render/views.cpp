#include "cli/render/views.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ranges>

#include "cli/render/facts.h"
#include "cli/render/progress.h"
#include "cli/render/style.h"
#include "cli/render/table.h"

namespace pgtwig::cli {
namespace {

std::string join(const std::vector<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string join_settings(const std::map<std::string, std::string>& settings) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : settings) texts.push_back(name + "=" + value);
  return join(texts);
}

std::string port_text(std::uint16_t port) {
  return port == 0 ? "" : std::to_string(port);
}

std::string size_text(const engine::SizeView& size, TimePoint now) {
  return fmt::format("{} of its own, {} shared, {} in all (measured {})", format_bytes(size.unique_bytes),
                     format_bytes(size.shared_bytes), format_bytes(size.logical_bytes),
                     format_age(size.measured_at, now));
}

std::string origin_text(const engine::OriginView& origin, TimePoint now) {
  if (origin.branch.empty()) return {};
  std::string text = origin.branch;
  if (origin.snapshot) text += "@" + *origin.snapshot;
  if (origin.lsn) text += " at " + *origin.lsn;
  return text + ", " + format_moment(origin.time, now);
}

// Nothing of what never happens.
std::string suspend_text(const std::string& after) {
  return after == "off" || after.empty() ? "" : fmt::format("after {} without use", after);
}

// "demo/dev created from demo/main@2026-03-01T11:30:00Z, 2026-03-01T11:30:01Z (30m ago)".
std::string lineage_text(const engine::LineageView& lineage, TimePoint now) {
  std::string text = lineage.branch + " ";
  if (lineage.cause == "create")
    text += lineage.origin ? "created from " : "created";
  else if (lineage.cause == "restore")
    text += "restored to ";
  else
    text += lineage.cause + " to ";
  return text + lineage.origin.value_or("") + ", " + format_moment(lineage.began_at, now);
}

}  // namespace

std::string format_moment(TimePoint time, TimePoint now) {
  return fmt::format("{} ({})", format_rfc3339(std::chrono::floor<std::chrono::seconds>(time)), format_age(time, now));
}

std::string format_age(TimePoint time, TimePoint now) {
  auto age = std::chrono::duration_cast<std::chrono::seconds>(now - time);
  if (age.count() == 0) return "now";
  if (age.count() < 0) return "in " + format_duration(-age);
  return format_duration(age) + " ago";
}

std::string branch_table(const std::vector<engine::BranchView>& branches, const Terminal& terminal, TimePoint now) {
  Table table;
  table.columns = {{.title = "NAME", .importance = 9, .may_shrink = true},
                   {.title = "STATE", .importance = 9},
                   {.title = "PORT", .is_number = true, .importance = 8},
                   {.title = "CLIENTS", .is_number = true, .importance = 5},
                   {.title = "PARENT", .importance = 7, .may_shrink = true},
                   {.title = "OWN SIZE", .is_number = true, .importance = 5},
                   {.title = "CREATED", .importance = 6},
                   {.title = "EXPIRES", .importance = 4},
                   {.title = "POOL", .importance = 2},
                   {.title = "METHOD", .importance = 3}};
  for (const auto& branch : branches)
    table.rows.push_back({branch.name, branch.state, port_text(branch.port),
                          branch.connections ? std::to_string(*branch.connections) : "", branch.parent.value_or(""),
                          branch.size ? format_bytes(branch.size->unique_bytes) : "",
                          format_age(branch.created_at, now),
                          branch.expires_at ? format_age(*branch.expires_at, now) : "", branch.pool, branch.method});
  return render_table(table, terminal);
}

std::string branch_card(const engine::BranchView& branch, const Terminal& terminal, TimePoint now) {
  Facts facts{{"Branch", branch.name},
              {"State", branch.state},
              {"URL", branch.url},
              {"Parent", branch.parent.value_or("")},
              {"PostgreSQL", std::to_string(branch.pg_version)},
              {"Process", branch.pid ? std::to_string(*branch.pid) : ""},
              {"Runtime", branch.runtime},
              {"Clients", branch.connections ? std::to_string(*branch.connections) : ""},
              {"Suspended", suspend_text(branch.suspend_after)},
              {"Processors", branch.cpus.value_or("")},
              {"Memory", branch.memory ? format_bytes(*branch.memory) : ""},
              {"Durability", branch.durability},
              {"Pool", fmt::format("{} ({}, {})", branch.pool, branch.driver, branch.method)},
              {"Size", branch.size ? size_text(*branch.size, now) : ""},
              {"Origin", branch.origin ? origin_text(*branch.origin, now) : ""},
              {"Settings", join_settings(branch.settings)},
              {"Held back", join(branch.held_back)},
              {"Created", format_moment(branch.created_at, now)},
              {"Started", branch.started_at ? format_moment(*branch.started_at, now) : ""},
              {"Expires", branch.expires_at ? format_moment(*branch.expires_at, now) : ""}};
  add_windows(facts, branch.windows, now);
  std::vector<std::string> lineage;
  for (const auto& one : branch.lineage) lineage.push_back(lineage_text(one, now));
  add_lines(facts, "Lineage", lineage);
  add_timings(facts, branch.steps, branch.total_ms);
  return render_card(facts, terminal);
}

std::string project_table(const std::vector<engine::ProjectView>& projects, const Terminal& terminal, TimePoint now) {
  Table table;
  table.columns = {{.title = "NAME", .importance = 9, .may_shrink = true},
                   {.title = "BRANCHES", .is_number = true, .importance = 8},
                   {.title = "RUNNING", .is_number = true, .importance = 7},
                   {.title = "POSTGRESQL", .importance = 5},
                   {.title = "POOL", .importance = 4},
                   {.title = "METHOD", .importance = 3},
                   {.title = "CREATED", .importance = 6}};
  for (const auto& project : projects)
    table.rows.push_back({project.name, std::to_string(project.branch_count), std::to_string(project.running_count),
                          std::to_string(project.pg_version), project.pool, project.method,
                          format_age(project.created_at, now)});
  return render_table(table, terminal);
}

std::string project_card(const engine::ProjectView& project, const Terminal& terminal, TimePoint now) {
  Facts facts{{"Project", project.name},
              {"Branches", fmt::format("{}, {} running", project.branch_count, project.running_count)},
              {"PostgreSQL", std::to_string(project.pg_version)},
              {"Runtime", project.runtime},
              {"Suspended", suspend_text(project.suspend_after)},
              {"Pool", fmt::format("{} ({}, {})", project.pool, project.driver, project.method)},
              {"Image", project.image ? fmt::format("{} ({})", *project.image, project.image_id.value_or("")) : ""},
              {"Settings", join_settings(project.settings)},
              {"Own files", fmt::format("{}", fmt::join(project.files | std::views::keys, ", "))},
              {"Created", format_moment(project.created_at, now)},
              {"Main", project.main ? project.main->url : ""}};
  add_timings(facts, project.steps, project.total_ms);
  return render_card(facts, terminal);
}

std::string pool_table(const std::vector<engine::PoolView>& pools, const Terminal& terminal, TimePoint) {
  Table table;
  table.columns = {{.title = "NAME", .importance = 9, .may_shrink = true},
                   {.title = "STATE", .importance = 8},
                   {.title = "DRIVER", .importance = 6},
                   {.title = "METHOD", .importance = 5},
                   {.title = "FREE", .is_number = true, .importance = 7},
                   {.title = "TOTAL", .is_number = true, .importance = 4},
                   {.title = "VOLUMES", .is_number = true, .importance = 3},
                   {.title = "DEFAULT", .importance = 3},
                   {.title = "DIRECTORY", .importance = 2, .may_shrink = true}};
  for (const auto& pool : pools)
    table.rows.push_back({pool.name, pool.state, pool.driver, pool.method, format_bytes(pool.free_bytes),
                          format_bytes(pool.total_bytes), std::to_string(pool.volume_count),
                          pool.is_default ? "yes" : "", pool.directory});
  return render_table(table, terminal);
}

std::string pool_card(const engine::PoolView& pool, const Terminal& terminal, TimePoint now) {
  return render_card(
      {{"Pool", pool.name},
       {"State", pool.state},
       {"Driver", fmt::format("{} ({})", pool.driver, pool.method)},
       {"Directory", pool.directory},
       {"Image", pool.image.value_or("")},
       {"Space", fmt::format("{} free of {}", format_bytes(pool.free_bytes), format_bytes(pool.total_bytes))},
       {"Volumes", std::to_string(pool.volume_count)},
       {"Foreign", join(pool.foreign)},
       {"Unowned", join(pool.unowned)},
       {"Default", pool.is_default ? "yes" : "no"},
       {"Created", format_moment(pool.created_at, now)}},
      terminal);
}

std::string operation_table(const std::vector<engine::OperationView>& operations, const Terminal& terminal,
                            TimePoint now) {
  Table table;
  table.columns = {{.title = "ID", .importance = 9},
                   {.title = "OPERATION", .importance = 8},
                   {.title = "TARGET", .importance = 7, .may_shrink = true},
                   {.title = "STATE", .importance = 9},
                   {.title = "STARTED", .importance = 5},
                   {.title = "TOOK", .is_number = true, .importance = 6},
                   {.title = "ERROR", .importance = 4, .may_shrink = true}};
  for (const auto& operation : operations)
    table.rows.push_back({operation.id.substr(0, brief_id), operation.kind, operation.target, operation.state,
                          format_age(operation.started_at, now),
                          operation.total_ms ? format_milliseconds(*operation.total_ms) : "",
                          without_control_characters(operation.error.value_or(""))});
  return render_table(table, terminal);
}

std::string operation_card(const engine::OperationView& operation, const Terminal& terminal, TimePoint now) {
  Facts facts{{"Operation", operation.id},
              {"Kind", operation.kind},
              {"Target", operation.target},
              {"State", operation.state},
              {"Error", without_control_characters(operation.error.value_or(""))},
              {"Started", format_moment(operation.started_at, now)},
              {"Finished", operation.finished_at ? format_moment(*operation.finished_at, now) : ""}};
  add_timings(facts, operation.steps, operation.total_ms);
  return render_card(facts, terminal);
}

}  // namespace pgtwig::cli
