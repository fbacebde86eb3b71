// `zpool` by argument list.
#include "storage/zfs/zpool.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <sstream>

#include "base/error.h"
#include "base/ids.h"
#include "base/process.h"
#include "storage/mount_table.h"
#include "storage/zfs/core_library.h"
#include "storage/zfs/dataset.h"

namespace pgtwig::storage::zfs {

namespace {

Command zpool_command(std::vector<std::string> arguments) {
  Command command;
  command.argv = std::move(arguments);
  command.argv.insert(command.argv.begin(), "zpool");
  command.environment = {{"LC_ALL", "C"}};
  constexpr std::chrono::minutes patience{10};  // a trim of a large image
  command.timeout = patience;
  return command;
}

std::string run_zpool(std::vector<std::string> arguments, std::string_view action) {
  return run_command_checked(zpool_command(std::move(arguments)), action, ErrorCode::storage_failed).output;
}

// The name of the zpool that an import would find in the image.
std::string importable_zpool(const std::filesystem::path& image) {
  std::istringstream words(
      run_zpool({"import", "-d", image.string()}, fmt::format("cannot look at {}", image.string())));
  for (std::string word; words >> word;)
    if (word == "pool:" && words >> word) return word;
  throw Error(ErrorCode::storage_failed, fmt::format("no zpool can be imported from {}", image.string()),
              fmt::format("see why: zpool import -d {}", image.string()));
}

}  // namespace

std::string zpool_of(const std::string& dataset) {
  return dataset.substr(0, dataset.find_first_of("/@"));
}

bool zpool_exists(const std::string& zpool) {
  try {
    return run_command(zpool_command({"list", "-H", "-o", "name", zpool})).exit_status == 0;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_available) return false;
    throw;
  }
}

std::vector<std::string> zpool_warnings(const std::string& zpool) {
  return warnings_of(
      zpool, run_zpool({"list", "-Hp", "-o", "health,readonly", zpool}, fmt::format("cannot look at zpool {}", zpool)));
}

std::vector<std::string> warnings_of(const std::string& zpool, std::string_view listed) {
  std::istringstream words{std::string(listed)};
  std::string health;
  std::string read_only;
  words >> health >> read_only;
  std::vector<std::string> warnings;
  if (health == "DEGRADED") {
    warnings.push_back(fmt::format(
        "zpool {} is DEGRADED: it works, but another failing disk loses it; `zpool status -v {}` tells which "
        "to replace",
        zpool, zpool));
  } else if (health != "ONLINE") {
    warnings.push_back(
        fmt::format("zpool {} is {}: see `zpool status -v {}`; when its disks are back: `zpool clear {}`", zpool,
                    health, zpool, zpool));
  }
  if (read_only == "on")
    warnings.push_back(
        fmt::format("zpool {} was imported read-only: `zpool export {}`, then `zpool import {}`", zpool, zpool, zpool));
  return warnings;
}

bool holds_zpool(int image) {
  // The ring of uberblocks in the first label (the ZFS On-Disk Specification, chapter 1): 128 KiB from its 128th on.
  constexpr std::uint64_t magic = 0x00bab10c;
  constexpr off_t ring_begin = off_t{128} << 10;
  constexpr off_t ring_end = off_t{256} << 10;
  constexpr off_t smallest_slot = 1024;
  for (off_t slot = ring_begin; slot < ring_end; slot += smallest_slot) {
    std::uint64_t found = 0;
    if (pread(image, &found, sizeof found, slot) == sizeof found && found == magic) return true;
  }
  return false;
}

void make_zpool(const std::filesystem::path& image) {
  const std::string zpool = "pgtwig-" + random_hex_128().substr(0, 12);
  run_zpool({"create", "-o", "cachefile=none", "-o", "ashift=12", "-O", "mountpoint=none", "-O", "compression=lz4",
             "-O", "atime=off", "-O", "setuid=off", "-O", "devices=off", zpool, image.string()},
            fmt::format("cannot make a zpool in {}", image.string()));
  export_zpool(zpool);
}

std::vector<ZpoolDevice> parse_zpool_devices(std::string_view listed) {
  std::vector<ZpoolDevice> devices;
  std::istringstream lines{std::string(listed)};
  std::string zpool;
  for (std::string line; std::getline(lines, line);) {
    // What a zpool is made of stands below it, after a tab.
    std::istringstream columns(line);
    std::string name;
    std::getline(columns >> std::ws, name, '\t');
    if (!line.starts_with('\t')) {
      zpool = name;
    } else if (name.starts_with('/')) {
      devices.push_back({zpool, name});
    }
  }
  return devices;
}

std::optional<std::string> imported_zpool(const std::filesystem::path& image) {
  for (const ZpoolDevice& one : parse_zpool_devices(run_zpool({"list", "-vHP", "-o", "name"}, "cannot list zpools")))
    if (one.device == image) return one.zpool;
  return std::nullopt;
}

void mount_zpool(const std::filesystem::path& image, const std::filesystem::path& mount_point) {
  std::optional<std::string> zpool = imported_zpool(image);
  if (!zpool) {
    zpool = importable_zpool(image);
    run_zpool({"import", "-N", "-o", "cachefile=none", "-d", image.string(), *zpool},
              fmt::format("cannot import {}", image.string()));
  }
  if (get_properties(*zpool, "mountpoint").at(0) != mount_point) {
    Command command;
    command.argv = {"zfs", "set", "mountpoint=" + mount_point.string(), *zpool};
    // Mounts what has to be moved, or leaves it unmounted.
    run_command_checked(command, fmt::format("cannot mount {}", image.string()), ErrorCode::storage_failed);
  }
  for (const Row& row : list_rows(*zpool, 1))  // the pool's own dataset, and the volumes in it
    if (!row.is_mounted && row.mountpoint.starts_with('/')) mount_dataset(row.name, row.mountpoint);
}

void export_zpool(const std::string& zpool) {
  const CommandResult result = run_command(zpool_command({"export", zpool}));
  if (result.exit_status == 0) return;
  if (result.error_output.find("busy") != std::string::npos)
    throw Error(
        ErrorCode::busy, fmt::format("zpool {} is in use", zpool),
        fmt::format("see what is mounted (zfs mount | grep {}) and by whom it is used (fuser -vm DIRECTORY)", zpool));
  throw Error(ErrorCode::storage_failed, fmt::format("cannot export zpool {}: {}", zpool, result.error_output),
              fmt::format("see what it says of itself: zpool status -v {}", zpool));
}

void grow_zpool(const std::string& zpool, const std::filesystem::path& image) {
  run_zpool({"online", "-e", zpool, image.string()}, fmt::format("cannot grow zpool {}", zpool));
}

Bytes trim_zpool(const std::string& zpool) {
  const std::string action = fmt::format("cannot trim zpool {}", zpool);
  const auto devices = parse_zpool_devices(run_zpool({"list", "-vHP", "-o", "name", zpool}, action));
  const auto allocated = [&] {
    std::uint64_t bytes = 0;
    for (const ZpoolDevice& one : devices) {
      struct stat status{};
      constexpr std::uint64_t block = 512;
      if (stat(one.device.c_str(), &status) == 0) bytes += static_cast<std::uint64_t>(status.st_blocks) * block;
    }
    return bytes;
  };
  run_zpool({"sync", zpool}, action);
  const std::uint64_t before = allocated();
  run_zpool({"trim", "-w", zpool}, action);
  const std::uint64_t after = allocated();
  return {before > after ? before - after : 0};
}

void make_dataset(const std::string& dataset, const std::filesystem::path& directory) {
  const CoreLibrary core;
  if (core.exists(dataset)) return mount_dataset(dataset, directory);
  core.create(dataset, {.numbers = {}, .texts = {{"mountpoint", directory.string()}}});
  try {
    mount_dataset(dataset, directory);
  } catch (...) {
    core.destroy(dataset);
    throw;
  }
}

void remove_dataset(const std::string& dataset, const std::filesystem::path& directory) {
  const CoreLibrary core;
  if (!core.exists(dataset)) return;
  unmount_dataset(directory);
  core.destroy(dataset);
}

}  // namespace pgtwig::storage::zfs
