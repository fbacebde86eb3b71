// The form of every kind of value, checked before anything is sent. Names of branches are judged in targets.cpp, where
// their project is known.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/error.h"
#include "base/names.h"
#include "base/time.h"
#include "cli/parser.h"

namespace pgtwig::cli {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& text, const std::string& why,
                         const std::string& hint = {}) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: '{}' {}", subject, text, why), hint);
}

template <class Value>
void require(const std::expected<Value, std::string>& parsed, const std::string& subject, const std::string& text,
             const std::string& hint) {
  if (!parsed)
    throw Error(ErrorCode::invalid_argument, fmt::format("{} '{}': {}", subject, text, parsed.error()), hint);
}

std::optional<long> parse_number(const std::string& text) {
  long number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void check_number(const std::string& subject, const std::string& text, long first, long last, const char* what) {
  auto number = parse_number(text);
  if (!number || *number < first || *number > last)
    refuse(subject, text, fmt::format("is not {}", what), fmt::format("a number from {} to {}", first, last));
}

void check_choice(const std::vector<std::string>& choices, const std::string& subject, const std::string& text) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return;
  auto near = nearest_names(text, choices);
  std::string hint = fmt::format("one of: {}", fmt::join(choices, ", "));
  if (!near.empty()) hint = fmt::format("did you mean {}? It is {}", near.front(), hint);
  refuse(subject, text, "is not one of its values", hint);
}

void check_setting(const std::string& subject, const std::string& text) {
  auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos)
    refuse(subject, text, "is not of the form name=value", "for example: --set work_mem=64MB");
}

}  // namespace

void check_value(ValueKind kind, const std::vector<std::string>& choices, const std::string& subject,
                 const std::string& text) {
  constexpr long largest_count = 1'000'000;
  constexpr long most_days = 36'500;  // no duration is longer
  switch (kind) {
    case ValueKind::choice:
      return check_choice(choices, subject, text);
    case ValueKind::project:
    case ValueKind::new_project:
    case ValueKind::pool:
    case ValueKind::new_pool:
      return require(ProjectName::parse(text), subject, text, "lower-case letters, digits, '-' and '_', 63 at most");
    case ValueKind::point:
      return require(parse_point(text), subject, text,
                     "for example: \"2 hours ago\", 10m, 2026-03-01T12:00:00Z, a snapshot's name");
    case ValueKind::port:
      return check_number(subject, text, 1, 65535, "a port");
    case ValueKind::count:
      return check_number(subject, text, 1, largest_count, "a count");
    case ValueKind::days:
      return check_number(subject, text, 0, most_days, "a number of days");
    case ValueKind::size:
      return require(parse_bytes(text), subject, text, "for example: 20G, 512MiB");
    case ValueKind::duration:
      return require(parse_duration(text), subject, text, "for example: 90s, 30m, 2h, 3d, 1w");
    case ValueKind::interval:
      if (text == "off") return;
      return require(parse_duration(text), subject, text, "for example: 30m, 1h, 1d, or off");
    case ValueKind::setting:
      return check_setting(subject, text);
    case ValueKind::text_or_nothing:
      return;
    case ValueKind::text:
    case ValueKind::branch:
    case ValueKind::branch_at_point:
    case ValueKind::snapshot:
    case ValueKind::new_branch:
    case ValueKind::project_or_branch:
    case ValueKind::operation:
    case ValueKind::config_key:
    case ValueKind::command:
    case ValueKind::file:
    case ValueKind::directory:
      if (text.empty()) refuse(subject, text, "is empty");
      return;
  }
}

}  // namespace pgtwig::cli
