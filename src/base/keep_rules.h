// Which of a branch's automatic restore points are kept, as people write it: "24h,14d,8w" is one for each of the last
// 24 hours, one for each of 14 days and one for each of 8 weeks.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace pgtwig {

struct KeepRule {
  std::chrono::seconds period;
  int count = 0;
  bool operator==(const KeepRule&) const = default;
};

// Numbers with m (minutes), h, d or w, separated by commas. The error is a sentence.
std::expected<std::vector<KeepRule>, std::string> parse_keep_rules(std::string_view text);

}  // namespace pgtwig
