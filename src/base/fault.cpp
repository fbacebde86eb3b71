// Fault points; the only other global state than the log.
#include "base/fault.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::fault {

namespace {

enum class Action { kill, fail, pause };

struct Fault {
  std::string point;
  int at_passage = 1;
  Action action = Action::fail;
  std::filesystem::path pause_file;
  int passages = 0;
};

struct Faults {
  std::mutex mutex;
  std::vector<Fault> faults;
  std::filesystem::path log;
};

std::atomic<bool> active = false;

Faults& state() {
  static Faults faults;
  return faults;
}

[[noreturn]] void throw_malformed(std::string_view text) {
  throw Error(ErrorCode::invalid_argument, fmt::format("'{}' in PGTWIG_FAULT is no fault", text),
              "write name=kill, name=fail, name:3=kill or name=pause:/some/file, separated by commas");
}

Fault parse_fault(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) throw_malformed(text);
  std::string_view name = text.substr(0, equals);
  const std::string_view action = text.substr(equals + 1);

  Fault fault;
  if (const std::size_t colon = name.find(':'); colon != name.npos) {
    const std::string_view number = name.substr(colon + 1);
    auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), fault.at_passage);
    if (error != std::errc{} || end != number.data() + number.size() || fault.at_passage < 1) throw_malformed(text);
    name = name.substr(0, colon);
  }
  fault.point = std::string(name);
  if (action == "kill") {
    fault.action = Action::kill;
  } else if (action == "fail") {
    fault.action = Action::fail;
  } else if (action.starts_with("pause:/")) {
    fault.action = Action::pause;
    fault.pause_file = action.substr(6);
  } else {
    throw_malformed(text);
  }
  return fault;
}

// What to do at this passage of the point, if anything.
bool pass(std::string_view name, Fault& due) {
  std::lock_guard guard(state().mutex);
  if (!state().log.empty()) {
    UniqueFd log(open(state().log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    const std::string line = std::string(name) + "\n";
    if (!log || write(log.get(), line.data(), line.size()) < 0) throw system_error(errno, "cannot write the fault log");
  }
  for (Fault& fault : state().faults) {
    if (fault.point == name && ++fault.passages == fault.at_passage) {
      due = fault;
      return true;
    }
  }
  return false;
}

void wait_until_gone(const std::filesystem::path& file) {
  write_file(file, "");
  while (std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

void act(const Fault& fault) {
  switch (fault.action) {
    case Action::kill:
      kill(getpid(), SIGKILL);
      while (true) ::pause();
    case Action::fail:
      throw Error(ErrorCode::internal, fmt::format("the fault point {} failed, as PGTWIG_FAULT asked", fault.point));
    case Action::pause:
      wait_until_gone(fault.pause_file);
      return;
  }
}

}  // namespace

void set_up_from_environment() {
  const char* specification = std::getenv("PGTWIG_FAULT");
  const char* log = std::getenv("PGTWIG_FAULT_LOG");
  std::vector<Fault> faults;
  std::string_view rest = specification ? specification : "";
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    faults.push_back(parse_fault(rest.substr(0, comma)));
    rest = comma == rest.npos ? "" : rest.substr(comma + 1);
  }
  std::lock_guard guard(state().mutex);
  state().faults = std::move(faults);
  state().log = log ? log : "";
  active = !state().faults.empty() || !state().log.empty();
}

void point(std::string_view name) {
  if (!active.load(std::memory_order_relaxed)) return;
  Fault due;
  if (pass(name, due)) act(due);
}

}  // namespace pgtwig::fault
