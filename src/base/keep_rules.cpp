#include "base/keep_rules.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace pgtwig {
namespace {

// More restore points than this, each a volume, would make every listing of a pool slow.
constexpr int largest_count = 1000;

std::optional<std::chrono::seconds> period_of(char unit) {
  switch (unit) {
    case 'm':
      return std::chrono::minutes(1);
    case 'h':
      return std::chrono::hours(1);
    case 'd':
      return std::chrono::days(1);
    case 'w':
      return std::chrono::weeks(1);
    default:
      return std::nullopt;
  }
}

std::expected<KeepRule, std::string> parse_rule(std::string_view text) {
  int count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  const auto period = error == std::errc{} && rest + 1 == end ? period_of(*rest) : std::nullopt;
  if (!period || count < 1) {
    return std::unexpected(
        fmt::format("'{}' does not say which restore points to keep; write it like 24h,14d,8w", text));
  }
  if (count > largest_count) {
    return std::unexpected(
        fmt::format("'{}' keeps too many restore points: {} of one kind at most", text, largest_count));
  }
  return KeepRule{.period = *period, .count = count};
}

}  // namespace

std::expected<std::vector<KeepRule>, std::string> parse_keep_rules(std::string_view text) {
  std::vector<KeepRule> rules;
  while (true) {
    const std::size_t comma = text.find(',');
    const auto rule = parse_rule(text.substr(0, comma));
    if (!rule) return std::unexpected(rule.error());
    rules.push_back(*rule);
    if (comma == text.npos) return rules;
    text = text.substr(comma + 1);
    while (text.starts_with(' ')) text.remove_prefix(1);
  }
}

}  // namespace pgtwig
