// What the cards of several things have in common. Used by views.cpp and recovery_views.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "engine/views.h"

namespace pgtwig::cli {

// How much of an id tables show; every command takes the beginning of one.
inline constexpr std::size_t brief_id = 12;

using Facts = std::vector<std::pair<std::string, std::string>>;

// A line for each text, the title before the first.
void add_lines(Facts& facts, const std::string& title, const std::vector<std::string>& texts);
void add_timings(Facts& facts, const std::vector<engine::StepView>& steps, std::optional<std::int64_t> total_ms);
// From when to when a branch can be recovered; that it can't be, where there is no window.
void add_windows(Facts& facts, const std::vector<engine::WindowView>& windows, TimePoint now);

}  // namespace pgtwig::cli
