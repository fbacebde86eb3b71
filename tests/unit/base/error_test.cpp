#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <stdexcept>

namespace pgtwig {
namespace {

constexpr ErrorCode codes[] = {
    ErrorCode::invalid_argument,
    ErrorCode::not_found,
    ErrorCode::already_exists,
    ErrorCode::conflict,
    ErrorCode::busy,
    ErrorCode::timed_out,
    ErrorCode::not_allowed,
    ErrorCode::not_available,
    ErrorCode::no_space,
    ErrorCode::storage_failed,
    ErrorCode::postgres_failed,
    ErrorCode::daemon_unavailable,
    ErrorCode::internal,
};

TEST(ErrorTable, GivesTheExitStatusesOfTheManual) {
  const int expected[] = {1, 3, 4, 5, 5, 6, 9, 1, 2, 2, 2, 2, 2};
  for (std::size_t i = 0; i < std::size(codes); ++i) {
    EXPECT_EQ(error_code_info(codes[i]).exit_status, expected[i]) << error_code_info(codes[i]).name;
  }
}

TEST(ErrorTable, HasADistinctNameForEachCodeThatReadsBack) {
  std::set<std::string_view> names;
  for (ErrorCode code : codes) {
    names.insert(error_code_info(code).name);
    EXPECT_EQ(error_code_from_name(error_code_info(code).name), code);
  }
  EXPECT_EQ(names.size(), std::size(codes));
}

TEST(ErrorTable, HasAnHttpErrorStatusAndAnSqlstateForEachCode) {
  for (ErrorCode code : codes) {
    const ErrorCodeInfo& info = error_code_info(code);
    EXPECT_GE(info.http_status, 400) << info.name;
    EXPECT_LT(info.http_status, 600) << info.name;
    EXPECT_EQ(info.sqlstate.size(), 5u) << info.name;
    // A client's mistake is never logged as ours, and a failure of ours never looks like the client's.
    EXPECT_EQ(info.is_our_fault, info.http_status >= 500 && code != ErrorCode::not_available) << info.name;
  }
}

TEST(ErrorTable, ReadsTheCodeOfANewerDaemonAsInternal) {
  EXPECT_EQ(error_code_from_name("from_the_future"), ErrorCode::internal);
}

TEST(ErrorObject, PutsContextBeforeTheMessageAndKeepsTheHint) {
  Error error(ErrorCode::busy, "it is in use", "try again");
  error.add_context("cannot create demo/dev");
  EXPECT_EQ(error.message(), "cannot create demo/dev: it is in use");
  EXPECT_STREQ(error.what(), "cannot create demo/dev: it is in use");
  EXPECT_EQ(error.hint(), "try again");
}

TEST(SystemError, TellsAFullDiskFromABrokenOneFromEverythingElse) {
  EXPECT_EQ(system_error(ENOSPC, "cannot write").code(), ErrorCode::no_space);
  EXPECT_EQ(system_error(EDQUOT, "cannot write").code(), ErrorCode::no_space);
  EXPECT_EQ(system_error(EROFS, "cannot write").code(), ErrorCode::storage_failed);
  EXPECT_EQ(system_error(ENOENT, "cannot open").code(), ErrorCode::internal);
  EXPECT_EQ(system_error(ENOENT, "cannot open").message(), "cannot open: No such file or directory");
}

TEST(DescribeCurrentException, SaysWhateverIsBeingHandled) {
  const auto described = [](auto thrown) {
    try {
      throw thrown;
    } catch (...) {
      return describe_current_exception();
    }
  };
  EXPECT_EQ(described(Error(ErrorCode::internal, "ours")), "ours");
  EXPECT_EQ(described(Error(ErrorCode::internal, "ours", "mend it")), "ours (mend it)");
  EXPECT_EQ(described(std::runtime_error("theirs")), "theirs");
  EXPECT_EQ(described(42), "an unknown exception");
}

}  // namespace
}  // namespace pgtwig
