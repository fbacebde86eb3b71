// What several commands have in common.
#include <fmt/format.h>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/render/progress.h"

namespace pgtwig::cli {

Option set_option() {
  return {.names = {"--set"},
          .value_name = "NAME=VALUE",
          .kind = ValueKind::setting,
          .help = "a PostgreSQL setting; may be given several times",
          .is_repeatable = true};
}

Option image_option() {
  return {
      .names = {"--image"},
      .value_name = "IMAGE",
      .help = "what containers are made of, for example postgres:17; pinned, so that every start is of this very one"};
}

Option pull_option() {
  return {.names = {"--pull"}, .help = "fetch the image from its registry first; without it none is ever asked"};
}

Option cpus_option() {
  return {.names = {"--cpus"}, .value_name = "N", .help = "processors that its container may use, like 1.5; none: all"};
}

Option memory_option() {
  return {.names = {"--memory"},
          .value_name = "SIZE",
          .help = "memory that its container may use, like 512MB; none: no limit"};
}

std::vector<std::string> runtime_choices() {
  return {"native", "docker", "podman", "nerdctl"};
}

Option port_option() {
  return {.names = {"--port", "-p"},
          .value_name = "PORT",
          .kind = ValueKind::port,
          .help = "fix its port; without it the next free one is taken"};
}

Option list_format_option() {
  return {.names = {"--format", "-f"},
          .value_name = "FORMAT",
          .kind = ValueKind::choice,
          .help = "table or json",
          .choices = {"table", "json"}};
}

Option from_option() {
  return {.names = {"--from", "--parent", "--source"},
          .value_name = "B[@POINT]",
          .kind = ValueKind::branch_at_point,
          .help = "the branch to start from, at a moment of it: [project/]branch[@point]; or a snapshot's name"};
}

Option at_option() {
  return {.names = {"--at", "--pitr"},
          .value_name = "POINT",
          .kind = ValueKind::point,
          .help = "the moment: a time, \"2 hours ago\", 10m, an LSN, xid:748, restore-point:NAME, a snapshot's name"};
}

Option days_option(const std::string& help) {
  return {.names = {"--days"}, .value_name = "N", .kind = ValueKind::days, .help = help};
}

Option dry_run_option() {
  return {.names = {"--dry-run"}, .help = "only say what would go"};
}

std::int64_t chosen_days(const Session& session) {
  auto days = session.invocation().find("days");
  if (!days)
    throw Error(ErrorCode::invalid_argument, fmt::format("`{}` needs --days N", session.path().text()),
                "say from which age on, in days: --days 30");
  return std::stol(*days);
}

Option consistency_option() {
  return {.names = {"--consistency"},
          .value_name = "MODE",
          .kind = ValueKind::choice,
          .help = "how a running source is copied: auto, checkpoint, fast, backup",
          .choices = {"auto", "checkpoint", "fast", "backup"}};
}

Option fast_option() {
  return {.names = {"--fast"}, .help = "the same as --consistency fast: no checkpoint first"};
}

std::optional<std::string> chosen_consistency(const Session& session) {
  auto mode = session.invocation().find("consistency");
  if (!session.invocation().has("fast")) return mode;
  if (mode && *mode != "fast")
    throw Error(ErrorCode::invalid_argument, fmt::format("--fast and --consistency {} contradict each other", *mode),
                "leave one of them out");
  return "fast";
}

void print_ready(Session& session, const std::string& branch_json, const std::string& word) {
  if (session.format() != Format::table) return print_branch(session, branch_json);
  auto branch = api::from_json<engine::BranchView>(branch_json);
  Console& console = session.console();
  std::string words = branch.total_ms ? fmt::format("{} in {}", word, format_milliseconds(*branch.total_ms))
                                      : fmt::format("{} is there already ({})", branch.name, branch.state);
  bool share_a_line = console.data_terminal().is_terminal && console.words_terminal().is_terminal;
  console.write_words(words + (share_a_line ? ":  " : "\n"));
  session.print(branch.url + "\n");
}

}  // namespace pgtwig::cli
