// What a shell may offer for the word at the cursor: commands, options, values, and the names of what there is.
#pragma once

#include <string>
#include <vector>

#include "cli/session.h"

namespace pgtwig::cli {

enum class FileWish { none, files, directories };

struct Candidate {
  std::string text;
  std::string meaning;  // may be empty
};

struct Completion {
  std::vector<Candidate> candidates;
  FileWish files = FileWish::none;  // what the shell shall offer by itself, besides
};

// `words` are those behind "pgtwig", the last one being typed. Asks a running daemon for names and starts none;
// whatever fails, there is just less to offer.
Completion complete_words(Session& session, const std::vector<std::string>& words);

// The script that a shell reads: bash, zsh or fish.
std::string completion_script(const std::string& shell);

}  // namespace pgtwig::cli
