#include "engine/idle_watch.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "engine/sleep.h"
#include "postgres/activity.h"

namespace pgtwig::engine {
namespace {

// New branches, and new times of old ones, are noticed after this.
constexpr std::chrono::seconds watch_interval{5};
constexpr int looks_in_time = 4;
constexpr std::chrono::milliseconds shortest_time_between_looks{1000};

}  // namespace

IdleWatch::~IdleWatch() {
  end();
}

void IdleWatch::begin() {
  const std::lock_guard lock(mutex_);
  if (!stopping_ && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void IdleWatch::end() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void IdleWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    Clock::time_point next = Clock::now() + watch_interval;
    try {
      next = look_around();
    } catch (...) {
      log::warn("cannot look for unused branches: {}", describe_current_exception());
    }
    lock.lock();
    changed_.wait_until(lock, next, [this] { return stopping_; });
  }
}

IdleWatch::Clock::time_point IdleWatch::look_around() {
  Clock::time_point next = Clock::now() + watch_interval;
  std::map<IncarnationId, Watched> still_there;
  for (const auto& project : engine_.catalog().projects()) {
    for (const auto& branch : engine_.catalog().branches(project.id)) {
      const std::chrono::seconds after = suspend_after_of(engine_.config(), project, branch);
      if (after.count() == 0 || !branch.wants_running) continue;
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) return next;
      }
      try {
        const Body body = load_body(engine_, project, branch);
        const auto server = engine_.instances().find(body);
        if (!server || !engine_.instances().is_serving(body)) continue;
        const auto now = Clock::now();
        // Whoever started it wanted it; and what was done while no daemon watched, nobody knows.
        Watched watched{.server = server->pid(), .after = after, .used_at = now, .look_at = now};
        const auto known = watched_.find(branch.incarnation);
        if (known != watched_.end() && known->second.server == watched.server) watched = known->second;
        if (std::exchange(watched.after, after) != after) watched.look_at = now;
        if (watched.look_at <= now) look(body, watched);
        next = std::min(next, watched.look_at);
        still_there.insert_or_assign(branch.incarnation, std::move(watched));
      } catch (...) {
        log::debug("cannot tell whether {}/{} is used: {}", project.name.text(), branch.name.text(),
                   describe_current_exception());
      }
    }
  }
  watched_ = std::move(still_there);
  return next;
}

void IdleWatch::look(const Body& body, Watched& watched) {
  const auto between =
      std::max<Clock::duration>(shortest_time_between_looks, Clock::duration(watched.after) / looks_in_time);
  watched.look_at = Clock::now() + between;
  try {
    if (is_unused(body, watched)) {
      const bool is_suspended = suspend_if(engine_, {body.project.name, body.branch.name}, [&](const Body& current) {
        return current.branch.incarnation == body.branch.incarnation &&
               suspend_after_of(engine_.config(), current.project, current.branch) == watched.after &&
               is_unused(current, watched);
      });
      if (is_suspended) log::info("{} was unused for {} and sleeps", body.name(), suspend_after_text(watched.after));
    }
  } catch (...) {
    // Somebody is at work on it, or it doesn't answer or stop: at the next look.
    log::info("{} is unused and not suspended yet: {}", body.name(), describe_current_exception());
  }
  watched.look_at =
      std::min(watched.look_at, std::max(watched.used_at + watched.after, Clock::now() + shortest_time_between_looks));
}

bool IdleWatch::is_unused(const Body& body, Watched& watched) {
  auto admin = engine_.instances().admin(body);
  const postgres::Activity activity = engine_.instances().ask(admin, body, postgres::read_activity);
  const auto now = Clock::now();
  const std::int64_t sessions = activity.sessions - engine_.instances().connections_opened(body.branch.incarnation);
  const bool something_came_and_went = activity.marks != watched.marks || sessions > watched.sessions;
  if (activity.is_in_use || (something_came_and_went && watched.was_looked_at)) {
    watched.used_at = now;
  } else if (activity.idle_for) {
    watched.used_at = std::max(watched.used_at, now - *activity.idle_for);
  }
  // One of ours that isn't in the statistics yet makes the number too small for a moment.
  const bool is_new_count = activity.marks != watched.marks;
  watched.sessions = is_new_count ? sessions : std::max(watched.sessions, sessions);
  watched.marks = activity.marks;
  watched.was_looked_at = true;
  return now - watched.used_at >= watched.after;
}

}  // namespace pgtwig::engine
