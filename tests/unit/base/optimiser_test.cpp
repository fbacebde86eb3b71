// What compilers have been seen to get wrong, compiled as the program is (cmake/PgtwigCompiler.cmake).
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

namespace pgtwig {
namespace {

using Clock = std::chrono::steady_clock;

[[gnu::noinline]] Clock::time_point first_call_only(int call) {
  if (call > 0) throw std::runtime_error("not again");
  return Clock::time_point();
}

[[gnu::noinline]] Clock::time_point kept_when_thrown(int calls, Clock::time_point usual) {
  Clock::time_point last;
  for (int call = 0; call < calls; ++call) {
    Clock::time_point next = usual + std::chrono::seconds(call);
    try {
      next = first_call_only(call);
    } catch (const std::runtime_error&) {
    }
    last = next;
  }
  return last;
}

TEST(Optimiser, KeepsWhatWasStoredBeforeACallThatThrows) {
  const Clock::time_point usual = Clock::now();
  EXPECT_EQ(kept_when_thrown(1, usual), Clock::time_point());
  EXPECT_EQ(kept_when_thrown(3, usual), usual + std::chrono::seconds(2));
}

}  // namespace
}  // namespace pgtwig
