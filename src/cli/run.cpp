#include "cli/run.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/help.h"
#include "cli/render/error.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

int show_help_or_version(World& world, const ParsedCall& call) {
  if (call.invocation.has("version"))
    world.console->write_data(fmt::format("pgtwig {}\n", PGTWIG_VERSION));
  else
    world.console->write_data(help_text(call.path, world.console->data_terminal()));
  // Nothing at all was asked for: the help is shown, but no script shall take it for done.
  bool was_asked = call.invocation.has("help") || call.invocation.has("version");
  return was_asked ? 0 : error_code_info(ErrorCode::invalid_argument).exit_status;
}

// For an error that came without one: where to look next.
std::string general_hint(Session& session, const Error& error) {
  if (error_code_info(error.code()).is_our_fault)
    return fmt::format("the daemon's log may say more: {}", session.paths().log_file().string());
  return "see `" + session.path().text() + " --help`";
}

int dispatch(World& world, const std::vector<std::string>& words) {
  ParsedCall call = parse_words(words);
  if (auto file = call.invocation.find("config")) {
    const std::string path = (world.working_directory / *file).lexically_normal().string();
    world.environment["PGTWIG_CONFIG"] = path;
    world.set_variable("PGTWIG_CONFIG", path);
  }
  if (call.path.command->is_group() || call.invocation.has("help") || call.invocation.has("version"))
    return show_help_or_version(world, call);
  Session session(world, call);
  try {
    return call.path.command->run(session);
  } catch (Error& error) {
    auto hint = explain_slash(session, error);
    if (!hint) hint = explain_choice(session, error);
    if (hint) error.set_hint(*hint);
    if (error.hint().empty()) error.set_hint(general_hint(session, error));
    throw;
  }
}

int show_and_count(World& world, const Error& error, bool as_json) {
  try {
    show_error(error, *world.console, as_json);
  } catch (const ClosedPipe&) {
    // The status still tells.
  } catch (const Error&) {
    show_error(error, *world.console, false);  // standard output takes no JSON
  }
  return error_code_info(error.code()).exit_status;
}

}  // namespace

bool asks_for_json(const std::vector<std::string>& words) {
  auto end = std::find(words.begin(), words.end(), "--");
  for (auto word = words.begin(); word != end; ++word) {
    if (*word == "--json" || *word == "-ojson" || *word == "--output=json" || *word == "-fjson" ||
        *word == "--format=json")
      return true;
    bool takes_format = *word == "-o" || *word == "--output" || *word == "-f" || *word == "--format";
    if (takes_format && word + 1 != end && *(word + 1) == "json") return true;
  }
  return false;
}

int run_words(World& world, const std::vector<std::string>& words) {
  bool as_json = asks_for_json(words);
  try {
    return dispatch(world, words);
  } catch (const ClosedPipe&) {
    return 0;
  } catch (const Error& error) {
    return show_and_count(world, error, as_json);
  } catch (const std::exception& error) {
    return show_and_count(
        world, Error(ErrorCode::internal, error.what(), "this is a fault of pgtwig; please report it"), as_json);
  }
}

}  // namespace pgtwig::cli
