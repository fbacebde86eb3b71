// pgtwig snapshot (commit): named moments of a branch. Also `pgtwig branch snapshot`.
#include <fmt/format.h>

#include <algorithm>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/commands/snapshot.h"
#include "cli/render/progress.h"
#include "cli/render/table.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

// "demo/main", "main", "demo/main@before": a branch, perhaps with the new snapshot's name.
SnapshotTarget parse_new_snapshot(Session& session, const std::string& text) {
  auto at = text.find('@');
  BranchPath branch = parse_branch_path(session, "BRANCH", text.substr(0, at));
  return {branch, at == std::string::npos ? "" : text.substr(at + 1)};
}

bool is_branch(Session& session, const BranchPath& branch) {
  try {
    session.api().request("GET", target_of(branch));
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_found) return false;
    throw;
  }
}

// One word alone, without a project: a branch where there is one of that name, else the new snapshot's name.
SnapshotTarget read_lone_word(Session& session, const std::string& word) {
  const bool can_be_name = word.find_first_of("/@") == std::string::npos;
  const bool can_be_branch = !can_be_name || BranchName::parse(word).has_value();
  if (can_be_branch) {
    SnapshotTarget target = parse_new_snapshot(session, word);
    if (!can_be_name || is_branch(session, target.branch)) return target;
  }
  return {branch_of_lone_snapshot(session), word};
}

SnapshotTarget new_snapshot(Session& session) {
  auto branch = session.invocation().find("BRANCH");
  auto name = session.invocation().find("NAME");
  if (!branch) return {branch_of_lone_snapshot(session), ""};
  if (!name && session.path().words.front() == "snapshot") return read_lone_word(session, *branch);
  SnapshotTarget target = parse_new_snapshot(session, *branch);
  if (!name) return target;
  if (!target.snapshot.empty())
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' and '{}' both name the snapshot", *branch, *name),
                "leave one of them out");
  target.snapshot = *name;
  return target;
}

int create_snapshot(Session& session) {
  SnapshotTarget target = new_snapshot(session);
  RequestBody body;
  if (!target.snapshot.empty()) body.set("name", target.snapshot);
  if (auto message = session.invocation().find("message")) body.set("message", *message);
  std::string result = perform(session, {.method = "POST",
                                         .target = target_of(target.branch) + "/snapshots",
                                         .body = body.text(),
                                         .heading = fmt::format("Taking a snapshot of {}", target.branch.text())});
  if (session.format() != Format::table) {
    print_snapshot(session, result);
    return 0;
  }
  auto snapshot = api::from_json<engine::SnapshotView>(result);
  session.say(snapshot.total_ms ? fmt::format("Taken in {}", format_milliseconds(*snapshot.total_ms)) : "Taken");
  session.print(snapshot.name + "\n");
  return 0;
}

int list_snapshots(Session& session) {
  auto what = project_or_branch_argument(session, "PROJECT|BRANCH");
  std::string target = "/v1/snapshots";
  if (what && what->branch)
    target += "?branch=" + client::encode_segment(what->branch->text());
  else if (auto project = what ? what->project : chosen_project(session); project && !session.invocation().has("all"))
    target += "?project=" + client::encode_segment(project->text());
  print_snapshots(session, session.api().request("GET", target));
  return 0;
}

int get_snapshot(Session& session) {
  print_snapshot(session, session.api().request("GET", target_of(snapshot_argument(session, "SNAPSHOT"))));
  return 0;
}

int delete_snapshot(Session& session) {
  SnapshotTarget snapshot = snapshot_argument(session, "SNAPSHOT");
  std::string result = perform(
      session, {.method = "DELETE",
                .target = fmt::format("{}?if_exists={}", target_of(snapshot), session.invocation().has("if-exists")),
                .body = {},
                .heading = fmt::format("Deleting {}", snapshot.text())});
  print_deleted(session, snapshot.text(), result);
  return 0;
}

// "demo/main@v1: it has branches" in its two parts.
std::vector<std::string> cleanup_row(const std::string& kept) {
  auto colon = kept.find(": ");
  if (colon == std::string::npos) return {kept, "kept"};
  return {kept.substr(0, colon), "kept: " + kept.substr(colon + 2)};
}

std::string cleanup_table(const api::SnapshotCleanupView& cleanup, const Terminal& terminal) {
  Table table;
  table.columns = {{.title = "SNAPSHOT", .importance = 9, .may_shrink = true},
                   {.title = "OUTCOME", .importance = 9, .may_shrink = true}};
  for (const auto& name : cleanup.deleted)
    table.rows.push_back({name, cleanup.is_dry_run ? "would be deleted" : "deleted"});
  for (const auto& kept : cleanup.kept) table.rows.push_back(cleanup_row(kept));
  return table.rows.empty() ? "" : render_table(table, terminal);
}

// Nothing is named: never everything, but the current project.
ProjectOrBranch what_to_clean_up(Session& session) {
  if (auto what = project_or_branch_argument(session, "PROJECT|BRANCH")) return *what;
  return {.project = current_project(session), .branch = {}};
}

int clean_up_snapshots(Session& session) {
  const bool everything = session.invocation().has("all");
  const bool is_dry_run = session.invocation().has("dry-run");
  RequestBody body;
  std::string scope = "every project";
  if (everything && session.invocation().has("PROJECT|BRANCH"))
    throw Error(ErrorCode::invalid_argument, "--all and a name contradict each other", "leave one of them out");
  body.set("days", chosen_days(session));
  if (!everything) {
    ProjectOrBranch what = what_to_clean_up(session);
    scope = what.text();
    if (what.branch)
      body.set("branch", scope);
    else
      body.set("project", scope);
  }
  if (is_dry_run) body.set("dry_run", true);
  if (!is_dry_run && !session.confirm(fmt::format("Delete the snapshots of {} that are older than {} days?", scope,
                                                  chosen_days(session)))) {
    session.say("Nothing was deleted.");
    return error_code_info(ErrorCode::invalid_argument).exit_status;
  }
  std::string result = perform(session, {.method = "POST",
                                         .target = "/v1/snapshots/cleanup",
                                         .body = body.text(),
                                         .heading = fmt::format("Cleaning up the snapshots of {}", scope)});
  auto cleanup = api::from_json<api::SnapshotCleanupView>(result);
  Answer answer;
  answer.json = result;
  answer.names = [&] { return cleanup.deleted; };
  answer.table = [&](const Terminal& terminal) {
    session.say(fmt::format("{} {}, kept {}", is_dry_run ? "Would delete" : "Deleted", cleanup.deleted.size(),
                            cleanup.kept.size()));
    return cleanup_table(cleanup, terminal);
  };
  print_answer(session, answer);
  return 0;
}

Option message_option() {
  return {.names = {"--message", "-m", "--label"}, .value_name = "TEXT", .help = "what it is for"};
}

Argument new_name_argument() {
  return {.name = "NAME",
          .help = "the snapshot's name; without it one is made of the time: 20261121-065150",
          .is_required = false};
}

Argument snapshot_to(const std::string& verb) {
  return {.name = "SNAPSHOT",
          .kind = ValueKind::snapshot,
          .help = fmt::format("the snapshot to {}: [project/]branch@name", verb)};
}

Argument scope_argument(const std::string& help) {
  return {.name = "PROJECT|BRANCH", .kind = ValueKind::project_or_branch, .help = help, .is_required = false};
}

Command create_snapshot_command() {
  return {.names = {"create"},
          .summary = "Take a snapshot of a branch: a named moment to come back to",
          .description =
              "The branch may run or be stopped and is not disturbed; unchanged blocks are shared. One word that names "
              "no branch is the snapshot's name: of the branch chosen by `pgtwig use`, else of the project's main.",
          .arguments = {{.name = "BRANCH",
                         .kind = ValueKind::branch,
                         .help = "the branch: [project/]branch, or [project/]branch@name",
                         .is_required = false},
                        new_name_argument()},
          .options = {message_option()},
          .formats = named_formats(),
          .examples = {{"pgtwig snapshot create demo/main before-migration -m schema-v12", ""},
                       {"pgtwig snapshot create demo/dev", "its name is made of the time"},
                       {"pgtwig commit create works -m works", "of the branch in use"}},
          .run = create_snapshot};
}

Command delete_snapshot_command() {
  return {.names = {"delete", "rm", "remove"},
          .summary = "Delete a snapshot",
          .description =
              "Branches that were made from it live on. Moments that only it made reachable can't be recovered any "
              "more; `branch get` shows what can.",
          .arguments = {snapshot_to("delete")},
          .options = {{.names = {"--if-exists"}, .help = "no such snapshot is fine"}},
          .formats = named_formats(),
          .examples = {{"pgtwig snapshot delete demo/main@before-migration", ""}},
          .run = delete_snapshot};
}

Command cleanup_command() {
  return {
      .names = {"cleanup"},
      .summary = "Delete old snapshots, whoever took them",
      .description =
          "Kept are those with branches, and those with which recovery to the promised window begins; what is kept is "
          "named with the reason. Asks first on a terminal.",
      .arguments = {scope_argument("of this project or branch; without it the current project")},
      .options = {days_option("those older than so many days"),
                  {.names = {"--all", "-a"}, .help = "of every project"},
                  dry_run_option()},
      .formats = named_formats(),
      .examples = {{"pgtwig snapshot cleanup demo/main --days 30 --dry-run", "what would go, and what stays and why"},
                   {"pgtwig snapshot cleanup --all --days 90 --yes", ""}},
      .run = clean_up_snapshots};
}

}  // namespace

Command branch_snapshot_command() {
  return {.names = {"snapshot"},
          .summary = "Take a snapshot of a branch",
          .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch"}, new_name_argument()},
          .options = {message_option()},
          .formats = named_formats(),
          .examples = {{"pgtwig branch snapshot demo/dev before-merge -m passes", ""}},
          .run = create_snapshot};
}

Command snapshot_commands() {
  Command list{.names = {"list", "ls"},
               .summary = "List the snapshots, oldest first",
               .description = "Of one branch or project where one is named or chosen, else of all.",
               .arguments = {scope_argument("of this project or branch only")},
               .options = {{.names = {"--all", "-a"}, .help = "of every project"}, list_format_option()},
               .formats = named_formats(),
               .examples = {{"pgtwig snapshot list demo/main", ""}, {"pgtwig commit ls demo -o name", ""}},
               .run = list_snapshots};
  Command get{.names = {"get", "show", "info"},
              .summary = "Show a snapshot, and the branches made from it",
              .arguments = {snapshot_to("show")},
              .formats = named_formats(),
              .examples = {{"pgtwig snapshot get demo/main@before-migration", ""}},
              .run = get_snapshot};
  return {.names = {"snapshot", "snapshots", "snap", "commit", "commits"},
          .summary = "Snapshots: named moments of a branch, to come back to or branch from",
          .section = "Snapshots and recovery",
          .commands = {create_snapshot_command(), list, get, delete_snapshot_command(), cleanup_command(),
                       schedule_commands()}};
}

}  // namespace pgtwig::cli
