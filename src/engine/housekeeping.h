// What has to be done beside the requests: after a restart of the machine the instances that should run are started
// again; from time to time parents are checkpointed, manifests brought to disk, idle connections closed, logs kept
// small, expired branches deleted, unused ones suspended, restore points taken and removed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "engine/idle_watch.h"
#include "engine/instances.h"
#include "engine/restore_point_keeper.h"

namespace pgtwig::engine {

class Engine;

class Housekeeping {
 public:
  explicit Housekeeping(Engine& engine);
  ~Housekeeping();

  // The pool's file system is synced within seconds, off everyone's critical path.
  void sync_soon(const std::shared_ptr<OpenPool>& pool);
  // A CHECKPOINT on this instance, likewise.
  void checkpoint_soon(const Body& body);
  // Called once the installation is open: starts what should run, then begins with what has to be done from time to
  // time.
  void begin();
  // Finishes what it is doing; after that nothing is started or deleted behind anyone's back.
  void end();
  // Whether every instance that should run has had its turn since the daemon began.
  bool has_restored() const { return has_restored_; }

 private:
  void run();
  bool is_stopping();
  void round();
  void restore();
  void checkpoint_sources();
  void sync_pools();
  void delete_expired_branches();
  bool has_lasting_snapshots(const catalog::BranchRecord& branch);
  void keep_logs_small();
  void take_restore_points();
  void drop_old_wal();
  void make_room();

  Engine& engine_;
  RestorePointKeeper restore_points_;
  IdleWatch idle_watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::shared_ptr<OpenPool>> unsynced_;
  std::vector<Body> to_checkpoint_;
  std::atomic<bool> has_restored_ = false;
  bool restore_pending_ = false;
  int rounds_ = 0;
  bool begun_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pgtwig::engine
