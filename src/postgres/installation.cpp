// See installation.h.
#include "postgres/installation.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <mutex>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"

namespace pgtwig::postgres {
namespace {

using std::filesystem::path;

// What `postgres -V` said, for as long as the file is the same one.
class VersionCache {
 public:
  // "15.18"; empty when the program does not say.
  std::string version_of(const path& program) {
    struct stat status{};
    if (::stat(program.c_str(), &status) != 0) return {};
    const Stamp stamp{status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_size};
    {
      const std::lock_guard lock(mutex_);
      const auto known = entries_.find(program);
      if (known != entries_.end() && known->second.stamp == stamp) return known->second.version;
    }
    std::string version = ask(program);
    const std::lock_guard lock(mutex_);
    entries_[program] = {stamp, version};
    return version;
  }

 private:
  struct Stamp {
    dev_t device;
    ino_t inode;
    time_t seconds;
    long nanoseconds;
    off_t size;
    bool operator==(const Stamp&) const = default;
  };
  struct Entry {
    Stamp stamp;
    std::string version;
  };

  // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" gives "15.18".
  static std::string ask(const path& program) {
    try {
      Command command;
      command.argv = {program.string(), "-V"};
      const CommandResult result = run_command(command);
      constexpr std::string_view mark = "(PostgreSQL) ";
      const auto start = result.output.find(mark);
      if (result.exit_status != 0 || start == std::string::npos) return {};
      const auto begin = start + mark.size();
      return result.output.substr(begin, result.output.find_first_of(" \n", begin) - begin);
    } catch (const Error& error) {
      log::warn("{} does not run: {}", program.string(), error.message());
      return {};
    }
  }

  std::mutex mutex_;
  std::map<path, Entry> entries_;
};

VersionCache& version_cache() {
  static VersionCache cache;
  return cache;
}

// 18 of "15.18"; 0 when there is none.
int minor_number(std::string_view version) {
  const auto dot = version.find('.');
  return dot == std::string_view::npos ? 0 : leading_number(version.substr(dot + 1));
}

bool is_program(const path& file) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
}

bool is_bin_directory(const path& directory) {
  return is_program(directory / "postgres") && is_program(directory / "initdb");
}

// The directories `<parent>/<prefix>*/bin`.
std::vector<path> versioned_directories(const path& parent, std::string_view prefix) {
  std::vector<path> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path() / "bin");
  }
  return found;
}

std::vector<path> directories_on_path() {
  std::vector<path> found;
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    if (const path directory = rest.substr(0, colon); directory.is_absolute()) found.push_back(directory);
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return found;
}

std::vector<path> candidate_directories(const std::vector<std::string>& more_directories) {
  std::vector<path> all;
  const auto add = [&all](const std::vector<path>& some) { all.insert(all.end(), some.begin(), some.end()); };
  for (const path directory : more_directories) {
    add({directory, directory / "bin"});
    add(versioned_directories(directory, ""));
  }
  add(versioned_directories("/usr/lib/postgresql", ""));
  add(versioned_directories("/usr", "pgsql-"));
  add({"/usr/local/pgsql/bin"});
  add(directories_on_path());
  return all;
}

std::string version_list(const std::vector<Installation>& all) {
  std::string text;
  for (const Installation& one : all) text += fmt::format("{}{}", text.empty() ? "" : ", ", one.version);
  return text;
}

}  // namespace

int leading_number(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::vector<Installation> find_installations(const std::vector<std::string>& more_directories) {
  std::vector<Installation> found;
  for (const path& directory : candidate_directories(more_directories)) {
    if (!is_bin_directory(directory)) continue;
    const std::string version = version_cache().version_of(directory / "postgres");
    const int major = leading_number(version);
    const bool known = std::ranges::any_of(found, [major](const Installation& one) { return one.major == major; });
    if (major > 0 && !known) found.push_back({.major = major, .version = version, .directory = directory});
  }
  std::ranges::sort(found, [](const Installation& a, const Installation& b) {
    return std::pair(a.major, minor_number(a.version)) > std::pair(b.major, minor_number(b.version));
  });
  return found;
}

Installation require_installation(const std::vector<Installation>& all, std::optional<int> major) {
  if (all.empty()) {
    throw Error(
        ErrorCode::not_found, "no PostgreSQL server is installed on this machine",
        "install one (Debian: apt install postgresql), or name the directory of one that you have: pgtwig config "
        "set postgres.directories /path/to/bin");
  }
  if (!major) return all.front();
  const auto found = std::ranges::find_if(all, [&](const Installation& one) { return one.major == *major; });
  if (found != all.end()) return *found;
  throw Error(
      ErrorCode::not_found,
      fmt::format("PostgreSQL {} is not installed on this machine (there is {})", *major, version_list(all)),
      fmt::format("install it (Debian: apt install postgresql-{}), or choose another with --pg-version", *major));
}

}  // namespace pgtwig::postgres
