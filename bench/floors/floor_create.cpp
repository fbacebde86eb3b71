// The least that can be done for a running copy of a PostgreSQL cluster, from the order to the first row: what
// `pgtwig branch create` is measured against. Called by bench/run, once for each sample.
//
//     floor_create NAME=VALUE... -- POSTGRES ARGUMENTS...
//
//     method   snapshot: a Btrfs subvolume; cp: `cp -a --reflink=always`
//     parent   how to connect to the source (libpq); empty: it is stopped
//     child    how to connect to the copy
//     source, target   the directories of source and copy, each with `data` in it
//     commits  a file that is written and synced twice, which is what two durable commits of a catalog cost
//     log      where the copy's server writes
//     uid, gid who the copy's server runs as
//
// Prints one JSON object: the server's pid, and nanoseconds in all and for each step. The server goes on running.
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "floor_create: %s: %s\n", what.c_str(), why.c_str());
  std::exit(1);
}

[[noreturn]] void fail(const std::string& what) {
  fail(what, std::strerror(errno));
}

std::map<std::string, std::string> options;

const std::string& option(const std::string& name) {
  const auto entry = options.find(name);
  if (entry == options.end()) fail(name, "is missing");
  return entry->second;
}

std::string run_query(PGconn* connection, const char* query, int column = 0) {
  PGresult* result = PQexec(connection, query);
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) fail(query, PQerrorMessage(connection));
  std::string value = status == PGRES_TUPLES_OK ? PQgetvalue(result, 0, column) : "";
  PQclear(result);
  return value;
}

void run_program(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t pid = vfork();
  if (pid < 0) fail("vfork");
  if (pid == 0) {
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) fail(arguments[0], "status " + std::to_string(status));
}

void write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) fail(path);
  if (fchown(fd, static_cast<uid_t>(std::stoul(option("uid"))), static_cast<gid_t>(std::stoul(option("gid")))) != 0) {
    fail(path);
  }
  close(fd);
}

void snapshot(const std::string& source, const std::string& target) {
  const std::size_t slash = target.rfind('/');
  const int from = open(source.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int into = open(target.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  btrfs_ioctl_vol_args_v2 arguments{};
  arguments.fd = from;
  std::strncpy(arguments.name, target.substr(slash + 1).c_str(), BTRFS_SUBVOL_NAME_MAX);
  if (from < 0 || into < 0 || ioctl(into, BTRFS_IOC_SNAP_CREATE_V2, &arguments) != 0) fail("snapshot of " + source);
  close(from);
  close(into);
}

void copy_by_reflink(PGconn* parent) {
  const std::string source = option("source");
  const std::string target = option("target");
  if (parent) run_query(parent, "SELECT pg_backup_start('floor', true)");
  run_program({"cp", "-a", "--reflink=always", source, target});
  if (!parent) return;
  write_file(target + "/data/backup_label", run_query(parent, "SELECT * FROM pg_backup_stop(false)", 1));
  // The WAL up to the end of the backup, which the first pass may have missed.
  run_program({"rm", "-rf", target + "/data/pg_wal"});
  run_program({"cp", "-a", "--reflink=always", source + "/data/pg_wal", target + "/data/pg_wal"});
}

void clone(PGconn* parent) {
  if (option("method") == "snapshot") {
    snapshot(option("source"), option("target"));
  } else {
    copy_by_reflink(parent);
  }
  if (unlink((option("target") + "/data/postmaster.pid").c_str()) != 0 && errno != ENOENT) fail("postmaster.pid");
}

void commit_twice(int fd) {
  const char record[512] = "what a catalog would write";
  for (int i = 0; i < 2; ++i) {
    if (pwrite(fd, record, sizeof record, i * 4096) != sizeof record || fsync(fd) != 0) fail("commit");
  }
}

pid_t start_server(char** arguments, int log) {
  const auto uid = static_cast<uid_t>(std::stoul(option("uid")));
  const auto gid = static_cast<gid_t>(std::stoul(option("gid")));
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    setsid();
    dup2(log, 1);
    dup2(log, 2);
    if (geteuid() != uid && (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) _exit(126);
    execv(arguments[0], arguments);
    _exit(127);
  }
  return pid;
}

// Line 8 of postmaster.pid: cheaper to look at than a connection that comes too early, which costs the server a fork.
bool says_ready(const std::string& pid_file) {
  char text[1024];
  const int fd = open(pid_file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length > 0 ? length : 0] = '\0';
  return std::strstr(text, "\nready") != nullptr;
}

// Returns when the server said that it is ready.
Clock::time_point wait_for_first_row(pid_t server) {
  const std::string pid_file = option("target") + "/data/postmaster.pid";
  while (true) {
    if (says_ready(pid_file)) {
      const auto ready = Clock::now();
      PGconn* connection = PQconnectdb(option("child").c_str());
      if (PQstatus(connection) == CONNECTION_OK && run_query(connection, "SELECT 1") == "1") {
        PQfinish(connection);
        return ready;
      }
      PQfinish(connection);
    }
    if (waitpid(server, nullptr, WNOHANG) != 0) fail("the server ended", "see " + option("log"));
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
}

}  // namespace

int main(int argc, char** argv) {
  int i = 1;
  for (; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    options[argument.substr(0, equals)] = equals == argument.npos ? "" : argument.substr(equals + 1);
  }
  if (i + 1 >= argc) fail("arguments", "no server is named after --");

  PGconn* parent = nullptr;
  if (!option("parent").empty()) {
    parent = PQconnectdb(option("parent").c_str());
    if (PQstatus(parent) != CONNECTION_OK) fail("parent", PQerrorMessage(parent));
    run_query(parent, "SELECT 1");
  }
  const int commits = open(option("commits").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const int log = open(option("log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (commits < 0 || log < 0) fail("cannot open a file");

  const auto begin = Clock::now();
  if (parent && option("method") == "snapshot") run_query(parent, "CHECKPOINT");
  const auto checkpointed = Clock::now();
  clone(parent);
  const auto cloned = Clock::now();
  commit_twice(commits);
  const auto committed = Clock::now();
  const pid_t server = start_server(argv + i + 1, log);
  const auto ready = wait_for_first_row(server);
  const auto end = Clock::now();

  const auto nanoseconds = [](auto duration) {
    return static_cast<long long>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
  };
  std::printf(
      "{\"pid\": %d, \"total_ns\": %lld, \"checkpoint_ns\": %lld, \"clone_ns\": %lld, \"commit_ns\": %lld, "
      "\"start_ns\": %lld, \"row_ns\": %lld}\n",
      server, nanoseconds(end - begin), nanoseconds(checkpointed - begin), nanoseconds(cloned - checkpointed),
      nanoseconds(committed - cloned), nanoseconds(ready - committed), nanoseconds(end - ready));
  if (parent) PQfinish(parent);
  return 0;
}
