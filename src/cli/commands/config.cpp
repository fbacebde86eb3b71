// pgtwig config: the file, read and edited without the daemon.
#include "base/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>

#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/named_file.h"
#include "cli/render/error.h"
#include "cli/render/table.h"
#include "cli/request.h"

namespace pgtwig::cli {
namespace {

Config read_config(Session& session) {
  return with_named_file("-c names another file",
                         [&] { return load_config(session.paths().config_file, session.world().environment); });
}

std::string origin_of(const Config& config, const std::string& key) {
  auto found = config.origins.find(key);
  return found == config.origins.end() ? "default" : found->second;
}

// Every key with a value: the known ones, and the settings of PostgreSQL that are set.
std::vector<ConfigKey> keys_with_values(const Config& config) {
  std::vector<ConfigKey> keys;
  for (const auto& key : config_keys())
    if (key.name.find('<') == std::string::npos) keys.push_back(key);
  for (const auto& [name, value] : config.postgres_settings)
    keys.push_back({"postgres.settings." + name, "PostgreSQL's " + name + " for every branch"});
  return keys;
}

void say_when_read(Session& session) {
  if (session.shows_words() && session.api_without_start().is_daemon_running())
    session.say("The daemon reads it at its next start: pgtwig daemon stop");
}

int get_value(Session& session) {
  const std::string& key = session.invocation().get("KEY");
  std::string value = config_value(read_config(session), key);
  print_answer(session,
               {.json = RequestBody().set(key, value).text(), .table = [&](const Terminal&) { return value + "\n"; }});
  return 0;
}

int set_value(Session& session) {
  const std::string& key = session.invocation().get("KEY");
  with_named_file(changing_config_hint,
                  [&] { set_config_value(session.paths().config_file, key, session.invocation().get("VALUE")); });
  Config config = read_config(session);
  Answer answer;
  answer.json = RequestBody().set(key, config_value(config, key)).text();
  answer.table = [&](const Terminal&) {
    session.say(fmt::format("Set {} in {}", key, session.paths().config_file.string()));
    return std::string();
  };
  print_answer(session, answer);
  if (origin_of(config, key) == "environment")
    session.warn(
        fmt::format("the environment says {} = {}, which goes before the file", key, config_value(config, key)));
  say_when_read(session);
  return 0;
}

int unset_value(Session& session) {
  const std::string& key = session.invocation().get("KEY");
  const std::string file = session.paths().config_file.string();
  const bool was_set = unset_config_value(file, key);
  session.say(was_set ? fmt::format("Took {} out of {}", key, file) : fmt::format("{} is not set in {}", key, file));
  if (was_set) say_when_read(session);
  return 0;
}

int list_values(Session& session) {
  Config config = read_config(session);
  Table table;
  table.columns = {{.title = "KEY", .importance = 9},
                   {.title = "VALUE", .importance = 9, .may_shrink = true},
                   {.title = "FROM", .importance = 5},
                   {.title = "MEANING", .importance = 2, .may_shrink = true}};
  boost::json::array values;
  for (const auto& key : keys_with_values(config)) {
    std::string value = config_value(config, key.name);
    std::string origin = origin_of(config, key.name);
    values.push_back({{"key", key.name}, {"value", value}, {"origin", origin}, {"meaning", key.description}});
    table.rows.push_back({key.name, value, origin, key.description});
  }
  print_answer(session, {.json = boost::json::serialize(boost::json::object{{"config", values}}),
                         .table = [&](const Terminal& terminal) { return render_table(table, terminal); },
                         .names =
                             [&] {
                               std::vector<std::string> names;
                               for (const auto& row : table.rows) names.push_back(row.front());
                               return names;
                             },
                         .branches = {}});
  return 0;
}

int show_path(Session& session) {
  std::string path = session.paths().config_file.string();
  print_answer(session,
               {.json = RequestBody().set("path", path).text(), .table = [&](const Terminal&) { return path + "\n"; }});
  return 0;
}

// Of a file that is not there yet.
constexpr const char* starting_text = "# All there is to set, each with its meaning: pgtwig config list\n";

// VISUAL and EDITOR may hold arguments, so a shell takes them apart, as git and crontab do.
ProcessImage editor_for(const Session& session, const std::filesystem::path& file) {
  std::string editor;
  for (const char* variable : {"VISUAL", "EDITOR"})
    if (editor.empty()) editor = session.environment(variable).value_or("");
  ProcessImage image;
  image.argv = {"sh", "-c", fmt::format("{} \"$@\"", editor.empty() ? "vi" : editor), "editor", file.string()};
  return image;
}

// Opens the copy until the file can be replaced by it, or the user gives up. A copy in which anything was changed is
// never lost.
void edit_until_good(Session& session, const std::filesystem::path& copy, const std::filesystem::path& file,
                     const std::string& before) {
  const std::string kept = fmt::format("{} is as it was; what you wrote is in {}", file.string(), copy.string());
  while (true) {
    const int status = session.world().run_attended(editor_for(session, copy));
    const std::string text = read_file(copy);
    if (text == before) std::filesystem::remove(copy);
    if (status != 0) {
      throw Error(
          ErrorCode::invalid_argument, fmt::format("the editor ended with status {}", status),
          text == before ? fmt::format("{} is as it was; VISUAL or EDITOR names the editor", file.string()) : kept);
    }
    if (text == before) return session.say(fmt::format("{} is as it was", file.string()));
    if (read_file_if_exists(file).value_or(starting_text) != before) {
      throw Error(ErrorCode::conflict, fmt::format("{} was changed by somebody else meanwhile", file.string()),
                  fmt::format("what you wrote is in {}", copy.string()));
    }
    try {
      replace_config(file, text);
      std::filesystem::remove(copy);
      return say_when_read(session);
    } catch (Error& error) {
      error.set_hint(kept);
      if (!session.console().can_ask()) throw;
      show_error(error, session.console(), false);
      if (!session.confirm("Edit it again?")) throw Error(ErrorCode::invalid_argument, "nothing was changed", kept);
    }
  }
}

int edit_file(Session& session) {
  const std::filesystem::path file = session.paths().config_file;
  const std::string text = read_file_if_exists(file).value_or(starting_text);
  const std::filesystem::path copy = file.parent_path() / fmt::format("edit-{}.toml", ::getpid());
  with_named_file(changing_config_hint, [&] {
    make_directories(file.parent_path());
    write_file(copy, text);
  });
  edit_until_good(session, copy, file, text);
  return 0;
}

Argument key_argument() {
  return {.name = "KEY", .kind = ValueKind::config_key, .help = "for example ports.first (see `config list`)"};
}

}  // namespace

Command config_commands() {
  Command get{.names = {"get"},
              .summary = "Print a value of the configuration",
              .arguments = {key_argument()},
              .formats = plain_formats(),
              .examples = {{"pgtwig config get ports.first", ""}},
              .run = get_value};
  Command set{
      .names = {"set"},
      .summary = "Set a value in the configuration file",
      .description =
          "Comments and the order of the file's other lines are kept. \"\" is an empty value, for keys that may be "
          "empty.",
      .arguments = {key_argument(), {.name = "VALUE", .kind = ValueKind::text_or_nothing, .help = "its new value"}},
      .formats = plain_formats(),
      .examples = {{"pgtwig config set branch.shared_buffers 64MB", ""}},
      .run = set_value};
  Command unset{.names = {"unset"},
                .summary = "Take a value out of the configuration file",
                .description = "The key has its default again. One that isn't set in the file is no error.",
                .arguments = {key_argument()},
                .examples = {{"pgtwig config unset wal.limit", ""}, {"pgtwig config unset postgres.settings.jit", ""}},
                .run = unset_value};
  Command list{.names = {"list", "ls"},
               .summary = "List every key with its value and where that is from",
               .options = {list_format_option()},
               .formats = named_formats(),
               .examples = {{"pgtwig config list", ""}},
               .run = list_values};
  Command path{.names = {"path"},
               .summary = "Print where the configuration file is",
               .formats = plain_formats(),
               .examples = {{"pgtwig config path", ""}},
               .run = show_path};
  Command edit{
      .names = {"edit"},
      .summary = "Open the configuration file in your editor",
      .description =
          "VISUAL or EDITOR names the editor, else it is vi. You edit a copy, which replaces the file when all "
          "of it can be read.",
      .examples = {{"pgtwig config edit", ""}},
      .run = edit_file};
  return {.names = {"config"},
          .summary = "The configuration file",
          .section = "The machine",
          .commands = {get, set, unset, edit, list, path, config_import_command()}};
}

}  // namespace pgtwig::cli
