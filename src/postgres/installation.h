// The PostgreSQL servers installed on this machine.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pgtwig::postgres {

struct Installation {
  int major = 0;                    // 15
  std::string version;              // "15.18"
  std::filesystem::path directory;  // its bin directory
  std::filesystem::path program(std::string_view name) const { return directory / name; }
};

// Looks into `more_directories` (each a bin directory, or one above it), /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin,
// /usr/local/pgsql/bin and PATH; newest first; of one major version the first found. Only directories that hold
// postgres and initdb count. Results of `postgres -V` are kept for as long as the file is unchanged.
std::vector<Installation> find_installations(const std::vector<std::string>& more_directories);
// Throws Error not_found, naming what there is and how to install one.
Installation require_installation(const std::vector<Installation>& all, std::optional<int> major);

}  // namespace pgtwig::postgres
