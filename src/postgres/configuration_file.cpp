// See configuration_file.h.
#include "postgres/configuration_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::postgres {
namespace {

using std::filesystem::path;

// PostgreSQL's own limit (CONF_FILE_MAX_DEPTH of guc.h).
constexpr int deepest_include = 10;
// Of all files of one read together: includes that include each other grow by the power of their depth.
constexpr std::size_t most_files = 1000;
constexpr std::size_t most_bytes = 16u << 20;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '$' || c == '-' || static_cast<unsigned char>(c) >= 0x80;
}

// One line: name, optional '=', value, optional comment.
class LineParser {
 public:
  explicit LineParser(std::string_view text) : rest_(text) {}

  std::optional<ConfigurationLine> parse() {
    ConfigurationLine line{.name = take_name(), .value = {}};
    if (line.name.empty()) return std::nullopt;
    skip_spaces();
    if (!rest_.empty() && rest_.front() == '=') rest_.remove_prefix(1);
    skip_spaces();
    if (rest_.empty() || rest_.front() == '#') return std::nullopt;
    line.value = rest_.front() == '\'' ? take_quoted() : take_plain();
    return line;
  }

 private:
  void skip_spaces() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }

  std::string take_name() {
    skip_spaces();
    std::string name;
    while (!rest_.empty() && is_name_character(rest_.front())) {
      const char c = rest_.front();
      name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      rest_.remove_prefix(1);
    }
    return name;
  }

  std::string take_plain() {
    std::string value;
    while (!rest_.empty() && !is_space(rest_.front()) && rest_.front() != '#') {
      value += rest_.front();
      rest_.remove_prefix(1);
    }
    return value;
  }

  // '' and \' are a quote; other escapes do not occur in what is read here but are kept readable.
  std::string take_quoted() {
    std::string value;
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      const bool is_quote = c == '\'';
      if (is_quote && (rest_.empty() || rest_.front() != '\'')) break;
      if ((is_quote || c == '\\') && !rest_.empty()) {
        value += rest_.front();
        rest_.remove_prefix(1);
      } else {
        value += c;
      }
    }
    return value;
  }

  std::string_view rest_;
};

// The names in a directory that include_dir takes: *.conf but hidden ones, in the order of their bytes.
std::vector<std::string> configuration_files_in(int data_directory, const path& directory) {
  UniqueFd fd = open_beneath(data_directory, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
  if (!stream) throw system_error(errno, fmt::format("cannot read {}", directory.string()));
  fd.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name.ends_with(".conf") && !name.starts_with(".")) names.push_back(name);
    if (names.size() > most_files) break;  // the reader refuses so many
  }
  std::ranges::sort(names);
  return names;
}

class ConfigurationReader {
 public:
  ConfigurationReader(int data_directory, path data_directory_path)
      : data_directory_(data_directory), data_directory_path_(std::move(data_directory_path)) {}

  void read(const path& file, int depth) {
    if (files_left_-- == 0) {
      throw Error(ErrorCode::not_allowed,
                  fmt::format("the configuration of the data directory has more than {} files", most_files),
                  "look for files that include each other, and remove the lines that do");
    }
    std::optional<std::string> text;
    try {
      text = read_file_beneath(data_directory_, file, bytes_left_);
    } catch (const Error& error) {
      throw Error(ErrorCode::not_allowed, fmt::format("cannot use the configuration file {} of the data directory: {}",
                                                      file.string(), error.message()));
    }
    if (!text) return;
    bytes_left_ -= text->size();
    for (const ConfigurationLine& line : parse_configuration(*text)) {
      if (line.name == "include" || line.name == "include_if_exists") {
        include(file, line, resolve(file, line), depth);
      } else if (line.name == "include_dir") {
        include_directory(file, line, depth);
      } else {
        values_[line.name] = line.value;
      }
    }
  }

  // What such a text includes stays unread: it is the administrator's.
  void take(std::string_view text) {
    for (const ConfigurationLine& line : parse_configuration(text)) values_[line.name] = line.value;
  }

  std::map<std::string, std::string> take_values() { return std::move(values_); }

 private:
  static Error refused(const path& file, const ConfigurationLine& line, std::string_view why) {
    return {ErrorCode::not_allowed,
            fmt::format("{}:{} of the data directory has {} '{}', {}", file.string(), line.line, line.name, line.value,
                        why),
            "copy what it includes into the data directory and include it by a relative name, or remove the line"};
  }

  // The included path relative to the data directory.
  path resolve(const path& file, const ConfigurationLine& line) const {
    path target = path(line.value);
    if (target.is_absolute()) {
      target = target.lexically_normal();
      const path relative = data_directory_path_.empty()
                                ? path("..")
                                : target.lexically_relative(data_directory_path_.lexically_normal());
      if (relative.empty() || *relative.begin() == "..") throw refused(file, line, "which lies outside of it");
      return relative;
    }
    target = (file.parent_path() / target).lexically_normal();
    if (target.empty() || *target.begin() == "..") throw refused(file, line, "which lies outside of it");
    return target;
  }

  void include(const path& file, const ConfigurationLine& line, const path& target, int depth) {
    if (depth >= deepest_include) throw refused(file, line, "which is nested too deeply");
    read(target, depth + 1);
  }

  void include_directory(const path& file, const ConfigurationLine& line, int depth) {
    const path directory = resolve(file, line);
    for (const std::string& name : configuration_files_in(data_directory_, directory)) {
      include(file, line, directory / name, depth);
    }
  }

  int data_directory_;
  path data_directory_path_;
  std::size_t files_left_ = most_files;
  std::size_t bytes_left_ = most_bytes;
  std::map<std::string, std::string> values_;
};

}  // namespace

std::vector<ConfigurationLine> parse_configuration(std::string_view text) {
  std::vector<ConfigurationLine> lines;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = text.find('\n');
    if (auto line = LineParser(text.substr(0, end)).parse()) {
      line->line = number;
      lines.push_back(std::move(*line));
    }
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

std::map<std::string, std::string> read_configuration(int data_directory, const path& data_directory_path,
                                                      const std::vector<std::string>& between) {
  ConfigurationReader reader(data_directory, data_directory_path);
  reader.read("postgresql.conf", 0);
  for (const std::string& text : between) reader.take(text);
  reader.read("postgresql.auto.conf", 0);
  return reader.take_values();
}

}  // namespace pgtwig::postgres
