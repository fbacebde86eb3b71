// The steps of an operation as they happen: live on a terminal, a line for each one elsewhere. On standard error.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "cli/console.h"
#include "engine/views.h"

namespace pgtwig::cli {

class Progress {
 public:
  // `heading` is printed with the first line to tell: an operation that is refused at once has none. A silent one only
  // remembers the notices.
  Progress(Console& console, std::string heading, bool is_silent);
  ~Progress();  // leaves no half line behind
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void on_event(const engine::Event& event);
  // A line between the steps, from any thread.
  void say(const std::string& line);
  // Whether a notice of these words has been shown.
  bool has_shown(const std::string& notice) const;

 private:
  void print_progress(const engine::Event& event);
  void print_heading();
  void print_line(const std::string& line);
  void clear_live_line();
  void draw_live_line();

  std::mutex mutex_;  // guards the rest
  Console& console_;
  std::string heading_;
  bool is_silent_;
  bool has_heading_ = false;
  bool has_live_line_ = false;
  std::vector<std::string> running_;  // steps begun and not done, oldest first
  std::string how_far_;               // the oldest of them has come, in its words
  TimePoint told_at_;                 // when that was last printed, or the step began
  std::vector<std::string> notices_;
};

// "74 ms", "1.2 s", "3 min 5 s".
std::string format_milliseconds(std::int64_t ms);

}  // namespace pgtwig::cli
