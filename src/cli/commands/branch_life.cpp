// start, stop and restart: below `pgtwig branch` and at the top level.
#include <fmt/format.h>

#include "api/json.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/render/progress.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

std::string start_body(const Session& session) {
  RequestBody body;
  if (auto port = session.invocation().find("port")) body.set("port", std::int64_t{std::stol(*port)});
  if (auto allow = session.invocation().all("allow"); !allow.empty()) body.set("allow", allow);
  add_limits(session, body);
  if (auto settings = settings_option(session); !settings.empty()) body.set("settings", settings);
  return body.text();
}

int start_branch(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  print_ready(session,
              perform(session, {.method = "POST",
                                .target = target_of(branch) + "/start",
                                .body = start_body(session),
                                .heading = fmt::format("Starting {}", branch.text())}),
              "Ready");
  return 0;
}

int restart_branch(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  print_ready(session,
              perform(session, {.method = "POST",
                                .target = target_of(branch) + "/restart",
                                .body = start_body(session),
                                .heading = fmt::format("Restarting {}", branch.text())}),
              "Ready");
  return 0;
}

int stop_branch(Session& session) {
  return put_to_rest(session, {.name = "stop", .doing = "Stopping", .done = "Stopped", .state = "stopped"});
}

Argument branch_to_change(const std::string& help) {
  return {.name = "BRANCH", .kind = ValueKind::branch, .help = help};
}

Option allow_option() {
  return {
      .names = {"--allow"},
      .value_name = "NAME",
      .help = "let through what the branch holds back of its parent's (see `branch get`); may be given several times",
      .is_repeatable = true};
}

Option change_setting_option() {
  Option option = set_option();
  option.help = "a PostgreSQL setting of the branch; NAME= takes it back; may be given several times";
  return option;
}

Command life_command(const std::string& verb, const std::string& summary, const std::string& description,
                     std::vector<Option> options, int (*run)(Session&), const std::string& prefix) {
  Command command;
  command.names = {verb};
  command.summary = summary;
  command.description = description;
  command.arguments = {branch_to_change("the branch to " + verb)};
  command.options = std::move(options);
  command.formats = branch_formats();
  command.examples = {{fmt::format("pgtwig {}{} demo/dev", prefix, verb), ""}};
  command.run = run;
  if (prefix.empty()) command.section = "Projects and branches";
  return command;
}

Command start(const std::string& prefix) {
  return life_command("start", "Start a branch's PostgreSQL", "One that runs is left as it is.",
                      {port_option(), allow_option(), change_setting_option(), cpus_option(), memory_option()},
                      start_branch, prefix);
}

Command stop(const std::string& prefix) {
  return life_command("stop", "Stop a branch's PostgreSQL", "Its data stays; one that is stopped is left as it is.", {},
                      stop_branch, prefix);
}

Command restart(const std::string& prefix) {
  return life_command("restart", "Stop and start a branch's PostgreSQL", "",
                      {port_option(), allow_option(), change_setting_option(), cpus_option(), memory_option()},
                      restart_branch, prefix);
}

}  // namespace

int put_to_rest(Session& session, const RestVerb& verb) {
  BranchPath branch = branch_argument(session, "BRANCH");
  std::string result = perform(session, {.method = "POST",
                                         .target = fmt::format("{}/{}", target_of(branch), verb.name),
                                         .heading = fmt::format("{} {}", verb.doing, branch.text())});
  if (session.format() != Format::table) {
    print_branch(session, result);
    return 0;
  }
  auto view = api::from_json<engine::BranchView>(result);
  session.say(view.total_ms ? fmt::format("{} {} in {}", verb.done, view.name, format_milliseconds(*view.total_ms))
                            : fmt::format("{} is {}", view.name, verb.state));
  return 0;
}

Command branch_start_command() {
  return start("branch ");
}
Command branch_stop_command() {
  return stop("branch ");
}
Command branch_restart_command() {
  return restart("branch ");
}
Command start_command() {
  return start("");
}
Command stop_command() {
  return stop("");
}
Command restart_command() {
  return restart("");
}

}  // namespace pgtwig::cli
