// A PostgreSQL that there is: the servers installed on this machine, or one that is kept elsewhere and reached by a way
// of its own.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"

namespace pgtwig::postgres {

struct Installation {
  int major = 0;                    // 15
  std::string version;              // "15.18"
  std::filesystem::path directory;  // its bin directory; empty: not on this machine's own file system
  // Turns a command of one of its programs, which sees these paths besides, into one that can be run here. Empty: it
  // can be run as it is.
  std::function<Command(Command, const std::vector<std::filesystem::path>& paths)> enter = {};

  std::filesystem::path program(std::string_view name) const { return directory / name; }
  Command entered(Command command, const std::vector<std::filesystem::path>& paths) const {
    return enter ? enter(std::move(command), paths) : std::move(command);
  }
};

// 15 of "15.18", 0 of what begins with no number.
int leading_number(std::string_view text);

// Looks into `more_directories` (each a bin directory, or one above it), /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin,
// /usr/local/pgsql/bin and PATH; newest first; of one major version the first found. Only directories that hold
// postgres and initdb count. Results of `postgres -V` are kept for as long as the file is unchanged.
std::vector<Installation> find_installations(const std::vector<std::string>& more_directories);
// Throws Error not_found, naming what there is and how to install one.
Installation require_installation(const std::vector<Installation>& all, std::optional<int> major);

}  // namespace pgtwig::postgres
