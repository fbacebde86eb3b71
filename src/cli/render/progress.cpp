#include "cli/render/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/render/style.h"

namespace pgtwig::cli {
namespace {

constexpr std::size_t line_width = 34;  // of a step's name and its time
// Between two lines of one step's progress, where a line can't be overwritten: a log with one for each second helps
// nobody.
constexpr std::chrono::seconds progress_interval{10};

std::string bullet(const Terminal& terminal) {
  return terminal.is_utf8 ? "▸" : ">";
}

std::string done_line(const Terminal& terminal, const engine::Event& event) {
  std::string name = without_control_characters(event.text);
  std::string time = format_milliseconds(event.ms);
  std::size_t room = line_width - std::min(line_width, display_width(name));
  time = pad_left(time, std::max(room, time.size() + 2));
  return "  " + paint(terminal, Paint::green, bullet(terminal)) + " " + name + time;
}

}  // namespace

std::string format_milliseconds(std::int64_t ms) {
  if (ms < 10'000) return fmt::format("{} ms", ms);
  if (ms < 120'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  return fmt::format("{} min {} s", ms / 60'000, ms % 60'000 / 1000);
}

Progress::Progress(Console& console, std::string heading, bool is_silent)
    : console_(console), heading_(std::move(heading)), is_silent_(is_silent) {}

Progress::~Progress() {
  clear_live_line();
}

void Progress::on_event(const engine::Event& event) {
  const std::lock_guard lock(mutex_);
  if (event.type == "notice") notices_.push_back(event.text);
  if (is_silent_) return;
  const Terminal& terminal = console_.words_terminal();
  clear_live_line();
  if (event.type == "step.begun") {
    if (running_.empty()) told_at_ = event.time;
    running_.push_back(event.text);
  } else if (event.type == "step.progress") {
    how_far_ = event.text;
    if (!terminal.is_terminal) print_progress(event);
  } else if (event.type == "step.done") {
    auto found = std::find(running_.begin(), running_.end(), event.text);
    if (found != running_.end()) running_.erase(found);
    how_far_.clear();
    told_at_ = event.time;
    print_line(done_line(terminal, event));
  } else if (event.type == "notice") {
    print_line("  " + paint(terminal, Paint::yellow, "note:") + " " + without_control_characters(event.text));
  }
  draw_live_line();
}

void Progress::say(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (is_silent_) return;
  clear_live_line();
  console_.write_words(without_control_characters(line) + "\n");
  draw_live_line();
}

void Progress::print_progress(const engine::Event& event) {
  if (event.time - told_at_ < progress_interval) return;
  told_at_ = event.time;
  print_line("    " + without_control_characters(event.text));
}

bool Progress::has_shown(const std::string& notice) const {
  return !is_silent_ && std::find(notices_.begin(), notices_.end(), notice) != notices_.end();
}

void Progress::print_heading() {
  if (has_heading_) return;
  has_heading_ = true;
  if (!heading_.empty()) console_.write_words(heading_ + "\n");
}

void Progress::print_line(const std::string& line) {
  print_heading();
  console_.write_words(line + "\n");
}

void Progress::clear_live_line() {
  if (!has_live_line_) return;
  console_.write_words("\r\x1b[K");
  has_live_line_ = false;
}

// The oldest step that still runs, on a line that the next event overwrites.
void Progress::draw_live_line() {
  const Terminal& terminal = console_.words_terminal();
  if (!terminal.is_terminal || running_.empty()) return;
  print_heading();
  std::string line =
      "  " + bullet(terminal) + " " + without_control_characters(running_.front()) + (terminal.is_utf8 ? " …" : " ...");
  if (!how_far_.empty()) line += " " + without_control_characters(how_far_);
  console_.write_words(cut_to_width(terminal, line, static_cast<std::size_t>(terminal.width) - 1));
  has_live_line_ = true;
}

}  // namespace pgtwig::cli
