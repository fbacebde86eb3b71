#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/config.h"
#include "base/error.h"
#include "cli/render/style.h"

namespace pgtwig::cli {
namespace {

Format parse_format(const std::string& text) {
  for (Format format : branch_formats())
    if (format_name(format) == text) return format;
  throw Error(ErrorCode::internal, "unknown output format " + text);
}

// -o is the format of every other command: a file with a password in it is made for nobody who meant that.
void refuse_format_as_file(const CommandPath& path, const std::string& file) {
  for (Format format : branch_formats())
    if (format_name(format) == file)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("-o of `{}` names a file, and {} is an output format", path.text(), file),
                  fmt::format("`{} --json` prints JSON; a file of that name is written ./{}", path.text(), file));
}

Format chosen_format(const ParsedCall& call) {
  const Command& command = *call.path.command;
  const Invocation& invocation = call.invocation;
  bool has_own_output_option = std::any_of(command.options.begin(), command.options.end(),
                                           [](const Option& option) { return option.names.front() == "--output"; });
  Format format = Format::table;
  if (auto text = invocation.find("format")) format = parse_format(*text);
  if (invocation.has("json")) format = Format::json;
  if (auto text = invocation.find("output")) {
    if (has_own_output_option)
      refuse_format_as_file(call.path, *text);
    else
      format = parse_format(*text);
  }
  if (format == Format::json || format == Format::table) return format;  // --json is for the errors of every command
  if (std::find(command.formats.begin(), command.formats.end(), format) != command.formats.end()) return format;
  std::vector<std::string_view> names;
  for (Format possible : command.formats) names.push_back(format_name(possible));
  throw Error(ErrorCode::invalid_argument,
              fmt::format("`{}` has no output format {}", call.path.text(), format_name(format)),
              names.empty() ? "leave -o out" : fmt::format("one of: {}", fmt::join(names, ", ")));
}

}  // namespace

Session::Session(World& world, const ParsedCall& call) : world_(world), call_(call), format_(chosen_format(call)) {}

std::optional<std::string> Session::environment(const std::string& name) const {
  auto found = world_.environment.find(name);
  if (found == world_.environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

const Paths& Session::paths() {
  if (!paths_) paths_ = find_paths(world_.environment, world_.is_root);
  return *paths_;
}

std::unique_ptr<Api> Session::connect(bool start_daemon) {
  try {
    require_named_config(world_.environment);
  } catch (Error& error) {
    // "psql shop/dev -c 'SELECT 1'" means psql's own option.
    std::string hint = passing_on_hint(command());
    if (invocation().has("config") && !hint.empty()) error.set_hint(hint);
    throw;
  }
  ConnectOptions options;
  options.start_daemon = start_daemon;
  options.on_notice = [this](const std::string& notice) {
    if (shows_words()) say(notice);
  };
  return world_.connect(paths(), options);
}

Api& Session::api() {
  if (!api_) api_ = connect(true);
  return *api_;
}

Api& Session::api_without_start() {
  if (!api_without_start_) api_without_start_ = connect(false);
  return *api_without_start_;
}

bool Session::shows_words() const {
  return format_ == Format::table || console().words_terminal().is_terminal;
}

void Session::say(const std::string& line) const {
  console().write_words(line + "\n");
}

void Session::warn(const std::string& line) const {
  if (!shows_words()) return;
  say(paint(console().words_terminal(), Paint::yellow, "warning:") + " " + line);
}

bool Session::confirm(const std::string& question) const {
  if (assumes_yes() || !console().can_ask()) return true;
  console().write_words(question + " [y/N] ");
  auto answer = console().read_line();
  return answer && (*answer == "y" || *answer == "Y" || *answer == "yes");
}

}  // namespace pgtwig::cli
