// pgtwig branch logs: the end of PostgreSQL's log, and what comes after it.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/render/style.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

constexpr int default_lines = 100;
constexpr int follow_window = 1000;  // lines looked at in each round: more than a log grows between two
constexpr std::chrono::milliseconds follow_pause{500};

std::string read_log(Session& session, const BranchPath& branch, long lines) {
  return session.api().request("GET", fmt::format("{}/log?lines={}", target_of(branch), lines));
}

std::vector<std::string> lines_of(const std::string& answer) {
  std::vector<std::string> lines;
  std::string_view text;
  boost::json::value value = boost::json::parse(answer);
  if (const auto* log = value.as_object().if_contains("log"); log != nullptr && log->is_string())
    text = std::string_view(log->get_string().data(), log->get_string().size());
  while (!text.empty()) {
    auto end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

// With its tabs, which PostgreSQL puts before the further lines of a statement.
std::string shown_line(std::string_view line) {
  std::string text;
  while (true) {
    auto tab = line.find('\t');
    text += without_control_characters(line.substr(0, tab));
    if (tab == std::string_view::npos) return text;
    text += '\t';
    line.remove_prefix(tab + 1);
  }
}

void print_lines(Session& session, const std::vector<std::string>& lines, std::size_t first) {
  std::string text;
  // A terminal obeys what a statement in the log may hold; a file gets the log as it is.
  const bool is_terminal = session.console().data_terminal().is_terminal;
  for (std::size_t i = first; i < lines.size(); ++i) text += (is_terminal ? shown_line(lines[i]) : lines[i]) + "\n";
  session.print(text);
}

int show_logs(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  auto given = session.invocation().find("lines");
  long wanted = given ? std::stol(*given) : default_lines;
  if (!session.invocation().has("follow")) {
    std::string answer = read_log(session, branch, wanted);
    if (session.format() == Format::table)
      print_lines(session, lines_of(answer), 0);
    else
      print_answer(session, {.json = answer});
    return 0;
  }
  auto seen = lines_of(read_log(session, branch, std::max<long>(wanted, follow_window)));
  print_lines(session, seen, seen.size() - std::min(seen.size(), static_cast<std::size_t>(wanted)));
  for (;;) {  // until the person or the closed pipe ends it
    session.world().pause(follow_pause);
    auto lines = lines_of(read_log(session, branch, follow_window));
    print_lines(session, lines, count_seen_lines(seen, lines));
    seen = std::move(lines);
  }
}

}  // namespace

std::size_t count_seen_lines(const std::vector<std::string>& seen, const std::vector<std::string>& lines) {
  for (std::size_t count = std::min(seen.size(), lines.size()); count > 0; --count)
    if (std::equal(seen.end() - static_cast<std::ptrdiff_t>(count), seen.end(), lines.begin())) return count;
  return 0;
}

Command branch_logs_command() {
  return {.names = {"logs", "log"},
          .summary = "Show PostgreSQL's log of a branch",
          .arguments = {{.name = "BRANCH",
                         .kind = ValueKind::branch,
                         .help = "without it the branch chosen by `pgtwig use`",
                         .is_required = false}},
          .options = {{.names = {"--lines", "-n"},
                       .value_name = "N",
                       .kind = ValueKind::count,
                       .help = fmt::format("how many of its last lines; without it {}", default_lines)},
                      {.names = {"--follow"}, .help = "go on with what is written from now on"}},
          .formats = plain_formats(),
          .examples = {{"pgtwig branch logs demo/dev --lines 20 --follow", ""}},
          .run = show_logs};
}

}  // namespace pgtwig::cli
