// Datasets as `zfs` shows them and the kernel mounts them. Called by the ZFS driver and its pools.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::storage::zfs {

// ZFS_SUPER_MAGIC, which no header of the kernel's has.
constexpr long super_magic = 0x2fc12fc1;

// The user property that makes a dataset one of pgtwig's volumes; its value is the volume's id.
inline constexpr std::string_view volume_property = "pgtwig:volume";

// A row of `zfs list -Hp`; what a row's kind does not have is empty.
struct Row {
  std::string name;  // "tank/pgtwig/<id>", "tank/pgtwig/<id>@<snapshot>"
  std::string origin;
  std::vector<std::string> clones;
  std::string volume;  // volume_property
  std::string mountpoint;
  bool is_mounted = false;

  bool is_snapshot() const { return name.find('@') != std::string::npos; }
};

// From the output of `zfs list -Hp -o <row_columns>`. Throws internal when it is not that.
inline constexpr const char* row_columns = "name,origin,clones,pgtwig:volume,mountpoint,mounted";
std::vector<Row> parse_rows(std::string_view output);

// The dataset, what lies below it up to `depth`, and their snapshots, oldest first. Throws not_found.
std::vector<Row> list_rows(const std::string& dataset, int depth);
// The values of properties, in their order. Throws not_found.
std::vector<std::string> get_properties(const std::string& dataset, const std::string& names);

// The dataset that holds this directory, by the mount table. Throws not_available when none does.
std::string dataset_of(const std::filesystem::path& directory);

// Whether `name`, a directory under `directory`, is where a file system is mounted.
bool is_mount_root_at(int directory, const std::string& name);
// Whether something else is mounted somewhere in what lies at `path`.
bool has_mounts_below(const std::filesystem::path& path);
// Makes the directory where it is missing and mounts the dataset there. Fine when that is done already. Throws conflict
// when the directory is not empty.
void mount_dataset(const std::string& dataset, const std::filesystem::path& path);
bool is_mounted_dataset(const std::string& dataset, const std::filesystem::path& path);
bool is_read_only(const std::filesystem::path& path);
// Unmounts what is there and removes the directory. Fine when that is done already. Throws busy.
void unmount_dataset(const std::filesystem::path& path);

}  // namespace pgtwig::storage::zfs
