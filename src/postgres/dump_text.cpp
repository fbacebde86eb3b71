// See dump_text.h.
#include "postgres/dump_text.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {
namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
// Of a longer line (a row of data, mostly) only the beginning is looked at.
constexpr std::size_t longest_line = 64 * 1024;
// Where pg_dump's opening and closing comments are looked for.
constexpr std::size_t comment_window = 64 * 1024;
constexpr std::size_t longest_preamble = 64 << 20;

constexpr std::size_t longest_identifier = 63;  // NAMEDATALEN - 1
// No cluster has so many; text that only looks like a dump can.
constexpr std::size_t most_roles = 10'000;

constexpr std::string_view database_opening = "-- PostgreSQL database dump\n";
constexpr std::string_view cluster_opening = "-- PostgreSQL database cluster dump\n";
constexpr std::string_view database_closing = "-- PostgreSQL database dump complete";
constexpr std::string_view cluster_closing = "-- PostgreSQL database cluster dump complete";

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool continues_name(char c) {
  return is_name_start(c) || (c >= '0' && c <= '9') || c == '$';
}

struct Name {
  std::string text;
  bool is_quoted = false;
};

// The identifier at the beginning of `text`, which is moved behind it; empty when there is none.
Name take_name(std::string_view& text) {
  Name name;
  if (text.starts_with('"') || text.starts_with('\'')) {
    const char quote = text.front();
    name.is_quoted = true;
    text.remove_prefix(1);
    while (!text.empty()) {
      const char c = text.front();
      text.remove_prefix(1);
      if (c == quote && !text.starts_with(quote)) return name;
      if (c == quote) text.remove_prefix(1);
      name.text += c;
    }
    return {};
  }
  if (text.empty() || !is_name_start(text.front())) return {};
  while (!text.empty() && continues_name(text.front())) {
    name.text += text.front();
    text.remove_prefix(1);
  }
  return name;
}

// As the server does with a name that is too long, which it takes for that of the same role (pg_mbcliplen in UTF-8).
std::string cut_to_identifier(std::string_view name) {
  std::size_t end = longest_identifier;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) --end;
  return std::string(name.substr(0, end));
}

bool is_role_to_make(const Name& name) {
  if (name.text.empty() || name.text.starts_with("pg_")) return false;
  static constexpr auto keywords =
      std::to_array<std::string_view>({"PUBLIC", "CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"});
  return name.is_quoted || std::ranges::find(keywords, name.text) == keywords.end();
}

// What follows the first, or last, `word` in the line; empty when it is not there.
std::string_view behind_first(std::string_view line, std::string_view word) {
  const auto at = line.find(word);
  return at == std::string_view::npos ? std::string_view{} : line.substr(at + word.size());
}
std::string_view behind_last(std::string_view line, std::string_view word) {
  const auto at = line.rfind(word);
  return at == std::string_view::npos ? std::string_view{} : line.substr(at + word.size());
}

// Calls `take` with each line of the file, without its end, and where the line begins; stops when that returns false.
void for_each_line(int fd, const std::function<bool(std::string_view line, std::uint64_t begin)>& take) {
  std::string line;
  std::uint64_t line_begin = 0;
  std::uint64_t offset = 0;
  while (true) {
    const std::string chunk = read_part(fd, offset, chunk_bytes);
    if (chunk.empty()) break;
    std::string_view rest = chunk;
    while (!rest.empty()) {
      const auto end = rest.find('\n');
      const std::string_view piece = rest.substr(0, end);
      if (line.size() < longest_line) line.append(piece.substr(0, longest_line - line.size()));
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
      if (!take(line, line_begin)) return;
      line.clear();
      line_begin = offset + chunk.size() - rest.size();
    }
    offset += chunk.size();
  }
  if (!line.empty()) take(line, line_begin);
}

bool names_own_role(std::string_view statement) {
  const Name role = take_name(statement);
  return role.text == "postgres" || role.text == admin_role;
}

// pg_dumpall makes every role anew. Role postgres is there, with the password that pgtwig gave it.
bool is_left_out(std::string_view line) {
  if (line.starts_with("CREATE ROLE ")) return names_own_role(behind_first(line, "CREATE ROLE "));
  if (!line.starts_with("ALTER ROLE ")) return false;
  std::string_view rest = behind_first(line, "ALTER ROLE ");
  return names_own_role(rest) && rest.find(" WITH ") != std::string_view::npos;
}

}  // namespace

std::string read_part(int fd, std::uint64_t offset, std::size_t size) {
  std::string text(size, '\0');
  std::size_t used = 0;
  while (used < size) {
    const ssize_t got = ::pread(fd, text.data() + used, size - used, static_cast<off_t>(offset + used));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "cannot read the dump");
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  text.resize(used);
  return text;
}

std::uint64_t size_of_file(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw system_error(errno, "cannot examine the dump");
  return static_cast<std::uint64_t>(status.st_size);
}

void RoleCollector::add_role(std::string name) {
  if (name.size() > longest_identifier) name = cut_to_identifier(name);
  roles_.insert(std::move(name));
  if (roles_.size() > most_roles) {
    throw Error(ErrorCode::invalid_argument, fmt::format("the dump names more than {} roles", most_roles),
                "make it with pg_dump --no-owner --no-privileges");
  }
}

void RoleCollector::add_list(std::string_view text) {
  while (true) {
    const Name name = take_name(text);
    if (is_role_to_make(name)) add_role(name.text);
    if (!text.starts_with(", ")) return;
    text.remove_prefix(2);
  }
}

void RoleCollector::add_line(std::string_view line) {
  if (in_copy_data_) {
    in_copy_data_ = line != "\\.";
    return;
  }
  if (line.starts_with("COPY ")) {
    in_copy_data_ = line.ends_with(" FROM stdin;");
  } else if (line.starts_with("ALTER DEFAULT PRIVILEGES ")) {
    add_list(behind_first(line, " FOR ROLE "));
    add_list(behind_last(line, line.find(" GRANT ") != std::string_view::npos ? " TO " : " FROM "));
  } else if (line.starts_with("ALTER ROLE ")) {
    add_list(behind_first(line, "ALTER ROLE "));
  } else if (line.starts_with("ALTER ")) {
    add_list(behind_last(line, " OWNER TO "));
  } else if (line.starts_with("GRANT ")) {
    add_list(behind_last(line, " TO "));
  } else if (line.starts_with("REVOKE ")) {
    add_list(behind_last(line, " FROM "));
  } else if (line.starts_with("CREATE POLICY ")) {
    const auto condition = std::min(line.find(" USING ("), line.find(" WITH CHECK ("));
    add_list(behind_last(line.substr(0, condition), " TO "));
  } else if (line.starts_with("CREATE USER MAPPING FOR ")) {
    add_list(behind_first(line, "CREATE USER MAPPING FOR "));
  } else if (line.starts_with("CREATE SCHEMA ")) {
    add_list(behind_last(line, " AUTHORIZATION "));
  } else if (line.starts_with("SET SESSION AUTHORIZATION ")) {
    add_list(behind_first(line, "SET SESSION AUTHORIZATION "));
  }
}

std::set<std::string> roles_in_text(std::string_view text) {
  RoleCollector collector;
  while (!text.empty()) {
    const auto end = text.find('\n');
    collector.add_line(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return collector.roles();
}

std::set<std::string> roles_in_file(int fd) {
  RoleCollector collector;
  for_each_line(fd, [&collector](std::string_view line, std::uint64_t) {
    collector.add_line(line);
    return true;
  });
  return collector.roles();
}

DumpScope check_dump_is_whole(int fd) {
  const std::string head = read_part(fd, 0, comment_window);
  const bool of_cluster = head.find(cluster_opening) != std::string::npos;
  if (!of_cluster && head.find(database_opening) == std::string::npos) return DumpScope::unknown;
  const std::uint64_t size = size_of_file(fd);
  const std::string tail = read_part(fd, size > comment_window ? size - comment_window : 0, comment_window);
  if (tail.find(of_cluster ? cluster_closing : database_closing) == std::string::npos) {
    throw Error(ErrorCode::invalid_argument,
                "the dump is truncated: the comment with which pg_dump ends every dump is missing",
                "make or copy the dump again, and compare its size");
  }
  return of_cluster ? DumpScope::whole_cluster : DumpScope::one_database;
}

ClusterPreamble read_cluster_preamble(int fd) {
  ClusterPreamble preamble{.statements = {}, .end = size_of_file(fd)};
  for_each_line(fd, [&preamble](std::string_view line, std::uint64_t begin) {
    if (line.starts_with("\\connect ")) {
      preamble.end = begin;
      return false;
    }
    if (line.starts_with("CREATE TABLESPACE ")) {
      throw Error(ErrorCode::not_allowed,
                  "the dump makes tablespaces, which lie outside of the data directory and cannot be branched",
                  "make it with pg_dumpall --no-tablespaces");
    }
    if (preamble.statements.size() > longest_preamble) {
      throw Error(ErrorCode::invalid_argument, "the dump of a cluster connects to no database");
    }
    if (!is_left_out(line)) preamble.statements.append(line).append("\n");
    return true;
  });
  return preamble;
}

std::string dump_program_version(int fd) {
  const std::string head = read_part(fd, 0, comment_window);
  std::string_view rest = behind_first(head, "\n-- Dumped by pg_dump version ");
  return std::string(rest.substr(0, rest.find_first_of(" \n")));
}

}  // namespace pgtwig::postgres
