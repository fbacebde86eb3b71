// Where the data of a body comes from and how far back it can be recovered: archive::Lineage, filled from the catalog,
// the archives, and the WAL that still lies where it was written. And what a point that a person wrote means in it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "archive/lineage.h"
#include "archive/local_archive.h"
#include "base/error.h"
#include "engine/instances.h"
#include "engine/views.h"
#include "engine/wal_files.h"

namespace pgtwig::engine {

// What there is of the WAL of one body.
struct BodyWal {
  archive::Link link;
  std::vector<archive::ArchivedFile> files;  // in its archive
  struct Unusable {
    std::string name;
    std::string reason;  // "it is truncated"
  };
  std::vector<Unusable> unusable;  // of those
};

// Looks at every body once, so use it for one question: segments come and go.
class LineageReader {
 public:
  LineageReader(Engine& engine, const catalog::ProjectRecord& project);

  // Of a body, present or past; nullopt when the catalog has no record of it.
  std::optional<archive::Lineage> lineage(const IncarnationId& body);
  // Throws Error not_found when the catalog has no record of it.
  const BodyWal& wal(const IncarnationId& body);
  const OpenPool& pool() const { return *pool_; }
  Bytes segment_size() const { return segment_size_; }
  std::uint64_t system_identifier() const { return system_identifier_; }
  // Opens the data directory of a body's volume; nullopt when it is no more.
  std::optional<UniqueFd> data_directory(const IncarnationId& body) const;

 private:
  void add_archived(BodyWal& wal) const;
  std::vector<LiveSegment> live_segments_of(const archive::Link& link) const;
  void add_live(BodyWal& wal, const std::vector<LiveSegment>& live) const;
  const std::vector<catalog::SnapshotRecord>& snapshots(const BranchId& branch);

  Engine& engine_;
  std::shared_ptr<OpenPool> pool_;
  TimePoint now_;
  Bytes segment_size_{16 << 20};
  std::uint64_t system_identifier_ = 0;
  std::map<IncarnationId, BodyWal> bodies_;
  std::map<BranchId, std::vector<catalog::SnapshotRecord>> snapshots_;
};

// A moment of one body's history.
struct Moment {
  IncarnationId body;
  archive::Target target;
  std::string text;  // "2026-11-21T06:40:10Z", "0/3000148": for messages and origins
};
// The refusal of a point of "demo/dev", by the text that names it, with a hint where to see which can be had.
Error cannot_recover(const std::string& branch, const std::string& text, const std::string& why);
// What a point that is neither now nor a snapshot means on a branch: times follow the branch through its resets and
// restores, everything else is looked for in its present body's history. A time before its first body is one of the
// body that this was made of. Throws Error invalid_argument for a time in the future.
Moment moment_of(Engine& engine, const Body& branch, const Point& point);

// The times that a branch can be recovered to, oldest first: of each of its bodies while it was the branch's, of the
// first one also what was before it. The LSNs are of the body in question.
std::vector<archive::Window> branch_windows(Engine& engine, LineageReader& reader, const BranchId& branch);

// Fills windows and lineage.
void add_history(Engine& engine, const Body& body, BranchView& view);
std::vector<WindowView> window_views(const std::vector<archive::Window>& windows);

}  // namespace pgtwig::engine
