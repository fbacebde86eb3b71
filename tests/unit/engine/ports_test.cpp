#include "engine/ports.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/support/errors.h"

namespace pgtwig::engine {
namespace {

using pgtwig::support::code_of;

constexpr PortRange range{.first = 22001, .last = 22004};

// The catalog's file in a directory of its own.
class PortsTest : public ::testing::Test {
 protected:
  PortsTest() {
    std::string name = "/tmp/pgtwig-ports-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, "mkdtemp");
    directory_ = name;
    catalog_ = catalog::open_catalog(directory_ / "catalog.db", InstallationId::random());
  }
  ~PortsTest() override {
    catalog_.reset();
    remove_tree(directory_);
  }
  std::filesystem::path directory_;
  std::unique_ptr<catalog::Catalog> catalog_;
};

// Listens on a port of the loopback address until it is destroyed.
UniqueFd listen_on(std::uint16_t port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  return listener;
}

TEST_F(PortsTest, GiveNoPortTwiceWhileItIsReserved) {
  Ports ports(*catalog_, range, {});
  const auto first = ports.reserve(std::nullopt);
  const auto second = ports.reserve(std::nullopt);
  EXPECT_EQ(first.port(), 22001);
  EXPECT_EQ(second.port(), 22002);
  EXPECT_EQ(code_of([&] { ports.reserve(22001); }), ErrorCode::already_exists);
}

// As root, too, who could take it to look whether it is free.
TEST_F(PortsTest, AreNotThoseThatPostgresMayNotListenOn) {
  if (read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start") != "1024\n") {
    GTEST_SKIP() << "every program may listen on low ports here";
  }
  Ports ports(*catalog_, range, {});
  EXPECT_EQ(code_of([&] { ports.reserve(1023); }), ErrorCode::not_allowed);
  EXPECT_EQ(ports.reserve(1024).port(), 1024);
}

TEST_F(PortsTest, GoRoundInsteadOfGivingAPortAgainAtOnce) {
  Ports ports(*catalog_, range, {});
  {
    const auto released = ports.reserve(std::nullopt);
  }
  EXPECT_EQ(ports.reserve(std::nullopt).port(), 22002);
}

TEST_F(PortsTest, SkipWhatAnotherProgramListensOn) {
  const UniqueFd other = listen_on(22001);
  Ports ports(*catalog_, range, {});
  EXPECT_EQ(ports.reserve(std::nullopt).port(), 22002);
  EXPECT_EQ(code_of([&] { ports.reserve(22001); }), ErrorCode::conflict);
}

TEST_F(PortsTest, LeaveThoseOfTheDaemonAlone) {
  Ports ports(*catalog_, range, {{22001, "proxy.port"}});
  EXPECT_EQ(ports.reserve(std::nullopt).port(), 22002);
  EXPECT_EQ(code_of([&] { ports.reserve(22001); }), ErrorCode::conflict);
}

TEST(DaemonPorts, AreThoseOnTheAddressOfBranches) {
  Config config;
  config.proxy.is_enabled = true;
  config.proxy.port = 5432;
  config.metrics.port = 9543;
  EXPECT_EQ(daemon_ports(config), (DaemonPorts{{5432, "proxy.port"}}));
  config.metrics.is_enabled = true;
  config.proxy.listen = "192.0.2.1";
  EXPECT_EQ(daemon_ports(config), (DaemonPorts{{9543, "metrics.port"}}));
}

TEST_F(PortsTest, SayWhenTheRangeIsUsedUp) {
  Ports ports(*catalog_, range, {});
  std::vector<Ports::Reservation> all;
  for (int count = 0; count < 4; ++count) all.push_back(ports.reserve(std::nullopt));
  EXPECT_EQ(code_of([&] { ports.reserve(std::nullopt); }), ErrorCode::no_space);
}

}  // namespace
}  // namespace pgtwig::engine
