// What is in a PostgreSQL installation that its data depend on. Read of its files alone, so that it can be said of an
// image as well as of this machine: the helper (helper/) looks from inside.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pgtwig::postgres {

// Which libraries sort texts for this server: "glibc 2.36, ICU 72". An index that was made with others is silently
// wrong. `server` is its executable, in the system that this program runs in.
std::string collations_of(const std::filesystem::path& server);

struct ServerFacts {
  int major = 0;        // 17
  std::string version;  // "17.5"
  std::string collations;
};
// For the helper: looks for `postgres` on PATH, and prints what parse_server_facts() reads. Exit status 0, or 1 with a
// line on stderr.
int print_server_facts();
// nullopt: that is not what print_server_facts() prints.
std::optional<ServerFacts> parse_server_facts(std::string_view text);

}  // namespace pgtwig::postgres
