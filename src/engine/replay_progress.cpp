#include "engine/replay_progress.h"

#include <fmt/format.h>

#include "archive/helper.h"

namespace pgtwig::engine {
namespace {

// Between two events: often enough for a person.
constexpr std::chrono::milliseconds between_events{200};

std::optional<TimePoint> completion_of(const archive::Lineage& lineage, const archive::PlannedSegment& planned) {
  for (const archive::Link& link : lineage.links) {
    if (link.incarnation != planned.incarnation) continue;
    for (const auto& available : link.segments) {
      if (available.segment == planned.segment) return available.completed_at;
    }
  }
  return std::nullopt;
}

}  // namespace

ReplayProgress::ReplayProgress(Operation& operation, const archive::Lineage& lineage, const archive::ReplayPlan& plan,
                               const archive::LocalArchive& archive)
    : operation_(operation),
      restore_(archive.restore()),
      segment_size_(lineage.segment_size),
      needed_(plan.needed),
      began_(std::chrono::steady_clock::now()) {
  for (std::size_t index = 0; index < plan.segments.size(); ++index) {
    const archive::PlannedSegment& planned = plan.segments[index];
    places_.emplace(archive::segment_name(planned.segment, segment_size_),
                    Place{.index = index,
                          .lsn = archive::first_lsn(planned.segment, segment_size_),
                          .time = completion_of(lineage, planned)});
  }
}

bool ReplayProgress::look() {
  operation_.check_cancelled();
  const std::string name = archive::fetch_progress(restore_);
  if (name == last_) return false;
  last_ = name;
  const auto place = places_.find(name);
  const auto now = std::chrono::steady_clock::now();
  if (place != places_.end() && now - told_ >= between_events) {
    told_ = now;
    operation_.progress(describe(place->second));
  }
  return true;
}

// "0/5A000000, 2026-11-21T06:40:10Z, 48 MiB/s, 320 MiB left": what lies before the segment is done.
std::string ReplayProgress::describe(const Place& place) const {
  std::string text = format_lsn(place.lsn);
  if (place.time) text += ", " + format_rfc3339(std::chrono::floor<std::chrono::seconds>(*place.time));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began_;
  const auto done = static_cast<double>(place.index * segment_size_.count);
  if (place.index > 0 && elapsed.count() > 0) {
    text += fmt::format(", {}/s", format_bytes(Bytes{static_cast<std::uint64_t>(done / elapsed.count())}));
  }
  if (place.index < needed_) {
    text += fmt::format(", {} left", format_bytes(Bytes{(needed_ - place.index) * segment_size_.count}));
  }
  return text;
}

}  // namespace pgtwig::engine
