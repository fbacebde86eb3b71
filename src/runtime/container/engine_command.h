// Runs a container engine's program and turns what it says into an Error with its mend. Used by this folder.
#pragma once

#include <string>
#include <vector>

#include "base/process.h"
#include "runtime/container/dialect.h"

namespace pgtwig::runtime {

// What went wrong, as far as the engine's words tell.
enum class EngineFailure {
  absent,         // the engine is not there for us: not installed, not running, not ours to use
  image_missing,  // the image is not on this machine
  no_container,   // of that name
  name_taken,     // by another container
  port_taken,     // by another program
  other,
};
EngineFailure classify(std::string_view words);

struct EngineResult {
  bool succeeded = false;
  std::string output;
  std::string error_output;
};

class EngineCommand {
 public:
  explicit EngineCommand(const Dialect& dialect) : dialect_(dialect) {}

  // Throws Error not_available or not_allowed when there is no engine to be asked; other failures are in the result.
  EngineResult run(std::vector<std::string> argv, std::chrono::milliseconds timeout) const;
  // The same for the words after the program: `{"rm", "--force", NAME}`.
  EngineResult ask(std::vector<std::string> arguments, std::chrono::milliseconds timeout) const;
  // Throws Error `code` with the engine's words besides.
  std::string require(std::vector<std::string> arguments, std::chrono::milliseconds timeout, std::string_view action,
                      ErrorCode code) const;
  // The Error for words that say that the engine can't be used; nullopt: they say something else.
  std::optional<Error> unusable(std::string_view words) const;

 private:
  const Dialect& dialect_;
};

// The last line of the engine's words that says something, without its prefixes.
std::string engine_words(std::string_view error_output);

}  // namespace pgtwig::runtime
