#include "base/locks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/error.h"

namespace pgtwig {
namespace {

using namespace std::chrono_literals;

constexpr auto long_time = 30s;

NamedLocks::Guard exclusive(NamedLocks& locks, const std::string& name, std::chrono::milliseconds timeout = long_time) {
  return locks.acquire({{name, LockMode::exclusive}}, timeout);
}

NamedLocks::Guard shared(NamedLocks& locks, const std::string& name, std::chrono::milliseconds timeout = long_time) {
  return locks.acquire({{name, LockMode::shared}}, timeout);
}

TEST(NamedLocks, RefuseAfterTheTimeoutAndNameWhatIsBusy) {
  NamedLocks locks;
  auto held = exclusive(locks, "demo/dev");
  for (LockMode mode : {LockMode::shared, LockMode::exclusive}) {
    try {
      locks.acquire({{"demo/dev", mode}}, 10ms);
      ADD_FAILURE() << "two hold it";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::busy);
      EXPECT_NE(error.message().find("demo/dev"), std::string::npos);
    }
  }
}

TEST(NamedLocks, AreSharedByReadersAndIndependentByName) {
  NamedLocks locks;
  auto first = shared(locks, "a");
  auto second = shared(locks, "a", 0ms);
  auto other = exclusive(locks, "b", 0ms);
  EXPECT_THROW(exclusive(locks, "a", 10ms), Error);
}

TEST(NamedLocks, AreFreeAgainWhenTheGuardIsGone) {
  NamedLocks locks;
  {
    auto held = locks.acquire({{"a", LockMode::exclusive}, {"b", LockMode::shared}}, 0ms);
  }
  auto held = locks.acquire({{"a", LockMode::exclusive}, {"b", LockMode::exclusive}}, 0ms);
}

TEST(NamedLocks, TakeANameThatIsGivenTwiceOnceAndExclusively) {
  NamedLocks locks;
  auto held = locks.acquire({{"a", LockMode::shared}, {"a", LockMode::exclusive}, {"a", LockMode::shared}}, 0ms);
  EXPECT_THROW(shared(locks, "a", 0ms), Error);
}

TEST(NamedLocks, GiveBackWhatTheyHadWhenALaterOneIsBusy) {
  NamedLocks locks;
  auto held = exclusive(locks, "b");
  EXPECT_THROW(locks.acquire({{"a", LockMode::exclusive}, {"b", LockMode::exclusive}}, 10ms), Error);
  auto free = exclusive(locks, "a", 0ms);
}

TEST(NamedLocks, LetAWriterInBeforeReadersThatCameLater) {
  NamedLocks locks;
  std::optional<NamedLocks::Guard> reader(shared(locks, "a"));
  std::atomic<bool> wrote = false;
  std::thread writer([&] {
    auto held = exclusive(locks, "a");
    wrote = true;
  });
  // The writer waits from the moment on that a new reader has to.
  const auto deadline = std::chrono::steady_clock::now() + long_time;
  while (true) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    try {
      shared(locks, "a", 0ms);
      std::this_thread::yield();
    } catch (const Error&) {
      break;
    }
  }
  std::thread late_reader([&] {
    auto held = shared(locks, "a");
    EXPECT_TRUE(wrote);
  });
  EXPECT_FALSE(wrote);
  reader.reset();
  writer.join();
  late_reader.join();
}

TEST(NamedLocks, LetReadersOnWhenAWaitingWriterGivesUp) {
  NamedLocks locks;
  auto reader = shared(locks, "a");
  auto writer = std::async(std::launch::async, [&] { EXPECT_THROW(exclusive(locks, "a", 50ms), Error); });
  auto late_reader = std::async(std::launch::async, [&] { auto held = shared(locks, "a"); });
  EXPECT_EQ(late_reader.wait_for(long_time), std::future_status::ready);
}

TEST(NamedLocks, NeverLetTwoWriteAndNeverLockInACircle) {
  NamedLocks locks;
  int counters[3] = {0, 0, 0};  // plain: ThreadSanitizer sees it if two are inside
  const std::string names[3] = {"a", "b", "c"};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (unsigned round = 0; round < 300; ++round) {
        const unsigned first = (i + round) % 3;
        const unsigned second = (i * 2 + round) % 3;
        auto held =
            locks.acquire({{names[second], LockMode::exclusive}, {names[first], LockMode::exclusive}}, long_time);
        ++counters[first];
        if (second != first) ++counters[second];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int total = 0;
  int expected = 0;
  for (int counter : counters) total += counter;
  for (unsigned i = 0; i < 6; ++i) {
    for (unsigned round = 0; round < 300; ++round) expected += (i + round) % 3 == (i * 2 + round) % 3 ? 1 : 2;
  }
  EXPECT_EQ(total, expected);
}

}  // namespace
}  // namespace pgtwig
