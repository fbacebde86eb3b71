// Which project and which branch the words of a call mean. A project may be left out: then it is --project's,
// PGTWIG_PROJECT's, that of a .pgtwig file found upwards from the working directory, or the only one there is.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/names.h"
#include "cli/session.h"

namespace pgtwig::cli {

// What 'pgtwig use' wrote down: one line, "demo" or "demo/dev".
struct PlaceFile {
  std::filesystem::path file;
  ProjectName project;
  std::optional<BranchName> branch;
};
// The nearest .pgtwig upwards from the working directory. Throws Error invalid_argument naming it when it is malformed.
std::optional<PlaceFile> find_place_file(const Session& session);
inline constexpr const char* place_file_name = ".pgtwig";

// The project that was chosen by flag, environment or file; nullopt when none of them says. Asks nobody.
std::optional<ProjectName> chosen_project(const Session& session);
// The same, else the only project. Throws when there are none or several.
ProjectName current_project(Session& session);

// The project of the argument `name`, or the current one where the argument was left out.
ProjectName project_argument(Session& session, const std::string& name);
// The branch of the argument `name`, which is required.
BranchPath branch_argument(Session& session, const std::string& name);
// The branch of the argument `name`, or the one that PGTWIG_BRANCH or the .pgtwig file chose.
BranchPath branch_or_current(Session& session, const std::string& name);
// The branch that PGTWIG_BRANCH or the .pgtwig file chose, where its project is the chosen one, too.
std::optional<BranchPath> chosen_branch(const Session& session);
BranchPath parse_branch_path(Session& session, const std::string& subject, const std::string& text);

// "demo/dev@before", or "before" alone: of the chosen branch, else of the current project's main.
struct SnapshotTarget {
  BranchPath branch;
  std::string snapshot;  // its name, or the beginning of its id
  std::string text() const { return branch.text() + "@" + snapshot; }
};
SnapshotTarget snapshot_argument(Session& session, const std::string& name);
// Where a snapshot that is named alone belongs.
BranchPath branch_of_lone_snapshot(Session& session);

// What an argument that may be either means: "demo/dev" is a branch, and so is every word with --project; a word alone
// is a project where there is one of that name, else a branch of the current one.
struct ProjectOrBranch {
  std::optional<ProjectName> project;
  std::optional<BranchPath> branch;
  std::string text() const { return branch ? branch->text() : project->text(); }  // one of them is there
};
// nullopt where the argument was left out.
std::optional<ProjectOrBranch> project_or_branch_argument(Session& session, const std::string& name);

// --from and --at, checked, as the API takes them.
struct SourceChoice {
  std::optional<std::string> from;
  std::optional<std::string> at;
};
SourceChoice source_options(const Session& session);

// A word like "feature/x" is branch x of project feature. Where nothing of that name was found and another project is
// the chosen one, the hint how to write its branch "feature/x".
std::optional<std::string> explain_slash(const Session& session, const Error& error);

// A name that was chosen for this place may be gone by now. Where `error` is that very one, the hint who chose it.
std::optional<std::string> explain_choice(Session& session, const Error& error);

// "/v1/projects/demo", "/v1/projects/demo/branches/feature%2Fx".
std::string target_of(const ProjectName& project);
std::string target_of(const BranchPath& branch);
std::string target_of(const SnapshotTarget& snapshot);

}  // namespace pgtwig::cli
