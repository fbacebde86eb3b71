// Time as data: a clock that is passed in, RFC 3339 text, durations as people write them.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

namespace pgtwig {

using TimePoint = std::chrono::sys_time<std::chrono::microseconds>;
using Milliseconds = std::chrono::milliseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
};

class SystemClock final : public Clock {
 public:
  TimePoint now() const override;
};

// "2026-03-01T12:00:00.123456Z": UTC, fraction only when there is one.
std::string format_rfc3339(TimePoint time);
// A zone is required: a time without one would mean something else on another machine. The error is a sentence.
std::expected<TimePoint, std::string> parse_rfc3339(std::string_view text);

// "90s", "10m", "2h", "3d", "1w", and "2 hours", "1 day". Positive. The error is a sentence.
std::expected<std::chrono::seconds, std::string> parse_duration(std::string_view text);
// "2h", "3d 4h": two units at most.
std::string format_duration(std::chrono::seconds duration);

}  // namespace pgtwig
