#include "postgres/server_facts.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::postgres {
namespace {

constexpr std::string_view version_mark = "(PostgreSQL) ";
constexpr std::string_view collations_mark = "collations: ";

// The number that follows `mark`, digits and dots.
std::string number_after(std::string_view text, std::string_view mark) {
  const auto at = text.find(mark);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = text.substr(at + mark.size());
  std::string_view number = rest.substr(0, rest.find_first_not_of("0123456789."));
  while (number.ends_with('.')) number.remove_suffix(1);
  return std::string(number);
}

// glibc says what it is in a text of its own: "... release version 2.36.".
std::string libc_version() {
  static constexpr auto folders = std::to_array<std::string_view>(
      {"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/lib"});
  for (const std::string_view folder : folders) {
    const auto library = read_file_if_exists(std::filesystem::path(folder) / "libc.so.6");
    if (!library) continue;
    const std::string number = number_after(*library, " release version ");
    if (!number.empty()) return number;
  }
  return "of an unknown version";
}

std::string find_on_path(const char* name) {
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    const std::string candidate = fmt::format("{}/{}", rest.substr(0, colon), name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return {};
}

bool says_its_version(const std::string& server) {
  std::string program = server;
  std::string option = "-V";
  char* const arguments[] = {program.data(), option.data(), nullptr};
  pid_t pid = 0;
  int status = 0;
  return ::posix_spawn(&pid, server.c_str(), nullptr, nullptr, arguments, environ) == 0 &&
         ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int complain(std::string_view what) {
  fmt::print(stderr, "{}\n", what);
  return 1;
}

}  // namespace

std::string collations_of(const std::filesystem::path& server) {
  const std::string program = read_file(server);
  const bool is_musl = program.find("ld-musl-") != std::string::npos;
  std::string text = is_musl ? "musl" : fmt::format("glibc {}", libc_version());
  const std::string icu = number_after(program, "libicui18n.so.");
  if (!icu.empty()) text += fmt::format(", ICU {}", icu);
  return text;
}

int print_server_facts() {
  try {
    const std::string server = find_on_path("postgres");
    if (server.empty()) return complain("it has no PostgreSQL server on its PATH");
    // PostgreSQL runs its archive_command by it, and so does initdb what it runs.
    if (::access("/bin/sh", X_OK) != 0) return complain("it has no /bin/sh, which PostgreSQL runs its commands by");
    if (!says_its_version(server)) return complain("its PostgreSQL does not run");
    fmt::print("{}{}\n", collations_mark, collations_of(server));
    return 0;
  } catch (const Error& error) {
    return complain(error.message());
  }
}

std::optional<ServerFacts> parse_server_facts(std::string_view text) {
  ServerFacts facts;
  facts.version = number_after(text, version_mark);
  const auto at = text.find(collations_mark);
  if (facts.version.empty() || at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + collations_mark.size());
  facts.collations = rest.substr(0, rest.find('\n'));
  std::from_chars(facts.version.data(), facts.version.data() + facts.version.size(), facts.major);
  return facts;
}

}  // namespace pgtwig::postgres
