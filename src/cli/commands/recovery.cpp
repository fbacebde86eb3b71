// pgtwig branch restore, which takes a branch back to a moment of its past, and pgtwig log, which shows that past.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

struct RestoreTarget {
  BranchPath branch;
  std::string at;
};

// "demo/main --at 10m", or "demo/main@10m".
RestoreTarget restore_target(Session& session) {
  const std::string& text = session.invocation().get("BRANCH");
  auto at = session.invocation().find("at");
  auto sign = text.find('@');
  BranchPath branch = parse_branch_path(session, "BRANCH", text.substr(0, sign));
  if (sign == std::string::npos) {
    if (at) return {branch, *at};
    throw Error(ErrorCode::invalid_argument, fmt::format("`{}` needs --at POINT", session.path().text()),
                fmt::format("say to which moment: --at \"10m ago\"; `pgtwig branch get {}` shows which can be had",
                            branch.text()));
  }
  if (at)
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' and --at '{}' both name a moment", text, *at),
                "leave one of them out");
  auto point = parse_point(text.substr(sign + 1));
  if (!point) throw Error(ErrorCode::invalid_argument, fmt::format("BRANCH '{}': {}", text, point.error()));
  return {branch, text.substr(sign + 1)};
}

int restore_branch(Session& session) {
  RestoreTarget target = restore_target(session);
  std::string result =
      perform(session, {.method = "POST",
                        .target = target_of(target.branch) + "/restore",
                        .body = RequestBody().set("at", target.at).text(),
                        .heading = fmt::format("Restoring {} to {}", target.branch.text(), target.at)});
  print_ready(session, result, "Restored");
  return 0;
}

int show_history(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  print_history(session, session.api().request("GET", target_of(branch) + "/history"));
  return 0;
}

}  // namespace

Command branch_restore_command() {
  return {
      .names = {"restore"},
      .summary = "Take a branch back to a moment of its past, in place",
      .description =
          "Name, port, password and other branches stay as they are. What was there before is kept as a snapshot, so "
          "that it can be undone. `branch get` shows from when to when a branch can be recovered; a moment outside is "
          "refused before anything is made. Ctrl-C cancels it, and the branch is as it was.",
      .arguments = {{.name = "BRANCH", .kind = ValueKind::branch_at_point, .help = "the branch to restore"}},
      .options = {at_option()},
      .formats = branch_formats(),
      .examples = {{"pgtwig branch restore demo/main --at 2026-03-01T11:59:30.5+01:00", ""},
                   {"pgtwig branch restore demo/main --at 10m", "as it was ten minutes ago"},
                   {"pgtwig branch restore demo/main --at before-migration", "to a snapshot"}},
      .run = restore_branch};
}

Command log_command() {
  return {.names = {"log"},
          .summary = "Show the history of a branch: snapshots, resets, restores; newest first",
          .arguments = {{.name = "BRANCH",
                         .kind = ValueKind::branch,
                         .help = "without it the branch chosen by `pgtwig use`",
                         .is_required = false}},
          .options = {list_format_option()},
          .formats = named_formats(),
          .examples = {{"pgtwig log demo/main", ""}},
          .run = show_history,
          .section = "Snapshots and recovery"};
}

}  // namespace pgtwig::cli
