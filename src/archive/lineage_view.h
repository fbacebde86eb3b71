// A lineage as one of its links sees it. Used by lineage.cpp, plan_replay.cpp and plan_retention.cpp.
//
// The view of link t is what was before t and t itself, without the links after it: each segment number is of one link.
// A moment between the beginnings of links t and t + 1 is of the view of t. Where t + 1 kept the timeline (a plain
// fork) its own view has the same bytes up to the fork, but what is made of such a moment continues t: a position in
// the WAL can be looked for in either, a time only in the view of t.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "archive/lineage.h"

namespace pgtwig::archive {

struct ViewSegment {
  std::uint64_t number = 0;
  std::size_t link = 0;
  const AvailableSegment* available = nullptr;
};

class View {
 public:
  View(const Lineage& lineage, std::size_t link);

  std::size_t link() const { return link_; }
  const std::vector<ViewSegment>& segments() const { return segments_; }  // by number
  // The index of the first segment at or after this number.
  std::size_t at_or_after(std::uint64_t number) const;

  // Segments that follow each other: [begin, end) of segments().
  struct Run {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool empty() const { return begin == end; }
  };
  // From the one with this byte on; empty when it is missing.
  Run run_from(Lsn lsn) const;
  // Whether it holds all that the link has written.
  bool reaches_end(const Run& run) const;
  // Replay of the run sees all that was committed until then: nullopt when nothing is known.
  std::optional<TimePoint> complete_until(const Run& run) const;
  // The end of its bytes, or of those that are known to be there.
  Lsn end_of(const Run& run) const;

 private:
  const Lineage& lineage_;
  std::size_t link_;
  std::vector<ViewSegment> segments_;
  std::vector<std::size_t> run_ends_;  // for each segment
};

struct LinkedPoint {
  const RestorePoint* point = nullptr;
  std::size_t link = 0;
};
// The restore points whose content is a part of the last link's history: of earlier links only those from before the
// fork. Oldest first.
std::vector<LinkedPoint> points_of_history(const Lineage& lineage);

// What can be reached from one restore point in one view.
struct Piece {
  LinkedPoint start;
  const View* view = nullptr;
  View::Run run;
  TimePoint from;
  TimePoint to;
  Lsn from_lsn;
  Lsn to_lsn;
  bool is_open = false;
};
std::vector<View> all_views(const Lineage& lineage);
std::vector<Piece> all_pieces(const Lineage& lineage, const std::vector<View>& views);

}  // namespace pgtwig::archive
