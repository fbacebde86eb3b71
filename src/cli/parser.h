// From words to a command and its values. Called by cli.cpp; the one user of CLI11.
#pragma once

#include <string>
#include <vector>

#include "cli/invocation.h"
#include "cli/registry.h"

namespace pgtwig::cli {

struct ParsedCall {
  CommandPath path;
  Invocation invocation;
};

// `words` are argv without argv[0]. Everything is checked here that can be without asking anyone: names of commands and
// options, numbers of arguments, and the form of every value. Throws Error invalid_argument with the nearest names. A
// call that asks for help or the version needs nothing else to be right: `path` may then be a group.
ParsedCall parse_words(const std::vector<std::string>& words);

// Throws Error invalid_argument, naming `subject` ("--port"), when `text` cannot be a value of that kind.
void check_value(ValueKind kind, const std::vector<std::string>& choices, const std::string& subject,
                 const std::string& text);

// Options by which the way to a command may be interrupted ("pgtwig --project demo branch list") take their value with
// them: whether `word` is one that is followed by its value as a word of its own.
bool takes_next_word(const std::vector<Option>& options, const std::string& word);

}  // namespace pgtwig::cli
