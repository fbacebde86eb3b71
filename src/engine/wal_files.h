// The WAL files that lie in a data directory. All that is in pg_wal was written by the instance's user, who can put
// anything there: files are opened beneath the directory and judged by their pages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "archive/wal_segment.h"
#include "base/bytes.h"
#include "base/fs.h"
#include "base/time.h"
#include "catalog/catalog.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {

// Opens a file of pg_wal; an invalid one when it is absent. Throws Error not_allowed for anything but a regular file.
UniqueFd open_wal_file(int data_directory, const std::string& name);

struct LiveSegment {
  std::string name;
  archive::Segment segment;
  std::optional<TimePoint> completed_at;  // absent: it isn't full
  Lsn until;                              // its last page that was written, or its end
};
// By number; only those whose first page is the one of their name: the others are files of before that wait for another
// use.
std::vector<LiveSegment> live_segments(int data_directory, archive::Timeline timeline, Bytes segment_size);

// Names of the files in pg_wal that belong into the archive of a body that has ended: segments of its own, and history
// files.
std::vector<std::string> wal_to_keep(int data_directory, const catalog::IncarnationRecord& incarnation,
                                     Bytes segment_size);

std::vector<std::string> wal_segment_names(int data_directory);

// Removes the segments of a fork that its replay has no use for: those before it begins, and those of another timeline.
// They are its source's, and would be archived as its own; the last one of a timeline that a recovery ended stops in
// the middle.
void drop_wal_before(int data_directory, const postgres::ReplayStart& start, Bytes segment_size);

}  // namespace pgtwig::engine
