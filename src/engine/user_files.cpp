#include "engine/user_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"

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

void warn_of_trust(const std::string& hba) {
  each_line(hba, [](const std::vector<std::string_view>& words) {
    if (std::ranges::find(words, "trust") == words.end()) return;
    log::warn("your pg_hba.conf has a line with trust: whoever reaches a branch there needs no password: {}",
              fmt::join(words, " "));
  });
}

void refuse_own_map(const std::string& ident) {
  each_line(ident, [](const std::vector<std::string_view>& words) {
    if (words.empty() || words.front() != "pgtwig") return;
    throw Error(ErrorCode::invalid_argument, "your pg_ident.conf has a map called pgtwig, which is pgtwig's own",
                "give the map another name, there and in pg_hba.conf");
  });
}

}  // namespace

postgres::UserFiles read_user_files(const Config& config) {
  const std::string& directory = config.postgres_config_directory;
  if (!directory.empty() && !std::filesystem::is_directory(directory)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}, which postgres.config_directory names, is no directory", directory),
                "make it, or do without: pgtwig config set postgres.config_directory \"\"");
  }
  postgres::UserFiles files{
      .conf = read_one(config.postgres_conf_file, "postgres.conf_file", directory, "postgresql.conf"),
      .hba = read_one(config.postgres_hba_file, "postgres.hba_file", directory, "pg_hba.conf"),
      .ident = read_one(config.postgres_ident_file, "postgres.ident_file", directory, "pg_ident.conf")};
  if (files.hba) warn_of_trust(*files.hba);
  if (files.ident) refuse_own_map(*files.ident);
  return files;
}

}  // namespace pgtwig::engine
