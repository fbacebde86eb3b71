// pgtwig branch: create, list, get, rename, reset, delete, and what a branch lets be known: url, password, logs.
#include "base/names.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/json.h"
#include "base/error.h"
#include "base/time.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

void set_source(RequestBody& body, const Session& session) {
  SourceChoice source = source_options(session);
  if (source.from) body.set("from", *source.from);
  if (source.at) body.set("at", *source.at);
  if (auto consistency = chosen_consistency(session)) body.set("consistency", *consistency);
}

std::string source_words(const Session& session, const std::string& otherwise) {
  SourceChoice source = source_options(session);
  return source.from.value_or(otherwise) + (source.at ? "@" + *source.at : "");
}

int create_branch(Session& session) {
  const Invocation& given = session.invocation();
  BranchPath branch = branch_argument(session, "BRANCH");
  RequestBody body;
  body.set("name", branch.branch.text());
  set_source(body, session);
  if (auto port = given.find("port")) body.set("port", std::int64_t{std::stol(*port)});
  if (auto durability = given.find("durability")) body.set("durability", *durability);
  if (auto ttl = given.find("ttl")) body.set("ttl", *ttl);
  if (auto after = given.find("suspend-after")) body.set("suspend_after", *after);
  if (given.has("no-start")) body.set("start", false);
  if (given.has("if-not-exists")) body.set("if_not_exists", true);
  add_limits(session, body);
  if (auto settings = settings_option(session); !settings.empty()) body.set("settings", settings);
  std::string result =
      perform(session, {.method = "POST",
                        .target = target_of(branch.project) + "/branches",
                        .body = body.text(),
                        .heading = fmt::format("Creating {} from {}", branch.text(),
                                               source_words(session, branch.project.text() + "/main"))});
  print_ready(session, result, given.has("no-start") ? "Created, not started," : "Ready");
  return 0;
}

int reset_branch(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  RequestBody body;
  set_source(body, session);
  std::string result = perform(
      session, {.method = "POST",
                .target = target_of(branch) + "/reset",
                .body = body.text(),
                .heading = fmt::format("Resetting {} to {}", branch.text(), source_words(session, "its parent"))});
  print_ready(session, result, "Ready");
  return 0;
}

int list_branches(Session& session) {
  std::string target = "/v1/branches";
  bool everything = session.invocation().has("all");
  std::optional<ProjectName> project;
  if (session.invocation().has("PROJECT"))
    project = project_argument(session, "PROJECT");
  else if (!everything)
    project = chosen_project(session);
  if (project) target += "?project=" + client::encode_segment(project->text());
  print_branches(session, session.api().request("GET", target));
  return 0;
}

int get_branch(Session& session) {
  print_branch(session, session.api().request("GET", target_of(branch_or_current(session, "BRANCH"))));
  return 0;
}

// The new name may be given with the project in front, which then must be the same: as everywhere, the first '/' ends a
// project's name, unless there is no such project, or --project says that all of it is a branch's.
BranchName new_branch_name(Session& session, const BranchPath& branch) {
  std::string text = session.invocation().get("NEW-NAME");
  const std::string first = text.substr(0, text.find('/'));
  const bool has_slash = first.size() < text.size();
  if (has_slash && first == branch.project.text()) {
    text.erase(0, first.size() + 1);
  } else if (has_slash && !session.invocation().has("project")) {
    for (const auto& project : read_projects(session.api().request("GET", "/v1/projects")))
      if (project.name == first)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{} stays in its project: '{}' would be a branch of {}", branch.text(), text, first),
                    fmt::format("a branch of {} with such a name is written {}/{}", branch.project.text(),
                                branch.project.text(), text));
  }
  auto name = BranchName::parse(text);
  if (!name) throw Error(ErrorCode::invalid_argument, fmt::format("NEW-NAME '{}': {}", text, name.error()));
  return *name;
}

int rename_branch(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  BranchPath renamed{branch.project, new_branch_name(session, branch)};
  std::string result = perform(session, {.method = "PATCH",
                                         .target = target_of(branch),
                                         .body = RequestBody().set("name", renamed.branch.text()).text(),
                                         .heading = fmt::format("Renaming {} to {}", branch.text(), renamed.text())});
  if (session.format() == Format::table)
    session.say(fmt::format("Renamed {} to {}", branch.text(), renamed.text()));
  else
    print_branch(session, result);
  return 0;
}

int delete_branch(Session& session) {
  const Invocation& given = session.invocation();
  BranchPath branch = branch_argument(session, "BRANCH");
  bool cascade = given.has("cascade") || given.has("force");
  if (cascade &&
      !session.confirm(fmt::format("Delete {} with its snapshots and every branch made from it?", branch.text()))) {
    session.say("Nothing was deleted.");
    return error_code_info(ErrorCode::invalid_argument).exit_status;
  }
  std::string result = perform(
      session, {.method = "DELETE",
                .target = fmt::format("{}?cascade={}&if_exists={}", target_of(branch), cascade, given.has("if-exists")),
                .body = {},
                .heading = fmt::format("Deleting {}", branch.text())});
  print_deleted(session, branch.text(), result);
  return 0;
}

int show_password(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  std::string result;
  if (session.invocation().has("reset")) {
    result = perform(session, {.method = "POST",
                               .target = target_of(branch) + "/password",
                               .heading = fmt::format("Setting a new password on {}", branch.text())});
  } else {
    result = session.api().request("GET", target_of(branch) + "/credentials");
  }
  Answer answer;
  answer.json = result;
  answer.table = [&](const Terminal&) { return api::from_json<engine::CredentialsView>(result).password + "\n"; };
  print_answer(session, answer);
  return 0;
}

Command create_branch_command() {
  return {
      .names = {"create"},
      .summary = "Create a branch: a writable PostgreSQL that shares its parent's blocks",
      .description =
          "It starts as its parent is now, or was at the moment that --at names, and is a server of its own from "
          "then on. Without --from it starts from the project's main. `branch get` shows from when to when a "
          "branch can be recovered.",
      .arguments = {{.name = "BRANCH", .kind = ValueKind::new_branch, .help = "the new branch: [project/]branch"}},
      .options = {from_option(),
                  at_option(),
                  consistency_option(),
                  fast_option(),
                  port_option(),
                  {.names = {"--durability"},
                   .value_name = "LEVEL",
                   .kind = ValueKind::choice,
                   .help = "full; relaxed: synchronous_commit off; none: fsync off, for throw-away branches",
                   .choices = {"full", "relaxed", "none"}},
                  {.names = {"--ttl"},
                   .value_name = "DURATION",
                   .kind = ValueKind::duration,
                   .help = "delete it by itself after this time: 30m, 2h, 3d"},
                  suspend_after_option(),
                  {.names = {"--no-start"}, .help = "leave it stopped"},
                  {.names = {"--if-not-exists"}, .help = "a branch of that name is fine and left as it is"},
                  set_option(),
                  cpus_option(),
                  memory_option()},
      .formats = branch_formats(),
      .examples = {{"pgtwig branch create demo/dev", "a branch of demo's main"},
                   {"pgtwig branch create demo/feature/search --from demo/dev --ttl 2h",
                    "of another branch, for two hours"},
                   {"pgtwig branch create demo/look --at 10m", "main as it was ten minutes ago"},
                   {"pgtwig branch create demo/again --from demo/dev@before-migration", "from a snapshot"},
                   {"pgtwig branch create demo/test --durability none -o dsn",
                    "for a test; prints its connection string"}},
      .run = create_branch,
  };
}

Command reset_command() {
  return {
      .names = {"reset", "sync"},
      .summary = "Make a branch anew from its parent",
      .description =
          "Its own changes are dropped; name, port and passwords stay, and so do its snapshots. If it fails, the "
          "branch is as it was.",
      .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch to reset"}},
      .options = {from_option(), at_option(), consistency_option(), fast_option()},
      .formats = branch_formats(),
      .examples = {{"pgtwig branch reset demo/dev", "to the parent as it is now"},
                   {"pgtwig branch reset demo/dev --at 1h", "to the parent as it was an hour ago"},
                   {"pgtwig branch reset demo/dev --from demo/staging", "to another branch"}},
      .run = reset_branch,
  };
}

Command delete_branch_command() {
  return {
      .names = {"delete", "rm"},
      .summary = "Delete a branch with its data",
      .description =
          "One that others were made from, or that has snapshots somebody made, needs --cascade, which deletes "
          "those too. Snapshots that a schedule made go with their branch. main goes with its project only.",
      .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch to delete"}},
      .options = {{.names = {"--cascade", "--force"},
                   .help = "with its snapshots and every branch made from it, at any depth"},
                  {.names = {"--if-exists"}, .help = "no such branch is fine"}},
      .formats = named_formats(),
      .examples = {{"pgtwig branch delete demo/dev", ""},
                   {"pgtwig branch delete demo/dev --cascade --yes", "and its children, without a question"}},
      .run = delete_branch,
  };
}

Command password_command() {
  return {
      .names = {"password", "pass"},
      .summary = "Print a branch's password, or set a new one",
      .arguments = {{.name = "BRANCH",
                     .kind = ValueKind::branch,
                     .help = "without it the branch chosen by `pgtwig use`",
                     .is_required = false}},
      .options = {{.names = {"--reset"}, .help = "set a new random one for role postgres"}},
      .formats = plain_formats(),
      .examples = {{"pgtwig branch password demo/dev", ""}, {"pgtwig branch password demo/dev --reset", "a new one"}},
      .run = show_password,
  };
}

}  // namespace

Command branch_commands() {
  Command list{
      .names = {"list", "ls"},
      .summary = "List the branches",
      .description = "Of one project where one is named or chosen, else of all.",
      .arguments =
          {{.name = "PROJECT", .kind = ValueKind::project, .help = "of this project only", .is_required = false}},
      .options = {{.names = {"--all", "-a"}, .help = "of every project"}, list_format_option()},
      .formats = branch_formats(),
      .examples = {{"pgtwig branch list demo", ""}, {"pgtwig branch list --all -o name", "names for a script"}},
      .run = list_branches};
  Command get{.names = {"get", "show", "info"},
              .summary = "Show a branch, from when to when it can be recovered, and where its data came from",
              .arguments = {{.name = "BRANCH",
                             .kind = ValueKind::branch,
                             .help = "without it the branch chosen by `pgtwig use`",
                             .is_required = false}},
              .formats = branch_formats(),
              .examples = {{"pgtwig branch get demo/dev --json", ""}},
              .run = get_branch};
  Command rename{.names = {"rename"},
                 .summary = "Rename a branch",
                 .description = "Port, password and data stay as they are, and what is connected stays connected.",
                 .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch"},
                               {.name = "NEW-NAME", .kind = ValueKind::new_branch, .help = "its new name"}},
                 .formats = branch_formats(),
                 .examples = {{"pgtwig branch rename demo/dev demo/search", ""}},
                 .run = rename_branch};
  return {.names = {"branch", "branches", "br", "b"},
          .summary = "Branches: writable copies of a database, ready in a tenth of a second",
          .section = "Projects and branches",
          .commands = {create_branch_command(), list, get, reset_command(), rename, delete_branch_command(),
                       branch_start_command(), branch_stop_command(), branch_restart_command(), branch_url_command(),
                       password_command(), branch_logs_command(), branch_snapshot_command(), branch_restore_command(),
                       branch_suspend_command(), branch_set_command()}};
}

}  // namespace pgtwig::cli
