// pgtwig status: the daemon, the pools and the branches at a glance.
#include <fmt/format.h>

#include "api/json.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/render/style.h"
#include "cli/render/table.h"
#include "cli/render/views.h"

namespace pgtwig::cli {
namespace {

std::string endpoint_text(const engine::StatusView& status) {
  if (!status.endpoint) return "off";
  const auto& endpoint = *status.endpoint;
  if (!endpoint.problem.empty()) return "not listening: " + without_control_characters(endpoint.problem);
  std::string text = fmt::format("{} port {}", endpoint.host, endpoint.port);
  for (const auto& [branch, sessions] : endpoint.sessions) text += fmt::format(", {} to {}", sessions, branch);
  return text;
}

std::string metrics_text(const engine::MetricsPlaceView& metrics) {
  if (!metrics.problem.empty()) return "not served: " + without_control_characters(metrics.problem);
  return fmt::format("{} port {}", metrics.host, metrics.port);
}

std::string daemon_card(const engine::StatusView& status, const Terminal& terminal, TimePoint now) {
  std::vector<std::pair<std::string, std::string>> lines{
      {"Daemon",
       fmt::format("version {}, pid {}, started {}", status.version, status.pid, format_age(status.started_at, now))},
      {"Root", status.root},
      {"PostgreSQL",
       status.postgres_versions.empty() ? "none found" : fmt::format("{}", fmt::join(status.postgres_versions, ", "))},
      {"Endpoint", endpoint_text(status)}};
  if (status.metrics) lines.emplace_back("Metrics", metrics_text(*status.metrics));
  return render_card(lines, terminal);
}

// What is not as it should be, a line for each.
std::vector<std::string> find_problems(const engine::StatusView& status) {
  std::vector<std::string> problems;
  for (const auto& pool : status.pools) {
    if (pool.state != "ready")
      problems.push_back(fmt::format("pool {} is {}: {} is not there", pool.name, pool.state, pool.directory));
    for (const auto& warning : pool.warnings) problems.push_back(fmt::format("pool {}: {}", pool.name, warning));
  }
  for (const auto& branch : status.branches) {
    if (branch.state == "failed")
      problems.push_back(fmt::format("branch {} has failed; see: pgtwig branch logs {}", branch.name, branch.name));
    for (const auto& warning : branch.warnings) problems.push_back(fmt::format("branch {}: {}", branch.name, warning));
  }
  if (status.endpoint && !status.endpoint->problem.empty())
    problems.push_back(fmt::format("the endpoint is not listening: {}", status.endpoint->problem));
  if (status.metrics && !status.metrics->problem.empty())
    problems.push_back(fmt::format("the metrics are not served: {}", status.metrics->problem));
  if (status.postgres_versions.empty())
    problems.emplace_back("no PostgreSQL was found; install one: apt install postgresql");
  return problems;
}

std::string health_text(const engine::StatusView& status, const Terminal& terminal) {
  auto problems = find_problems(status);
  if (problems.empty()) return paint(terminal, Paint::green, "All is well.") + "\n";
  std::string text;
  for (const auto& problem : problems)
    text += paint(terminal, Paint::yellow, "!") + " " + without_control_characters(problem) + "\n";
  return text;
}

std::string status_text(const engine::StatusView& status, const std::string& part, const Terminal& terminal,
                        TimePoint now) {
  if (part == "branches") return branch_table(status.branches, terminal, now);
  if (part == "health") return health_text(status, terminal);
  std::string text = daemon_card(status, terminal, now);
  if (!status.pools.empty()) text += "\n" + pool_table(status.pools, terminal, now);
  if (part == "system") return text;
  if (!status.branches.empty()) text += "\n" + branch_table(status.branches, terminal, now);
  if (!find_problems(status).empty()) text += "\n" + health_text(status, terminal);
  return text;
}

int show_status(Session& session) {
  if (session.invocation().find("PART") == "snapshots") {
    print_snapshots(session, session.api().request("GET", "/v1/snapshots"));
    return 0;
  }
  std::string result = session.api().request("GET", "/v1/status");
  std::string part = session.invocation().find("PART").value_or("");
  print_answer(session, {.json = result, .table = [&](const Terminal& terminal) {
                           return status_text(api::from_json<engine::StatusView>(result), part, terminal,
                                              session.world().clock->now());
                         }});
  return 0;
}

}  // namespace

Command status_command() {
  return {.names = {"status", "ls"},
          .summary = "Show the daemon, the pools and the branches",
          .arguments = {{.name = "PART",
                         .kind = ValueKind::choice,
                         .help = "only this: system, branches, snapshots or health",
                         .is_required = false,
                         .choices = {"system", "branches", "snapshots", "health"}}},
          .options = {list_format_option()},
          .formats = plain_formats(),
          .examples = {{"pgtwig status", ""}, {"pgtwig status health", "only what is not as it should be"}},
          .run = show_status,
          .section = "Projects and branches"};
}

}  // namespace pgtwig::cli
