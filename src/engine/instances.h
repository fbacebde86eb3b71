// The instances of branches: what a branch's record and its project mean for PostgreSQL, and the admin connections to
// them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "catalog/catalog.h"
#include "engine/engine.h"
#include "engine/pools.h"
#include "postgres/cluster.h"
#include "postgres/connection.h"
#include "postgres/readiness.h"
#include "postgres/recovery.h"
#include "runtime/instance_runtime.h"

namespace pgtwig::engine {

// A branch with all that is needed to run it. Or a snapshot's volume, which nothing runs on: then `branch` is whose
// snapshot it is, with the volume for its incarnation and the password of then.
struct Body {
  catalog::ProjectRecord project;
  catalog::BranchRecord branch;
  std::shared_ptr<OpenPool> pool;
  std::optional<catalog::SnapshotRecord> snapshot = {};

  std::string name() const { return project.name.text() + "/" + branch.name.text(); }
  std::filesystem::path volume() const { return pool->record.directory / branch.incarnation.text(); }
  std::filesystem::path data() const { return volume() / "data"; }
};

// At the root of a volume whose instance ran without fsync since it was last flushed: holds the boot in which it did.
inline constexpr const char* unflushed_file_name = "unflushed";

struct StartOptions {
  bool subscriptions_off = false;  // no logical replication workers in this start
  // The body belongs to the catalog: when it isn't ready in time it goes on with its recovery instead of being ended,
  // or a long one could never finish.
  bool is_committed = false;
  std::chrono::milliseconds timeout{120'000};  // without progress
  // For a start that recovers to a point: after all other settings. Nothing of it reaches the outside, main included.
  postgres::SettingList recovery = {};
  // Called while waiting; may throw to give up. True: there has been progress, and the timeout begins anew.
  std::function<bool()> watch = {};
  // Called once, as soon as the server says that it takes connections: before a query has worked.
  std::function<void()> on_listening = {};
};

struct RecoveryOptions {
  postgres::SettingList settings;     // postgres::recovery_settings()
  Bytes replayed;                     // WAL, about
  std::string password;               // of the owner role afterwards; empty: as it was then
  std::chrono::milliseconds timeout;  // without progress
  std::function<bool()> watch;        // as StartOptions::watch
  // Is given what brings the body to disk, where it is not there yet: nothing may rely on it before.
  std::function<void(std::function<void()>)> flush_later;
};

class Instances {
 public:
  explicit Instances(Engine& engine) : engine_(engine) {}

  // Starts the postmaster and returns when a query works. Throws Error postgres_failed with PostgreSQL's own words,
  // busy when its port was taken, timed_out; the instance then is stopped again.
  void start(const Body& body, const StartOptions& options = {});
  // Recovers a body that is prepared for it, as whoever asks says. It is left stopped. Throws as start().
  postgres::RecoveryOutcome recover(const Body& body, const RecoveryOptions& options);
  // Throws Error no_space, with the numbers, when the machine has too little memory left for it.
  void require_memory(const Body& body) const;
  // Fine when it is not running.
  void stop(const Body& body, runtime::StopMode mode = runtime::StopMode::fast);
  std::optional<ProcessHandle> find(const Body& body);
  // Whether it runs and neither start(), up to where the server says that it takes connections, nor stop() is at work
  // on it.
  bool is_serving(const Body& body);
  // Whether the running instance was started with the port, settings and allowances that its record has now. A daemon
  // can end between a start and its commit.
  bool runs_as_recorded(const Body& body) const;
  // Ends the instance of a volume that is going to be destroyed, and removes its directory, socket and log.
  void discard(const catalog::SweepRecord& volume, const std::filesystem::path& pool_directory);

  // An open connection of the reserved admin role, kept for the next time when it comes back: parents are asked often.
  class Admin {
   public:
    Admin(Instances& instances, IncarnationId id, postgres::Connection connection)
        : instances_(&instances),
          id_(std::move(id)),
          connection_(std::make_unique<postgres::Connection>(std::move(connection))) {}
    Admin(Admin&&) = default;
    Admin& operator=(Admin&&) = default;
    ~Admin();
    postgres::Connection& operator*() { return *connection_; }
    postgres::Connection* operator->() { return &*connection_; }
    // It failed or its server is about to stop: it does not come back.
    void drop() { connection_.reset(); }

   private:
    Instances* instances_;
    IncarnationId id_;
    std::unique_ptr<postgres::Connection> connection_;
  };
  Admin admin(const Body& body);
  // What `question` answers, asked again on a new connection when it failed: a kept one may have died with its server,
  // which was started again since.
  template <class Question>
  std::invoke_result_t<Question, postgres::Connection&> ask(Admin& connection, const Body& body, Question&& question) {
    try {
      return question(*connection);
    } catch (const Error&) {
      connection.drop();
      connection = admin(body);
      return question(*connection);
    }
  }
  // A new connection to one database of it.
  postgres::Connection connect(const Body& body, const std::string& database);
  // How many of them were opened to this body since the daemon began.
  std::int64_t connections_opened(const IncarnationId& id) const;
  // Closes connections whose time is over, so that they do not stand in the way of DROP DATABASE for ever. To be called
  // every second.
  void close_idle_connections();

  std::filesystem::path log_file(const Body& body) const;
  // Brings it up to date, where its server doesn't write it itself.
  void collect_log(const IncarnationId& id) const;
  // Removes what the runtimes of all projects have left that is no branch's.
  void remove_orphans();

 private:
  runtime::InstanceSpec spec(const Body& body) const;
  // Writes all that a start needs besides the volume.
  runtime::InstanceSpec prepare(const Body& body, const StartOptions& options);
  postgres::RecoveryOutcome recover_in_server(const Body& body, const RecoveryOptions& options);
  postgres::RecoveryOutcome recover_in_session(const Body& body, const RecoveryOptions& options);
  // What runs there, or did last: it may be another than its project's by now.
  runtime::InstanceRuntime& runtime_of(const runtime::InstanceSpec& instance) const;
  postgres::InstanceConfiguration configuration(const Body& body, const StartOptions& options) const;
  // What its server sees and may use besides its own two directories.
  void add_surroundings(runtime::InstanceSpec& instance, const Body& body) const;
  void count_opened(const IncarnationId& id);
  // For the next who asks for admin(), unless that takes longer.
  void keep(const IncarnationId& id, postgres::Connection connection, std::chrono::seconds lifetime);
  void close_connections(const IncarnationId& id);

  // While it lives, start() or stop() is at work on the instance.
  class Transition {
   public:
    Transition(Instances& instances, const IncarnationId& id);
    Transition(const Transition&) = delete;
    Transition& operator=(const Transition&) = delete;
    ~Transition() { end(); }
    void end();

   private:
    Instances& instances_;
    const IncarnationId id_;
    bool has_ended_ = false;
  };
  struct Idle {
    IncarnationId id;
    postgres::Connection connection;
    std::chrono::steady_clock::time_point until;
  };
  Engine& engine_;
  postgres::Notifiers notifiers_;
  mutable std::mutex mutex_;
  std::list<Idle> idle_;  // newest first
  std::multiset<IncarnationId> in_transition_;
  std::map<IncarnationId, std::int64_t> opened_;
};

// What installation, project and branch set, later ones over earlier ones.
postgres::SettingList user_settings(const Config& config, const catalog::ProjectRecord& project,
                                    const catalog::BranchRecord& branch);

// Shared memory that an instance of this branch takes before it does anything: its shared_buffers.
Bytes shared_buffers_of(const Config& config, const catalog::ProjectRecord& project,
                        const catalog::BranchRecord& branch);

}  // namespace pgtwig::engine
