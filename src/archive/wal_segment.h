// The arithmetic of write-ahead log files: names, numbers, and what they begin with. Pure; used by everything in
// archive/.
//
// Source: PostgreSQL's src/include/access/xlog_internal.h (XLogFileName, XLogFromFileName, XLogLongPageHeaderData).
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/names.h"

namespace pgtwig::archive {

using Timeline = std::uint32_t;

// One segment: "000000010000000000000003" is timeline 1, number 3 when segments have 16 MiB.
struct Segment {
  Timeline timeline = 1;
  std::uint64_t number = 0;
  auto operator<=>(const Segment&) const = default;
};

// `segment_size`: a power of two from 1 MiB to 1 GiB (initdb --wal-segsize).
std::string segment_name(const Segment& segment, Bytes segment_size);
std::optional<Segment> parse_segment_name(std::string_view name, Bytes segment_size);
// The number of the segment that holds this byte.
std::uint64_t segment_of(Lsn lsn, Bytes segment_size);
Lsn first_lsn(const Segment& segment, Bytes segment_size);
Lsn end_lsn(const Segment& segment, Bytes segment_size);  // of the byte after it

std::string history_name(Timeline timeline);  // "00000002.history"

// What the archive command may be handed: a whole segment, the last one of an ended timeline, a history file, a
// backup's label. Everything else is not PostgreSQL's.
enum class WalFileKind { segment, partial, history, backup_label };
std::optional<WalFileKind> wal_file_kind(std::string_view name);

struct SegmentFacts {
  std::uint64_t system_identifier = 0;
  Bytes segment_size{0};
  Timeline timeline = 0;  // of the first page
};
// What a segment's file should be.
struct ExpectedSegment {
  std::optional<std::uint64_t> system_identifier = {};  // absent: any
  Segment segment;
  Bytes segment_size;
  // Of one that was still being written, only this much is there; absent: all of it.
  std::optional<Lsn> until = {};
};
// Bytes that a page of WAL begins with, in a segment's first page: XLogLongPageHeaderData.
constexpr std::uint64_t longest_page_header = 40;

// From the first page of an open file. The error is a sentence: "it is truncated", "it is of another cluster".
std::expected<SegmentFacts, std::string> read_segment_facts(int fd);
// The header of every page: magic number, address, timeline, and of the first one the cluster and sizes; the file's
// size. A segment may end early with a record that says so, and zeros. An error is a sentence that begins with a small
// letter.
std::expected<void, std::string> check_segment(int fd, const ExpectedSegment& expected);
// How far a segment was written that may be the last of its body: the beginning of its last page, behind which there
// are only zeros or what an older segment left. nullopt: to its end, or to a record that ends it early.
std::expected<std::optional<Lsn>, std::string> find_last_page(int fd, const Segment& segment, Bytes segment_size);

}  // namespace pgtwig::archive
