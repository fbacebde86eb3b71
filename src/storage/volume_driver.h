// What pgtwig needs of a file system: writable volumes that share their unchanged blocks with what they were forked
// from. One driver object serves one pool directory. engine/ chooses its ways by Capabilities, never by a driver's
// name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace pgtwig::storage {

// A volume is a directory `<pool>/<incarnation id>`; pgtwig.json and data/ lie in it.
using VolumeId = IncarnationId;

// How a fork's blocks are really obtained.
enum class Method { snapshot, reflink, copy };
std::string_view method_name(Method method);

struct Capabilities {
  Method method;
  // A fork of a volume that is being written is what a loss of power at one moment would have left: all that was synced
  // before, and of later writes any part. Right for a PostgreSQL with fsync on, and for no other.
  bool atomic_fork;
  bool constant_time_fork;       // the cost of a fork does not grow with files or bytes
  bool children_outlive_parent;  // a volume can be destroyed while volumes forked from it live on
  bool can_tear_pages;           // a crash can leave half an 8 KiB page: full_page_writes=off is refused
};

// All from the file system itself. unique: what destroying the volume would give back; shared = logical - unique.
struct VolumeUsage {
  Bytes logical;
  Bytes unique;
  Bytes shared;
};

struct PoolSpace {
  Bytes total;
  Bytes free;
};

struct VolumeEntry {
  std::string name;            // of the directory, subvolume, dataset or snapshot ("<id>@<name>") in the pool
  std::optional<VolumeId> id;  // absent: made by hand, foreign, never touched
};

struct ForkOptions {
  // Paths relative to the volume, "data/postmaster.pid"; a trailing "/*" leaves a directory but nothing in it. An
  // economy for drivers that walk; an atomic driver takes all: whoever must not have them removes them afterwards.
  std::vector<std::string> leave_out;
};

// The right to use a volume's files, from attach() to detach(). `epoch` grows with each attach of a volume that several
// hosts can reach; local drivers always say 1.
struct Lease {
  std::filesystem::path path;
  std::uint64_t epoch = 1;
};

// Every method is blocking, throws Error (not_found, already_exists, no_space, storage_failed, not_allowed), may be
// called from several threads at once, and leaves nothing behind under the target's id when it throws.
class VolumeDriver {
 public:
  virtual ~VolumeDriver() = default;

  virtual std::string_view name() const = 0;  // "btrfs", "zfs", "reflink", "copy", "memory"
  virtual const Capabilities& capabilities() const = 0;

  // An empty volume, owned by the caller, mode 0711, that survives a loss of power.
  virtual void create(const VolumeId& volume) = 0;
  // A new writable volume with the content, owners, modes, times and links of `source`. When it returns, the volume
  // survives a loss of power. Writes the source's dirty page cache first; a flush() ahead of it saves nothing, and
  // writes that of all other volumes too.
  virtual void fork(const VolumeId& source, const VolumeId& target, const ForkOptions& options) = 0;
  // Replaces the file or directory `relative` of `target` by that of `source` as it is now, by the driver's own method:
  // for the parts of a backup that must come last.
  virtual void refork_part(const VolumeId& source, const VolumeId& target, const std::filesystem::path& relative) = 0;
  // Everything in it, read-only volumes included. Absent is fine. After a crash in the middle it can be called again.
  virtual void destroy(const VolumeId& volume) = 0;

  virtual Lease attach(const VolumeId& volume, const std::string& host) = 0;
  virtual void detach(const VolumeId& volume) = 0;

  // When it returns, all that was written to this volume survives a loss of power. Waits for the rest of the file
  // system too.
  virtual void flush(const VolumeId& volume) = 0;
  // The file system's own identity of this very volume (subvolume UUID, device and inode with its birth time), which no
  // fork shares.
  virtual std::string identity(const VolumeId& volume) = 0;
  // Can be slow; never called while a caller waits for something else.
  virtual VolumeUsage usage(const VolumeId& volume) = 0;
  virtual std::vector<VolumeEntry> list() = 0;
  virtual PoolSpace space() = 0;
  // What is wrong with what the pool lies on and can be mended by a person, with how. Not asked on the way of a fork.
  virtual std::vector<std::string> warnings() { return {}; }
};

// The best driver for the directory's file system, by asking it (magic number, then a trial FICLONE): btrfs, zfs,
// reflink, copy.
std::string probe_driver_name(const std::filesystem::path& directory);
// Throws Error not_available when `driver` cannot work there, saying why.
std::unique_ptr<VolumeDriver> open_driver(std::string_view driver, const std::filesystem::path& directory);

}  // namespace pgtwig::storage
