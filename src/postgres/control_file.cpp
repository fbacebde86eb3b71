// See control_file.h. The layout is that of ControlFileData in src/include/catalog/pg_control.h, a C struct written as
// it lies in memory; this is read on the architecture that wrote it.
#include "postgres/control_file.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::postgres {
namespace {

using namespace std::chrono_literals;

// The fields that are needed have not moved since PostgreSQL 9.6; the CRC is the last field and has.
constexpr std::size_t system_identifier_at = 0;
constexpr std::size_t control_version_at = 8;
constexpr std::size_t state_at = 16;
constexpr std::size_t checkpoint_at = 32;
constexpr std::size_t redo_at = 40;      // first field of the copy of the checkpoint record
constexpr std::size_t timeline_at = 48;  // and the second
constexpr std::size_t next_xid_at = 64;
constexpr std::size_t segment_size_at = 228;

struct Layout {
  int control_version;
  std::size_t crc_at;
};
// Seen in files of these versions (14 shares its number with 13 and 15).
constexpr auto layouts = std::to_array<Layout>({
    {1300, 288},  // 13 to 16
    {1700, 288},
    {1800, 292},
});

// A running server writes the file in place; a reader can meet it half-way.
constexpr int most_attempts = 5;
constexpr auto pause_between_attempts = 5ms;
// PG_CONTROL_FILE_SIZE is 8192.
constexpr std::size_t size_limit = 64 * 1024;

template <class Number>
Number number_at(std::string_view bytes, std::size_t offset) {
  Number number{};
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

// Castagnoli's polynomial, reflected.
constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t index = 0; index < table.size(); ++index) {
    std::uint32_t value = index;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[index] = value;
  }
  return table;
}

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) crc = table[(crc ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFU;
}

std::size_t crc_offset(std::string_view bytes) {
  constexpr std::size_t smallest = 64;
  if (bytes.size() < smallest) throw Error(ErrorCode::postgres_failed, "pg_control is too short");
  const auto version = number_at<std::uint32_t>(bytes, control_version_at);
  for (const Layout& layout : layouts) {
    if (version == static_cast<std::uint32_t>(layout.control_version)) {
      if (bytes.size() < layout.crc_at + 4) throw Error(ErrorCode::postgres_failed, "pg_control is too short");
      return layout.crc_at;
    }
  }
  throw Error(ErrorCode::postgres_failed,
              fmt::format("pg_control has a version that pgtwig does not know ({})", version),
              "pgtwig works with PostgreSQL 14 to 18");
}

}  // namespace

ControlFile parse_control_file(std::string_view bytes) {
  const std::size_t crc_at = crc_offset(bytes);
  if (crc32c(bytes.substr(0, crc_at)) != number_at<std::uint32_t>(bytes, crc_at)) {
    throw Error(ErrorCode::postgres_failed, "pg_control is damaged: its checksum is wrong");
  }
  return {.system_identifier = number_at<std::uint64_t>(bytes, system_identifier_at),
          .pg_control_version = static_cast<int>(number_at<std::uint32_t>(bytes, control_version_at)),
          .state = static_cast<ClusterState>(number_at<std::uint32_t>(bytes, state_at)),
          .checkpoint = {number_at<std::uint64_t>(bytes, checkpoint_at)},
          .redo = {number_at<std::uint64_t>(bytes, redo_at)},
          .timeline = number_at<std::uint32_t>(bytes, timeline_at),
          .next_xid = number_at<std::uint64_t>(bytes, next_xid_at),
          .wal_segment_size = Bytes{number_at<std::uint32_t>(bytes, segment_size_at)}};
}

ControlFile read_control_file(int data_directory) {
  for (int attempt = 1;; ++attempt) {
    const auto bytes = read_file_beneath(data_directory, "global/pg_control", size_limit);
    if (!bytes) throw Error(ErrorCode::postgres_failed, "the data directory has no global/pg_control");
    try {
      return parse_control_file(*bytes);
    } catch (const Error&) {
      if (attempt == most_attempts) throw;
      std::this_thread::sleep_for(pause_between_attempts);
    }
  }
}

namespace {

// The text behind "NAME: " in a backup label, up to the next space or line (xlogbackup.c, build_backup_content).
std::string label_field(const std::string& label, std::string_view name) {
  const std::string lead = fmt::format("\n{}: ", name);
  const std::string lines = "\n" + label;
  const std::size_t at = lines.find(lead);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + lead.size();
  return lines.substr(begin, lines.find_first_of(" \n", begin) - begin);
}

}  // namespace

ReplayStart read_replay_start(int data_directory) {
  const auto label = read_file_beneath(data_directory, "backup_label", size_limit);
  if (!label) {
    const ControlFile control = read_control_file(data_directory);
    return {.redo = control.redo, .timeline = control.timeline};
  }
  const auto redo = parse_lsn(label_field(*label, "START WAL LOCATION"));
  const int timeline = std::atoi(label_field(*label, "START TIMELINE").c_str());
  if (!redo || timeline < 1) throw Error(ErrorCode::postgres_failed, "backup_label is not one that PostgreSQL wrote");
  return {.redo = *redo, .timeline = static_cast<std::uint32_t>(timeline)};
}

}  // namespace pgtwig::postgres
