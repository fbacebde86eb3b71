// A world for one call of pgtwig in a test: streams that are remembered, a daemon that answers what it was told to, a
// clock that stands still.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/run.h"

namespace pgtwig::cli::test {

class FakeConsole final : public Console {
 public:
  void write_data(std::string_view text) override {
    if (is_closed) throw ClosedPipe{};
    if (is_full) throw Error(ErrorCode::no_space, "cannot write to standard output", "free some space");
    data += text;
  }
  void write_words(std::string_view text) override { words += text; }
  std::optional<std::string> read_line() override {
    if (answers.empty()) return std::nullopt;
    std::string line = answers.front();
    answers.pop_front();
    return line;
  }
  const Terminal& data_terminal() const override { return data_view; }
  const Terminal& words_terminal() const override { return words_view; }
  bool can_ask() const override { return has_person; }

  std::string data;
  std::string words;
  Terminal data_view;
  Terminal words_view;
  std::deque<std::string> answers;
  bool has_person = false;
  bool is_closed = false;
  bool is_full = false;
};

struct Request {
  std::string line;  // "POST /v1/projects"
  std::string body;
  std::string uploaded;
};

class FakeDaemon {
 public:
  // What a request is answered with, always; the line is its method and target.
  void answers(const std::string& line, const std::string& json) { answers_[line] = json; }
  void refuses(const std::string& line, const Error& error) { refusals_.emplace(line, error); }
  // Its events are heard, and then it fails.
  void fails(const std::string& line, const Error& error) { failures_.emplace(line, error); }

  std::string answer(const std::string& line, const std::string& body, const client::OnEvent* on_event,
                     const std::string& uploaded = {});

  bool is_running = true;
  std::vector<engine::Event> events;  // of every change
  std::function<void(const engine::Event&)> after_event;
  std::vector<Request> requests;

 private:
  void tell(const client::OnEvent* on_event);

  std::map<std::string, std::string> answers_;
  std::map<std::string, Error> refusals_;
  std::map<std::string, Error> failures_;
};

class FakeWorld {
 public:
  FakeWorld();
  ~FakeWorld();
  FakeWorld(const FakeWorld&) = delete;
  FakeWorld& operator=(const FakeWorld&) = delete;

  int run(const std::vector<std::string>& words) { return run_words(world, words); }
  // The whole of what was asked of the daemon, a line for each request.
  std::vector<std::string> asked() const;
  // Ctrl-C while a change runs; what the command line answers: whether it waits on.
  bool interrupt(int count) { return on_interrupt_(count); }

  FakeConsole console;
  FakeDaemon daemon;
  std::vector<ProcessImage> became;
  std::vector<std::vector<std::string>> replacements;  // arguments of daemons that took the place of another
  std::map<std::string, std::string> variables;        // that were set for daemons to inherit
  int start_wishes = 0;                                // connections that would have started a daemon
  std::filesystem::path folder;                        // the working directory; empty, removed at the end
  Composition composition;
  World world;

 private:
  class StillClock final : public Clock {
   public:
    TimePoint now() const override;
  };
  StillClock clock_;
  OnInterrupt on_interrupt_;  // while a change runs
};

// The API's JSON of a branch: "demo/dev", running on port 6002, made an hour before the fake clock's time.
std::string branch_json(const std::string& name, const std::string& state = "running");
std::string project_json(const std::string& name);
std::string projects_json(const std::vector<std::string>& names);
std::string credentials_json();
engine::BranchView branch_view(const std::string& name);
engine::SnapshotView snapshot_view(const std::string& branch, const std::string& name);
std::string snapshots_json(const std::vector<engine::SnapshotView>& snapshots);
TimePoint fake_now();

// Compares `actual` with the file golden/<name>; with PGTWIG_UPDATE_GOLDEN=1 the file is written instead.
void expect_golden(const std::string& name, const std::string& actual);

}  // namespace pgtwig::cli::test
