#include "engine/user_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <ranges>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/tcp.h"

namespace pgtwig::engine {
namespace {

// What PostgreSQL sees in a line of pg_hba.conf: spaces and commas part words, and quotes may stand anywhere in them.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool is_quoted = false;
  for (const char c : line) {
    if (c == '"') {
      is_quoted = !is_quoted;
    } else if (is_quoted || std::string_view(" \t\r,#").find(c) == std::string_view::npos) {
      word += c;
    } else if (c == '#') {
      break;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

// One that is named has to be there; of a directory those that are there count.
std::optional<std::string> read_one(const std::string& file, std::string_view key, const std::string& directory,
                                    std::string_view usual_name) {
  std::optional<std::string> text;
  if (!file.empty()) {
    text = read_file_if_exists(file);
    if (!text) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{}, which {} names, is not there", file, key),
                  fmt::format("put it there, or do without: pgtwig config set {} \"\"", key));
    }
  } else if (!directory.empty()) {
    text = read_file_if_exists(std::filesystem::path(directory) / usual_name);
  }
  if (text && !text->empty() && !text->ends_with('\n')) *text += '\n';
  return text;
}

catalog::Files files_of(const Config& config) {
  const std::string& directory = config.postgres_config_directory;
  if (!directory.empty() && !std::filesystem::is_directory(directory)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}, which postgres.config_directory names, is no directory", directory),
                "make it, or do without: pgtwig config set postgres.config_directory \"\"");
  }
  catalog::Files files;
  const auto add = [&](const std::string& file, std::string_view key, const char* usual_name) {
    if (auto text = read_one(file, key, directory, usual_name)) files.emplace(usual_name, *std::move(text));
  };
  add(config.postgres_conf_file, "postgres.conf_file", postgres::conf_file_name);
  add(config.postgres_hba_file, "postgres.hba_file", postgres::hba_file_name);
  add(config.postgres_ident_file, "postgres.ident_file", postgres::ident_file_name);
  return files;
}

constexpr std::size_t largest_file = std::size_t{256} << 10;

void check_file(const std::string& name, const std::string& text) {
  static const std::vector<std::string> names = {postgres::conf_file_name, postgres::hba_file_name,
                                                 postgres::ident_file_name};
  if (std::ranges::find(names, name) == names.end()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("a project has no file called '{}'", name),
                fmt::format("it can have {}", fmt::join(names, ", ")));
  }
  if (text.size() > largest_file || text.contains('\0')) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("this {} is no text of at most {}", name, format_bytes(Bytes{largest_file})));
  }
}

}  // namespace

std::vector<postgres::UserFiles> read_user_files(const Config& config, const catalog::ProjectRecord& project) {
  return {{.name = "installation", .texts = files_of(config)}, {.name = "project", .texts = project.files}};
}

catalog::Files changed_files(catalog::Files current, const catalog::Files& changes) {
  for (const auto& [name, text] : changes) {
    check_file(name, text);
    current.erase(name);
    if (!text.empty()) current.emplace(name, text.ends_with('\n') ? text : text + "\n");
  }
  if (const auto conf = current.find(postgres::conf_file_name); conf != current.end()) {
    postgres::check_user_configuration(conf->second);
  }
  return current;
}

std::vector<std::string> warnings_of(const catalog::Files& files, const Config::Proxy& endpoint) {
  std::vector<std::string> warnings;
  const auto hba = files.find(postgres::hba_file_name);
  if (hba == files.end()) return warnings;
  const bool is_open = endpoint.is_enabled && !make_address(endpoint.listen, endpoint.port).is_loopback();
  for (const auto line : hba->second | std::views::split('\n')) {
    const auto words = words_of(std::string_view(line.begin(), line.end()));
    if (std::ranges::find(words, "trust") == words.end()) continue;
    warnings.push_back(
        fmt::format("your pg_hba.conf has a line with trust: whoever reaches a branch there needs no password{}: {}",
                    is_open ? ", and who comes by the endpoint, from any machine, comes from this one" : "",
                    fmt::join(words, " ")));
  }
  return warnings;
}

}  // namespace pgtwig::engine
