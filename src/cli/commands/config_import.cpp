// pgtwig config import: the settings of a JSON file as ZVPG keeps them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <filesystem>

#include "base/config.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/named_file.h"
#include "cli/request.h"

namespace pgtwig::cli {
namespace {

struct Counterpart {
  std::string_view theirs;
  std::string_view ours;
};
// The last port before the first: see set_all().
constexpr Counterpart counterparts[] = {
    {"branchPortEnd", "ports.last"},        {"branchPortStart", "ports.first"},
    {"containerRuntime", "runtime"},        {"pgBaseImage", "container.image"},
    {"pgConfPath", "postgres.conf_file"},   {"pgHbaPath", "postgres.hba_file"},
    {"pgIdentPath", "postgres.ident_file"}, {"pgConfigDir", "postgres.config_directory"},
};

struct Import {
  std::vector<std::pair<std::string, std::string>> values;  // our keys
  std::vector<std::string> strangers;                       // of their keys
};

std::string text_of(const std::string& key, const boost::json::value& value) {
  if (value.is_string()) return boost::json::value_to<std::string>(value);
  if (value.is_int64()) return std::to_string(value.get_int64());
  throw Error(ErrorCode::invalid_argument, fmt::format("{} is neither a text nor a whole number", key));
}

// A path of their file is meant from where that file is.
std::string resolved(const Counterpart& counterpart, const std::string& value, const std::filesystem::path& file) {
  const bool is_path = counterpart.ours.starts_with("postgres.");
  if (!is_path || value.empty()) return value;
  return std::filesystem::weakly_canonical(std::filesystem::absolute(file).parent_path() / value).string();
}

Import read_import(const std::filesystem::path& file) {
  const auto text = with_named_file("name a file that you may read", [&] { return read_file_if_exists(file); });
  if (!text) throw Error(ErrorCode::not_found, fmt::format("there is no file {}", file.string()));
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(*text, error);
  if (error || !value.is_object()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} is not a JSON object", file.string()),
                "it looks like {\"branchPortStart\": 6001, \"containerRuntime\": \"docker\"}");
  }
  Import import;
  const boost::json::object& object = value.get_object();
  for (const Counterpart& counterpart : counterparts) {
    const boost::json::value* member = object.if_contains(counterpart.theirs);
    if (member == nullptr || member->is_null()) continue;
    const std::string theirs(counterpart.theirs);
    import.values.emplace_back(counterpart.ours, resolved(counterpart, text_of(theirs, *member), file));
  }
  for (const auto& member : object) {
    if (std::ranges::find(counterparts, std::string_view(member.key()), &Counterpart::theirs) == std::end(counterparts))
      import.strangers.emplace_back(member.key());
  }
  return import;
}

// In their order; a range of ports below the present one needs its beginning first.
void set_all(const std::filesystem::path& file, const Import& import) {
  auto values = import.values;
  if (values.size() > 1 && values[0].first == "ports.last" && values[1].first == "ports.first") {
    std::uint32_t last = 0;
    std::from_chars(values[0].second.data(), values[0].second.data() + values[0].second.size(), last);
    if (last < load_config(file, {}).ports.first) std::swap(values[0], values[1]);
  }
  for (const auto& [key, value] : values) set_config_value(file, key, value);
}

// All or nothing: tried on a copy first.
void apply(const Import& import, const std::filesystem::path& file) {
  const std::filesystem::path trial = fmt::format("{}.import-{}", file.string(), ::getpid());
  make_directories(file.parent_path());
  write_file(trial, read_file_if_exists(file).value_or(""));
  try {
    set_all(trial, import);
  } catch (...) {
    std::filesystem::remove(trial);
    throw;
  }
  std::filesystem::remove(trial);
  set_all(file, import);
}

int import_config(Session& session) {
  const Import import = read_import(session.invocation().get("FILE"));
  with_named_file(changing_config_hint, [&] { apply(import, session.paths().config_file); });
  RequestBody json;
  std::string lines;
  for (const auto& [key, value] : import.values) {
    json.set(key, value);
    lines += fmt::format("{} = {}\n", key, value);
  }
  if (!import.strangers.empty()) {
    session.say(fmt::format("Left out, as pgtwig has no counterpart: {}", fmt::join(import.strangers, ", ")));
  }
  print_answer(session, {.json = json.text(), .table = [&](const Terminal&) { return lines; }});
  return 0;
}

}  // namespace

Command config_import_command() {
  return {.names = {"import"},
          .summary = "Take over the settings of a ZVPG configuration (JSON)",
          .description =
              "Knows branchPortStart, branchPortEnd, containerRuntime, pgBaseImage, pgConfPath, pgHbaPath, pgIdentPath "
              "and pgConfigDir; names what it leaves out. Relative paths are meant from the file's own folder.",
          .arguments = {{.name = "FILE", .kind = ValueKind::file, .help = "the JSON file"}},
          .formats = plain_formats(),
          .examples = {{"pgtwig config import zvpg.json", ""}},
          .run = import_config};
}

}  // namespace pgtwig::cli
