// What whoever keeps configuration files is warned of.
#include "engine/user_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgtwig::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> warnings_of_hba(const std::string& text, const Config::Proxy& endpoint = {}) {
  return warnings_of({{postgres::hba_file_name, text}}, endpoint);
}

TEST(UserFiles, AreWarnedOfWhenALineHasTrustHoweverItIsWritten) {
  const std::string begin = "host all all 127.0.0.1/32 ";
  for (const std::string& line :
       {begin + "trust", begin + "\"trust\"", begin + "tr\"us\"t", begin + ",trust # all", begin + "\\\ntrust"}) {
    EXPECT_THAT(warnings_of_hba("# first\n" + line + "\n"), ElementsAre(HasSubstr("needs no password"))) << line;
  }
  for (const std::string& line : {begin + "reject # trust", begin + "\"trust \"", begin + "scram-sha-256"}) {
    EXPECT_THAT(warnings_of_hba(line + "\n"), IsEmpty()) << line;
  }
}

TEST(UserFiles, AreWarnedThatClientsOfTheEndpointComeFromThisMachine) {
  const std::string line = "host all all 127.0.0.1/32 trust\n";
  const auto is_of_the_endpoint = HasSubstr("endpoint");
  Config::Proxy endpoint;
  endpoint.is_enabled = true;
  EXPECT_THAT(warnings_of_hba(line, endpoint), ElementsAre(Not(is_of_the_endpoint)));
  endpoint.listen = "0.0.0.0";
  EXPECT_THAT(warnings_of_hba(line, endpoint), ElementsAre(is_of_the_endpoint));
  endpoint.is_enabled = false;
  EXPECT_THAT(warnings_of_hba(line, endpoint), ElementsAre(Not(is_of_the_endpoint)));
}

}  // namespace
}  // namespace pgtwig::engine
