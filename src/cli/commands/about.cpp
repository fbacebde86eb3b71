// Commands about pgtwig itself: help, version, completion, and what the build and the shells ask for behind the scenes.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/complete.h"
#include "cli/help.h"
#include "cli/request.h"

namespace pgtwig::cli {
namespace {

// The parser's way to a command: its errors are right for "help brunch", too.
int show_help(Session& session) {
  std::vector<std::string> words = session.invocation().all("COMMAND");
  words.emplace_back("--help");
  session.print(help_text(parse_words(words).path, session.console().data_terminal()));
  return 0;
}

int show_version(Session& session) {
  print_answer(session, {.json = RequestBody().set("version", PGTWIG_VERSION).text(),
                         .table = [](const Terminal&) { return fmt::format("pgtwig {}\n", PGTWIG_VERSION); }});
  return 0;
}

int show_script(Session& session) {
  session.print(completion_script(session.invocation().get("SHELL")));
  return 0;
}

int show_candidates(Session& session) {
  Completion completion = complete_words(session, session.invocation().rest());
  std::string text;
  for (const auto& candidate : completion.candidates)
    text += candidate.text + (candidate.meaning.empty() ? "" : "\t" + candidate.meaning) + "\n";
  if (completion.files == FileWish::files) text += ":files\n";
  if (completion.files == FileWish::directories) text += ":directories\n";
  session.print(text);
  return 0;
}

int show_man_page(Session& session) {
  session.print(man_page());
  return 0;
}

int show_reference(Session& session) {
  session.print(markdown_reference());
  return 0;
}

}  // namespace

Command help_command() {
  return {.names = {"help"},
          .summary = "Show the help of a command",
          .arguments = {{.name = "COMMAND",
                         .kind = ValueKind::command,
                         .help = "for example: branch create",
                         .is_required = false,
                         .is_repeatable = true}},
          .examples = {{"pgtwig help branch create", ""}},
          .run = show_help,
          .section = "This program"};
}

Command version_command() {
  return {.names = {"version"},
          .summary = "Show the version",
          .formats = plain_formats(),
          .examples = {{"pgtwig version", ""}},
          .run = show_version,
          .section = "This program"};
}

Command completion_command() {
  return {.names = {"completion"},
          .summary = "Print the script that completes pgtwig's commands and names in a shell",
          .arguments = {{.name = "SHELL",
                         .kind = ValueKind::choice,
                         .help = "bash, zsh or fish",
                         .choices = {"bash", "zsh", "fish"}}},
          .examples = {{"source <(pgtwig completion bash)", "in ~/.bashrc; for zsh the same in ~/.zshrc"},
                       {"pgtwig completion fish | source", "in ~/.config/fish/config.fish"}},
          .run = show_script,
          .section = "This program"};
}

Command complete_command() {
  return {.names = {"__complete"},
          .summary = "What a shell may offer",
          .rest = "WORD",
          .run = show_candidates,
          .is_hidden = true};
}

Command man_command() {
  return {.names = {"__man"}, .summary = "The man page", .run = show_man_page, .is_hidden = true};
}

Command reference_command() {
  return {.names = {"__reference"},
          .summary = "The reference of all commands in Markdown",
          .run = show_reference,
          .is_hidden = true};
}

}  // namespace pgtwig::cli
