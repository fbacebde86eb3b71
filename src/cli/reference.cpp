// The registry as a man page and as Markdown.
#include <fmt/format.h>

#include <string_view>

#include "base/error.h"
#include "cli/help.h"

namespace pgtwig::cli {
namespace {

// What roff would take for a request or an escape is protected.
std::string roff(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\\')
      escaped += "\\e";
    else if (c == '-')
      escaped += "\\-";
    else if (c == '\'')
      escaped += "\\(aq";
    else if (c == '`')
      escaped += "\\(ga";
    else if (c == '^')
      escaped += "\\(ha";
    else if (c == '~')
      escaped += "\\(ti";
    else
      escaped += c;
  }
  return escaped.starts_with('.') ? "\\&" + escaped : escaped;
}

void roff_entry(std::string& page, const std::string& term, const std::string& meaning) {
  page += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(meaning));
}

void roff_command(std::string& page, const CommandPath& path) {
  const Command& command = *path.command;
  page += fmt::format(".SS {}\n{}.\n", roff(usage_line(path)), roff(command.summary));
  if (!command.description.empty()) page += roff(command.description) + "\n";
  if (command.names.size() > 1)
    page += fmt::format("Aliases: {}.\n",
                        roff(fmt::format("{}", fmt::join(command.names.begin() + 1, command.names.end(), ", "))));
  for (const auto& argument : command.arguments) roff_entry(page, argument.name, argument.help);
  for (const auto& option : command.options)
    if (!option.is_hidden) roff_entry(page, option_names(option), option.help);
  if (command.examples.empty()) return;
  page += ".PP\n.RS\n.EX\n";
  for (const auto& example : command.examples) page += roff(example.command) + "\n";
  page += ".EE\n.RE\n";
}

struct Row {
  const char* name;
  const char* meaning;
};

constexpr Row exit_statuses[] = {
    {"0", "done"},
    {"1", "wrong use: a bad name, option or value"},
    {"2", "the system failed: disk, PostgreSQL, daemon"},
    {"3", "not found"},
    {"4", "already exists"},
    {"5", "conflict: has children, is protected, is busy, is in the wrong state"},
    {"6", "timed out"},
    {"8", "problems found, by wal verify"},
    {"9", "not allowed"},
};

constexpr Row variables[] = {
    {"PGTWIG_PROJECT", "the project of branches that are named without one"},
    {"PGTWIG_BRANCH", "the branch of that project for psql, run, env and url"},
    {"PGTWIG_ROOT", "a folder that holds everything of an installation of its own"},
    {"PGTWIG_CONFIG", "the configuration file, which has to be there"},
    {"PGTWIG_SOCKET", "the daemon's socket"},
    {"PGTWIG_RUNTIME", "what runs instances"},
    {"PGTWIG_LOG_LEVEL", "debug, info, warn or error"},
    {"NO_COLOR", "no colours"},
};

constexpr Row files[] = {
    {".pgtwig", "the project and branch of a folder: one line, written by pgtwig use"},
    {"/etc/pgtwig/pgtwig.toml", "root's configuration"},
    {"~/.config/pgtwig/pgtwig.toml", "a user's configuration"},
    {"/var/lib/pgtwig", "root's catalog, pools and logs"},
    {"~/.local/state/pgtwig", "a user's"},
};

template <std::size_t Count>
void roff_table(std::string& page, const char* title, const Row (&rows)[Count]) {
  page += fmt::format(".SH {}\n", title);
  for (const auto& row : rows) roff_entry(page, row.name, row.meaning);
}

void markdown_entry(std::string& text, const std::string& name, const std::string& meaning) {
  text += fmt::format("- `{}`: {}\n", name, meaning);
}

void markdown_command(std::string& text, const CommandPath& path) {
  const Command& command = *path.command;
  text += fmt::format("\n### {}\n\n{}.", path.text(), command.summary);
  if (!command.description.empty()) text += " " + command.description;
  text += fmt::format("\n\n    {}\n\n", usage_line(path));
  if (command.names.size() > 1)
    text += fmt::format("Also: `{}`.\n\n", fmt::join(command.names.begin() + 1, command.names.end(), "`, `"));
  for (const auto& argument : command.arguments) markdown_entry(text, argument.name, argument.help);
  for (const auto& option : command.options)
    if (!option.is_hidden) markdown_entry(text, option_names(option), option.help);
  if (!command.arguments.empty() || !command.options.empty()) text += "\n";
  text += "```sh\n";
  for (const auto& example : command.examples)
    text += example.command + (example.meaning.empty() ? "" : "   # " + example.meaning) + "\n";
  text += "```\n";
}

}  // namespace

std::string man_page() {
  const Command& root = root_command();
  std::string page = fmt::format(".TH PGTWIG 1 \"\" \"pgtwig {}\" \"User Commands\"\n", PGTWIG_VERSION);
  page += ".SH NAME\npgtwig \\- branch your Postgres like git, on your own machine\n";
  page += ".SH SYNOPSIS\n.B pgtwig\n.I COMMAND\n[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n";
  page += fmt::format(".SH DESCRIPTION\n{}\n", roff(root.description));
  page += ".SH OPTIONS OF EVERY COMMAND\n";
  for (const auto& option : global_options()) roff_entry(page, option_names(option), option.help);
  page += ".SH COMMANDS\n";
  for (const auto& path : runnable_commands()) roff_command(page, path);
  roff_table(page, "EXIT STATUS", exit_statuses);
  roff_table(page, "ENVIRONMENT", variables);
  roff_table(page, "FILES", files);
  return page;
}

std::string markdown_reference() {
  std::string text;
  for (const auto& section : sections()) {
    text += fmt::format("\n## {}\n", section.title);
    for (const auto& path : runnable_commands())
      for (const Command* command : section.commands)
        if (path.words.front() == command->name()) markdown_command(text, path);
  }
  return text;
}

}  // namespace pgtwig::cli
