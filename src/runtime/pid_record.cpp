// See pid_record.h. The file holds one "key value" line per field, and "end" last.
#include "runtime/pid_record.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <string_view>

#include "base/fs.h"

namespace pgtwig::runtime {
namespace {

constexpr const char* file_name = "pid";

std::map<std::string, std::string, std::less<>> parse_lines(std::string_view text) {
  std::map<std::string, std::string, std::less<>> fields;
  while (!text.empty()) {
    const auto line_end = text.find('\n');
    if (line_end == std::string_view::npos) break;  // a line without its end was cut off
    const std::string_view line = text.substr(0, line_end);
    const auto space = line.find(' ');
    fields.emplace(line.substr(0, space), space == std::string_view::npos ? "" : line.substr(space + 1));
    text.remove_prefix(line_end + 1);
  }
  return fields;
}

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

void write_pid_record(const std::filesystem::path& directory, const PidRecord& record) {
  write_file(directory / file_name,
             fmt::format("pid {}\nstart_ticks {}\nboot_id {}\nuid {}\nexecutable {}\nend\n", record.pid,
                         record.start_ticks, record.boot_id, record.uid, record.executable.string()),
             0600);
}

std::optional<PidRecord> read_pid_record(const std::filesystem::path& directory) {
  const auto text = read_file_if_exists(directory / file_name);
  if (!text) return std::nullopt;
  auto fields = parse_lines(*text);
  if (!fields.contains("end")) return std::nullopt;
  const auto pid = parse_number<pid_t>(fields["pid"]);
  const auto start_ticks = parse_number<std::uint64_t>(fields["start_ticks"]);
  const auto uid = parse_number<uid_t>(fields["uid"]);
  if (!pid || *pid <= 1 || !start_ticks || !uid) return std::nullopt;
  return PidRecord{.pid = *pid,
                   .start_ticks = *start_ticks,
                   .boot_id = fields["boot_id"],
                   .executable = fields["executable"],
                   .uid = *uid};
}

void remove_pid_record(const std::filesystem::path& directory) {
  if (::unlink((directory / file_name).c_str()) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove {}", (directory / file_name).string()));
  }
}

}  // namespace pgtwig::runtime
