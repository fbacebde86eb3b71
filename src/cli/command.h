// A command of pgtwig as data: its names, what it takes, what it prints, its help and what runs it. The parser, the
// help, the man page and the shells' completion all read these and nothing else. Written by commands/<noun>.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::cli {

class Session;

// What the text of an argument or option stands for: how it is checked before anything is sent, and what the shell
// offers for it.
enum class ValueKind {
  text,
  text_or_nothing,  // may be empty
  choice,           // one of Option::choices
  project,
  new_project,
  branch,             // [project/]branch
  branch_at_point,    // [project/]branch[@point]
  new_branch,         // [project/]branch that does not exist yet
  project_or_branch,  // one or the other
  snapshot,           // [project/]branch@snapshot, or the snapshot alone
  point,
  pool,
  new_pool,
  operation,
  port,
  size,
  duration,
  interval,  // a duration, or "off"
  days,      // a whole number of them, 0 included
  count,
  setting,  // name=value
  config_key,
  command,  // words of pgtwig itself
  file,
  directory,
};

enum class Format { table, json, yaml, name, dsn, env };

// Members have initialisers throughout, so that a definition names only what it has.

struct Argument {
  std::string name = {};  // "BRANCH", as help shows it
  ValueKind kind = ValueKind::text;
  std::string help = {};
  bool is_required = true;
  bool is_repeatable = false;             // takes all that follow; only the last one may
  std::vector<std::string> choices = {};  // with ValueKind::choice
};

struct Option {
  std::vector<std::string> names = {};  // "--port", then the others: "-p"; the first is its name in the Invocation
  std::string value_name = {};          // "PORT"; empty: a switch
  ValueKind kind = ValueKind::text;
  std::string help = {};
  bool is_repeatable = false;
  bool is_hidden = false;
  std::vector<std::string> choices = {};  // with ValueKind::choice

  bool is_switch() const { return value_name.empty(); }
};

struct Example {
  std::string command = {};
  std::string meaning = {};
};

struct Command {
  std::vector<std::string> names = {};  // its name, then its aliases
  std::string summary = {};             // one line, no full stop
  std::string description = {};         // more sentences, for its own help
  std::vector<Argument> arguments = {};
  std::vector<Option> options = {};
  std::string rest = {};             // what may follow "--", as help shows it: "COMMAND..."
  std::vector<Format> formats = {};  // what -o takes; empty: the command prints no data
  std::vector<Example> examples = {};
  int (*run)(Session& session) = nullptr;  // returns the exit status
  std::string section = {};                // heading in the list of all commands; of a top-level command
  bool is_hidden = false;
  std::vector<Command> commands = {};  // of a group, which itself has no run

  const std::string& name() const { return names.front(); }
  bool is_group() const { return run == nullptr; }
};

// The formats of those that print things with a name, and of those that print branches.
std::vector<Format> named_formats();
std::vector<Format> branch_formats();
std::vector<Format> plain_formats();  // without a name
std::string_view format_name(Format format);

// For who gave a command itself what it passes on to a program: "what psql passes on goes behind '--', as in `...`".
// Empty for a command that passes nothing on.
std::string passing_on_hint(const Command& command);

// The command that `name` calls among those of `group`, by its name or an alias; nullptr when there is none.
const Command* find_command(const Command& group, std::string_view name);

}  // namespace pgtwig::cli
