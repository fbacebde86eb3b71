// The names of WAL files, which an instance's user can choose, and what such a file begins with.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "archive/wal_segment.h"
#include "base/fs.h"

namespace {

using namespace pgtwig;
using namespace pgtwig::archive;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_name(std::string_view text) {
  const auto kind = wal_file_kind(text);
  if (kind) {
    // What is opened under a directory is a plain name.
    require(text.size() >= 16 && text.size() <= 40 && text.find('/') == text.npos && text.front() != '.');
    require(text.find_first_not_of("0123456789ABCDEF.abcdefghijklmnopqrstuvwxyz") == text.npos);
  }
  for (int shift = 20; shift <= 30; ++shift) {
    const Bytes size{std::uint64_t{1} << shift};
    const auto segment = parse_segment_name(text, size);
    if (!segment) continue;
    require(kind == WalFileKind::segment);
    require(segment_name(*segment, size) == text);
    require(segment_of(first_lsn(*segment, size), size) == segment->number);
  }
}

void check_content(std::string_view text) {
  const UniqueFd file(memfd_create("segment", MFD_CLOEXEC));
  require(file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  if (text.size() % 2 == 0) require(ftruncate(file.get(), 1 << 20) == 0);
  const auto facts = read_segment_facts(file.get());
  const Segment segment{1, 3};
  const auto checked = check_segment(file.get(), {.segment = segment, .segment_size = 1_MiB});
  const auto last = find_last_page(file.get(), segment, 1_MiB);
  if (!facts) require(!checked && !last);
  if (last && *last) require(segment_of(**last, 1_MiB) == segment.number);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_name(text);
  check_content(text);
  return 0;
}
