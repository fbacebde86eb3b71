#include "base/paths.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace pgtwig {
namespace {

TEST(Paths, OfRootAreTheSystems) {
  const Paths paths = find_paths({{"HOME", "/root"}}, true);
  EXPECT_EQ(paths.state, "/var/lib/pgtwig");
  EXPECT_EQ(paths.socket, "/run/pgtwig/pgtwig.sock");
  EXPECT_EQ(paths.config_file, "/etc/pgtwig/pgtwig.toml");
}

TEST(Paths, OfAUserAreInTheirHome) {
  const Paths paths = find_paths({{"HOME", "/home/ada"}, {"XDG_STATE_HOME", "relative"}}, false);
  EXPECT_EQ(paths.state, "/home/ada/.local/state/pgtwig");
  EXPECT_EQ(paths.socket, "/home/ada/.local/state/pgtwig/run/pgtwig.sock");
  EXPECT_EQ(paths.config_file, "/home/ada/.config/pgtwig/pgtwig.toml");
}

TEST(Paths, FollowXdg) {
  const Paths paths = find_paths({{"XDG_STATE_HOME", "/s"}, {"XDG_CONFIG_HOME", "/c"}}, false);
  EXPECT_EQ(paths.state, "/s/pgtwig");
  EXPECT_EQ(paths.config_file, "/c/pgtwig/pgtwig.toml");
}

TEST(Paths, AllMoveUnderPgtwigRoot) {
  for (bool is_root : {true, false}) {
    const Paths paths = find_paths({{"PGTWIG_ROOT", "/tmp/x/"}}, is_root);
    EXPECT_EQ(paths.state, "/tmp/x");
    EXPECT_EQ(paths.socket, "/tmp/x/run/pgtwig.sock");
    EXPECT_EQ(paths.config_file, "/tmp/x/pgtwig.toml");
    EXPECT_EQ(paths.catalog(), "/tmp/x/catalog.db");
  }
}

TEST(Paths, OfSocketAndConfigurationCanBeGivenAlone) {
  const Paths paths = find_paths({{"PGTWIG_ROOT", "/tmp/x"}, {"PGTWIG_SOCKET", "/s"}, {"PGTWIG_CONFIG", "/c"}}, true);
  EXPECT_EQ(paths.socket, "/s");
  EXPECT_EQ(paths.config_file, "/c");
  EXPECT_EQ(paths.state, "/tmp/x");
}

TEST(Paths, AreRefusedWithoutAHome) {
  EXPECT_THROW(find_paths({}, false), Error);
  EXPECT_THROW(find_paths({{"HOME", ""}}, false), Error);
}

TEST(Paths, AreRefusedWhenASocketWouldNotFit) {
  // "/run/i/" and an id of 12 digits, "/s/.s.PGSQL.65535": 36 bytes behind the root, of 107.
  const std::string longest(71, 'x');
  const auto root = [](std::string text) {
    text[0] = '/';
    return std::map<std::string, std::string>{{"PGTWIG_ROOT", text}};
  };
  const Paths paths = find_paths(root(longest), true);
  const auto id = IncarnationId::random();
  EXPECT_EQ((paths.instance(id) / "s" / ".s.PGSQL.65535").native().size(), 107u);
  EXPECT_THROW(find_paths(root(longest + "x"), true), Error);
  EXPECT_THROW(find_paths({{"PGTWIG_ROOT", "/x"}, {"PGTWIG_SOCKET", "/" + std::string(107, 's')}}, true), Error);
}

TEST(CurrentEnvironment, HasWhatIsSet) {
  setenv("PGTWIG_TEST_VARIABLE", "a=b", 1);
  EXPECT_EQ(current_environment().at("PGTWIG_TEST_VARIABLE"), "a=b");
}

}  // namespace
}  // namespace pgtwig
