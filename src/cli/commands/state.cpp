// pgtwig state rebuild: a new catalog from the volumes alone, for when the old one is lost or wrong.
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/commands/daemon.h"

namespace pgtwig::cli {
namespace {

std::vector<std::string> pool_directories(const Session& session) {
  std::vector<std::string> directories;
  for (const auto& directory : session.invocation().all("pool-directory"))
    directories.push_back((session.world().working_directory / directory).lexically_normal().string());
  return directories;
}

std::vector<std::string> daemon_arguments(const std::vector<std::string>& pool_directories) {
  std::vector<std::string> arguments{"--rebuild-state"};
  for (const auto& directory : pool_directories) {
    arguments.emplace_back("--pool-directory");
    arguments.push_back(directory);
  }
  return arguments;
}

int rebuild_state(Session& session) {
  if (session.shows_words())
    session.say(
        "Rebuilding the catalog: the daemon is stopped (instances go on), a new catalog is written from what every\n"
        "volume says of itself, passwords included, and the daemon starts with it. No branch's data is changed.");
  if (!session.confirm("Replace the catalog?")) {
    session.say("Nothing was changed.");
    return error_code_info(ErrorCode::invalid_argument).exit_status;
  }
  const auto directories = pool_directories(session);
  // The new daemon refuses them too, but then the old one has been stopped for nothing.
  if (!directories.empty()) session.world().composition->require_pools(directories);
  session.world().replace_daemon(session.paths(), daemon_arguments(directories), [&] { stop_daemon(session, false); });
  print_branches(session, session.api_without_start().request("GET", "/v1/branches"));
  return 0;
}

}  // namespace

Command state_commands() {
  Command rebuild{.names = {"rebuild"},
                  .summary = "Make the catalog anew from the volumes",
                  .description =
                      "For a catalog that is lost or does not fit the volumes any more. Asks first on a "
                      "terminal.",
                  .options = {{.names = {"--pool-directory"},
                               .value_name = "DIR",
                               .kind = ValueKind::directory,
                               .help = "look for volumes in this pool, too; may be given several times",
                               .is_repeatable = true}},
                  .formats = branch_formats(),
                  .examples = {{"pgtwig state rebuild --pool-directory /mnt/nvme/pgtwig", ""}},
                  .run = rebuild_state};
  return {
      .names = {"state"}, .summary = "The catalog of what there is", .section = "The machine", .commands = {rebuild}};
}

}  // namespace pgtwig::cli
