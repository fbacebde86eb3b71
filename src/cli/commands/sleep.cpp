// branch suspend, and when branches are suspended by themselves: branch set, project set.
#include <fmt/format.h>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

constexpr const char* as_default = "default";

int suspend_branch(Session& session) {
  return put_to_rest(session, {.name = "suspend", .doing = "Suspending", .done = "Suspended", .state = "suspended"});
}

std::string chosen_time(const Session& session) {
  auto after = session.invocation().find("suspend-after");
  if (!after) {
    throw Error(ErrorCode::invalid_argument, fmt::format("`{}` has nothing to set", session.path().text()),
                "for example: --suspend-after 5m");
  }
  RequestBody body;
  if (*after != as_default) body.set("after", *after);
  return body.text();
}

std::string in_words(const std::string& suspend_after) {
  return suspend_after == "off" ? "is never suspended by itself"
                                : fmt::format("is suspended after {} without use", suspend_after);
}

int set_branch(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  std::string result = session.api().request("PUT", target_of(branch) + "/suspend-after", chosen_time(session));
  if (session.format() != Format::table) {
    print_branch(session, result);
    return 0;
  }
  auto view = api::from_json<engine::BranchView>(result);
  session.say(fmt::format("{} {}", view.name, in_words(view.suspend_after)));
  return 0;
}

int set_project(Session& session) {
  ProjectName project = project_argument(session, "PROJECT");
  std::string result = session.api().request("PUT", target_of(project) + "/suspend-after", chosen_time(session));
  if (session.format() != Format::table) {
    print_project(session, result);
    return 0;
  }
  auto view = api::from_json<engine::ProjectView>(result);
  session.say(fmt::format("each branch of {} but main {}, unless set for it", view.name, in_words(view.suspend_after)));
  return 0;
}

// As the option of `create`, and back to what applies when nothing is set.
Option new_time_option(const std::string& otherwise) {
  Option option = suspend_after_option();
  option.kind = ValueKind::text;
  option.help += fmt::format("; default: {}", otherwise);
  return option;
}

}  // namespace

Option suspend_after_option() {
  return {.names = {"--suspend-after"},
          .value_name = "DURATION",
          .kind = ValueKind::interval,
          .help = "suspend it by itself once nobody has used it for so long: 5m, 1h; off: never"};
}

Command branch_suspend_command() {
  return {.names = {"suspend"},
          .summary = "Put a branch to sleep",
          .description =
              "Its PostgreSQL is shut down cleanly and costs nothing until somebody wants the branch: who connects "
              "by the endpoint wakes it, and so do `psql`, `run` and `start`. One that was stopped may be woken from "
              "then on.",
          .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch to suspend"}},
          .formats = branch_formats(),
          .examples = {{"pgtwig branch suspend demo/dev", ""}},
          .run = suspend_branch};
}

Command branch_set_command() {
  return {.names = {"set"},
          .summary = "Set when a branch is suspended by itself",
          .description =
              "A branch is used while somebody runs a statement in it or holds a transaction open. Sessions that do "
              "nothing are no use: they end when it is suspended.",
          .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch"}},
          .options = {new_time_option("as its project says, but main never")},
          .formats = branch_formats(),
          .examples = {{"pgtwig branch set demo/dev --suspend-after 5m", ""},
                       {"pgtwig branch set demo/main --suspend-after 1h", "main sleeps only where that is set for it"}},
          .run = set_branch};
}

Command project_set_command() {
  return {.names = {"set"},
          .summary = "Set when a project's branches are suspended by themselves",
          .description = "Of all its branches but main that have no time of their own (`branch set`).",
          .arguments = {{.name = "PROJECT", .kind = ValueKind::project, .help = "the project"}},
          .options = {new_time_option("as branch.suspend_after in the configuration")},
          .formats = named_formats(),
          .examples = {{"pgtwig project set demo --suspend-after 10m", ""}},
          .run = set_project};
}

}  // namespace pgtwig::cli
