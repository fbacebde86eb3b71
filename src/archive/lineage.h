// From where to where a branch can be recovered, and with which files: arithmetic over restore points and segments,
// without a file or a clock. The engine fills the records and does what a plan says.
//
// The history of a body is a chain. It began as a fork of another body at some moment (forked or recovered), and that
// one likewise. Before its beginning its history is its source's, up to the fork and never beyond: the segments of both
// have the same names there, often the same timeline, and other bytes. From the segment that holds `own_from` on,
// only its own count, and they hold all from their first byte on.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "archive/wal_segment.h"
#include "base/ids.h"
#include "base/names.h"
#include "base/time.h"

namespace pgtwig::archive {

// Where replay can begin: a snapshot of a body.
struct RestorePoint {
  IncarnationId volume;
  Lsn redo;  // replay begins here
  Lsn end;   // and only what is at or after this can be reached: before it the files are of several moments
  Timeline timeline = 1;
  std::uint64_t next_xid = 0;  // transactions from this on commit after `end`, if at all
  TimePoint time;              // just after its moment
};

struct AvailableSegment {
  Segment segment;
  // When its last byte was written (see ArchivedFile); of one that is being written, absent.
  std::optional<TimePoint> completed_at;
  bool is_live = false;  // in pg_wal of a volume, not in the archive
};

struct Link {
  IncarnationId incarnation;
  Timeline timeline = 1;
  Lsn own_from;
  // The moment of the link before that it continues: of a fork, just before it; of a recovered body, its target.
  TimePoint source_time;
  TimePoint began_at;  // when it became a branch's body; later than source_time for a recovered one
  TimePoint ended_at;  // when it was replaced, stopped for good, or now
  // The end of its WAL, or a little less. Without it only a live segment is taken for the end: an archive alone can't
  // tell whether it lacks its newest.
  std::optional<Lsn> written_until = {};
  std::vector<RestorePoint> restore_points;
  std::vector<AvailableSegment> segments;  // usable ones, in any order; those of other timelines are ignored
};
struct Lineage {
  std::vector<Link> links;  // oldest first; the last is the body in question
  Bytes segment_size{16 << 20};
};

// A stretch that can be recovered without a gap, in the time and the LSNs of the last link and those before it.
struct Window {
  TimePoint from;
  TimePoint to;
  Lsn from_lsn;
  Lsn to_lsn;
  bool is_open = false;  // reaches the end of the last link
  bool operator==(const Window&) const = default;
};
// Oldest first, merged where they touch. A restore point without WAL after it is a window of one moment.
std::vector<Window> windows(const Lineage& lineage);
// Why a time can't be had that is in none of them: in words, with all that there is instead.
std::string out_of_reach(TimePoint time, const std::vector<Window>& windows);

struct Gap {
  Segment first;
  Segment last;
};
// Missing segments between those that are there, of the last link.
std::vector<Gap> gaps(const Lineage& lineage);

struct EndOfWal {
  bool operator==(const EndOfWal&) const = default;
};
struct TransactionTarget {
  std::uint64_t xid = 0;
};
struct NamedTarget {
  std::string name;
};
// A moment of the lineage's last link or of one before it.
using Target = std::variant<TimePoint, Lsn, TransactionTarget, NamedTarget, EndOfWal>;

struct PlannedSegment {
  IncarnationId incarnation;  // whose archive (or pg_wal) has it
  Segment segment;
  bool is_live = false;
};
struct PlannedHistory {
  IncarnationId incarnation;  // whose archive (or pg_wal) has this timeline's history file
  Timeline timeline = 1;
};
struct ReplayPlan {
  RestorePoint start;
  // Without a gap, in the order of replay, as far as there are any. All up to the target is in the first `needed`; in
  // the others PostgreSQL may find the later commit at which it stops.
  std::vector<PlannedSegment> segments = {};
  std::size_t needed = 0;
  Timeline timeline = 1;     // to be pinned
  std::size_t link = 0;      // which link holds the target: the source of the new body
  bool reaches_end = false;  // up to the end of the WAL of the body that has the last segment
  // PostgreSQL may come to the end of the segments before it meets something later than a time or an LSN. Then the end
  // is the answer, provided that replay came this far: else a segment is damaged.
  Lsn must_reach = {};
  Lsn expected_end = {};  // about where it will stop, for a progress bar
  std::vector<PlannedHistory> histories = {};
};
// The nearest restore point at or before the target from which WAL leads to it without a gap. For a transaction and a
// name, of which nobody knows where they are, all WAL from there on. The error is a sentence that names the window, or
// says that there is none.
std::expected<ReplayPlan, std::string> plan_replay(const Lineage& lineage, const Target& target);
// The link that holds this byte.
std::size_t link_at(const Lineage& lineage, Lsn lsn);

// Which archived segments nothing needs any more.
struct Retention {
  TimePoint keep_after;                      // the promised window begins here
  std::optional<TimePoint> older_than = {};  // only segments completed before this may go
};
struct Removal {
  IncarnationId incarnation;
  Segment segment;
};
struct RetentionPlan {
  std::vector<Removal> removals;
  int kept = 0;                      // of those older than asked for
  std::vector<std::string> reasons;  // why: "12 segments are needed from the restore point of ... on"
};
// `lineages` has one for each body that lives or whose history is kept; a segment that any of them needs is kept.
// Needed is: from the newest restore point at or before `keep_after` on (or the oldest, if all are later), up to the
// end of the body, or to the moment at which another continued it. Where nothing is promised any more (it ended before
// `keep_after`) nothing is needed.
RetentionPlan plan_retention(const std::vector<Lineage>& lineages, const Retention& retention);

}  // namespace pgtwig::archive
