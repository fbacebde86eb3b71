// Views of a lineage, its windows and gaps.
#include "archive/lineage.h"

#include <algorithm>
#include <map>

#include "archive/lineage_view.h"

namespace pgtwig::archive {

namespace {

// The link's own segments by number; an archived one rather than a live one.
std::map<std::uint64_t, const AvailableSegment*> own_segments(const Lineage& lineage, std::size_t index) {
  const Link& link = lineage.links[index];
  const std::uint64_t first = segment_of(link.own_from, lineage.segment_size);
  std::map<std::uint64_t, const AvailableSegment*> own;
  for (const AvailableSegment& available : link.segments) {
    if (available.segment.timeline != link.timeline || available.segment.number < first) continue;
    auto [place, is_new] = own.emplace(available.segment.number, &available);
    if (!is_new && place->second->is_live) place->second = &available;
  }
  return own;
}

// Which link's bytes count for this number as link `last` sees it.
std::size_t owner_of(const Lineage& lineage, std::size_t last, std::uint64_t number) {
  for (std::size_t index = last; index > 0; --index) {
    if (segment_of(lineage.links[index].own_from, lineage.segment_size) <= number) return index;
  }
  return 0;
}

// A clock may have been set back, so that the LSNs must agree. `end` was read after the restore point was made: where
// it matters, which is when the fork has a timeline of its own, it may be behind the header of a page that held nothing
// yet.
bool is_before_fork(const RestorePoint& point, const Link& fork) {
  if (point.time > fork.source_time || point.redo > fork.own_from) return false;
  return point.timeline == fork.timeline || point.end.value <= fork.own_from.value + longest_page_header;
}

// The newest link after `first`, up to `last`, that took a timeline of its own.
std::optional<std::size_t> newest_timeline_change(const Lineage& lineage, std::size_t first, std::size_t last) {
  for (std::size_t index = last; index > first; --index) {
    if (lineage.links[index].timeline != lineage.links[index - 1].timeline) return index;
  }
  return std::nullopt;
}

// Replay that ends with a link's own bytes comes by moments of its source, whose they are: of those only the restore
// point's remains. False when that is not among them.
bool leave_to_the_source(const Lineage& lineage, Piece& piece) {
  const std::size_t owner = piece.view->segments()[piece.run.end - 1].link;
  if (owner == piece.start.link) return true;
  const TimePoint began = lineage.links[owner].source_time;
  if (piece.to >= began) {
    piece.from = std::max(piece.from, began);
    return true;
  }
  piece.to = piece.from;
  return piece.from == piece.start.point->time;
}

std::optional<Piece> piece_of(const Lineage& lineage, const LinkedPoint& start, const View& view) {
  const RestorePoint& point = *start.point;
  Piece piece{.start = start,
              .view = &view,
              .run = view.run_from(point.redo),
              .from = point.time,
              .to = point.time,
              .from_lsn = point.end,
              .to_lsn = point.end};
  if (const auto change = newest_timeline_change(lineage, start.link, view.link())) {
    const Link& changed = lineage.links[*change];
    const std::uint64_t first_own = segment_of(changed.own_from, lineage.segment_size);
    if (piece.run.empty() || view.segments()[piece.run.end - 1].number < first_own) return std::nullopt;
    piece.from = piece.to = std::max(piece.from, changed.source_time);
    piece.from_lsn = piece.to_lsn = std::max(piece.from_lsn, changed.own_from);
  }
  const bool is_last = view.link() + 1 == lineage.links.size();
  // A link that was recovered to an LSN may continue the last one at a moment before that one's beginning.
  for (std::size_t later = view.link() + 1; later < lineage.links.size(); ++later) {
    if (lineage.links[later].source_time < piece.from) return std::nullopt;
  }
  if (piece.run.empty()) return piece;

  const bool reaches_end = view.reaches_end(piece.run);
  const std::optional<TimePoint> until =
      reaches_end ? lineage.links[view.link()].ended_at : view.complete_until(piece.run);
  if (until) piece.to = std::max(piece.to, *until);
  piece.to_lsn = std::max(piece.to_lsn, view.end_of(piece.run));
  piece.is_open = is_last && reaches_end;
  for (std::size_t later = view.link() + 1; later < lineage.links.size(); ++later) {
    piece.to = std::min(piece.to, lineage.links[later].source_time);
    piece.to_lsn = std::max(piece.from_lsn, std::min(piece.to_lsn, lineage.links[later].own_from));
  }
  if (!leave_to_the_source(lineage, piece)) return std::nullopt;
  return piece;
}

}  // namespace

View::View(const Lineage& lineage, std::size_t link) : lineage_(lineage), link_(link) {
  for (std::size_t index = 0; index <= link; ++index) {
    for (const auto& [number, available] : own_segments(lineage, index)) {
      if (owner_of(lineage, link, number) == index) segments_.push_back({number, index, available});
    }
  }
  std::ranges::sort(segments_, {}, &ViewSegment::number);
  run_ends_.resize(segments_.size());
  for (std::size_t index = segments_.size(); index-- > 0;) {
    const bool goes_on = index + 1 < segments_.size() && segments_[index + 1].number == segments_[index].number + 1;
    run_ends_[index] = goes_on ? run_ends_[index + 1] : index + 1;
  }
}

std::size_t View::at_or_after(std::uint64_t number) const {
  const auto found = std::ranges::lower_bound(segments_, number, {}, &ViewSegment::number);
  return static_cast<std::size_t>(found - segments_.begin());
}

View::Run View::run_from(Lsn lsn) const {
  const std::uint64_t number = segment_of(lsn, lineage_.segment_size);
  const std::size_t begin = at_or_after(number);
  if (begin == segments_.size() || segments_[begin].number != number) return {};
  return {begin, run_ends_[begin]};
}

bool View::reaches_end(const Run& run) const {
  if (run.empty()) return false;
  const ViewSegment& last = segments_[run.end - 1];
  if (last.link != link_) return false;
  const std::optional<Lsn> written_until = lineage_.links[link_].written_until;
  return written_until ? end_lsn(last.available->segment, lineage_.segment_size) >= *written_until
                       : last.available->is_live;
}

std::optional<TimePoint> View::complete_until(const Run& run) const {
  if (run.empty()) return std::nullopt;
  // What was committed until a segment was complete may be in the next one, too.
  for (std::size_t index = run.end - 1; index-- > run.begin;) {
    if (segments_[index].available->completed_at) return segments_[index].available->completed_at;
  }
  return std::nullopt;
}

Lsn View::end_of(const Run& run) const {
  const AvailableSegment& last = *segments_[run.end - 1].available;
  const std::optional<Lsn> written_until = lineage_.links[link_].written_until;
  if (reaches_end(run)) return written_until ? *written_until : first_lsn(last.segment, lineage_.segment_size);
  return end_lsn(last.segment, lineage_.segment_size);
}

std::vector<LinkedPoint> points_of_history(const Lineage& lineage) {
  std::vector<LinkedPoint> points;
  for (std::size_t index = 0; index < lineage.links.size(); ++index) {
    for (const RestorePoint& point : lineage.links[index].restore_points) {
      const auto later = lineage.links.begin() + static_cast<std::ptrdiff_t>(index) + 1;
      const bool is_in_history =
          std::all_of(later, lineage.links.end(), [&](const Link& fork) { return is_before_fork(point, fork); });
      if (is_in_history) points.push_back({&point, index});
    }
  }
  std::ranges::stable_sort(points, [](const LinkedPoint& one, const LinkedPoint& other) {
    return std::tie(one.point->time, one.point->end) < std::tie(other.point->time, other.point->end);
  });
  return points;
}

std::vector<View> all_views(const Lineage& lineage) {
  std::vector<View> views;
  views.reserve(lineage.links.size());
  for (std::size_t index = 0; index < lineage.links.size(); ++index) views.emplace_back(lineage, index);
  return views;
}

std::vector<Piece> all_pieces(const Lineage& lineage, const std::vector<View>& views) {
  std::vector<Piece> pieces;
  for (const LinkedPoint& start : points_of_history(lineage)) {
    for (std::size_t index = start.link; index < views.size(); ++index) {
      if (auto piece = piece_of(lineage, start, views[index])) pieces.push_back(*piece);
    }
  }
  return pieces;
}

std::vector<Window> windows(const Lineage& lineage) {
  const std::vector<View> views = all_views(lineage);
  std::vector<Piece> pieces = all_pieces(lineage, views);
  std::ranges::stable_sort(pieces, {}, &Piece::from);
  std::vector<Window> merged;
  for (const Piece& piece : pieces) {
    if (merged.empty() || merged.back().to < piece.from) {
      merged.push_back({piece.from, piece.to, piece.from_lsn, piece.to_lsn, piece.is_open});
      continue;
    }
    Window& window = merged.back();
    window.to = std::max(window.to, piece.to);
    window.from_lsn = std::min(window.from_lsn, piece.from_lsn);
    window.to_lsn = std::max(window.to_lsn, piece.to_lsn);
    window.is_open = window.is_open || piece.is_open;
  }
  return merged;
}

std::vector<Gap> gaps(const Lineage& lineage) {
  std::vector<Gap> found;
  if (lineage.links.empty()) return found;
  std::optional<Segment> before;
  for (const auto& [number, available] : own_segments(lineage, lineage.links.size() - 1)) {
    if (before && before->number + 1 < number) {
      found.push_back({{before->timeline, before->number + 1}, {before->timeline, number - 1}});
    }
    before = available->segment;
  }
  return found;
}

std::size_t link_at(const Lineage& lineage, Lsn lsn) {
  for (std::size_t index = lineage.links.size(); index-- > 1;) {
    if (lineage.links[index].own_from < lsn) return index;
  }
  return 0;
}

}  // namespace pgtwig::archive
