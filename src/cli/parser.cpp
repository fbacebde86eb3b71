// Finds the command by walking the registry, then gives CLI11 the options of that one command only: the rest of the
// tree costs nothing.
#include "cli/parser.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/names.h"

namespace pgtwig::cli {
namespace {

bool is_option_word(const std::string& word) {
  return word.size() > 1 && word.front() == '-';
}

std::string key_of(const Option& option) {
  return option.names.front().substr(2);
}

Error wrong_use(const CommandPath& path, const std::string& message, const std::string& suggestion = {}) {
  std::string see = "see `" + path.text() + " --help`";
  return Error(ErrorCode::invalid_argument, message, suggestion.empty() ? see : suggestion + " (" + see + ")");
}

std::string did_you_mean(const std::string& text, const std::vector<std::string>& candidates) {
  auto near = nearest_names(text, candidates);
  if (near.empty()) return {};
  return "did you mean " + fmt::format("{}", fmt::join(near, " or ")) + "?";
}

Error unknown_command(const CommandPath& path, const std::string& word) {
  std::vector<std::string> candidates;
  for (const auto& command : path.command->commands) {
    if (command.is_hidden) continue;
    candidates.insert(candidates.end(), command.names.begin(), command.names.end());
  }
  return wrong_use(path, fmt::format("'{}' is not a command of `{}`", word, path.text()),
                   did_you_mean(word, candidates));
}

Error unknown_option(const CommandPath& path, const std::string& word) {
  std::string name = word.substr(0, word.find('='));
  std::vector<std::string> candidates;
  for (const auto& option : options_of(*path.command))
    if (!option.is_hidden) candidates.insert(candidates.end(), option.names.begin(), option.names.end());
  std::string hint = passing_on_hint(*path.command);
  return wrong_use(path, fmt::format("`{}` has no option {}", path.text(), name),
                   hint.empty() ? did_you_mean(name, candidates) : hint);
}

// Takes the words that name the command out of `words` and leaves the others in their order.
CommandPath take_command(std::vector<std::string>& words) {
  CommandPath path{&root_command(), {}};
  std::vector<std::string> others;
  std::size_t at = 0;
  for (; at < words.size() && path.command->is_group(); ++at) {
    const std::string& word = words[at];
    if (word == "--") break;
    if (is_option_word(word)) {
      others.push_back(word);
      if (takes_next_word(global_options(), word) && at + 1 < words.size()) others.push_back(words[++at]);
      continue;
    }
    const Command* next = find_command(*path.command, word);
    if (next == nullptr) throw unknown_command(path, word);
    path.command = next;
    path.words.push_back(next->name());
  }
  others.insert(others.end(), words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  words = std::move(others);
  return path;
}

// CLI11's message begins with the option's name, with or without its dashes.
Error translate(const CommandPath& path, const CLI::ParseError& error, const std::vector<Option>& options) {
  std::string text = error.what();
  std::string name = text.substr(0, text.find_first_of(": "));
  if (!name.starts_with('-')) name.insert(0, "--");
  for (const auto& option : options) {
    if (std::find(option.names.begin(), option.names.end(), name) == option.names.end()) continue;
    if (option.is_switch()) return wrong_use(path, fmt::format("{} is a switch and takes no value", name));
    return wrong_use(path, fmt::format("{} needs a value: {} {}", name, name, option.value_name));
  }
  return wrong_use(path, text);
}

struct Tokens {
  std::vector<std::pair<const Option*, std::vector<std::string>>> options;  // in the order of the definitions
  std::vector<std::string> others;                                          // positional words and unknown options
};

// What CLI11 is for: which words are options, which are their values, "-p6001", "--port=6001", "-yh".
Tokens split_options(const CommandPath& path, const std::vector<Option>& definitions, std::vector<std::string> words) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<CLI::Option*> bound;
  for (const auto& definition : definitions) {
    std::string names = fmt::format("{}", fmt::join(definition.names, ","));
    CLI::Option* option = definition.is_switch() ? app.add_flag(names) : app.add_option(names);
    if (!definition.is_switch()) option->type_name(definition.value_name)->type_size(1)->expected(1);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args(false);
    option->disable_flag_override(definition.is_switch());
    bound.push_back(option);
  }
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    throw translate(path, error, definitions);
  }
  Tokens tokens;
  for (std::size_t i = 0; i < definitions.size(); ++i)
    if (bound[i]->count() > 0) tokens.options.emplace_back(&definitions[i], bound[i]->results());
  tokens.others = app.remaining();
  return tokens;
}

void take_arguments(const CommandPath& path, const std::vector<std::string>& words, Invocation& invocation) {
  const auto& arguments = path.command->arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::size_t at = std::min(i, arguments.empty() ? 0 : arguments.size() - 1);
    if (arguments.empty() || (i > at && !arguments[at].is_repeatable)) {
      throw wrong_use(path, fmt::format("`{}` does not take the argument '{}'", path.text(), words[i]),
                      passing_on_hint(*path.command));
    }
    check_value(arguments[at].kind, arguments[at].choices, arguments[at].name, words[i]);
    invocation.add(arguments[at].name, words[i]);
  }
  for (const auto& argument : arguments)
    if (argument.is_required && !invocation.has(argument.name))
      throw wrong_use(path, fmt::format("`{}` needs {}: {}", path.text(), argument.name, argument.help));
}

}  // namespace

bool takes_next_word(const std::vector<Option>& options, const std::string& word) {
  for (const auto& option : options) {
    if (option.is_switch()) continue;
    if (std::find(option.names.begin(), option.names.end(), word) != option.names.end()) return true;
  }
  return false;
}

ParsedCall parse_words(const std::vector<std::string>& all_words) {
  std::vector<std::string> words = all_words;
  ParsedCall call;
  call.path = take_command(words);
  const Command& command = *call.path.command;

  std::vector<std::string> after;
  auto dashes = std::find(words.begin(), words.end(), "--");
  if (dashes != words.end()) {
    after.assign(dashes + 1, words.end());
    words.erase(dashes, words.end());
  }

  const auto definitions = options_of(command);
  Tokens tokens = split_options(call.path, definitions, std::move(words));
  for (const auto& word : tokens.others)
    if (is_option_word(word)) throw unknown_option(call.path, word);
  for (auto& [option, values] : tokens.options) {
    if (values.size() > 1 && !option->is_repeatable && !option->is_switch())
      throw wrong_use(call.path, fmt::format("{} is given twice", option->names.front()));
    for (auto& value : values) call.invocation.add(key_of(*option), value);
  }
  if (call.invocation.has("help") || call.invocation.has("version")) return call;
  if (command.is_group()) {
    if (call.path.words.empty()) return call;
    throw wrong_use(call.path, fmt::format("`{}` needs a command", call.path.text()));
  }
  try {
    for (const auto& [option, values] : tokens.options)
      for (const auto& value : values)
        if (!option->is_switch()) check_value(option->kind, option->choices, option->names.front(), value);

    if (command.rest.empty())
      tokens.others.insert(tokens.others.end(), after.begin(), after.end());
    else
      call.invocation.set_rest(std::move(after));
    take_arguments(call.path, tokens.others, call.invocation);
  } catch (Error& error) {
    if (error.hint().empty()) error.set_hint("see `" + call.path.text() + " --help`");
    throw;
  }
  return call;
}

}  // namespace pgtwig::cli
