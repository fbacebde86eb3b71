// The PostgreSQL that tests run: the newest of Debian's packages, as the release that they run on has it.
#pragma once

#include <charconv>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace pgtwig::support {

// Its bin directory.
inline std::filesystem::path postgres_programs() {
  int newest = 0;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", none)) {
    const std::string name = entry.path().filename();
    int major = 0;
    std::from_chars(name.data(), name.data() + name.size(), major);
    if (major > newest && std::filesystem::exists(entry.path() / "bin" / "initdb")) newest = major;
  }
  if (newest == 0) throw Error(ErrorCode::not_found, "no PostgreSQL is installed", "scripts/install-packages run");
  return std::filesystem::path("/usr/lib/postgresql") / std::to_string(newest) / "bin";
}

}  // namespace pgtwig::support
