// `zfs` by argument list, mount(2) by itself.
#include "storage/zfs/dataset.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "storage/mount_table.h"
#include "storage/pool_directory.h"
#include "storage/zfs/zfs_error.h"

namespace pgtwig::storage::zfs {

namespace {

constexpr std::size_t columns_of_a_row = 6;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> lines_of(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text.empty() ? std::vector<std::string>() : split(text, '\n');
}

// "-" is what `zfs` prints for what is not there.
std::string value_of(const std::string& text) {
  return text == "-" ? std::string() : text;
}

// What `zfs` says is for people, so whether the dataset is missing is asked for by its words, in C's language only.
std::string run_zfs(std::vector<std::string> argv, const std::string& dataset) {
  Command command;
  command.argv = std::move(argv);
  command.environment = {{"LC_ALL", "C"}};
  constexpr std::size_t most_output = std::size_t{64} << 20;  // of some hundred thousand rows
  command.output_limit = most_output;
  const CommandResult result = run_command(command);
  if (result.exit_status == 0) return result.output;
  if (result.error_output.find("does not exist") != std::string::npos)
    throw Error(ErrorCode::not_found, fmt::format("there is no dataset {}", dataset),
                "see what is there: zfs list; what can be imported: zpool import");
  throw Error(ErrorCode::storage_failed,
              fmt::format("`{} {} ... {}` failed: {}", command.argv[0], command.argv[1], dataset,
                          lines_of(result.error_output).empty() ? "no reason given" : lines_of(result.error_output)[0]),
              "see what the pool says of itself: zpool status -v");
}

}  // namespace

std::vector<Row> parse_rows(std::string_view output) {
  std::vector<Row> rows;
  for (const std::string& line : lines_of(output)) {
    const std::vector<std::string> columns = split(line, '\t');
    if (columns.size() != columns_of_a_row)
      throw Error(ErrorCode::internal, fmt::format("`zfs list` printed a line that is no row: {}", line));
    Row row{.name = columns[0],
            .origin = value_of(columns[1]),
            .clones = {},
            .volume = value_of(columns[3]),
            .mountpoint = value_of(columns[4]),
            .is_mounted = columns[5] == "yes"};
    if (!value_of(columns[2]).empty()) row.clones = split(columns[2], ',');
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> list_rows(const std::string& dataset, int depth) {
  return parse_rows(run_zfs({"zfs", "list", "-Hp", "-t", "filesystem,volume,snapshot", "-s", "createtxg", "-d",
                             std::to_string(depth), "-o", row_columns, dataset},
                            dataset));
}

std::vector<std::string> get_properties(const std::string& dataset, const std::string& names) {
  return lines_of(run_zfs({"zfs", "get", "-Hp", "-o", "value", names, dataset}, dataset));
}

std::string dataset_of(const std::filesystem::path& directory) {
  const std::filesystem::path real = std::filesystem::canonical(directory);
  std::optional<Mount> holder;
  for (Mount& mount : read_mounts()) {
    const auto [end, ignored] =
        std::mismatch(mount.mount_point.begin(), mount.mount_point.end(), real.begin(), real.end());
    const bool holds = end == mount.mount_point.end() || mount.mount_point == "/";
    // Of two at one place the later one shows.
    if (holds && (!holder || mount.mount_point.native().size() >= holder->mount_point.native().size()))
      holder = std::move(mount);
  }
  if (!holder || holder->type != "zfs")
    throw Error(ErrorCode::not_available, fmt::format("{} is not on ZFS", directory.string()),
                "choose a directory in a ZFS dataset, or leave --driver out");
  return holder->source;
}

bool is_mount_root_at(int directory, const std::string& name) {
  struct statx status{};
  if (statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &status) != 0) return false;
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool has_mounts_below(const std::filesystem::path& path) {
  const std::string prefix = path.string() + "/";
  for (const Mount& mount : read_mounts())
    if (mount.mount_point.native().starts_with(prefix)) return true;
  return false;
}

void mount_dataset(const std::string& dataset, const std::filesystem::path& path) {
  if (mkdir(path.c_str(), 0711) != 0 && errno != EEXIST)
    throw zfs_error(errno, fmt::format("cannot make mount point {}", path.string()));
  if (is_mounted_dataset(dataset, path)) return;
  if (!read_directory(open_directory(path).get()).empty())
    throw Error(ErrorCode::conflict,
                fmt::format("{} is not empty, so {} is not mounted over it", path.string(), dataset),
                fmt::format("move what is in it elsewhere, then: zfs mount {}", dataset));
  // As `zfs mount` would do it by the dataset's own properties.
  constexpr unsigned long flags = MS_NOATIME | MS_NOSUID | MS_NODEV;
  if (mount(dataset.c_str(), path.c_str(), "zfs", flags, "") != 0) {
    const int error_number = errno;
    if (error_number != EBUSY || !is_mounted_dataset(dataset, path))  // somebody else mounted it meanwhile
      throw zfs_error(error_number, fmt::format("cannot mount {} on {}", dataset, path.string()));
  }
}

bool is_mounted_dataset(const std::string& dataset, const std::filesystem::path& path) {
  const auto there = mount_at(path);
  return there && there->type == "zfs" && there->source == dataset;
}

bool is_read_only(const std::filesystem::path& path) {
  struct statvfs status{};
  if (statvfs(path.c_str(), &status) != 0) throw zfs_error(errno, fmt::format("cannot look at {}", path.string()));
  return (status.f_flag & ST_RDONLY) != 0;
}

void unmount_dataset(const std::filesystem::path& path) {
  if (umount2(path.c_str(), UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) {
    if (errno == EBUSY)
      throw Error(ErrorCode::busy, fmt::format("{} is in use", path.string()),
                  fmt::format("see by whom: fuser -vm {}", path.string()));
    throw zfs_error(errno, fmt::format("cannot unmount {}", path.string()));
  }
  if (rmdir(path.c_str()) != 0 && errno != ENOENT)
    throw zfs_error(errno, fmt::format("cannot remove mount point {}", path.string()));
}

}  // namespace pgtwig::storage::zfs
