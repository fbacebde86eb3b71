// Destroys what is on the catalog's sweep list: what failed operations staged, what finished ones replaced or deleted.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "catalog/catalog.h"

namespace pgtwig::engine {

class Engine;

class Sweeper {
 public:
  explicit Sweeper(Engine& engine);
  // Finishes the volume in hand. Of the others, which the next daemon sweeps, it ends the instances: nobody is to reach
  // what was deleted while no daemon runs.
  ~Sweeper();

  // Before a new daemon serves: ends the instances of everything on the list, so that nobody reaches them and their
  // ports are free, and then has the volumes destroyed in the background, which may take long.
  void begin();
  // In the background: the caller does not wait. They have to be on the catalog's list.
  void enqueue(const std::vector<catalog::SweepRecord>& volumes);
  // Now, on the caller's thread, after a failure: nothing half-made remains. What cannot be destroyed stays on the
  // list.
  void destroy_staged(const std::vector<catalog::SweepRecord>& volumes) noexcept;
  // Everything on the list that no living operation holds.
  void enqueue_all();
  // Returns when everything enqueued so far is done.
  void wait_until_idle();

 private:
  void run();
  void end_instances(const std::vector<catalog::SweepRecord>& volumes);
  void destroy(const catalog::SweepRecord& volume);

  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<catalog::SweepRecord> queue_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pgtwig::engine
