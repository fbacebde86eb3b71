#include "catalog/catalog.h"

#include <SQLiteCpp/Exception.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <mutex>

#include "base/fs.h"
#include "catalog/connection.h"
#include "catalog/rows.h"
#include "catalog/schema.h"
#include "catalog/transaction.h"

namespace pgtwig::catalog {
namespace {

// Idle reader connections that are kept; more exist only while more threads read at once.
constexpr std::size_t kept_readers = 8;

class SqliteCatalog final : public Catalog {
 public:
  SqliteCatalog(const std::filesystem::path& file, const InstallationId& new_installation)
      : file_(file), writer_(file, Connection::Role::writer), installation_(prepare(new_installation)) {}

  const InstallationId& installation() const override { return installation_; }

  std::vector<PoolRecord> pools() override { return all(read_pool, "SELECT * FROM pools ORDER BY name"); }
  std::optional<PoolRecord> find_pool(const PoolName& name) override {
    return one(read_pool, "SELECT * FROM pools WHERE name = ?", name.text());
  }
  std::optional<PoolRecord> find_pool(const PoolId& id) override {
    return one(read_pool, "SELECT * FROM pools WHERE id = ?", id);
  }

  std::vector<ProjectRecord> projects() override { return all(read_project, "SELECT * FROM projects ORDER BY name"); }
  std::optional<ProjectRecord> find_project(const ProjectName& name) override {
    return one(read_project, "SELECT * FROM projects WHERE name = ?", name.text());
  }
  std::optional<ProjectRecord> find_project(const ProjectId& id) override {
    return one(read_project, "SELECT * FROM projects WHERE id = ?", id);
  }

  std::vector<BranchRecord> branches() override {
    return all(read_branch,
               "SELECT branches.* FROM branches JOIN projects ON projects.id = branches.project "
               "ORDER BY projects.name, branches.name <> 'main', branches.name");
  }
  std::vector<BranchRecord> branches(const ProjectId& project) override {
    return all(read_branch, "SELECT * FROM branches WHERE project = ? ORDER BY name <> 'main', name", project);
  }
  std::optional<BranchRecord> find_branch(const ProjectId& project, const BranchName& name) override {
    return one(read_branch, "SELECT * FROM branches WHERE project = ? AND name = ?", project, name.text());
  }
  std::optional<BranchRecord> find_branch(const BranchId& id) override {
    return one(read_branch, "SELECT * FROM branches WHERE id = ?", id);
  }
  std::vector<BranchRecord> children(const BranchId& branch) override {
    return all(read_branch, "SELECT * FROM branches WHERE parent = ? ORDER BY name", branch);
  }

  std::optional<BranchRecord> selected_branch() override {
    return one(read_branch,
               "SELECT branches.* FROM installation JOIN branches ON branches.id = installation.selected_branch");
  }

  std::vector<std::uint16_t> used_ports(const std::string& host) override {
    // Answered by the index alone.
    return all(
        +[](Row row) { return static_cast<std::uint16_t>(row.integer()); },
        "SELECT port FROM branches WHERE host = ? AND port <> 0 ORDER BY port", host);
  }

  std::vector<IncarnationRecord> incarnations(const ProjectId& project) override {
    return all(read_incarnation, "SELECT * FROM incarnations WHERE project = ? ORDER BY began_at, rowid", project);
  }
  std::vector<IncarnationRecord> incarnations(const BranchId& branch) override {
    return all(read_incarnation, "SELECT * FROM incarnations WHERE branch = ? ORDER BY began_at, rowid", branch);
  }
  std::optional<IncarnationRecord> find_incarnation(const IncarnationId& id) override {
    return one(read_incarnation, "SELECT * FROM incarnations WHERE id = ?", id);
  }

  std::vector<SnapshotRecord> snapshots(const ProjectId& project) override {
    return all(read_snapshot, "SELECT * FROM snapshots WHERE project = ? ORDER BY created_at, rowid", project);
  }
  std::vector<SnapshotRecord> snapshots(const BranchId& branch) override {
    return all(read_snapshot, "SELECT * FROM snapshots WHERE branch = ? ORDER BY created_at, rowid", branch);
  }
  std::optional<SnapshotRecord> find_snapshot(const BranchId& branch, const std::string& name) override {
    return one(read_snapshot, "SELECT * FROM snapshots WHERE branch = ? AND name = ?", branch, name);
  }
  std::optional<SnapshotRecord> find_snapshot(const IncarnationId& id) override {
    return one(read_snapshot, "SELECT * FROM snapshots WHERE id = ?", id);
  }

  std::vector<ScheduleRecord> schedules() override {
    return all(read_schedule, "SELECT * FROM schedules ORDER BY branch");
  }
  std::optional<ScheduleRecord> find_schedule(const BranchId& branch) override {
    return one(read_schedule, "SELECT * FROM schedules WHERE branch = ?", branch);
  }

  std::vector<SweepRecord> sweep_list() override { return all(read_sweep, "SELECT * FROM sweep_list ORDER BY volume"); }
  std::vector<OperationRecord> operations(int limit) override {
    return all(read_operation,
               "SELECT id, kind, target, state, steps, error_code, error_message, started_at, finished_at "
               "FROM operations ORDER BY sequence DESC LIMIT ?",
               limit);
  }

  std::unique_ptr<Transaction> begin() override { return begin_transaction(writer_, writer_mutex_); }

 private:
  InstallationId prepare(const InstallationId& new_installation) {
    migrate(writer_.database(), file_, new_installation);
    Query check = writer_.query("PRAGMA quick_check(1)");
    std::string verdict = check.next() ? check.row().text() : "no answer";
    if (verdict != "ok") throw damaged(file_, verdict);
    Query identity = writer_.query("SELECT id FROM installation");
    if (!identity.next()) throw damaged(file_, "it has no identity");
    return identity.row().id<InstallationId>();
  }

  // A reader connection for the length of one question.
  class Reader {
   public:
    explicit Reader(SqliteCatalog& catalog) : catalog_(catalog) {
      {
        std::lock_guard lock(catalog.readers_mutex_);
        if (!catalog.readers_.empty()) {
          connection_ = std::move(catalog.readers_.back());
          catalog.readers_.pop_back();
        }
      }
      if (!connection_) connection_ = std::make_unique<Connection>(catalog.file_, Connection::Role::reader);
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() {
      std::lock_guard lock(catalog_.readers_mutex_);
      if (catalog_.readers_.size() < kept_readers) catalog_.readers_.push_back(std::move(connection_));
    }
    Connection* operator->() { return connection_.get(); }

   private:
    SqliteCatalog& catalog_;
    std::unique_ptr<Connection> connection_;
  };

  template <class Record, class... Values>
  std::vector<Record> all(Record (*read)(Row), const char* sql, const Values&... values) {
    try {
      Reader reader(*this);
      Query query = reader->query(sql, values...);
      std::vector<Record> records;
      while (query.next()) records.push_back(read(query.row()));
      return records;
    } catch (const SQLite::Exception& exception) {
      throw translate(exception, file_);
    }
  }

  template <class Record, class... Values>
  std::optional<Record> one(Record (*read)(Row), const char* sql, const Values&... values) {
    std::vector<Record> records = all(read, sql, values...);
    if (records.empty()) return std::nullopt;
    return std::move(records.front());
  }

  std::filesystem::path file_;
  Connection writer_;
  std::mutex writer_mutex_;  // guards writer_
  InstallationId installation_;
  std::mutex readers_mutex_;  // guards readers_
  std::vector<std::unique_ptr<Connection>> readers_;
};

// SQLite gives its log and index the mode of the database, so the mode must be right before SQLite comes.
void make_private_file(const std::filesystem::path& file) {
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) throw system_error(errno, fmt::format("cannot open the catalog {}", file.string()));
  if (::fchmod(fd.get(), 0600) != 0) {
    throw system_error(errno, fmt::format("cannot make the catalog {} private", file.string()));
  }
}

}  // namespace

std::unique_ptr<Catalog> open_catalog(const std::filesystem::path& file, const InstallationId& new_installation) {
  make_private_file(file);
  try {
    return std::make_unique<SqliteCatalog>(file, new_installation);
  } catch (const SQLite::Exception& exception) {
    throw translate(exception, file);
  }
}

}  // namespace pgtwig::catalog
