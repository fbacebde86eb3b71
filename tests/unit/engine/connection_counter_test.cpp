#include "engine/connection_counter.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "tests/support/wait.h"

namespace pgtwig::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ConnectionCounter, CountsEstablishedConnectionsByTheirLocalPort) {
  EXPECT_THAT(count_by_port(
                  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                  "   0: 0100007F:1771 00000000:0000 0A 00000000:00000000 00:00000000 00000000   103        0 1 1 0\n"
                  "   1: 0100007F:1771 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000   103        0 2 1 0\n"
                  "   2: 0100007F:D2F0 0100007F:1771 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0\n"
                  "   3: 0100007F:1771 0100007F:D2F1 01 00000000:00000000 00:00000000 00000000   103        0 4 1 0\n"
                  "   4: 0100007F:1771 0100007F:D2F2 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0\n"),
              ElementsAre(Pair(6001, 2), Pair(54000, 1)));
}

TEST(ConnectionCounter, MakesNothingOfWhatIsNoTable) {
  EXPECT_THAT(count_by_port(""), IsEmpty());
  EXPECT_THAT(count_by_port("\n\n   \n1: 01\n1: x y 01\n1: 0:FFFFF 0:1 01\n1: : : 01"), IsEmpty());
}

TEST(ConnectionCounter, SeesAConnectionOfThisMachine) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  ConnectionCounter counter;
  EXPECT_EQ(counter.count(ntohs(address.sin_port)), 0);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_TRUE(pgtwig::support::wait_until([&] { return counter.count(ntohs(address.sin_port)) == 1; }));
}

}  // namespace
}  // namespace pgtwig::engine
