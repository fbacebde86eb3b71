#include "cli/targets.h"

#include <fmt/format.h>

#include "api/json.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "client/client.h"

namespace pgtwig::cli {
namespace {

ProjectName parse_project(const std::string& subject, const std::string& text) {
  auto name = ProjectName::parse(text);
  if (!name) throw Error(ErrorCode::invalid_argument, fmt::format("{} '{}': {}", subject, text, name.error()));
  return *name;
}

BranchName parse_branch(const std::string& subject, const std::string& text) {
  auto name = BranchName::parse(text);
  if (!name) throw Error(ErrorCode::invalid_argument, fmt::format("{} '{}': {}", subject, text, name.error()));
  return *name;
}

std::string first_line(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  line.erase(line.find_last_not_of(" \t\r") + 1);
  return line;
}

PlaceFile parse_place_file(const std::filesystem::path& file, const std::string& text) {
  std::string line = first_line(text);
  auto slash = line.find('/');
  PlaceFile place{file, parse_project(file.string(), line.substr(0, slash)), std::nullopt};
  if (slash != std::string::npos) place.branch = parse_branch(file.string(), line.substr(slash + 1));
  return place;
}

// With --project every word is a branch of that project: a '/' in it needs no project before it. Elsewhere the first
// '/' ends the project's name.
std::string with_project_flag(const Session& session, const std::string& text) {
  auto flag = session.invocation().find("project");
  if (!flag || text.starts_with(*flag + "/")) return text;
  return *flag + "/" + text;
}

}  // namespace

std::optional<PlaceFile> find_place_file(const Session& session) {
  for (std::filesystem::path folder = session.world().working_directory; !folder.empty();
       folder = folder.parent_path()) {
    auto file = folder / place_file_name;
    if (std::filesystem::is_regular_file(file)) return parse_place_file(file, read_file(file));
    if (folder == folder.parent_path()) break;
  }
  return std::nullopt;
}

std::optional<ProjectName> chosen_project(const Session& session) {
  if (auto flag = session.invocation().find("project")) return parse_project("--project", *flag);
  if (auto variable = session.environment("PGTWIG_PROJECT")) return parse_project("PGTWIG_PROJECT", *variable);
  if (auto place = find_place_file(session)) return place->project;
  return std::nullopt;
}

ProjectName current_project(Session& session) {
  if (auto chosen = chosen_project(session)) return *chosen;
  auto projects = read_projects(session.api().request("GET", "/v1/projects"));
  if (projects.size() == 1) return parse_project("the only project", projects.front().name);
  if (projects.empty())
    throw Error(ErrorCode::not_found, "there is no project yet", "make one: `pgtwig project create NAME`");
  std::vector<std::string> names;
  for (const auto& project : projects) names.push_back(project.name);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("no project is named, and there are {}: {}", names.size(), fmt::join(names, ", ")),
              fmt::format("name it before the branch ({}/dev), with --project or PGTWIG_PROJECT, or once for this "
                          "folder: `pgtwig use {}`",
                          names.front(), names.front()));
}

ProjectName project_argument(Session& session, const std::string& name) {
  if (auto text = session.invocation().find(name)) return parse_project(name, *text);
  return current_project(session);
}

BranchPath parse_branch_path(Session& session, const std::string& subject, const std::string& text) {
  auto reference = parse_branch_reference(with_project_flag(session, text));
  if (!reference)
    throw Error(ErrorCode::invalid_argument, fmt::format("{} '{}': {}", subject, text, reference.error()));
  if (!std::holds_alternative<Now>(reference->point))
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{} '{}' names a moment; `{}` takes a branch as it is now", subject, text, session.path().text()),
        "leave out what stands behind '@'");
  BranchName branch = parse_branch(subject, reference->branch_text);
  ProjectName project = reference->project ? parse_project(subject, *reference->project) : current_project(session);
  return {project, branch};
}

BranchPath branch_argument(Session& session, const std::string& name) {
  return parse_branch_path(session, name, session.invocation().get(name));
}

BranchPath branch_or_current(Session& session, const std::string& name) {
  if (auto text = session.invocation().find(name)) return parse_branch_path(session, name, *text);
  if (auto chosen = chosen_branch(session)) return *chosen;
  throw Error(ErrorCode::invalid_argument, fmt::format("`{}` needs {}: a branch", session.path().text(), name),
              "name one, or choose one for this folder: `pgtwig use BRANCH`");
}

std::optional<BranchPath> chosen_branch(const Session& session) {
  auto place = find_place_file(session);
  auto project = chosen_project(session);
  if (!project) return std::nullopt;
  if (!session.invocation().has("project"))
    if (auto variable = session.environment("PGTWIG_BRANCH"))
      return BranchPath{*project, parse_branch("PGTWIG_BRANCH", *variable)};
  if (place && place->branch && place->project == *project) return BranchPath{*project, *place->branch};
  return std::nullopt;
}

BranchPath branch_of_lone_snapshot(Session& session) {
  if (auto chosen = chosen_branch(session)) return *chosen;
  return {current_project(session), BranchName::main()};
}

SnapshotTarget snapshot_argument(Session& session, const std::string& name) {
  const std::string& text = session.invocation().get(name);
  auto at = text.find('@');
  if (at != std::string::npos && at + 1 < text.size())
    return {parse_branch_path(session, name, text.substr(0, at)), text.substr(at + 1)};
  if (at == std::string::npos && text.find('/') == std::string::npos) return {branch_of_lone_snapshot(session), text};
  throw Error(ErrorCode::invalid_argument, fmt::format("{} '{}' names no snapshot", name, text),
              fmt::format("write it behind '@': {}@NAME; `pgtwig snapshot list {}` shows them", text.substr(0, at),
                          text.substr(0, at)));
}

std::optional<ProjectOrBranch> project_or_branch_argument(Session& session, const std::string& name) {
  auto text = session.invocation().find(name);
  if (!text) return std::nullopt;
  const bool is_path = text->find('/') != std::string::npos || session.invocation().has("project");
  if (!is_path)
    for (const auto& project : read_projects(session.api().request("GET", "/v1/projects")))
      if (project.name == *text) return ProjectOrBranch{.project = parse_project(name, *text), .branch = {}};
  return ProjectOrBranch{.project = {}, .branch = parse_branch_path(session, name, *text)};
}

SourceChoice source_options(const Session& session) {
  SourceChoice choice{session.invocation().find("from"), session.invocation().find("at")};
  if (!choice.from) return choice;
  bool is_relative = choice.from->starts_with("^");
  std::string text = is_relative ? *choice.from : with_project_flag(session, *choice.from);
  auto reference = parse_branch_reference(text);
  if (!reference)
    throw Error(ErrorCode::invalid_argument, fmt::format("--from '{}': {}", *choice.from, reference.error()));
  if (choice.at && !std::holds_alternative<Now>(reference->point))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--from '{}' and --at '{}' both name a moment", *choice.from, *choice.at),
                "leave one of them out");
  choice.from = text;
  return choice;
}

std::optional<std::string> explain_slash(const Session& session, const Error& error) {
  auto word = session.invocation().find("BRANCH");
  if (error.code() != ErrorCode::not_found || !word || session.invocation().has("project")) return std::nullopt;
  auto slash = word->find('/');
  auto project = chosen_project(session);
  if (slash == std::string::npos || !project || word->substr(0, slash) == project->text()) return std::nullopt;
  return fmt::format("'{}' means a branch of project {}; one of {} is written {}/{}", *word, word->substr(0, slash),
                     project->text(), project->text(), *word);
}

std::optional<std::string> explain_choice(Session& session, const Error& error) {
  if (error.code() != ErrorCode::not_found || session.invocation().has("project")) return std::nullopt;
  const auto project = chosen_project(session);
  if (!project) return std::nullopt;
  const auto branch = chosen_branch(session);
  try {
    session.api_without_start().request("GET", branch ? target_of(*branch) : target_of(*project));
    return std::nullopt;
  } catch (const Error& of_the_choice) {
    if (of_the_choice.message() != error.message()) return std::nullopt;
  }
  const std::string name = branch ? branch->text() : project->text();
  for (const char* variable : {"PGTWIG_PROJECT", "PGTWIG_BRANCH"})
    if (session.environment(variable))
      return fmt::format("{} is chosen by {} in the environment ({})", name, variable, error.hint());
  return fmt::format("{} is chosen by {}: `pgtwig use NAME` chooses another ({})", name,
                     find_place_file(session)->file.string(), error.hint());
}

std::string target_of(const ProjectName& project) {
  return "/v1/projects/" + client::encode_segment(project.text());
}

std::string target_of(const BranchPath& branch) {
  return target_of(branch.project) + "/branches/" + client::encode_segment(branch.branch.text());
}

std::string target_of(const SnapshotTarget& snapshot) {
  return target_of(snapshot.branch) + "/snapshots/" + client::encode_segment(snapshot.snapshot);
}

}  // namespace pgtwig::cli
