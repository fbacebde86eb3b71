// Subvolumes by name under a directory handle, over libbtrfsutil. Called by the Btrfs driver.
#pragma once

#include <optional>
#include <string>

namespace pgtwig::storage::btrfs {

bool is_subvolume_at(int directory, const std::string& name);
// Throws already_exists when the name is taken. Unlike a snapshot it is not on disk before the next commit.
void create_subvolume_at(int directory, const std::string& name);
// A writable snapshot. The kernel writes the source's dirty pages, takes the snapshot and commits the transaction
// before it returns (create_snapshot() in fs/btrfs/ioctl.c), so that it is there after a power failure.
void snapshot_subvolume_at(int source, int directory, const std::string& name);
// With the subvolumes in it, read-only ones included. Absent is fine.
void remove_subvolume_at(int directory, const std::string& name);
// Cheap, for the common case that there are none.
bool has_nested_subvolumes(int subvolume);
// As 32 hexadecimal digits.
std::string subvolume_uuid(int subvolume);

}  // namespace pgtwig::storage::btrfs
