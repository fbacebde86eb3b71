// One call from words to exit status, in a world that is lent: what run() of cli.h does in the real one.
#pragma once

#include <string>
#include <vector>

#include "cli/session.h"

namespace pgtwig::cli {

// Whether these words ask for errors as JSON; read without parsing them, for they may be wrong.
bool asks_for_json(const std::vector<std::string>& words);
// `words` are argv without argv[0]. Never throws.
int run_words(World& world, const std::vector<std::string>& words);

}  // namespace pgtwig::cli
