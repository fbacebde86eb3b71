// Names and page headers of write-ahead log files.
#include "archive/wal_segment.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"

namespace pgtwig::archive {

namespace {

constexpr std::size_t name_digits = 24;
constexpr std::size_t timeline_digits = 8;
constexpr Bytes smallest_segment = 1_MiB;
constexpr Bytes largest_segment = 1_GiB;
// A page is read with its neighbours; the longest that there can be is this long.
constexpr std::size_t read_chunk = std::size_t{64} << 10;

// XLOG_PAGE_MAGIC of src/include/access/xlog_internal.h in REL_14_STABLE to REL_18_STABLE: it changes with each major
// version.
constexpr std::array<std::uint16_t, 5> page_magics = {0xD10D, 0xD110, 0xD113, 0xD116, 0xD118};

// XLogPageHeaderData and, at the beginning of a file, XLogLongPageHeaderData.
struct PageHeader {
  std::uint16_t magic;
  std::uint16_t info;
  std::uint32_t timeline;
  std::uint64_t address;
  std::uint32_t remaining;
};
struct LongPageHeader {
  PageHeader page;
  std::uint64_t system_identifier;
  std::uint32_t segment_size;
  std::uint32_t page_size;
};
static_assert(sizeof(PageHeader) == 24 && sizeof(LongPageHeader) == 40);

constexpr std::uint16_t long_header_flag = 0x0002;

std::optional<std::uint32_t> parse_hexadecimal(std::string_view digits) {
  const bool upper_case = std::ranges::all_of(
      digits, [](char digit) { return (digit >= '0' && digit <= '9') || (digit >= 'A' && digit <= 'F'); });
  std::uint32_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (!upper_case || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool is_segment_size(Bytes size) {
  return std::has_single_bit(size.count) && size >= smallest_segment && size <= largest_segment;
}

std::uint64_t segments_per_log(Bytes segment_size) {
  return (std::uint64_t{1} << 32) / segment_size.count;
}

// Whether `text` begins with a timeline and has `digits` such digits in all.
bool begins_with_digits(std::string_view text, std::size_t digits) {
  if (text.size() < digits) return false;
  for (std::size_t i = 0; i < digits; i += timeline_digits) {
    const auto number = parse_hexadecimal(text.substr(i, timeline_digits));
    if (!number || (i == 0 && *number == 0)) return false;
  }
  return true;
}

// How much of `size` bytes from `offset` on there is.
std::size_t read_at(int fd, char* buffer, std::size_t size, std::uint64_t offset) {
  std::size_t got = 0;
  while (got < size) {
    const ssize_t count = pread(fd, buffer + got, size - got, static_cast<off_t>(offset + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error(errno, "cannot read a WAL file");
    if (count == 0) break;
    got += static_cast<std::size_t>(count);
  }
  return got;
}

std::uint64_t file_size(int fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0) throw system_error(errno, "cannot look at a WAL file");
  return static_cast<std::uint64_t>(status.st_size);
}

bool is_page_of_any_version(const PageHeader& page) {
  return std::ranges::find(page_magics, page.magic) != page_magics.end();
}

std::expected<LongPageHeader, std::string> read_first_page(int fd) {
  LongPageHeader header{};
  if (read_at(fd, reinterpret_cast<char*>(&header), sizeof header, 0) < sizeof header) {
    return std::unexpected("it is truncated");
  }
  if (!is_page_of_any_version(header.page) || (header.page.info & long_header_flag) == 0) {
    return std::unexpected("it does not begin like a WAL segment of PostgreSQL 14 to 18");
  }
  const bool page_size_is_possible =
      std::has_single_bit(header.page_size) && header.page_size >= 1024 && header.page_size <= 65536;
  if (!is_segment_size(Bytes{header.segment_size}) || !page_size_is_possible || header.page.timeline == 0) {
    return std::unexpected("its first page is damaged");
  }
  return header;
}

std::string shown_address(std::uint64_t address) {
  return format_lsn(Lsn{address});
}

// A record as in XLogRecord of src/include/access/xlogrecord.h; one that ends a segment early is a header alone.
struct RecordHeader {
  std::uint32_t total_length;
  std::uint32_t xid;
  std::uint64_t previous;
  std::uint8_t info;
  std::uint8_t manager;
  std::uint16_t padding;
  std::uint32_t checksum;
};
static_assert(sizeof(RecordHeader) == 24);
constexpr std::uint8_t switch_record = 0x40;  // XLOG_SWITCH of src/include/catalog/pg_control.h, of manager RM_XLOG_ID
constexpr std::uint8_t info_mask = 0xF0;
constexpr std::uint64_t record_alignment = 8;

std::uint64_t page_header_size(std::uint64_t page_offset) {
  return page_offset == 0 ? sizeof(LongPageHeader) : sizeof(PageHeader);
}

// Where the bytes of a page end behind which it is zeros, rounded to where a record can end.
std::uint64_t end_of_content(std::string_view page) {
  const std::size_t last = page.find_last_not_of('\0');
  const std::uint64_t used = last == page.npos ? 0 : last + 1;
  return (used + record_alignment - 1) / record_alignment * record_alignment;
}

bool is_zero_from(int fd, std::uint64_t offset, std::uint64_t end) {
  std::vector<char> chunk(read_chunk);
  for (; offset < end; offset += read_chunk) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(read_chunk, end - offset));
    const std::size_t got = read_at(fd, chunk.data(), wanted, offset);
    if (std::any_of(chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(got), [](char c) { return c != 0; })) {
      return false;
    }
  }
  return true;
}

// Whether the last record on this page ends the segment (pg_switch_wal(), a shutdown, archive_timeout), behind which
// PostgreSQL writes zeros, page headers included.
bool is_switch_at_end_of(int fd, std::uint64_t page_offset, std::uint64_t page_size) {
  std::string page(page_size, '\0');
  read_at(fd, page.data(), page.size(), page_offset);
  const std::uint64_t header = page_header_size(page_offset);
  const std::uint64_t end = std::max(end_of_content(page), header);
  std::string bytes = page.substr(header, end - header);
  if (bytes.size() < sizeof(RecordHeader) && page_offset > 0) {
    // It began on the page before.
    page_offset -= page_size;
    read_at(fd, page.data(), page.size(), page_offset);
    bytes.insert(0, page.substr(page_header_size(page_offset)));
  }
  if (bytes.size() < sizeof(RecordHeader)) return false;
  RecordHeader record{};
  std::memcpy(&record, bytes.data() + bytes.size() - sizeof record, sizeof record);
  return record.total_length == sizeof record && record.manager == 0 && (record.info & info_mask) == switch_record;
}

// Calls `see` with the header of each page that begins before `end`, until it answers false.
template <class See>
void for_each_page(int fd, std::uint64_t page_size, std::uint64_t end, See see) {
  std::vector<char> chunk(read_chunk);
  for (std::uint64_t offset = 0; offset < end; offset += read_chunk) {
    const std::size_t got = read_at(fd, chunk.data(), chunk.size(), offset);
    for (std::size_t at = 0; at + sizeof(PageHeader) <= got && offset + at < end; at += page_size) {
      PageHeader page{};
      std::memcpy(&page, chunk.data() + at, sizeof page);
      if (!see(offset + at, page)) return;
    }
  }
}

}  // namespace

std::string segment_name(const Segment& segment, Bytes segment_size) {
  const std::uint64_t per_log = segments_per_log(segment_size);
  return fmt::format("{:08X}{:08X}{:08X}", segment.timeline, segment.number / per_log, segment.number % per_log);
}

std::optional<Segment> parse_segment_name(std::string_view name, Bytes segment_size) {
  if (name.size() != name_digits || !begins_with_digits(name, name_digits)) return std::nullopt;
  const std::uint64_t log = *parse_hexadecimal(name.substr(timeline_digits, timeline_digits));
  const std::uint64_t rest = *parse_hexadecimal(name.substr(2 * timeline_digits));
  const std::uint64_t per_log = segments_per_log(segment_size);
  if (rest >= per_log) return std::nullopt;
  return Segment{*parse_hexadecimal(name.substr(0, timeline_digits)), log * per_log + rest};
}

std::uint64_t segment_of(Lsn lsn, Bytes segment_size) {
  return lsn.value / segment_size.count;
}

Lsn first_lsn(const Segment& segment, Bytes segment_size) {
  return Lsn{segment.number * segment_size.count};
}

Lsn end_lsn(const Segment& segment, Bytes segment_size) {
  return Lsn{(segment.number + 1) * segment_size.count};
}

std::string history_name(Timeline timeline) {
  return fmt::format("{:08X}.history", timeline);
}

std::optional<WalFileKind> wal_file_kind(std::string_view name) {
  if (begins_with_digits(name, name_digits)) {
    const std::string_view rest = name.substr(name_digits);
    if (rest.empty()) return WalFileKind::segment;
    if (rest == ".partial") return WalFileKind::partial;
    constexpr std::string_view backup = ".backup";
    if (rest.size() == 1 + timeline_digits + backup.size() && rest.front() == '.' && rest.ends_with(backup) &&
        parse_hexadecimal(rest.substr(1, timeline_digits))) {
      return WalFileKind::backup_label;
    }
    return std::nullopt;
  }
  if (begins_with_digits(name, timeline_digits) && name.substr(timeline_digits) == ".history") {
    return WalFileKind::history;
  }
  return std::nullopt;
}

std::expected<SegmentFacts, std::string> read_segment_facts(int fd) {
  const auto header = read_first_page(fd);
  if (!header) return std::unexpected(header.error());
  return SegmentFacts{header->system_identifier, Bytes{header->segment_size}, header->page.timeline};
}

std::expected<void, std::string> check_segment(int fd, const ExpectedSegment& expected) {
  const std::uint64_t size = file_size(fd);
  if (size < expected.segment_size.count) {
    return std::unexpected(fmt::format("it is truncated: {} of {} bytes", size, expected.segment_size.count));
  }
  const auto first = read_first_page(fd);
  if (!first) return std::unexpected(first.error());
  if (expected.system_identifier && first->system_identifier != *expected.system_identifier) {
    return std::unexpected(fmt::format("it is of another cluster: its system identifier is {} instead of {}",
                                       first->system_identifier, *expected.system_identifier));
  }
  if (size > expected.segment_size.count || first->segment_size != expected.segment_size.count) {
    return std::unexpected(fmt::format("it has another size than {} bytes", expected.segment_size.count));
  }

  const std::uint64_t begin = first_lsn(expected.segment, expected.segment_size).value;
  const std::uint64_t end = expected.until ? std::clamp(expected.until->value, begin, begin + size) - begin : size;
  std::optional<std::string> wrong;
  Timeline newest = 0;
  for_each_page(fd, first->page_size, end, [&](std::uint64_t offset, const PageHeader& page) {
    if (page.magic == 0 && offset > 0 && is_switch_at_end_of(fd, offset - first->page_size, first->page_size) &&
        is_zero_from(fd, offset, size)) {
      return false;
    }
    if (page.magic != first->page.magic) {
      wrong = fmt::format("its page at {} is damaged or was never written", shown_address(begin + offset));
    } else if (page.address != begin + offset) {
      wrong = fmt::format("its page at {} is one of {}", shown_address(begin + offset), shown_address(page.address));
    } else if (page.timeline < newest || page.timeline > expected.segment.timeline) {
      // The first segment of a timeline begins with a copy of the one before it, pages of which keep theirs.
      wrong = fmt::format("its page at {} is of timeline {} instead of {}", shown_address(begin + offset),
                          page.timeline, expected.segment.timeline);
    }
    newest = page.timeline;
    return !wrong;
  });
  if (wrong) return std::unexpected(*std::move(wrong));
  return {};
}

std::expected<std::optional<Lsn>, std::string> find_last_page(int fd, const Segment& segment, Bytes segment_size) {
  const std::uint64_t begin = first_lsn(segment, segment_size).value;
  const auto first = read_first_page(fd);
  if (!first) return std::unexpected(first.error());
  if (first->page.address != begin) {
    return std::unexpected(
        fmt::format("its page at {} is one of {}", shown_address(begin), shown_address(first->page.address)));
  }
  std::uint64_t last = 0;
  for_each_page(fd, first->page_size, segment_size.count, [&](std::uint64_t offset, const PageHeader& page) {
    if (page.magic != first->page.magic || page.address != begin + offset) return false;
    last = offset;
    return true;
  });
  const bool ends_early = is_switch_at_end_of(fd, last, first->page_size);
  if (ends_early || last + first->page_size >= segment_size.count) return std::nullopt;
  return Lsn{begin + last};
}

}  // namespace pgtwig::archive
