// The WAL archive of one branch body: a directory beside the volumes of its pool, on the same file system, keyed by the
// body's incarnation, so that branches, resets, timelines and recoveries never meet.
//
//     <pool>/.pgtwig-wal/<incarnation>/incarnation.json   the daemon's record of it, 0600
//                                     /segments/          0700, owned by the instance's user, who writes it
//                                     /restore/           while a body is being recovered: hard links to what it needs
//
// Files in segments/ are complete and on disk (temporary name, fsync, rename, fsync of the directory), never changed
// afterwards and never hard links to PostgreSQL's own, which it recycles in place; they share blocks with those where
// the file system can. restore/ may hold hard links, since both names are the archive's.
//
// Written by the helper (helper.h), which is the archive command of the instance and outlives the daemon; read by
// the engine. What lies in segments/ was written by an instance's user and is checked before it is believed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "archive/wal_segment.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/process.h"
#include "base/time.h"

namespace pgtwig::archive {

std::filesystem::path archive_directory(const std::filesystem::path& pool, const IncarnationId& incarnation);

struct ArchivedFile {
  std::string name;
  Bytes bytes;
  TimePoint completed_at;  // when PostgreSQL wrote its last byte, however late it was archived
};

class LocalArchive {
 public:
  explicit LocalArchive(std::filesystem::path directory) : directory_(std::move(directory)) {}

  const std::filesystem::path& directory() const { return directory_; }
  std::filesystem::path segments() const { return directory_ / "segments"; }
  std::filesystem::path restore() const { return directory_ / "restore"; }

  // Makes the directories, segments/ and restore/ owned by `owner`. Fine when they are there.
  void make(const OsUser& owner) const;
  bool exists() const;
  // Everything in segments/ that has a WAL file's name, by name. Temporary files and strangers are left out.
  std::vector<ArchivedFile> list() const;
  // Follows no link; throws Error not_found.
  UniqueFd open(const std::string& name) const;
  void remove(const std::vector<std::string>& names) const;
  // Everything, for the sweeper. Absent is fine.
  void destroy() const;

  // restore/: a hard link for a file of another archive of this pool, a reflink or copy for one that PostgreSQL may
  // still write: `live` is open, since it lies where only open_beneath() may look.
  void stage_link(const LocalArchive& other, const std::string& name) const;
  void stage_copy(int live, const std::string& name, const OsUser& owner) const;
  void clear_restore() const;

 private:
  std::filesystem::path directory_;
};

struct PushOptions {
  std::filesystem::path segments;    // the archive's
  Bytes limit{0};                    // of all files in it; the oldest segments go first. Zero: none
  std::optional<OsUser> owner = {};  // of the file; absent: the caller
};
// Archives one file: `source` is PostgreSQL's, `name` its name. Returns when it is on disk under its name. The same
// file again is fine; another content under a name that is taken is an error and changes nothing. When the disk is full
// the oldest segments make room, and when there are none this one is left out, which a warning tells: the window
// shrinks, the database never stops.
struct PushOutcome {
  std::vector<std::string> removed;  // to keep the limit or make room
  bool disk_was_full = false;
  bool left_out = false;
};
// And while the file system has less free than room_for_others() the oldest go, too, before anyone else is in need.
PushOutcome push(const std::filesystem::path& source, const std::string& name, const PushOptions& options);
// What archives leave free on a file system of this size.
Bytes room_for_others(Bytes total);
// The same with an open file: for the engine, which archives what a body leaves behind when it is replaced.
PushOutcome push(int source, const std::string& name, const PushOptions& options);

}  // namespace pgtwig::archive
