// branch suspend, and when a branch is suspended by itself: branch set.
#include <fmt/format.h>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/commands/set.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

int suspend_branch(Session& session) {
  return put_to_rest(session, {.name = "suspend", .doing = "Suspending", .done = "Suspended", .state = "suspended"});
}

int set_branch(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  const auto after = session.invocation().find("suspend-after");
  if (!after) throw nothing_to_set(session);
  std::string result = set_suspend_after(session, target_of(branch), *after);
  if (session.format() != Format::table) {
    print_branch(session, result);
    return 0;
  }
  auto view = api::from_json<engine::BranchView>(result);
  session.say(fmt::format("{} {}", view.name, suspend_words(view.suspend_after)));
  return 0;
}

}  // namespace

Option suspend_after_option() {
  return {.names = {"--suspend-after"},
          .value_name = "DURATION",
          .kind = ValueKind::interval,
          .help = "suspend it by itself once nobody has used it for so long: 5m, 1h; off: never"};
}

// As the option of `create`, and back to what applies when nothing is set.
Option new_suspend_time_option(const std::string& otherwise) {
  Option option = suspend_after_option();
  option.kind = ValueKind::text;
  option.help += fmt::format("; default: {}", otherwise);
  return option;
}

std::string set_suspend_after(Session& session, const std::string& target, const std::string& after) {
  RequestBody body;
  if (after != "default") body.set("after", after);
  return session.api().request("PUT", target + "/suspend-after", body.text());
}

std::string suspend_words(const std::string& suspend_after) {
  return suspend_after == "off" ? "is never suspended by itself"
                                : fmt::format("is suspended after {} without use", suspend_after);
}

Error nothing_to_set(const Session& session) {
  return {ErrorCode::invalid_argument, fmt::format("`{}` has nothing to set", session.path().text()),
          "for example: --suspend-after 5m"};
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
          .options = {new_suspend_time_option("as its project says, but main never")},
          .formats = branch_formats(),
          .examples = {{"pgtwig branch set demo/dev --suspend-after 5m", ""},
                       {"pgtwig branch set demo/main --suspend-after 1h", "main sleeps only where that is set for it"}},
          .run = set_branch};
}

}  // namespace pgtwig::cli
