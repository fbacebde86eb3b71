// The part of a rebuild that is no branch: snapshots, by the manifests of their volumes, and the bodies that branches
// had, by the records in their WAL archives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "catalog/manifest.h"

namespace pgtwig::engine {

class RebuiltHistory {
 public:
  void add_snapshot(const catalog::SnapshotRecord& snapshot) { snapshots_.push_back(snapshot); }
  // Reads what lies in the archives of this pool.
  void add_archives(const std::filesystem::path& pool_directory);

  // What belongs to `branch`, which the catalog has now, with its data there. A body without a record begins with
  // itself: what was before it is not known.
  void insert(catalog::Transaction& transaction, const catalog::BranchRecord& branch,
              const std::filesystem::path& data_directory);
  // Of what was added, what belongs to no branch that was inserted.
  const std::vector<std::string>& notes() const { return notes_; }
  void note_the_rest();

 private:
  void insert_bodies(catalog::Transaction& transaction, const catalog::BranchRecord& branch,
                     const std::filesystem::path& data_directory);
  void insert_snapshots(catalog::Transaction& transaction, const catalog::BranchRecord& branch);
  std::uint32_t timeline_of(const std::filesystem::path& data_directory);

  std::vector<catalog::SnapshotRecord> snapshots_;
  std::map<IncarnationId, catalog::IncarnationRecord> bodies_;
  std::set<IncarnationId> inserted_;
  std::vector<std::string> notes_;
};

}  // namespace pgtwig::engine
