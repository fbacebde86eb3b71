// One call of pgtwig: the command with its values, and the world it runs in. Every command is given one and nothing
// else, so a test can put a world of its own around it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/paths.h"
#include "base/time.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/parser.h"

namespace pgtwig::cli {

// What this process turns into: psql, or the user's program.
struct ProcessImage {
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;  // set over the inherited one
  std::vector<std::string> removed_variables;
};

struct World {
  std::map<std::string, std::string> environment;
  std::filesystem::path working_directory;
  bool is_root = false;
  const Clock* clock = nullptr;
  Console* console = nullptr;
  // Of this process: what a daemon that it becomes or starts is to find there as well.
  std::function<void(const std::string& name, const std::string& value)> set_variable;
  Connect connect;
  ReplaceDaemon replace_daemon;
  std::function<int(const ProcessImage&)> become;        // returns in tests only; throws when the program can't be run
  std::function<int(const ProcessImage&)> run_attended;  // on our terminal; its exit status, 128 + signal when killed
  std::function<void(std::chrono::milliseconds)> pause;  // between two looks at something that changes by itself
  WatchInterrupts watch_interrupts;
  const Composition* composition = nullptr;
};

class Session {
 public:
  Session(World& world, const ParsedCall& call);

  const Command& command() const { return *call_.path.command; }
  const CommandPath& path() const { return call_.path; }
  const Invocation& invocation() const { return call_.invocation; }
  World& world() const { return world_; }
  Console& console() const { return *world_.console; }
  std::optional<std::string> environment(const std::string& name) const;

  // Where this installation is; --config and PGTWIG_CONFIG are heeded.
  const Paths& paths();
  // The daemon, started when it does not answer.
  Api& api();
  // The daemon if it runs; requests throw daemon_unavailable when it does not.
  Api& api_without_start();

  Format format() const { return format_; }
  // Whether words about what is being done are wanted: not beside machine-readable data that goes to a program.
  bool shows_words() const;
  // A line on standard error.
  void say(const std::string& line) const;
  void warn(const std::string& line) const;
  void print(std::string_view data) const { console().write_data(data); }

  // Asks on a terminal; true with --yes, and where there is nobody to ask.
  bool confirm(const std::string& question) const;
  bool assumes_yes() const { return invocation().has("yes"); }

 private:
  std::unique_ptr<Api> connect(bool start_daemon);

  World& world_;
  const ParsedCall& call_;
  Format format_ = Format::table;
  std::optional<Paths> paths_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<Api> api_without_start_;
};

}  // namespace pgtwig::cli
