// Where a new pool's directory lies, and how it is made there: a plain directory, or on ZFS a dataset of its own.
// Called by the engine when it makes a pool.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"

namespace pgtwig::storage {

struct PoolPlace {
  std::filesystem::path directory;
  std::string dataset;  // that is mounted there; empty: as the file system above it suggests
};

// What `name` stands for when nobody made a pool of that name: the dataset <name>/pgtwig of an imported zpool, below
// that zpool's own directory, or below `otherwise` where it has none. nullopt when there is no such zpool.
std::optional<PoolPlace> place_on_zpool(const std::string& name, const std::filesystem::path& otherwise);

// Makes the directory, mode 0711, where there is none: on ZFS, where that may be used, as a dataset.
void make_place(const PoolPlace& place);
// Takes that back while it is empty.
void remove_place(const std::filesystem::path& directory);

// Of a directory whose best driver is copy: why it is, and what would be better.
Error why_copies(const std::filesystem::path& directory);

}  // namespace pgtwig::storage
