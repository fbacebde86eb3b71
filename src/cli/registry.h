// The one tree of all commands, put together from commands/.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace pgtwig::cli {

// "pgtwig" itself, a group.
const Command& root_command();
// What every command takes, besides its own.
const std::vector<Option>& global_options();
// `command`'s own options and the global ones whose names it does not use itself.
std::vector<Option> options_of(const Command& command);

// A command with the words that lead to it: {"branch", "create"}.
struct CommandPath {
  const Command* command = nullptr;
  std::vector<std::string> words;  // true names, no aliases
  std::string text() const;        // "pgtwig branch create"
};
// Every command that can be run, in the order of the help.
std::vector<CommandPath> runnable_commands();

}  // namespace pgtwig::cli
