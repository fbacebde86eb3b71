// Who waits for a branch to wake, and how often it is woken for them.
#include "proxy/finder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>

#include "tests/support/wait.h"

namespace pgtwig::proxy {
namespace {

using pgtwig::support::wait_until;

// One branch, which is the selected one and never wakes: each attempt lets its clients in, and fails when it is told
// to.
class FailingDirectory final : public BranchDirectory {
 public:
  BranchAddress find(const std::optional<BranchChoice>& choice) override {
    if (choice) throw Error(ErrorCode::not_found, "there is no such branch");
    return {.path = {*ProjectName::parse("demo"), *BranchName::parse("dev")}, .host = "127.0.0.1", .port = 1};
  }
  BranchAddress wake(const BranchPath&, const std::function<void(const BranchAddress&)>& let_in) override {
    ++wakes;
    let_in(find({}));
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failures_ > 0; });
    --failures_;
    throw Error(ErrorCode::postgres_failed, "PostgreSQL did not start");
  }
  void fail(int times) {
    const std::lock_guard lock(mutex_);
    failures_ += times;
    changed_.notify_all();
  }
  std::atomic<int> wakes = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int failures_ = 0;
};

TEST(Finder, WakesNoBranchForClientsThatHaveTheirAnswer) {
  FailingDirectory directory;
  Limits limits;
  limits.lookups_at_once = limits.wakes_at_once = 1;
  std::atomic<int> let_in = 0;
  std::atomic<int> refused = 0;
  Finder finder(directory, limits);
  // Whatever fails below, no thread of the finder waits for more.
  const std::shared_ptr<void> at_the_end(nullptr, [&](void*) { directory.fail(100); });
  const auto ask = [&](const std::optional<BranchChoice>& choice = {}) {
    finder.find(choice, "127.0.0.1",
                [&](const Finder::Answer& answer) { ++(std::holds_alternative<Error>(answer) ? refused : let_in); });
  };
  ask();
  ASSERT_TRUE(wait_until([&] { return let_in == 1; }));
  // Comes after the first was let in and before its wake failed, so that a wake of its own is next.
  ask();
  // Lookups are done in turn: when this one has its answer, that one waits.
  ask(BranchChoice{.branch = *BranchName::parse("missing")});
  ASSERT_TRUE(wait_until([&] { return refused == 1; }));
  directory.fail(1);
  ASSERT_TRUE(wait_until([&] { return refused == 2; }));
  ask();
  ASSERT_TRUE(wait_until([&] { return let_in == 2; }));
  EXPECT_EQ(directory.wakes, 2);
}

// A branch that was stopped by hand.
class StoppedDirectory final : public BranchDirectory {
 public:
  BranchAddress find(const std::optional<BranchChoice>&) override {
    return {.path = {*ProjectName::parse("demo"), *BranchName::parse("dev")},
            .host = "127.0.0.1",
            .port = 1,
            .is_stopped = true};
  }
  BranchAddress wake(const BranchPath&, const std::function<void(const BranchAddress&)>&) override {
    throw Error(ErrorCode::conflict, "it was stopped");
  }
};

TEST(Finder, CountsNoWakeOfABranchThatMayNotBeWoken) {
  StoppedDirectory directory;
  Finder finder(directory, Limits{});
  for (int count = 0; count < 3 * WakeLimits::wakes_of_branch; ++count) {
    std::atomic<bool> is_answered = false;
    finder.find({}, "127.0.0.1", [&](const Finder::Answer& answer) {
      const auto* error = std::get_if<Error>(&answer);
      EXPECT_TRUE(error && error->code() == ErrorCode::conflict) << count << (error ? ": " + error->message() : "");
      is_answered = true;
    });
    ASSERT_TRUE(wait_until([&] { return is_answered.load(); }));
  }
}

}  // namespace
}  // namespace pgtwig::proxy
