#include "postgres/server_facts.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/error.h"

namespace pgtwig::postgres {
namespace {

constexpr std::string_view version_mark = "(PostgreSQL) ";
constexpr std::string_view collations_mark = "collations: ";

constexpr std::size_t longest_number = 32;

// Digits and dots that the text begins with.
std::string version_number(std::string_view text) {
  std::string_view number = text.substr(0, text.find_first_not_of("0123456789."));
  while (number.ends_with('.')) number.remove_suffix(1);
  return std::string(number);
}

std::string number_after(std::string_view text, std::string_view mark) {
  const auto at = text.find(mark);
  return at == std::string_view::npos ? "" : version_number(text.substr(at + mark.size()));
}

// What follows the first such mark in the file, long enough for a number; nullopt: the mark is not there. In pieces, as
// a whole program would be ten megabytes of memory.
std::optional<std::string> text_after(const std::filesystem::path& file, std::string_view mark) {
  constexpr std::size_t piece = 1 << 16;
  // The mark may go on in the next piece, and what follows it.
  const std::size_t overlap = mark.size() + longest_number;
  std::ifstream stream(file, std::ios::binary);
  std::string window;
  while (stream.good()) {
    const std::size_t begin = std::min(window.size(), overlap);
    window.erase(0, window.size() - begin);
    window.resize(begin + piece);
    stream.read(window.data() + begin, piece);
    window.resize(begin + static_cast<std::size_t>(stream.gcount()));
    const auto at = window.find(mark);
    if (at == std::string::npos) continue;
    const std::size_t after = at + mark.size();
    if (stream.eof() || window.size() - after >= longest_number) return window.substr(after, longest_number);
  }
  if (!stream.eof()) throw system_error(errno, fmt::format("cannot read {}", file.string()));
  return std::nullopt;
}

// glibc says what it is in a text of its own: "... release version 2.36.".
std::string libc_version() {
  static constexpr auto folders = std::to_array<std::string_view>(
      {"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/lib"});
  for (const std::string_view folder : folders) {
    const auto library = std::filesystem::path(folder) / "libc.so.6";
    if (::access(library.c_str(), R_OK) != 0) continue;
    const std::string number = version_number(text_after(library, " release version ").value_or(""));
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
  std::string text = text_after(server, "ld-musl-") ? "musl" : fmt::format("glibc {}", libc_version());
  const std::string icu = version_number(text_after(server, "libicui18n.so.").value_or(""));
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
