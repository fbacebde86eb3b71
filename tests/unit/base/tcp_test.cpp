#include "base/tcp.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.h"

namespace pgtwig {
namespace {

using namespace std::chrono_literals;

SocketAddress any_port() {
  return make_address("127.0.0.1", 0);
}

TEST(ListenOn, GetsAPortThatIsFreeAMomentLater) {
  UniqueFd taken = listen_on(any_port());
  const SocketAddress address = local_address(taken.get());
  std::atomic<bool> is_closed = false;
  std::jthread owner([&] {
    std::this_thread::sleep_for(100ms);  // well into the wait: what is tested is the time itself
    is_closed = true;
    taken.reset();
  });
  const UniqueFd ours = listen_on(address);
  EXPECT_TRUE(is_closed);
  EXPECT_EQ(local_address(ours.get()).port(), address.port());
}

TEST(ListenOn, SaysThatAPortStaysTaken) {
  const UniqueFd taken = listen_on(any_port());
  try {
    listen_on(local_address(taken.get()));
    FAIL() << "two listen on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
  }
}

}  // namespace
}  // namespace pgtwig
