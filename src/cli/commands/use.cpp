// pgtwig use: chooses a project and a branch for a folder and all below it, by a file .pgtwig.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/named_file.h"
#include "cli/render/table.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

// Of a project or a branch.
bool exists(Session& session, const std::string& target) {
  try {
    session.api().request("GET", target);
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
  if (auto name = BranchName::parse(text); name && current && exists(session, target_of(BranchPath{*current, *name})))
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

// Clients that name no branch are led to the one of this place from now on.
std::string select_for_endpoint(Session& session, const std::string& place) {
  const std::string branch = place.find('/') == std::string::npos ? place + "/main" : place;
  session.api().request("PUT", "/v1/endpoint", RequestBody().set("branch", branch).text());
  return branch;
}

std::optional<std::string> endpoint_branch(Session& session) {
  const auto answer = boost::json::parse(session.api().request("GET", "/v1/endpoint"));
  const auto* branch = answer.is_object() ? answer.get_object().if_contains("branch") : nullptr;
  if (branch == nullptr || !branch->is_string()) return std::nullopt;
  return boost::json::value_to<std::string>(*branch);
}

int show_place(Session& session) {
  const auto file = find_place_file(session);
  const auto endpoint = endpoint_branch(session);
  std::string place;
  std::string target;
  if (file && file->branch) {
    const BranchPath branch{file->project, *file->branch};
    place = branch.text();
    target = target_of(branch);
  } else if (file) {
    place = file->project.text();
    target = target_of(file->project);
  }
  RequestBody body;
  if (file) body.set("name", place).set("file", file->file.string());
  if (endpoint) body.set("endpoint", *endpoint);
  Answer answer;
  answer.json = body.text();
  answer.table = [&](const Terminal& terminal) {
    const char* state = !file || exists(session, target) ? "" : ", which does not exist";
    return render_card(
        {{"Here", file ? fmt::format("{}{} ({})", place, state, file->file.string()) : "nothing is chosen"},
         {"Endpoint", endpoint.value_or("nothing is chosen")}},
        terminal);
  };
  answer.names = [&] { return file ? std::vector{place} : std::vector<std::string>(); };
  print_answer(session, answer);
  return 0;
}

int use_place(Session& session) {
  if (!session.invocation().has("NAME")) return show_place(session);
  std::string place = resolve_place(session, session.invocation().get("NAME"));
  auto existing = find_place_file(session);
  auto file = existing ? existing->file : session.world().working_directory / place_file_name;
  // First what may fail: else clients would be led elsewhere by a command that did nothing.
  with_named_file("where no file can be written, PGTWIG_PROJECT and PGTWIG_BRANCH choose",
                  [&] { write_file_durably(file, place + "\n", 0644); });
  std::optional<std::string> endpoint;
  if (!session.invocation().has("here")) endpoint = select_for_endpoint(session, place);
  RequestBody body;
  body.set("name", place).set("file", file.string());
  if (endpoint) body.set("endpoint", *endpoint);
  Answer answer;
  answer.json = body.text();
  answer.table = [&](const Terminal&) {
    session.say(fmt::format("Using {} in {} and below ({})", place, file.parent_path().string(), place_file_name));
    if (endpoint) session.say(fmt::format("Clients that name no branch are led to {}", *endpoint));
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
          .summary = "Choose the project and branch of this folder, and where the endpoint leads",
          .description =
              "Writes the file .pgtwig, the nearest one upwards or a new one here. From then on commands here "
              "and in folders below need not name the project, and psql, run, env and url not the branch. The "
              "installation's endpoint leads new clients that name no branch there too; a project alone means its "
              "main. Without a name: shows what is chosen. The file holds a name: after a rename, choose again.",
          .arguments = {{.name = "NAME",
                         .kind = ValueKind::project_or_branch,
                         .help = "a project, project/branch, or a branch of the current project",
                         .is_required = false}},
          .options = {{.names = {"--here"}, .help = "only in this folder: the endpoint leads where it did"}},
          .formats = named_formats(),
          .examples = {{"pgtwig use demo/dev", ""},
                       {"pgtwig use dev", "another branch of the same project"},
                       {"pgtwig use", "what is chosen"}},
          .run = use_place,
          .section = "Projects and branches"};
}

}  // namespace pgtwig::cli
