#include "cli/registry.h"

#include <algorithm>

#include "cli/commands/commands.h"

namespace pgtwig::cli {
namespace {

Command build_root() {
  return {.names = {"pgtwig"},
          .summary = "Branch your Postgres like git, on your own machine",
          .description =
              "A branch is a complete, isolated, writable PostgreSQL that shares unchanged blocks with its "
              "parent. A branch is named [project/]branch; the project may be left out where it is chosen by "
              "--project, PGTWIG_PROJECT or `pgtwig use`, or is the only one.",
          .commands = {
              project_commands(),   branch_commands(),   start_command(),    stop_command(),    restart_command(),
              status_command(),     use_command(),       psql_command(),     run_command(),     env_command(),
              url_command(),        snapshot_commands(), log_command(),      wal_commands(),    pool_commands(),
              operation_commands(), daemon_commands(),   state_commands(),   config_commands(), completion_command(),
              version_command(),    help_command(),      complete_command(), man_command(),     reference_command()}};
}

void collect(const Command& command, std::vector<std::string> words, std::vector<CommandPath>& found) {
  if (command.is_hidden) return;
  if (!command.is_group()) {
    found.push_back({&command, std::move(words)});
    return;
  }
  for (const auto& child : command.commands) {
    auto longer = words;
    longer.push_back(child.name());
    collect(child, std::move(longer), found);
  }
}

}  // namespace

const Command& root_command() {
  static const Command root = build_root();
  return root;
}

const std::vector<Option>& global_options() {
  static const std::vector<Option> options{{.names = {"--project"},
                                            .value_name = "PROJECT",
                                            .kind = ValueKind::project,
                                            .help = "the project of branches that are named without one"},
                                           {.names = {"--output", "-o"},
                                            .value_name = "FORMAT",
                                            .kind = ValueKind::choice,
                                            .help = "table, json, yaml, name, dsn or env, where the command has it",
                                            .choices = {"table", "json", "yaml", "name", "dsn", "env"}},
                                           {.names = {"--json"}, .help = "the same as -o json; errors are JSON, too"},
                                           {.names = {"--yes", "-y"}, .help = "answer every question with yes"},
                                           {.names = {"--config", "-c"},
                                            .value_name = "FILE",
                                            .kind = ValueKind::file,
                                            .help = "another configuration file, which has to be there"},
                                           {.names = {"--no-color"}, .help = "no colours; as the variable NO_COLOR"},
                                           {.names = {"--help", "-h"}, .help = "show this help"},
                                           {.names = {"--version"}, .help = "show the version"}};
  return options;
}

std::vector<Option> options_of(const Command& command) {
  std::vector<Option> options = command.options;
  for (const auto& global : global_options()) {
    bool is_taken = std::any_of(command.options.begin(), command.options.end(),
                                [&](const Option& own) { return own.names.front() == global.names.front(); });
    if (!is_taken) options.push_back(global);
  }
  return options;
}

std::string CommandPath::text() const {
  std::string text = root_command().name();
  for (const auto& word : words) text += " " + word;
  return text;
}

std::vector<CommandPath> runnable_commands() {
  std::vector<CommandPath> found;
  collect(root_command(), {}, found);
  return found;
}

}  // namespace pgtwig::cli
