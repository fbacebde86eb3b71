// What the drivers have in common whose volumes are plain directories and whose forks are walks: reflink, copy and
// memory are this class with their own way of filling a file.
#pragma once

#include "storage/pool_directory.h"
#include "storage/tree_walk.h"
#include "storage/volume_driver.h"

namespace pgtwig::storage {

struct WalkDriverParts {
  std::string_view name;
  Capabilities capabilities;
  // fill, threads and before_effect of each fork. before_effect is called for the driver's other effects too.
  TreeWalk walk;
  bool durable = true;  // whether what it makes must survive a power failure
  // Makes what a fork filled durable. Bytes are in no journal: for copies the file system is synced.
  void (*sync)(int directory) = make_durable;
};

// fork() and refork_part() return when what they made is durable.
class WalkDriver final : public VolumeDriver {
 public:
  WalkDriver(const std::filesystem::path& directory, WalkDriverParts parts);

  std::string_view name() const override { return parts_.name; }
  const Capabilities& capabilities() const override { return parts_.capabilities; }
  void create(const VolumeId& volume) override;
  void fork(const VolumeId& source, const VolumeId& target, const ForkOptions& options) override;
  void refork_part(const VolumeId& source, const VolumeId& target, const std::filesystem::path& relative) override;
  void destroy(const VolumeId& volume) override;
  Lease attach(const VolumeId& volume, const std::string& host) override;
  void detach(const VolumeId& volume) override;
  void flush(const VolumeId& volume) override;
  std::string identity(const VolumeId& volume) override;
  VolumeUsage usage(const VolumeId& volume) override;
  std::vector<VolumeEntry> list() override;
  PoolSpace space() override;

 private:
  void effect(std::string_view name) const;
  // Makes the volume's directory, lets `fill` complete it, and removes it when that throws.
  void make_volume(const VolumeId& volume, mode_t mode, const std::function<void(int pool, int directory)>& fill);

  PoolDirectory pool_;
  WalkDriverParts parts_;
};

// Of the walk over a real file system, on machines with few cores too: threads wait for the file system's locks and
// logs. More only wait for each other.
constexpr int walk_threads = 4;

}  // namespace pgtwig::storage
