// What clients may do, and how often: connections, wakes, cancel keys.
#include <gtest/gtest.h>

#include "proxy/admission.h"
#include "proxy/cancel_keys.h"
#include "proxy/wake_limits.h"
#include "tests/support/errors.h"

namespace pgtwig::proxy {
namespace {

using pgtwig::support::code_of;
using std::chrono::milliseconds;
using std::chrono::seconds;

BranchPath branch(const std::string& name) {
  return {*ProjectName::parse("demo"), *BranchName::parse(name)};
}

TEST(Admission, GivesEachAddressItsShareAndPlacesBack) {
  Admission admission({.connections = 3, .connections_of_address = 2, .starting = 10, .starting_of_address = 10});
  auto first = std::make_unique<Admission::Place>(admission.admit("a"));
  const auto second = admission.admit("a");
  EXPECT_EQ(code_of([&] { admission.admit("a"); }), ErrorCode::busy);
  const auto third = admission.admit("b");
  EXPECT_EQ(code_of([&] { admission.admit("c"); }), ErrorCode::busy);
  first.reset();
  const auto fourth = admission.admit("a");
}

TEST(Admission, LimitsThoseThatWereNotLetInYet) {
  Admission admission({.connections = 100, .connections_of_address = 100, .starting = 3, .starting_of_address = 2});
  auto first = admission.admit("a");
  const auto second = admission.admit("a");
  EXPECT_EQ(code_of([&] { admission.admit("a"); }), ErrorCode::busy);
  first.settle();
  const auto third = admission.admit("a");
  const auto other = admission.admit("b");
  EXPECT_EQ(code_of([&] { admission.admit("b"); }), ErrorCode::busy);
}

TEST(WakeLimits, LetABranchBeWokenSoOftenAndRegainWithTime) {
  WakeLimits limits;
  WakeLimits::Clock::time_point now{};
  for (int count = 0; count < WakeLimits::wakes_of_branch; ++count) {
    EXPECT_EQ(limits.ask("a", branch("dev"), now), milliseconds(0));
  }
  EXPECT_EQ(code_of([&] { limits.ask("b", branch("dev"), now); }), ErrorCode::busy);
  EXPECT_EQ(limits.ask("b", branch("other"), now), milliseconds(0));
  now += WakeLimits::branch_regains_one;
  EXPECT_EQ(limits.ask("b", branch("dev"), now), milliseconds(0));
  EXPECT_EQ(code_of([&] { limits.ask("b", branch("dev"), now); }), ErrorCode::busy);
}

TEST(WakeLimits, LetAnAddressWakeSoManyBranches) {
  WakeLimits limits;
  const WakeLimits::Clock::time_point now{};
  for (int count = 0; count < WakeLimits::wakes_of_address; ++count) {
    EXPECT_EQ(limits.ask("a", branch("b" + std::to_string(count)), now), milliseconds(0));
  }
  EXPECT_EQ(code_of([&] { limits.ask("a", branch("one-more"), now); }), ErrorCode::busy);
  EXPECT_EQ(limits.ask("b", branch("one-more"), now), milliseconds(0));
}

TEST(WakeLimits, SlowWhoWasRefusedUntilItIsLetIn) {
  WakeLimits limits;
  WakeLimits::Clock::time_point now{};
  const BranchPath dev = branch("dev");
  limits.was_refused("a", dev, now);
  EXPECT_EQ(limits.ask("a", dev, now), milliseconds(1'000));
  EXPECT_EQ(limits.ask("b", dev, now), milliseconds(0));
  EXPECT_EQ(limits.ask("a", branch("other"), now), milliseconds(0));
  now += seconds(1);
  EXPECT_EQ(limits.ask("a", dev, now), milliseconds(0));
  limits.was_refused("a", dev, now);
  EXPECT_EQ(limits.ask("a", dev, now), milliseconds(2'000));
  for (int count = 0; count < 20; ++count) limits.was_refused("a", dev, now);
  EXPECT_EQ(limits.ask("a", dev, now), WakeLimits::longest_delay);
  limits.was_let_in("a", dev);
  EXPECT_EQ(limits.ask("a", dev, now), milliseconds(0));
}

TEST(WakeLimits, RememberNoMoreThanTheyMay) {
  WakeLimits limits;
  WakeLimits::Clock::time_point now{};
  limits.was_refused("first", branch("dev"), now);
  for (std::size_t count = 0; count < WakeLimits::most_remembered; ++count) {
    limits.was_refused("a" + std::to_string(count), branch("dev"), now + seconds(1));
  }
  EXPECT_EQ(limits.ask("first", branch("dev"), now), milliseconds(0));
}

TEST(CancelKeys, AreOurOwnAndLeadToTheInstances) {
  CancelKeys keys;
  const CancelKeys::Target target{make_address("127.0.0.1", 6001), {42, std::string(32, 'x')}};
  const wire::CancelKey one = keys.add(target);
  const wire::CancelKey two = keys.add(target);  // another instance's backend of the same number
  EXPECT_EQ(one.process, 42u);
  EXPECT_EQ(one.secret.size(), 32u);
  EXPECT_NE(one.secret, target.key.secret);
  EXPECT_NE(one.secret, two.secret);
  EXPECT_EQ(keys.find(one)->key, target.key);
  EXPECT_EQ(keys.find(one)->instance.port(), 6001);
  EXPECT_FALSE(keys.find(target.key));
  keys.remove(one);
  EXPECT_FALSE(keys.find(one));
  EXPECT_TRUE(keys.find(two));
}

}  // namespace
}  // namespace pgtwig::proxy
