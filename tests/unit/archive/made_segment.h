// A segment made by the test, small and quick; real ones are in real_segments_test.cpp.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "archive/wal_segment.h"
#include "base/fs.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::archive::support {

struct MadeSegmentOptions {
  std::uint16_t magic = 0xD110;
  std::uint64_t system_identifier = 0x5A5A'0102'0304'0506;
  Timeline timeline = 1;
  std::uint64_t number = 3;
  int written_pages = 128;
  int old_timeline_pages = 0;  // at its beginning
  Timeline old_timeline = 1;
  char filling = 'w';
};

inline constexpr int page_bytes = 8192;
inline constexpr Bytes made_segment_size = 1_MiB;

// Its bytes: page headers as in XLogPageHeaderData, and letters between them.
inline std::string made_segment_bytes(const MadeSegmentOptions& options) {
  std::string bytes(made_segment_size.count, '\0');
  for (int page = 0; page < options.written_pages; ++page) {
    char* const at = bytes.data() + page * page_bytes;
    std::memset(at, options.filling, page_bytes);
    const std::uint16_t info = page == 0 ? 2 : 0;
    const Timeline timeline = page < options.old_timeline_pages ? options.old_timeline : options.timeline;
    const std::uint64_t address =
        options.number * made_segment_size.count + static_cast<std::uint64_t>(page) * page_bytes;
    std::memcpy(at, &options.magic, 2);
    std::memcpy(at + 2, &info, 2);
    std::memcpy(at + 4, &timeline, 4);
    std::memcpy(at + 8, &address, 8);
    if (page != 0) continue;
    const std::uint32_t sizes[] = {static_cast<std::uint32_t>(made_segment_size.count), page_bytes};
    std::memcpy(at + 24, &options.system_identifier, 8);
    std::memcpy(at + 32, sizes, 8);
  }
  return bytes;
}

class MadeSegment {
 public:
  explicit MadeSegment(const MadeSegmentOptions& options) : options_(options) {
    write_file(path(), made_segment_bytes(options));
    fd_.reset(::open(path().c_str(), O_RDWR | O_CLOEXEC));
  }
  const MadeSegmentOptions& options() const { return options_; }
  std::filesystem::path path() const { return directory_.path() / name(); }
  std::string name() const { return segment_name({options_.timeline, options_.number}, made_segment_size); }
  int fd() const { return fd_.get(); }
  ExpectedSegment expected() const {
    return {.system_identifier = options_.system_identifier,
            .segment = {options_.timeline, options_.number},
            .segment_size = made_segment_size};
  }

  void truncate(off_t size) { put(::ftruncate(fd(), size) == 0); }
  void zero_page(int page) {
    const std::string zeros(page_bytes, '\0');
    put(::pwrite(fd(), zeros.data(), zeros.size(), page * page_bytes) == page_bytes);
  }
  void set_timeline(int page, Timeline timeline) { put(::pwrite(fd(), &timeline, 4, page * page_bytes + 4) == 4); }
  void set_address(int page, std::uint64_t address) { put(::pwrite(fd(), &address, 8, page * page_bytes + 8) == 8); }

 private:
  static void put(bool done) {
    if (!done) throw system_error(errno, "cannot change a segment");
  }
  MadeSegmentOptions options_;
  pgtwig::support::TemporaryDirectory directory_;
  UniqueFd fd_;
};

}  // namespace pgtwig::archive::support
