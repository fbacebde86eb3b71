// Times and durations as text. Own parsers: GCC 12 has no chrono::parse, and the errors are for people.
#include "base/time.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

namespace pgtwig {

namespace {

using std::chrono::seconds;

// No duration that anybody means is longer, and none shorter overflows in what is computed from it.
constexpr seconds longest_duration = std::chrono::days(36'500);

// Takes text from the front; every take_ function leaves the rest alone when it answers no.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  bool next_is_digit() const { return !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; }
  char peek() const { return rest_.empty() ? '\0' : rest_[0]; }

  bool take(char wanted) {
    if (peek() != wanted || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // Exactly `digits` digits.
  std::optional<int> take_number(std::size_t digits) {
    if (rest_.size() < digits) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return std::nullopt;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }

  // Any number of digits, at least one; nullopt also when the number is too large.
  std::optional<std::uint64_t> take_whole_number() {
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{}) return std::nullopt;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  std::string_view take_letters() {
    std::size_t length = 0;
    while (length < rest_.size() && rest_[length] >= 'a' && rest_[length] <= 'z') ++length;
    std::string_view letters = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return letters;
  }

  void skip_spaces() {
    while (take(' ')) {
    }
  }

 private:
  std::string_view rest_;
};

// The fraction's digits after the point, in microseconds; more than six are cut off.
std::optional<std::chrono::microseconds> take_fraction(Reader& reader) {
  if (!reader.next_is_digit()) return std::nullopt;
  std::int64_t microseconds = 0;
  int digits = 0;
  while (auto digit = reader.take_number(1)) {
    if (digits++ < 6) microseconds = microseconds * 10 + *digit;
  }
  for (; digits < 6; ++digits) microseconds *= 10;
  return std::chrono::microseconds(microseconds);
}

// "Z", "+02:00", and PostgreSQL's own "+02" and "+0200".
std::optional<std::chrono::minutes> take_zone(Reader& reader) {
  if (reader.take('Z') || reader.take('z')) return std::chrono::minutes(0);
  const bool negative = reader.peek() == '-';
  if (!reader.take('+') && !reader.take('-')) return std::nullopt;
  auto hours = reader.take_number(2);
  if (!hours || *hours > 23) return std::nullopt;
  int minutes = 0;
  if (reader.take(':') || reader.next_is_digit()) {
    auto written = reader.take_number(2);
    if (!written || *written > 59) return std::nullopt;
    minutes = *written;
  }
  const auto offset = std::chrono::hours(*hours) + std::chrono::minutes(minutes);
  return negative ? -offset : offset;
}

// The number of seconds in a unit as people write it.
std::optional<std::int64_t> unit_seconds(std::string_view unit) {
  struct Unit {
    std::string_view name;
    std::int64_t seconds;
  };
  static constexpr std::array<Unit, 22> units = {{
      {"s", 1},      {"sec", 1},     {"secs", 1},      {"second", 1},     {"seconds", 1}, {"m", 60},
      {"min", 60},   {"mins", 60},   {"minute", 60},   {"minutes", 60},   {"h", 3600},    {"hr", 3600},
      {"hrs", 3600}, {"hour", 3600}, {"hours", 3600},  {"d", 86400},      {"day", 86400}, {"days", 86400},
      {"w", 604800}, {"wk", 604800}, {"week", 604800}, {"weeks", 604800},
  }};
  for (const Unit& known : units) {
    if (known.name == unit) return known.seconds;
  }
  return std::nullopt;
}

}  // namespace

TimePoint SystemClock::now() const {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

std::string format_rfc3339(TimePoint time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (clock.subseconds().count() != 0) text += fmt::format(".{:06}", clock.subseconds().count());
  return text + "Z";
}

std::expected<TimePoint, std::string> parse_rfc3339(std::string_view text) {
  const auto malformed = [&] {
    return std::unexpected(fmt::format("'{}' is not a time; write it like 2026-03-01T12:00:00Z", text));
  };
  Reader reader(text);
  auto year = reader.take_number(4);
  if (!year || !reader.take('-')) return malformed();
  auto month = reader.take_number(2);
  if (!month || !reader.take('-')) return malformed();
  auto day = reader.take_number(2);
  if (!day || (!reader.take('T') && !reader.take('t') && !reader.take(' '))) return malformed();
  auto hour = reader.take_number(2);
  if (!hour || !reader.take(':')) return malformed();
  auto minute = reader.take_number(2);
  if (!minute || !reader.take(':')) return malformed();
  auto second = reader.take_number(2);
  if (!second) return malformed();
  std::optional<std::chrono::microseconds> fraction = std::chrono::microseconds(0);
  if (reader.take('.')) fraction = take_fraction(reader);
  if (!fraction) return malformed();
  reader.skip_spaces();
  if (reader.at_end()) {
    return std::unexpected(fmt::format("'{}' has no time zone; add Z for UTC, or an offset like +02:00", text));
  }
  auto zone = take_zone(reader);
  if (!zone || !reader.at_end()) return malformed();

  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  // 60 is a leap second, which reads as the first of the next minute, as PostgreSQL has it.
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) {
    return std::unexpected(fmt::format("'{}' is no moment that any calendar has", text));
  }
  const TimePoint time = std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
                         seconds(*second) + *fraction - *zone;
  const std::chrono::year_month_day utc(std::chrono::floor<std::chrono::days>(time));
  if (utc.year() < std::chrono::year(0) || utc.year() > std::chrono::year(9999)) return malformed();
  return time;
}

std::expected<seconds, std::string> parse_duration(std::string_view text) {
  const auto malformed = [&] {
    return std::unexpected(fmt::format("'{}' is not a duration; write it like 90s, 10m, 2h, 3d or '2 hours'", text));
  };
  const auto too_long = [&] { return std::unexpected(fmt::format("'{}' is longer than a hundred years", text)); };

  Reader reader(text);
  std::int64_t total = 0;
  do {
    if (!reader.next_is_digit()) return malformed();
    auto number = reader.take_whole_number();
    if (!number || *number > static_cast<std::uint64_t>(longest_duration.count())) return too_long();
    reader.skip_spaces();
    const auto unit = unit_seconds(reader.take_letters());
    if (!unit) return malformed();
    const auto count = static_cast<std::int64_t>(*number);
    if (count > longest_duration.count() / *unit) return too_long();
    total += count * *unit;
    if (total > longest_duration.count()) return too_long();
    reader.skip_spaces();
  } while (!reader.at_end());
  if (total == 0) return std::unexpected(fmt::format("'{}' is no time at all; it must be at least a second", text));
  return seconds(total);
}

std::string format_duration(seconds duration) {
  struct Unit {
    std::int64_t seconds;
    char letter;
  };
  static constexpr std::array<Unit, 4> units = {{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
  std::string text = duration.count() < 0 ? "-" : "";
  std::int64_t rest = duration.count() < 0 ? -duration.count() : duration.count();
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (rest < units[i].seconds) continue;
    text += fmt::format("{}{}", rest / units[i].seconds, units[i].letter);
    rest %= units[i].seconds;
    if (i + 1 < units.size() && rest >= units[i + 1].seconds) {
      text += fmt::format(" {}{}", rest / units[i + 1].seconds, units[i + 1].letter);
    }
    return text;
  }
  return "0s";
}

}  // namespace pgtwig
