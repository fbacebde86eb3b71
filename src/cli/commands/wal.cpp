// pgtwig wal: the archive of the write-ahead log, which recovery replays.
#include <fmt/format.h>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/render/views.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

// As `doctor` ends when it has found something.
constexpr int exit_problems_found = 8;

int show_wal(Session& session) {
  std::string result = session.api().request("GET", target_of(branch_or_current(session, "BRANCH")) + "/wal");
  print_answer(session, {.json = result, .table = [&](const Terminal& terminal) {
                           return wal_card(api::from_json<engine::WalView>(result), terminal,
                                           session.world().clock->now());
                         }});
  return 0;
}

int verify_wal(Session& session) {
  RequestBody body;
  if (session.invocation().has("BRANCH")) body.set("branch", branch_argument(session, "BRANCH").text());
  std::string result = session.api().request("POST", "/v1/wal/verify", body.text());
  auto verified = api::from_json<engine::WalVerifyView>(result);
  print_answer(session, {.json = result, .table = [&](const Terminal& terminal) {
                           if (verified.problems.empty()) {
                             session.say(fmt::format("Checked {} segments: all are whole", verified.segments));
                             return std::string();
                           }
                           session.say(fmt::format("Checked {} segments; problems: {}", verified.segments,
                                                   verified.problems.size()));
                           return wal_problem_table(verified.problems, terminal);
                         }});
  return verified.problems.empty() ? 0 : exit_problems_found;
}

int clean_up_wal(Session& session) {
  const bool is_dry_run = session.invocation().has("dry-run");
  RequestBody body;
  std::string scope = "every branch";
  if (session.invocation().has("BRANCH")) {
    scope = branch_argument(session, "BRANCH").text();
    body.set("branch", scope);
  }
  body.set("days", chosen_days(session));
  if (is_dry_run) body.set("dry_run", true);
  if (!is_dry_run && !session.confirm(fmt::format("Remove WAL of {} that is older than {} days, as far as no promised "
                                                  "window needs it?",
                                                  scope, chosen_days(session)))) {
    session.say("Nothing was removed.");
    return error_code_info(ErrorCode::invalid_argument).exit_status;
  }
  std::string result = session.api().request("POST", "/v1/wal/cleanup", body.text());
  print_answer(session, {.json = result, .table = [&](const Terminal& terminal) {
                           return wal_cleanup_card(api::from_json<engine::WalCleanupView>(result), terminal);
                         }});
  return 0;
}

Argument optional_branch(const std::string& help) {
  return {.name = "BRANCH", .kind = ValueKind::branch, .help = help, .is_required = false};
}

}  // namespace

Command wal_commands() {
  Command info{.names = {"info"},
               .summary = "Show a branch's archive: its size, its gaps, and from when to when it allows recovery",
               .arguments = {optional_branch("without it the branch chosen by `pgtwig use`")},
               .formats = plain_formats(),
               .examples = {{"pgtwig wal info demo/main", ""}},
               .run = show_wal};
  Command verify{.names = {"verify"},
                 .summary = "Check every archived segment: there, whole, of this database, without a gap",
                 .description = "Ends with exit status 8 when something is wrong. Nothing is changed.",
                 .arguments = {optional_branch("without it every branch")},
                 .formats = plain_formats(),
                 .examples = {{"pgtwig wal verify demo/main", ""}},
                 .run = verify_wal};
  Command cleanup{
      .names = {"cleanup"},
      .summary = "Remove old segments that nothing needs",
      .description =
          "Never one that the promised window of recovery (recovery.window in the configuration) needs; says "
          "what it kept and why. The daemon does the same by itself. Asks first on a terminal.",
      .arguments = {optional_branch("without it every branch")},
      .options = {days_option("those older than so many days"), dry_run_option()},
      .formats = plain_formats(),
      .examples = {{"pgtwig wal cleanup --days 14 --dry-run", "what would go, and what stays and why"}},
      .run = clean_up_wal};
  return {.names = {"wal"},
          .summary = "The archive of the write-ahead log that recovery replays",
          .section = "Snapshots and recovery",
          .commands = {info, verify, cleanup}};
}

}  // namespace pgtwig::cli
