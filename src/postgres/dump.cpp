// See dump.h.
#include "postgres/dump.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/error.h"
#include "postgres/dump_text.h"

namespace pgtwig::postgres {
namespace {

using namespace std::chrono_literals;

// Dumps of many gigabytes take hours; only a client that hangs for ever is to be ended.
constexpr auto load_timeout = 72h;
// The definitions of a custom dump as text: some megabytes for the largest schemas.
constexpr std::size_t definitions_limit = 256u << 20;

Error unusable(std::string_view what, std::string_view hint) {
  return {ErrorCode::invalid_argument, fmt::format("the dump cannot be loaded: {}", what), std::string(hint)};
}

struct Signature {
  std::string_view bytes;
  std::size_t at;
  std::string_view what;
  std::string_view hint;
};
constexpr auto foreign_signatures = std::to_array<Signature>({
    {"\x1f\x8b", 0, "it is compressed by gzip", "unpack it first: gunzip FILE.gz"},
    {"\x28\xb5\x2f\xfd", 0, "it is compressed by zstd", "unpack it first: unzstd FILE.zst"},
    {"\xfd"
     "7zXZ",
     0, "it is compressed by xz", "unpack it first: unxz FILE.xz"},
    {"BZh", 0, "it is compressed by bzip2", "unpack it first: bunzip2 FILE.bz2"},
    {"\x04\x22\x4d\x18", 0, "it is compressed by lz4", "unpack it first: unlz4 FILE.lz4"},
    {"PK\x03\x04", 0, "it is a zip archive", "unpack it first: unzip FILE.zip"},
    {"ustar", 257, "it is a tar archive", "turn it into SQL first: pg_restore --file=dump.sql FILE.tar"},
    {"\xff\xfe", 0, "its text is UTF-16", "make it with pg_dump --file=FILE instead of a redirection"},
    {"\xfe\xff", 0, "its text is UTF-16", "make it with pg_dump --file=FILE instead of a redirection"},
});

// The archive header of pg_dump (src/bin/pg_dump/pg_backup_archiver.h): magic, version (3), sizes (2), format.
constexpr std::string_view archive_magic = "PGDMP";
constexpr std::size_t archive_format_at = 10;
constexpr char archive_format_custom = 1;

// The installation's own program, or where that comes without clients, the one on PATH.
std::string client_program(const Installation& installation, const char* name) {
  const std::filesystem::path own = installation.program(name);
  return installation.enter || std::filesystem::exists(own) ? own.string() : name;
}

Command client_command(std::string program, const LoadOptions& options) {
  Command command;
  command.argv = {std::move(program),
                  "--no-password",
                  "--host=" + options.socket_directory.string(),
                  "--port=" + std::to_string(options.port),
                  "--username=postgres",
                  "--dbname=" + options.database};
  command.user = options.user;
  command.environment = {
      {"PGPASSWORD", options.password}, {"PGOPTIONS", ""}, {"PGCLIENTENCODING", "UTF8"}, {"LC_ALL", "C"}};
  command.timeout = load_timeout;
  return command;
}

Command psql_command(const Installation& installation, const LoadOptions& options) {
  Command command = client_command(client_program(installation, "psql"), options);
  for (const char* argument : {"--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"}) {
    command.argv.emplace_back(argument);
  }
  return command;
}

// The lines in which a client says what went wrong: "psql:<stdin>:7: ERROR:  ...", "pg_restore: error: ...".
std::string failure_words(std::string_view error_output) {
  std::string_view last;
  while (!error_output.empty()) {
    const auto end = error_output.find('\n');
    const std::string_view line = error_output.substr(0, end);
    error_output = end == std::string_view::npos ? std::string_view{} : error_output.substr(end + 1);
    static constexpr auto marks = std::to_array<std::string_view>({"ERROR:", "FATAL:", "error:", "invalid command"});
    if (!line.empty() && last.empty()) last = line;
    if (std::ranges::any_of(marks, [line](std::string_view mark) { return line.find(mark) != line.npos; })) {
      return std::string(line);
    }
  }
  return std::string(last);
}

std::string hint_for(std::string_view words, const std::string& dump_version, const Installation& installation) {
  if (words.find("unsupported version") != words.npos || leading_number(dump_version) > installation.major) {
    return fmt::format(
        "the dump was made by a newer pg_dump than PostgreSQL {}: choose a newer --pg-version, or dump again with the "
        "pg_dump of version {}",
        installation.major, installation.major);
  }
  if (words.find("extension") != words.npos && words.find("is not available") != words.npos) {
    return fmt::format("install the package of that extension for PostgreSQL {} first", installation.major);
  }
  if (words.find("end of file") != words.npos || words.find("could not read") != words.npos) {
    return "it may be truncated: make or copy the dump again, and compare its size";
  }
  return "nothing was kept; correct the dump and try again";
}

void run_client(Command command, const LoadOptions& options, const std::string& dump_version,
                const Installation& installation) {
  const CommandResult result = run_command(installation.entered(std::move(command), {options.socket_directory}));
  if (result.exit_status == 0) return;
  const std::string words = failure_words(result.error_output);
  if (words.find("No space left on device") != std::string::npos) {
    throw Error(ErrorCode::no_space, fmt::format("the dump does not fit: {}", words));
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("the dump was refused: {}", words),
              hint_for(words, dump_version, installation));
}

void seek(int fd, std::uint64_t offset) {
  if (::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0) throw system_error(errno, "cannot read the dump");
}

void make_missing_roles(const Installation& installation, const LoadOptions& options,
                        const std::set<std::string>& roles) {
  if (roles.empty()) return;
  Command command = psql_command(installation, options);
  for (const std::string& role : roles) {
    command.input +=
        fmt::format("SELECT {} WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) \\gexec\n",
                    quote_literal(fmt::format("CREATE ROLE {} NOLOGIN", quote_identifier(role))), quote_literal(role));
  }
  run_client(std::move(command), options, {}, installation);
}

void load_plain(const Installation& installation, int fd, const LoadOptions& options) {
  const std::string version = dump_program_version(fd);
  std::uint64_t begin = 0;
  if (check_dump_is_whole(fd) == DumpScope::whole_cluster) {
    ClusterPreamble preamble = read_cluster_preamble(fd);
    Command globals = psql_command(installation, options);
    globals.input = std::move(preamble.statements);
    run_client(std::move(globals), options, version, installation);
    begin = preamble.end;
  } else {
    make_missing_roles(installation, options, roles_in_file(fd));
  }
  Command psql = psql_command(installation, options);
  psql.input_fd = fd;
  seek(fd, begin);
  run_client(std::move(psql), options, version, installation);
}

std::string definitions_of(const Installation& installation, int fd, const LoadOptions& options) {
  Command command;
  command.argv = {client_program(installation, "pg_restore"), "--schema-only", "--file=-"};
  command.user = options.user;
  command.environment = {{"LC_ALL", "C"}};
  command.input_fd = fd;
  command.timeout = load_timeout;
  command.output_limit = definitions_limit;
  seek(fd, 0);
  CommandResult result = run_command(installation.entered(std::move(command), {}));
  if (result.exit_status == 0) return std::move(result.output);
  const std::string words = failure_words(result.error_output);
  throw Error(ErrorCode::invalid_argument, fmt::format("the dump was refused: {}", words),
              hint_for(words, {}, installation));
}

void load_custom(const Installation& installation, int fd, const LoadOptions& options) {
  const std::string definitions = definitions_of(installation, fd, options);
  make_missing_roles(installation, options, roles_in_text(definitions));
  Command command = client_command(client_program(installation, "pg_restore"), options);
  command.argv.emplace_back("--exit-on-error");
  command.input_fd = fd;
  seek(fd, 0);
  run_client(std::move(command), options, {}, installation);
}

}  // namespace

DumpFormat detect_dump_format(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw system_error(errno, "cannot examine the dump");
  if (S_ISDIR(status.st_mode)) {
    throw unusable("it is a directory",
                   "make it with pg_dump --format=custom, or turn it into SQL: pg_restore "
                   "--file=dump.sql DIRECTORY");
  }
  if (!S_ISREG(status.st_mode)) throw unusable("it is not a plain file", "write it to a file first");
  const std::string head = read_part(fd, 0, 4096);
  if (head.empty()) throw unusable("it is empty", "make it again");
  if (head.starts_with(archive_magic)) {
    if (head.size() > archive_format_at && head[archive_format_at] != archive_format_custom) {
      throw unusable("it is a part of a dump in another format than pg_dump's custom one",
                     "make it with pg_dump --format=custom, or turn it into SQL with pg_restore --file=dump.sql");
    }
    return DumpFormat::custom;
  }
  for (const Signature& signature : foreign_signatures) {
    if (head.size() >= signature.at && std::string_view(head).substr(signature.at).starts_with(signature.bytes)) {
      throw unusable(signature.what, signature.hint);
    }
  }
  if (head.find('\0') != std::string::npos) {
    throw unusable("it is neither SQL nor pg_dump's custom format", "make it with pg_dump --format=custom");
  }
  return DumpFormat::plain;
}

void load_dump(const Installation& installation, int fd, DumpFormat format, const LoadOptions& options) {
  switch (format) {
    case DumpFormat::plain:
      return load_plain(installation, fd, options);
    case DumpFormat::custom:
      return load_custom(installation, fd, options);
  }
}

}  // namespace pgtwig::postgres
