// Tables at several widths, progress with and without a terminal, and the formats for programs.
#include <gtest/gtest.h>

#include "cli/render/error.h"
#include "cli/render/progress.h"
#include "cli/render/style.h"
#include "cli/render/table.h"
#include "cli/render/text_formats.h"
#include "cli/render/views.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

std::vector<engine::BranchView> some_branches() {
  auto main = branch_view("demo/main");
  main.port = 6001;
  auto dev = branch_view("demo/feature/a-rather-long-name-of-a-branch");
  dev.expires_at = fake_now() + std::chrono::hours(2);
  auto wide = branch_view("demo/日本語");
  wide.state = "stopped";
  wide.size.reset();
  return {main, dev, wide};
}

TEST(BranchTable, FitsWidthsFromWideToNarrow) {
  for (int width : {200, 100, 80, 60, 40}) {
    Terminal terminal{.is_terminal = true, .width = width};
    std::string table = branch_table(some_branches(), terminal, fake_now());
    expect_golden("table/branches_" + std::to_string(width) + ".txt", table);
    for (std::size_t begin = 0; begin < table.size();) {
      auto end = table.find('\n', begin);
      EXPECT_LE(display_width(table.substr(begin, end - begin)), static_cast<std::size_t>(width));
      begin = end + 1;
    }
  }
}

TEST(BranchTable, IsWholeWhereNobodyLooks) {
  Terminal terminal{.is_terminal = false, .width = 20};
  expect_golden("table/branches_piped.txt", branch_table(some_branches(), terminal, fake_now()));
}

TEST(BranchTable, OfNoBranchesHasItsTitles) {
  EXPECT_TRUE(branch_table({}, {}, fake_now()).starts_with("NAME"));
}

TEST(BranchCard, LeavesOutWhatIsNotKnown) {
  auto view = branch_view("demo/dev");
  view.origin = engine::OriginView{"demo/main", std::nullopt, "0/16B3748", fake_now() - std::chrono::hours(1)};
  view.settings = {{"work_mem", "64MB"}};
  view.steps = {{"Checkpoint", 4}, {"Clone volume (btrfs)", 6}};
  view.total_ms = 74;
  expect_golden("table/branch_card.txt", branch_card(view, {}, fake_now()));
}

TEST(BranchCard, ShowsWindowsAndLineage) {
  auto view = branch_view("demo/dev");
  using std::chrono::microseconds;
  using std::chrono::minutes;
  view.windows = {{fake_now() - minutes(90), fake_now() - minutes(90), "0/3000060", "0/3000060", false},
                  {fake_now() - minutes(30) - microseconds(1), fake_now(), "0/5000060", "0/6000148", true}};
  view.lineage = {{"demo/dev", "restore", "demo/dev@2026-03-01T11:00:00Z", fake_now() - minutes(5)},
                  {"demo/dev", "create", "demo/main@2026-03-01T10:30:00Z", fake_now() - minutes(90)},
                  {"demo/main", "create", std::nullopt, fake_now() - minutes(300)}};
  expect_golden("table/branch_card_recovery.txt", branch_card(view, {}, fake_now()));
}

std::vector<engine::SnapshotView> some_snapshots() {
  auto labelled = snapshot_view("demo/main", "before-migration");
  labelled.message = "schema v12, before the orders are split into two tables";
  labelled.branches = {"demo/dev", "demo/feature/x"};
  auto scheduled = snapshot_view("demo/main", "20260301-110000");
  scheduled.kind = "scheduled";
  scheduled.created_at = fake_now() - std::chrono::minutes(60);
  return {labelled, scheduled};
}

TEST(SnapshotTable, FitsWidthsFromWideToNarrow) {
  for (int width : {140, 80, 40}) {
    Terminal terminal{.is_terminal = true, .width = width};
    expect_golden("table/snapshots_" + std::to_string(width) + ".txt",
                  snapshot_table(some_snapshots(), terminal, fake_now()));
  }
}

TEST(SnapshotCard, ShowsBranchesAndMessage) {
  expect_golden("table/snapshot_card.txt", snapshot_card(some_snapshots().front(), {}, fake_now()));
}

TEST(Style, CountsColumnsAndNotBytes) {
  EXPECT_EQ(6u, display_width("日本語"));
  EXPECT_EQ(3u, display_width("été"));
  EXPECT_EQ(1u, display_width("e\xcc\x81"));  // combining acute
  EXPECT_EQ(2u, display_width("\xff\xfe"));
  EXPECT_EQ("日…", cut_to_width({}, "日本語", 4));
  EXPECT_EQ("ab~", cut_to_width({.is_utf8 = false}, "abcdef", 3));
}

TEST(Style, PaintsOnlyWhereThereIsColour) {
  EXPECT_EQ("x", paint({}, Paint::red, "x"));
  EXPECT_EQ("\x1b[31mx\x1b[0m", paint({.is_terminal = true, .has_color = true}, Paint::red, "x"));
}

TEST(Style, ShowsControlCharactersInsteadOfSendingThem) {
  EXPECT_EQ("a\\x1b[2Jb\\x0ac", without_control_characters("a\x1b[2Jb\nc"));
  EXPECT_EQ("a\\x9b2J\\x9b", without_control_characters("a\xc2\x9b"
                                                        "2J\x9b"));
  EXPECT_EQ("\u00e4\u0440", without_control_characters("\u00e4\u0440"));
  EXPECT_TRUE(render_card({{"Held back", "x\x1b[2J"}}, Terminal{}).ends_with("x\\x1b[2J\n"));
}

void play(Progress& progress) {
  auto event = [&](const char* type, const char* text, std::int64_t ms = 0) {
    engine::Event one;
    one.type = type;
    one.text = text;
    one.ms = ms;
    progress.on_event(one);
  };
  event("operation.begun", "");
  event("step.begun", "Checkpoint");
  event("step.done", "Checkpoint", 4);
  event("notice", "Pool default (btrfs)");
  event("step.begun", "Clone volume (btrfs)");
  event("step.begun", "Flush");
  event("step.done", "Flush", 5);
  event("step.done", "Clone volume (btrfs)", 6);
  event("step.done", "PostgreSQL ready", 12'345);
  event("operation.done", "");
}

TEST(Progress, IsALineForEachStepWithoutATerminal) {
  FakeConsole console;
  Progress progress(console, "Creating demo/dev from demo/main", false);
  play(progress);
  EXPECT_EQ(
      "Creating demo/dev from demo/main\n"
      "  ▸ Checkpoint                    4 ms\n"
      "  note: Pool default (btrfs)\n"
      "  ▸ Flush                         5 ms\n"
      "  ▸ Clone volume (btrfs)          6 ms\n"
      "  ▸ PostgreSQL ready            12.3 s\n",
      console.words);
}

TEST(Progress, ShowsTheRunningStepOnATerminalAndOverwritesIt) {
  FakeConsole console;
  console.words_view.is_terminal = true;
  Progress progress(console, "Creating", false);
  play(progress);
  EXPECT_EQ(
      "Creating\n"
      "  ▸ Checkpoint …\r\x1b[K"
      "  ▸ Checkpoint                    4 ms\n"
      "  note: Pool default (btrfs)\n"
      "  ▸ Clone volume (btrfs) …\r\x1b[K"
      "  ▸ Clone volume (btrfs) …\r\x1b[K"
      "  ▸ Flush                         5 ms\n"
      "  ▸ Clone volume (btrfs) …\r\x1b[K"
      "  ▸ Clone volume (btrfs)          6 ms\n"
      "  ▸ PostgreSQL ready            12.3 s\n",
      console.words);
}

// A replay that tells of itself every four seconds.
void play_replay(Progress& progress) {
  auto event = [&](const char* type, const std::string& text, int second) {
    engine::Event one;
    one.type = type;
    one.text = text;
    one.time = fake_now() + std::chrono::seconds(second);
    progress.on_event(one);
  };
  event("step.begun", "Replay WAL", 0);
  for (int second = 4; second <= 24; second += 4)
    event("step.progress", "0/" + std::to_string(second) + "000000", second);
  event("step.done", "Replay WAL", 25);
  event("step.begun", "PostgreSQL ready", 25);
}

TEST(Progress, TellsHowFarAStepIsInLinesAtIntervals) {
  FakeConsole console;
  Progress progress(console, "Restoring", false);
  play_replay(progress);
  EXPECT_EQ(
      "Restoring\n"
      "    0/12000000\n"
      "    0/24000000\n"
      "  ▸ Replay WAL                    0 ms\n",
      console.words);
}

TEST(Progress, TellsHowFarAStepIsBehindItOnATerminal) {
  FakeConsole console;
  console.words_view.is_terminal = true;
  console.words_view.width = 20;
  Progress progress(console, "", false);
  play_replay(progress);
  EXPECT_TRUE(console.words.starts_with("  ▸ Replay WAL …\r\x1b[K  ▸ Replay WAL … 0…\r\x1b[K")) << console.words;
  EXPECT_TRUE(console.words.ends_with("  ▸ PostgreSQL rea…")) << console.words;
}

TEST(Progress, SaysALineBetweenTheSteps) {
  FakeConsole console;
  console.words_view.is_terminal = true;
  Progress progress(console, "", false);
  engine::Event begun;
  begun.type = "step.begun";
  begun.text = "Replay";
  progress.on_event(begun);
  progress.say("Cancelling");
  EXPECT_EQ("  ▸ Replay …\r\x1b[KCancelling\n  ▸ Replay …", console.words);
}

TEST(Progress, UsesPlainLettersWhereTheLocaleHasNoOthers) {
  FakeConsole console;
  console.words_view.is_utf8 = false;
  Progress progress(console, "", false);
  play(progress);
  EXPECT_TRUE(console.words.starts_with("  > Checkpoint")) << console.words;
}

TEST(Progress, HasNoHeadingWhenNothingHappened) {
  FakeConsole console;
  {
    Progress progress(console, "Creating demo/dev", false);
  }
  EXPECT_EQ("", console.words);
}

TEST(Progress, SaysNothingWhenSilent) {
  FakeConsole console;
  Progress progress(console, "Creating", true);
  play(progress);
  EXPECT_EQ("", console.words);
  EXPECT_FALSE(progress.has_shown("Pool default (btrfs)"));
}

TEST(Json, IsPassedThroughAsItCame) {
  EXPECT_EQ("{\"b\":1, \"a\":[ ]}\n", render_json("{\"b\":1, \"a\":[ ]}", false));
}

TEST(Json, IsIndentedForPeople) {
  EXPECT_EQ("{\n  \"a\": 1,\n  \"b\": [\n    \"x\",\n    {\n      \"c\": null\n    }\n  ],\n  \"d\": {}\n}\n",
            render_json(R"({"a":1,"b":["x",{"c":null}],"d":{}})", true));
}

TEST(Yaml, QuotesWhatWouldBeReadAsSomethingElse) {
  EXPECT_EQ(
      "name: demo/dev\n"
      "port: 6002\n"
      "pid: null\n"
      "url: \"postgresql://postgres:***@localhost\"\n"
      "flag: \"no\"\n"
      "number: \"15\"\n"
      "empty: \"\"\n"
      "text: \"a\\nb: c\"\n"
      "list: []\n"
      "steps:\n"
      "- name: Checkpoint\n"
      "  ms: 4\n"
      "- name: Clone\n"
      "  ms: 6\n"
      "size:\n"
      "  bytes: 1\n"
      "names:\n"
      "- a\n"
      "- - b\n"
      "  - c\n",
      render_yaml(
          R"({"name":"demo/dev","port":6002,"pid":null,"url":"postgresql://postgres:***@localhost","flag":"no",)"
          R"("number":"15","empty":"","text":"a\nb: c","list":[],"steps":[{"name":"Checkpoint","ms":4},)"
          R"({"name":"Clone","ms":6}],"size":{"bytes":1},"names":["a",["b","c"]]})"));
}

TEST(Environment, IsSafeForAShell) {
  EXPECT_EQ(
      "PGHOST=127.0.0.1\n"
      "DATABASE_URL=postgresql://postgres:x@127.0.0.1:6002/postgres\n"
      "QUERY='a?b&c'\n"
      "QUOTE='it'\\''s $HOME'\n"
      "EMPTY=''\n",
      render_environment({{"PGHOST", "127.0.0.1"},
                          {"DATABASE_URL", "postgresql://postgres:x@127.0.0.1:6002/postgres"},
                          {"QUERY", "a?b&c"},
                          {"QUOTE", "it's $HOME"},
                          {"EMPTY", ""}}));
}

TEST(Errors, AreTwoLinesOfWordsOrOneOfJson) {
  Error error(ErrorCode::not_found, "branch demo/dev does not exist\x1b[2J", "did you mean demo/main?");
  FakeConsole console;
  show_error(error, console, false);
  EXPECT_EQ("error: branch demo/dev does not exist\\x1b[2J\nhint: did you mean demo/main?\n", console.words);
  EXPECT_EQ("", console.data);
  FakeConsole json_console;
  show_error(Error(ErrorCode::not_found, "gone", "look"), json_console, true);
  EXPECT_EQ("{\"error\":{\"code\":\"not_found\",\"message\":\"gone\",\"hint\":\"look\"}}\n", json_console.data);
  EXPECT_EQ("", json_console.words);
}

TEST(Ages, AreShort) {
  EXPECT_EQ("now", format_age(fake_now(), fake_now()));
  EXPECT_EQ("1h ago", format_age(fake_now() - std::chrono::hours(1), fake_now()));
  EXPECT_EQ("in 2h", format_age(fake_now() + std::chrono::hours(2), fake_now()));
}

}  // namespace
}  // namespace pgtwig::cli::test
