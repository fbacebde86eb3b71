// The parsers of times and durations, as people write them for a point of a branch.
#include "base/time.h"

#include <cstdlib>

#include "base/names.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto time = pgtwig::parse_rfc3339(text)) {
    const auto again = pgtwig::parse_rfc3339(pgtwig::format_rfc3339(*time));
    require(again && *again == *time);
    // As a point it is the same moment.
    const auto point = pgtwig::parse_point(text);
    require(point && std::get_if<pgtwig::TimePoint>(&*point) && std::get<pgtwig::TimePoint>(*point) == *time);
  }
  if (const auto duration = pgtwig::parse_duration(text)) {
    require(duration->count() > 0);
    require(!pgtwig::format_duration(*duration).empty());
    const auto ago = pgtwig::parse_point(std::string(text) + " ago");
    require(ago && std::get_if<pgtwig::Ago>(&*ago) && std::get<pgtwig::Ago>(*ago).duration == *duration);
  }
  return 0;
}
