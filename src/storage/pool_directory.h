// The directory of a pool as every driver needs it: opened anew for each operation, so that it never keeps a file
// system from being unmounted, and recognised, so that an unmounted pool is told from an empty one.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/fs.h"
#include "storage/volume_driver.h"

namespace pgtwig::storage {

// What tells a directory from every other of its file system, and stays over remounts and restarts: inode number,
// generation and birth time, as far as the file system keeps them.
std::string directory_identity(int directory);

class PoolDirectory {
 public:
  // Throws not_found when there is no such directory.
  explicit PoolDirectory(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  // Throws storage_failed when what lies there now is not the directory that this object was made for.
  UniqueFd open() const;
  // Throws not_found.
  UniqueFd open_volume(const VolumeId& volume) const;
  // Its directories but lost+found. `is_volume` is asked about those whose name is an id.
  std::vector<VolumeEntry> list(const std::function<bool(int pool, const std::string& name)>& is_volume) const;
  PoolSpace space() const;
  Lease lease(const VolumeId& volume) const;

 private:
  std::filesystem::path path_;
  std::string identity_;
};

// The names in a directory but "." and "..", with their d_type; DT_UNKNOWN is resolved.
struct DirectoryEntry {
  std::string name;
  unsigned char type;
};
std::vector<DirectoryEntry> read_directory(int directory);

}  // namespace pgtwig::storage
