// PostgreSQL's configuration file syntax, read the way its own parser (guc-file.l) does: for what must be known of a
// data directory's settings while no server runs. Used by instance_files.cpp and hygiene.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::postgres {

struct ConfigurationLine {
  std::string name;  // in lower case
  std::string value;
  int line = 0;
};

// Lines that PostgreSQL would not understand are left out: it will say so itself.
std::vector<ConfigurationLine> parse_configuration(std::string_view text);

// What postgresql.conf, the files that it includes and postgresql.auto.conf of an open data directory set, the last
// value of each name. `between`: texts that are read between the two, as a start includes them. Throws Error
// not_allowed, naming file and line, for an include that leaves the directory: an absolute path outside of
// `data_directory_path` (empty: any absolute path), "..", a link.
std::map<std::string, std::string> read_configuration(int data_directory,
                                                      const std::filesystem::path& data_directory_path = {},
                                                      const std::vector<std::string>& between = {});

}  // namespace pgtwig::postgres
