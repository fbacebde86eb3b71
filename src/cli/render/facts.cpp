#include "cli/render/facts.h"

#include <fmt/format.h>

#include "cli/render/progress.h"
#include "cli/render/views.h"

namespace pgtwig::cli {
namespace {

using std::chrono::ceil;
using std::chrono::floor;
using std::chrono::seconds;

// Whole seconds, and none that can't be recovered: the beginning is rounded up, the end down.
std::string window_text(const engine::WindowView& window, TimePoint now) {
  TimePoint from = ceil<seconds>(window.from);
  TimePoint to = floor<seconds>(window.to);
  if (from > to) {
    from = window.from;
    to = window.to;
  }
  const std::string begin = fmt::format("{} ({})", format_rfc3339(from), format_age(from, now));
  const std::string positions = fmt::format("{} to {}", window.from_lsn, window.to_lsn);
  if (window.is_open) return fmt::format("{} to now, {}", begin, positions);
  if (from == to) return fmt::format("{} only, {}", begin, window.from_lsn);
  return fmt::format("{} to {}, {}", begin, format_rfc3339(to), positions);
}

std::string steps_text(const std::vector<engine::StepView>& steps) {
  std::vector<std::string> texts;
  for (const auto& step : steps) texts.push_back(fmt::format("{} {}", step.name, format_milliseconds(step.ms)));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

void add_lines(Facts& facts, const std::string& title, const std::vector<std::string>& texts) {
  for (const auto& text : texts) facts.emplace_back(&text == &texts.front() ? title : "", text);
}

void add_timings(Facts& facts, const std::vector<engine::StepView>& steps, std::optional<std::int64_t> total_ms) {
  facts.emplace_back("Steps", steps_text(steps));
  facts.emplace_back("Took", total_ms ? format_milliseconds(*total_ms) : "");
}

void add_windows(Facts& facts, const std::vector<engine::WindowView>& windows, TimePoint now) {
  std::vector<std::string> texts;
  for (const auto& window : windows) texts.push_back(window_text(window, now));
  if (texts.empty()) texts.emplace_back("to no earlier moment");
  add_lines(facts, "Recoverable", texts);
}

}  // namespace pgtwig::cli
