// pgtwig project set: when its branches are suspended, and the configuration files that its user keeps.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "api/json.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/commands/set.h"
#include "cli/named_file.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

constexpr const char* no_file = "none";
constexpr std::uintmax_t largest_file = std::uintmax_t{256} << 10;  // what the daemon takes

struct OwnFile {
  const char* option;
  const char* name;  // as PostgreSQL calls it
};
constexpr OwnFile own_file_kinds[] = {
    {"conf-file", "postgresql.conf"}, {"hba-file", "pg_hba.conf"}, {"ident-file", "pg_ident.conf"}};

std::string read_own_file(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (!error && size > largest_file) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is larger than {}", file.string(),
                            format_bytes(Bytes{static_cast<std::uint64_t>(largest_file)})));
  }
  const auto text = with_named_file("name a file that you may read", [&] { return read_file_if_exists(file); });
  if (!text) throw Error(ErrorCode::not_found, fmt::format("there is no file {}", file.string()));
  if (text->empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} is empty", file.string()),
                fmt::format("{} in place of a file takes the present one away", no_file));
  }
  return *text;
}

std::map<std::string, std::string> read_directory(const std::filesystem::path& directory) {
  std::map<std::string, std::string> files;
  std::error_code error;
  for (const OwnFile& kind : own_file_kinds) {
    if (std::filesystem::exists(directory / kind.name, error)) files[kind.name] = read_own_file(directory / kind.name);
  }
  if (files.empty()) {
    throw Error(ErrorCode::not_found,
                fmt::format("{} has no postgresql.conf, pg_hba.conf or pg_ident.conf", directory.string()));
  }
  return files;
}

int set_project(Session& session) {
  const ProjectName project = project_argument(session, "PROJECT");
  const auto after = session.invocation().find("suspend-after");
  const std::map<std::string, std::string> files = own_files(session);
  if (!after && files.empty()) throw nothing_to_set(session);
  std::string result;
  if (!files.empty()) {
    result = perform(session, {.method = "PUT",
                               .target = target_of(project) + "/files",
                               .body = RequestBody().set("files", files).text(),
                               .heading = fmt::format("Trying the configuration files of {}", project.text())});
  }
  if (after) result = set_suspend_after(session, target_of(project), *after);
  if (session.format() != Format::table) {
    print_project(session, result);
    return 0;
  }
  const auto view = api::from_json<engine::ProjectView>(result);
  if (!files.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, text] : view.files) names.push_back(name);
    session.say(
        fmt::format("{} has {} of its own, from each branch's next start on (`pgtwig restart {}/main`)", view.name,
                    names.empty() ? "no configuration files" : fmt::format("{}", fmt::join(names, ", ")), view.name));
  }
  if (after) {
    session.say(
        fmt::format("each branch of {} but main {}, unless set for it", view.name, suspend_words(view.suspend_after)));
  }
  return 0;
}

}  // namespace

std::vector<Option> own_file_options() {
  return {{.names = {"--conf-file"},
           .value_name = "FILE",
           .kind = ValueKind::file,
           .help = "a postgresql.conf for all of its branches, from their next start on; none: no longer"},
          {.names = {"--hba-file"},
           .value_name = "FILE",
           .kind = ValueKind::file,
           .help = "a pg_hba.conf for all of its branches, for every role but pgtwig's own; none: no longer"},
          {.names = {"--ident-file"},
           .value_name = "FILE",
           .kind = ValueKind::file,
           .help = "a pg_ident.conf for all of its branches; none: no longer"},
          {.names = {"--config-directory"},
           .value_name = "DIR",
           .kind = ValueKind::directory,
           .help = "the files of these three that are in it, under PostgreSQL's own names; none: no longer any"}};
}

std::map<std::string, std::string> own_files(const Session& session) {
  std::map<std::string, std::string> files;
  if (const auto directory = session.invocation().find("config-directory")) {
    if (*directory == no_file) {
      for (const OwnFile& kind : own_file_kinds) files[kind.name] = "";
    } else {
      files = read_directory(*directory);
    }
  }
  for (const OwnFile& kind : own_file_kinds) {
    const auto file = session.invocation().find(kind.option);
    if (file) files[kind.name] = *file == no_file ? std::string() : read_own_file(*file);
  }
  return files;
}

Command project_set_command() {
  std::vector<Option> options = {new_suspend_time_option("as branch.suspend_after in the configuration")};
  for (Option& option : own_file_options()) options.push_back(std::move(option));
  return {.names = {"set"},
          .summary = "Set what holds for all branches of a project",
          .description =
              "When they are suspended by themselves: all but main that have no time of their own (`branch set`). And "
              "configuration files of PostgreSQL, which are read now, tried on a server of their own before anything "
              "changes, and kept with the project; `project get -o json` shows them.",
          .arguments = {{.name = "PROJECT", .kind = ValueKind::project, .help = "the project"}},
          .options = std::move(options),
          .formats = named_formats(),
          .examples = {{"pgtwig project set demo --suspend-after 10m", ""},
                       {"pgtwig project set demo --conf-file postgresql.conf --hba-file pg_hba.conf", ""},
                       {"pgtwig project set demo --hba-file none", "everybody by password again"}},
          .run = set_project};
}

}  // namespace pgtwig::cli
