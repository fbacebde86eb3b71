#include "tests/unit/cli/fake_world.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "api/json.h"
#include "base/time.h"
#include "tests/support/places.h"

namespace pgtwig::cli::test {
namespace {

class FakeApi final : public Api {
 public:
  FakeApi(FakeDaemon& daemon, ConnectOptions options) : daemon_(daemon), options_(std::move(options)) {}

  std::string request(const std::string& method, const std::string& target, const std::string& body) override {
    require_running();
    return daemon_.answer(method + " " + target, body, nullptr);
  }
  std::string request_with_events(const std::string& method, const std::string& target, const std::string& body,
                                  const client::OnEvent& on_event) override {
    require_running();
    return daemon_.answer(method + " " + target, body, &on_event);
  }
  std::string upload_with_events(const std::string& target, const std::string& request_json, int fd,
                                 const client::OnEvent& on_event) override {
    require_running();
    std::string dump(1024, '\0');
    ssize_t count = ::read(fd, dump.data(), dump.size());
    dump.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return daemon_.answer("POST " + target, request_json, &on_event, dump);
  }
  bool is_daemon_running() override { return daemon_.is_running; }

 private:
  void require_running() {
    if (daemon_.is_running) return;
    if (!options_.start_daemon) throw Error(ErrorCode::daemon_unavailable, "nobody answers", "pgtwig daemon start");
    daemon_.is_running = true;
    if (options_.on_notice) options_.on_notice("Started the pgtwig daemon (pid 1)");
  }

  FakeDaemon& daemon_;
  ConnectOptions options_;
};

}  // namespace

std::string FakeDaemon::answer(const std::string& line, const std::string& body, const client::OnEvent* on_event,
                               const std::string& uploaded) {
  requests.push_back({line, body, uploaded});
  if (auto refusal = refusals_.find(line); refusal != refusals_.end()) throw refusal->second;
  if (auto failure = failures_.find(line); failure != failures_.end()) {
    tell(on_event);
    throw failure->second;
  }
  auto found = answers_.find(line);
  if (found == answers_.end())
    throw Error(ErrorCode::not_found, "the fake daemon has no answer to " + line, "give it one");
  tell(on_event);
  return found->second;
}

void FakeDaemon::tell(const client::OnEvent* on_event) {
  if (on_event == nullptr) return;
  for (const auto& event : std::vector(events)) {
    (*on_event)(event);
    if (after_event) after_event(event);
  }
}

TimePoint fake_now() {
  return *parse_rfc3339("2026-03-01T12:00:00Z");
}

TimePoint FakeWorld::StillClock::now() const {
  return fake_now();
}

FakeWorld::FakeWorld() {
  std::string pattern = ::testing::TempDir() + "pgtwig-cli-XXXXXX";
  folder = ::mkdtemp(pattern.data());
  world.environment = {{"PGTWIG_ROOT", folder.string()}, {"HOME", folder.string()}};
  world.working_directory = folder;
  world.clock = &clock_;
  world.console = &console;
  world.set_variable = [this](const std::string& name, const std::string& value) { variables[name] = value; };
  world.connect = [this](const Paths&, const ConnectOptions& options) {
    if (options.start_daemon) ++start_wishes;
    return std::make_unique<FakeApi>(daemon, options);
  };
  world.replace_daemon = [this](const Paths&, const std::vector<std::string>& arguments,
                                const std::function<void()>& stop) {
    stop();
    replacements.push_back(arguments);
    daemon.is_running = true;
  };
  world.become = [this](const ProcessImage& image) {
    became.push_back(image);
    return 0;
  };
  world.watch_interrupts = [this](OnInterrupt on_interrupt) {
    on_interrupt_ = std::move(on_interrupt);
    return nullptr;
  };
  world.pause = [](std::chrono::milliseconds) {};
  world.composition = &composition;
}

FakeWorld::~FakeWorld() {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

std::vector<std::string> FakeWorld::asked() const {
  std::vector<std::string> lines;
  for (const auto& request : daemon.requests) lines.push_back(request.line);
  return lines;
}

engine::BranchView branch_view(const std::string& name) {
  engine::BranchView view;
  auto slash = name.find('/');
  view.name = name;
  view.project = name.substr(0, slash);
  view.branch = name.substr(slash + 1);
  if (view.branch != "main") view.parent = view.project + "/main";
  view.state = "running";
  view.host = "127.0.0.1";
  view.port = 6002;
  view.url = "postgresql://postgres:***@127.0.0.1:6002/postgres";
  view.pid = 4711;
  view.pool = "default";
  view.driver = "btrfs";
  view.method = "snapshot";
  view.runtime = "native";
  view.pg_version = 15;
  view.durability = "full";
  view.created_at = fake_now() - std::chrono::hours(1);
  view.started_at = fake_now() - std::chrono::minutes(5);
  view.size = engine::SizeView{40_MiB, 384_KiB, 39_MiB, fake_now() - std::chrono::minutes(1)};
  return view;
}

std::string branch_json(const std::string& name, const std::string& state) {
  auto view = branch_view(name);
  view.state = state;
  return api::to_json(view);
}

engine::SnapshotView snapshot_view(const std::string& branch, const std::string& name) {
  engine::SnapshotView view;
  auto slash = branch.find('/');
  view.id = "0123456789abcdef0123456789abcdef";
  view.name = branch + "@" + name;
  view.project = branch.substr(0, slash);
  view.branch = branch.substr(slash + 1);
  view.snapshot = name;
  view.kind = "manual";
  view.lsn = "0/3000060";
  view.created_at = fake_now() - std::chrono::hours(3);
  view.pool = "default";
  view.method = "snapshot";
  return view;
}

std::string snapshots_json(const std::vector<engine::SnapshotView>& snapshots) {
  return api::to_json(snapshots);
}

std::string project_json(const std::string& name) {
  engine::ProjectView view;
  view.name = name;
  view.pool = "default";
  view.driver = "btrfs";
  view.method = "snapshot";
  view.runtime = "native";
  view.pg_version = 15;
  view.branch_count = 2;
  view.running_count = 1;
  view.created_at = fake_now() - std::chrono::hours(48);
  return api::to_json(view);
}

std::string projects_json(const std::vector<std::string>& names) {
  std::string json = "{\"projects\":[";
  for (const auto& name : names) json += (json.back() == '[' ? "" : ",") + project_json(name);
  return json + "]}";
}

std::string credentials_json() {
  engine::CredentialsView view;
  view.url = "postgresql://postgres:s3cret@127.0.0.1:6002/postgres";
  view.password = "s3cret";
  view.user = "postgres";
  view.host = "127.0.0.1";
  view.port = 6002;
  view.database = "postgres";
  return api::to_json(view);
}

void expect_golden(const std::string& name, const std::string& actual) {
  auto file = pgtwig::support::source_directory() / "tests/unit/cli/golden" / name;
  if (std::getenv("PGTWIG_UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << actual;
    return;
  }
  std::ifstream stream(file);
  ASSERT_TRUE(stream) << file << " is missing; PGTWIG_UPDATE_GOLDEN=1 writes it";
  std::stringstream expected;
  expected << stream.rdbuf();
  EXPECT_EQ(expected.str(), actual) << "PGTWIG_UPDATE_GOLDEN=1 writes " << file << " anew";
}

}  // namespace pgtwig::cli::test
