// Ctrl-C for real: a signal to this process, or to a child that ends by it.
#include "cli/interrupt.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "tests/support/wait.h"

namespace pgtwig::cli {
namespace {

using pgtwig::support::wait_until;

TEST(InterruptWatch, CountsAndEndsNothing) {
  std::atomic<int> last = 0;
  {
    auto watch = watch_interrupts([&](int count) {
      last = count;
      return true;
    });
    ASSERT_NE(nullptr, watch);
    for (int count = 1; count <= 3; ++count) {
      ::kill(::getpid(), SIGINT);
      EXPECT_TRUE(wait_until([&] { return last == count; }));
    }
  }
  struct sigaction action{};
  ::sigaction(SIGINT, nullptr, &action);
  EXPECT_EQ(SIG_DFL, action.sa_handler);
  sigset_t blocked;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  EXPECT_EQ(0, ::sigismember(&blocked, SIGINT));
}

TEST(InterruptWatch, LetsTheProcessEndBySignalWhenNothingIsWaitedFor) {
  pid_t child = ::fork();
  if (child == 0) {
    auto watch = watch_interrupts([](int) { return false; });
    ::kill(::getpid(), SIGINT);
    ::pause();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(child, ::waitpid(child, &status, 0));
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(SIGINT, WTERMSIG(status));
}

TEST(InterruptWatch, LeavesCtrlCIgnoredWhereItWas) {
  auto before = ::signal(SIGINT, SIG_IGN);
  EXPECT_EQ(nullptr, watch_interrupts([](int) { return true; }));
  ::signal(SIGINT, before);
}

}  // namespace
}  // namespace pgtwig::cli
