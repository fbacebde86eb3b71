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
#include "engine/pools.h"
#include "engine/use_cases.h"
#include "postgres/consistency.h"

namespace pgtwig::engine {
namespace {

constexpr std::chrono::seconds interval{5};
// An instance's log is cut when it is larger than this; its last part is kept beside it.
constexpr std::uint64_t largest_log = 16u << 20;

class NobodyListens final : public Listener {
 public:
  void on_event(const Event&) override {}
};

// The postmaster holds the file open for appending, so it is copied away and cut, as logrotate's copytruncate does.
// Lines written between the two calls can be lost: it is a log for people.
void cut_log(const std::filesystem::path& file) {
  const std::filesystem::path old = file.string() + ".1";
  std::filesystem::copy_file(file, old, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::permissions(old, std::filesystem::perms(0600));
  if (::truncate(file.c_str(), 0) != 0) throw system_error(errno, "cannot cut " + file.string());
}

}  // namespace

Housekeeping::Housekeeping(Engine& engine) : engine_(engine), thread_([this] { run(); }) {}

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
  restore_instances(engine_, [this] { return is_stopping(); });
  has_restored_ = true;
  lock.lock();
  while (!changed_.wait_for(lock, interval, [this] { return stopping_; })) {
    lock.unlock();
    round();
    lock.lock();
  }
}

void Housekeeping::round() {
  for (const auto task : {&Housekeeping::checkpoint_sources, &Housekeeping::sync_pools,
                          &Housekeeping::delete_expired_branches, &Housekeeping::keep_logs_small}) {
    try {
      (this->*task)();
    } catch (...) {
      log::warn("housekeeping: {}", describe_current_exception());
    }
  }
  engine_.instances().close_idle_connections();
}

void Housekeeping::checkpoint_sources() {
  std::vector<Body> bodies;
  {
    const std::lock_guard lock(mutex_);
    bodies.swap(to_checkpoint_);
  }
  for (const Body& body : bodies) {
    if (engine_.instances().find(body)) postgres::checkpoint(*engine_.instances().admin(body));
  }
}

void Housekeeping::sync_pools() {
  std::set<std::shared_ptr<OpenPool>> pools;
  {
    const std::lock_guard lock(mutex_);
    pools.swap(unsynced_);
  }
  for (const auto& pool : pools) {
    const UniqueFd directory = open_directory(pool->record.directory);
    if (::syncfs(directory.get()) != 0) throw system_error(errno, "cannot sync " + pool->record.directory.string());
  }
}

void Housekeeping::delete_expired_branches() {
  const TimePoint now = engine_.clock().now();
  NobodyListens nobody;
  for (const auto& branch : engine_.catalog().branches()) {
    if (!branch.expires_at || *branch.expires_at > now || !engine_.catalog().children(branch.id).empty()) continue;
    const auto project = engine_.catalog().find_project(branch.project);
    if (!project) continue;
    log::info("branch {}/{} has expired", project->name.text(), branch.name.text());
    delete_branch(engine_, {.path = {project->name, branch.name}, .cascade = false, .if_exists = true}, nobody);
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
