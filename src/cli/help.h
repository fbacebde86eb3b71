// The registry as words: help on a terminal, the man page, the reference in Markdown.
#pragma once

#include <string>

#include "cli/console.h"
#include "cli/registry.h"

namespace pgtwig::cli {

// Of a command, a group, or of pgtwig itself.
std::string help_text(const CommandPath& path, const Terminal& terminal);
// pgtwig.1 in roff.
std::string man_page();
// A section for every command, for docs/commands.md.
std::string markdown_reference();

// "pgtwig branch create [OPTION]... BRANCH"
std::string usage_line(const CommandPath& path);
// "-p, --port PORT"
std::string option_names(const Option& option);
// The commands of the registry's first level under the headings of the help, in order.
struct Section {
  std::string title;
  std::vector<const Command*> commands;
};
std::vector<Section> sections();

}  // namespace pgtwig::cli
