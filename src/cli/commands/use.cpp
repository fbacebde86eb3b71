// pgtwig use: chooses a project and a branch for a folder and all below it, by a file .pgtwig.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

bool has_branch(Session& session, const BranchPath& branch) {
  try {
    session.api().request("GET", target_of(branch));
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_found) throw;
    return false;
  }
}

// As git's switch: a word without '/' is a branch of the current project where it has one of that name, else a project.
std::string resolve_place(Session& session, const std::string& text) {
  if (text.find('/') != std::string::npos || session.invocation().has("project")) {
    BranchPath branch = parse_branch_path(session, "NAME", text);
    session.api().request("GET", target_of(branch));
    return branch.text();
  }
  auto projects = read_projects(session.api().request("GET", "/v1/projects"));
  std::optional<ProjectName> current = chosen_project(session);
  if (!current && projects.size() == 1) current = *ProjectName::parse(projects.front().name);
  if (auto name = BranchName::parse(text); name && current && has_branch(session, {*current, *name}))
    return BranchPath{*current, *name}.text();
  std::vector<std::string> names;
  for (const auto& project : projects) names.push_back(project.name);
  if (std::find(names.begin(), names.end(), text) != names.end()) return text;
  auto near = nearest_names(text, names);
  throw Error(ErrorCode::not_found,
              current ? fmt::format("{} is neither a branch of {} nor a project", text, current->text())
                      : fmt::format("there is no project {}", text),
              near.empty() ? "`pgtwig branch list --all` shows all there are"
                           : fmt::format("did you mean {}?", fmt::join(near, " or ")));
}

int use_place(Session& session) {
  std::string place = resolve_place(session, session.invocation().get("NAME"));
  auto existing = find_place_file(session);
  auto file = existing ? existing->file : session.world().working_directory / place_file_name;
  write_file_durably(file, place + "\n", 0644);
  Answer answer;
  answer.json = RequestBody().set("name", place).set("file", file.string()).text();
  answer.table = [&](const Terminal&) {
    session.say(fmt::format("Using {} in {} and below ({})", place, file.parent_path().string(), place_file_name));
    return std::string();
  };
  answer.names = [&] { return std::vector{place}; };
  print_answer(session, answer);
  for (const char* name : {"PGTWIG_PROJECT", "PGTWIG_BRANCH"})
    if (auto value = session.environment(name))
      session.warn(fmt::format("{}={} in the environment goes before the file", name, *value));
  return 0;
}

}  // namespace

Command use_command() {
  return {.names = {"use", "switch"},
          .summary = "Choose the project and branch of this folder",
          .description =
              "Writes the file .pgtwig, the nearest one upwards or a new one here. From then on commands here "
              "and in folders below need not name the project, and psql, run, env and url not the branch.",
          .arguments = {{.name = "NAME",
                         .kind = ValueKind::project_or_branch,
                         .help = "a project, project/branch, or a branch of the current project"}},
          .formats = named_formats(),
          .examples = {{"pgtwig use demo/dev", ""}, {"pgtwig use dev", "another branch of the same project"}},
          .run = use_place,
          .section = "Projects and branches"};
}

}  // namespace pgtwig::cli
