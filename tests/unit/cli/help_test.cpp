// Help, the man page and docs/commands.md say what the registry says.
#include "cli/help.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/places.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

std::string file_name(const std::vector<std::string>& words) {
  std::string name = "pgtwig";
  for (const auto& word : words) name += "_" + word;
  return "help/" + name + ".txt";
}

std::vector<std::vector<std::string>> all_help_words() {
  std::set<std::vector<std::string>> words{{}};
  for (const auto& path : runnable_commands()) {
    words.insert(path.words);
    words.insert({path.words.front()});
  }
  return {words.begin(), words.end()};
}

TEST(Help, OfEveryCommandIsTheGoldenOne) {
  for (auto words : all_help_words()) {
    FakeWorld world;
    std::string file = file_name(words);
    words.emplace_back("--help");
    EXPECT_EQ(0, world.run(words));
    EXPECT_EQ("", world.console.words);
    expect_golden(file, world.console.data);
  }
}

TEST(Help, IsTheSameByOptionAndByCommand) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"branch", "create", "--help"}, {"br", "create", "-h"}, {"help", "branch", "create"}}) {
    FakeWorld world;
    EXPECT_EQ(0, world.run(words));
    EXPECT_TRUE(world.console.data.starts_with("Create a branch")) << world.console.data;
  }
}

TEST(Help, NeedsNoOtherWordToBeRight) {
  FakeWorld world;
  EXPECT_EQ(0, world.run({"branch", "create", "--port", "70000", "--help"}));
  EXPECT_TRUE(world.daemon.requests.empty());
}

TEST(Help, IsShownWhenNothingIsAskedForAndFails) {
  FakeWorld world;
  EXPECT_EQ(1, world.run({}));
  EXPECT_TRUE(world.console.data.starts_with("pgtwig: ")) << world.console.data;
}

TEST(Help, StaysWithinTheTerminal) {
  Terminal terminal{.is_terminal = true, .width = 60};
  for (const auto& path : runnable_commands()) {
    std::istringstream text(help_text(path, terminal));
    std::string line;
    bool is_example = false;
    while (std::getline(text, line)) {
      is_example = is_example || line == "Examples:" || line.starts_with("Usage:");
      if (line.empty()) is_example = false;
      if (!is_example) {
        EXPECT_LE(line.size(), 60u) << path.text() << ": " << line;
      }
    }
  }
}

TEST(Registry, GivesEveryCommandASummaryAnExampleAndItsOwnNames) {
  for (const auto& path : runnable_commands()) {
    EXPECT_FALSE(path.command->summary.empty()) << path.text();
    EXPECT_FALSE(path.command->examples.empty()) << path.text();
    for (const auto& example : path.command->examples) EXPECT_NE(std::string::npos, example.command.find("pgtwig"));
    std::multiset<std::string> names;
    for (const auto& option : options_of(*path.command)) names.insert(option.names.begin(), option.names.end());
    for (const auto& name : names) EXPECT_EQ(1u, names.count(name)) << path.text() << " " << name;
  }
}

TEST(Registry, ExamplesAreRightUse) {
  for (const auto& path : runnable_commands()) {
    for (const auto& example : path.command->examples) {
      if (!example.command.starts_with("pgtwig ")) continue;
      std::istringstream text(example.command.substr(7));
      std::vector<std::string> words;
      std::string word;
      while (text >> word && word != "|") words.push_back(word);
      EXPECT_NO_THROW(parse_words(words)) << example.command;
    }
  }
}

TEST(Reference, InTheDocumentsIsWhatTheRegistrySays) {
  const std::string marker = "<!-- from here on: pgtwig __reference -->\n";
  const auto file = pgtwig::support::source_directory() / "docs/commands.md";
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  auto begin = text.str().find(marker);
  ASSERT_NE(std::string::npos, begin) << file;
  std::string introduction = text.str().substr(0, begin + marker.size());
  if (std::getenv("PGTWIG_UPDATE_GOLDEN") != nullptr)
    std::ofstream(file) << introduction + markdown_reference();
  else
    EXPECT_EQ(markdown_reference(), text.str().substr(begin + marker.size()));
}

TEST(ManPage, NamesEveryCommandAndOption) {
  std::string page = man_page();
  std::erase(page, '\\');
  for (const auto& path : runnable_commands()) {
    EXPECT_NE(std::string::npos, page.find(".SS " + path.text())) << path.text();
    for (const auto& option : path.command->options)
      if (!option.is_hidden) {
        EXPECT_NE(std::string::npos, page.find(option.names.front())) << option.names.front();
      }
  }
}

TEST(ManPage, ProtectsWhatRoffWouldTakeForARequest) {
  std::istringstream page(man_page());
  std::string line;
  const std::set<std::string> requests{".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".EX", ".EE", ".B", ".I"};
  while (std::getline(page, line)) {
    if (!line.starts_with('.') && !line.starts_with('\'')) continue;
    EXPECT_TRUE(requests.contains(line.substr(0, line.find(' ')))) << line;
  }
}

}  // namespace
}  // namespace pgtwig::cli::test
