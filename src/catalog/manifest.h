// pgtwig.json: the part of the catalog that travels with a volume, so that the catalog can be made again from volumes
// alone.
//
// It lies at the root of the volume, above the data directory: owned by the daemon, 0600, unreadable to PostgreSQL. A
// fork copies it with everything else; `identity`, the file system's own id of the volume it was written for, tells a
// copy from the original.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "catalog/catalog.h"

namespace pgtwig::catalog {

inline constexpr const char* manifest_file_name = "pgtwig.json";

struct Manifest {
  InstallationId installation;
  std::string identity;  // VolumeDriver::identity of this very volume
  // Whether the catalog had this volume, as the branch's body or a snapshot, when it was written; false while it is
  // staged.
  bool committed = false;
  ProjectRecord project;
  BranchRecord branch;  // its incarnation is this volume, whatever kind it is of
  // Of a snapshot's volume; `branch` is then whose snapshot it is.
  std::optional<SnapshotRecord> snapshot = {};
  // Of a branch that has one of its own; absent too in what was written before manifests had it.
  std::optional<ScheduleRecord> schedule = {};
};

// An image as JSON, as it stands in manifests and in the catalog.
std::string write_image(const ImageRecord& image);
std::expected<ImageRecord, std::string> parse_image(std::string_view text);

std::string write_manifest(const Manifest& manifest);
// The error is a sentence: not JSON, a field missing or malformed, written by a newer pgtwig.
std::expected<Manifest, std::string> parse_manifest(std::string_view text);

}  // namespace pgtwig::catalog
