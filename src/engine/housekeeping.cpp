#include "engine/housekeeping.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/instances.h"
#include "engine/open_installation.h"
#include "engine/operation.h"
#include "engine/pools.h"
#include "engine/snapshots.h"
#include "engine/sweeper.h"
#include "engine/use_cases.h"
#include "engine/wal_retention.h"
#include "postgres/consistency.h"

namespace pgtwig::engine {
namespace {

constexpr std::chrono::seconds tick{1};
constexpr int ticks_of_a_round = 5;
// What failed before is tried again each minute.
constexpr int rounds_between_retries = 12;
// Old WAL is looked for every five minutes: it has been there for days.
constexpr int rounds_between_retentions = 60;
// An instance's log is cut when it is larger than this; its last part is kept beside it.
constexpr std::uint64_t largest_log = 16u << 20;

// The postmaster holds the file open for appending, so its end is copied away and it is cut, as logrotate's
// copytruncate does. Lines written between the two calls can be lost: it is a log for people. A branch can make its
// file as long as it likes, so no more than that is copied.
void cut_log(const std::filesystem::path& file) {
  const UniqueFd log(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!log) throw system_error(errno, "cannot open " + file.string());
  const off_t size = ::lseek(log.get(), 0, SEEK_END);
  std::string end(std::min(static_cast<std::uint64_t>(size), largest_log), '\0');
  const ssize_t count = ::pread(log.get(), end.data(), end.size(), size - static_cast<off_t>(end.size()));
  if (count < 0) throw system_error(errno, "cannot read " + file.string());
  write_file(file.string() + ".1", std::string_view(end).substr(0, static_cast<std::size_t>(count)));
  if (::ftruncate(log.get(), 0) != 0) throw system_error(errno, "cannot cut " + file.string());
}

}  // namespace

Housekeeping::Housekeeping(Engine& engine)
    : engine_(engine), restore_points_(engine), idle_watch_(engine), thread_([this] { run(); }) {}

Housekeeping::~Housekeeping() {
  end();
}

void Housekeeping::end() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  idle_watch_.end();
  try {
    sync_pools();
  } catch (...) {
    log::warn("cannot sync a pool: {}", describe_current_exception());
  }
}

void Housekeeping::sync_soon(const std::shared_ptr<OpenPool>& pool) {
  const std::lock_guard lock(mutex_);
  unsynced_.insert(pool);
}

void Housekeeping::checkpoint_soon(const Body& body) {
  const std::lock_guard lock(mutex_);
  const auto same = [&](const Body& other) { return other.branch.incarnation == body.branch.incarnation; };
  if (std::ranges::none_of(to_checkpoint_, same)) to_checkpoint_.push_back(body);
}

void Housekeeping::begin() {
  {
    const std::lock_guard lock(mutex_);
    begun_ = true;
  }
  changed_.notify_all();
}

bool Housekeeping::is_stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Housekeeping::run() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return begun_ || stopping_; });
  if (stopping_) return;
  lock.unlock();
  restore();
  idle_watch_.begin();
  lock.lock();
  for (int ticks = 1; !changed_.wait_for(lock, tick, [this] { return stopping_; }); ++ticks) {
    lock.unlock();
    engine_.instances().close_idle_connections();
    if (ticks % ticks_of_a_round == 0) round();
    lock.lock();
  }
}

// Whatever happens to it, the daemon goes on; what could not have its turn (a pool that is away, a lock) is tried
// again.
void Housekeeping::restore() {
  engine_.instances().remove_orphans();
  try {
    restore_pending_ = !restore_instances(engine_, [this] { return is_stopping(); });
  } catch (...) {
    restore_pending_ = true;
    log::error("cannot start what should run: {}", describe_current_exception());
  }
  has_restored_ = true;
}

void Housekeeping::round() {
  if (++rounds_ % rounds_between_retries == 0) {
    if (restore_pending_) restore();
    engine_.operations().settle();
    engine_.sweeper().enqueue_all();
  }
  for (const auto task : {&Housekeeping::checkpoint_sources, &Housekeeping::sync_pools,
                          &Housekeeping::delete_expired_branches, &Housekeeping::keep_logs_small,
                          &Housekeeping::take_restore_points, &Housekeeping::drop_old_wal, &Housekeeping::make_room}) {
    try {
      (this->*task)();
    } catch (...) {
      log::warn("housekeeping: {}", describe_current_exception());
    }
  }
}

void Housekeeping::checkpoint_sources() {
  std::vector<Body> bodies;
  {
    const std::lock_guard lock(mutex_);
    bodies.swap(to_checkpoint_);
  }
  for (const Body& body : bodies) {
    try {
      if (engine_.instances().find(body)) postgres::checkpoint(*engine_.instances().admin(body));
    } catch (const Error& error) {
      log::info("no checkpoint of {}: {}", body.name(), error.message());
    }
  }
}

void Housekeeping::sync_pools() {
  std::set<std::shared_ptr<OpenPool>> pools;
  {
    const std::lock_guard lock(mutex_);
    pools.swap(unsynced_);
  }
  for (const auto& pool : pools) {
    try {
      sync_pool(*pool);
    } catch (const Error& error) {
      log::warn("{}", error.message());
    }
  }
}

// Those that somebody wanted stand in the way of its end, as its children do.
void Housekeeping::delete_expired_branches() {
  const TimePoint now = engine_.clock().now();
  NobodyListens nobody;
  for (const auto& branch : engine_.catalog().branches()) {
    if (!branch.expires_at || *branch.expires_at > now || !engine_.catalog().children(branch.id).empty()) continue;
    if (std::ranges::any_of(engine_.catalog().snapshots(branch.id), outlasts_its_branch)) continue;
    const auto project = engine_.catalog().find_project(branch.project);
    if (!project) continue;
    try {
      const auto deleted = delete_branch(engine_,
                                         {.path = {project->name, branch.name},
                                          .if_exists = true,
                                          .only_if_expired = DeleteBranch::Expiry{branch.id, now}},
                                         nobody);
      for (const std::string& name : deleted) log::info("branch {} has expired", name);
    } catch (...) {
      log::warn("cannot delete the expired branch {}/{}: {}", project->name.text(), branch.name.text(),
                describe_current_exception());
    }
  }
}

void Housekeeping::take_restore_points() {
  restore_points_.take_due([this] { return is_stopping(); });
  if (rounds_ % rounds_between_retries == 0) restore_points_.prune([this] { return is_stopping(); });
}

void Housekeeping::drop_old_wal() {
  if (rounds_ % rounds_between_retentions != 0) return;
  for (const auto& project : engine_.catalog().projects()) {
    if (is_stopping()) return;
    try {
      const WalRetention retention(engine_, project);
      WalCleanupView dropped;
      retention.apply(retention.plan(std::nullopt), std::nullopt, dropped);
      if (dropped.removed_segments > 0) {
        log::info("{}: {} WAL segments are older than the promised window and were removed", project.name.text(),
                  dropped.removed_segments);
      }
      retention.forget_bodies();
    } catch (...) {
      log::warn("cannot remove old WAL of {}: {}", project.name.text(), describe_current_exception());
    }
  }
}

void Housekeeping::make_room() {
  for (const auto& record : engine_.catalog().pools()) {
    try {
      const auto pool = engine_.pools().open(record);
      const int removed = make_room_in(engine_, *pool);
      if (removed == 0) continue;
      sync_pool(*pool);  // some file systems free it only then
      log::warn("pool {} is nearly full: its {} oldest WAL segments were removed, so recovery reaches back less far",
                record.name.text(), removed);
    } catch (...) {
      log::debug("no room is made in pool {}: {}", record.name.text(), describe_current_exception());
    }
  }
}

void Housekeeping::keep_logs_small() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(engine_.paths().log_file().parent_path(), error)) {
    if (entry.path().extension() != ".log" || entry.path() == engine_.paths().log_file()) continue;
    if (entry.is_regular_file(error) && entry.file_size(error) > largest_log) cut_log(entry.path());
  }
}

}  // namespace pgtwig::engine
