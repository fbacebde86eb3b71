#include "engine/user_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::engine {
namespace {

// Words of a line, comments left out.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  line = line.substr(0, line.find('#'));
  while (true) {
    const auto begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const auto end = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

template <class Look>
void each_line(std::string_view text, Look look) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    look(words_of(text.substr(0, end)));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
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

std::vector<std::string> warnings_of(const catalog::Files& files) {
  std::vector<std::string> warnings;
  const auto hba = files.find(postgres::hba_file_name);
  if (hba == files.end()) return warnings;
  each_line(hba->second, [&](const std::vector<std::string_view>& words) {
    if (std::ranges::find(words, "trust") == words.end()) return;
    warnings.push_back(
        fmt::format("your pg_hba.conf has a line with trust: whoever reaches a branch there needs no password: {}",
                    fmt::join(words, " ")));
  });
  return warnings;
}

}  // namespace pgtwig::engine
