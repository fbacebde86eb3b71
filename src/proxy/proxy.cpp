// Accepts connections and gives each to the loop that has the fewest.
#include "proxy/proxy.h"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "proxy/connection.h"
#include "proxy/services.h"

namespace pgtwig::proxy {
namespace {

// After a system without free descriptors or memory said no to one more connection.
constexpr std::chrono::milliseconds breath{100};
constexpr std::size_t most_loops = 16;

// A thread, its event loop, and its connections.
class LoopThread final : public ConnectionOwner {
 public:
  explicit LoopThread(Services& services) : services_(services), scratch_(scratch_size) {}
  ~LoopThread() { stop(); }

  void start() {
    thread_ = std::thread([this] {
      try {
        loop_.run();
      } catch (...) {
        log::error("a loop of the endpoint ends: {}", describe_current_exception());
      }
    });
  }
  // And its connections end.
  void stop() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
    for (auto& [id, connection] : connections_) connection->end();
    connections_.clear();
  }

  void take(Connection::Accepted accepted) {
    ++load_;
    // Copied by std::function, hence shared; it is used once.
    auto handed = std::make_shared<Connection::Accepted>(std::move(accepted));
    loop_.post([this, handed] { begin(std::move(*handed)); });
  }
  std::size_t load() const { return load_; }

  EventLoop& loop() override { return loop_; }
  std::span<char> scratch() override { return scratch_; }
  void remove(ConnectionId id) override {
    auto node = connections_.extract(id);
    if (node.empty()) return;
    --load_;
    node.mapped()->leave_loop();
    loop_.discard(std::move(node.mapped()));
  }
  void tell(ConnectionId id, const std::string& client, const Finder::Answer& answer) override {
    loop_.post([this, id, client, answer] {
      if (const auto there = connections_.find(id); there != connections_.end()) {
        return there->second->on_found(answer);
      }
      if (const auto* found = std::get_if<Finder::Found>(&answer); found && found->woke_it) {
        services_.finder.wake_limits().was_refused(client, found->address.path, WakeLimits::Clock::now());
      }
    });
  }

 private:
  void begin(Connection::Accepted accepted) {
    const ConnectionId id = accepted.id;
    try {
      auto connection = std::make_unique<Connection>(*this, services_, std::move(accepted));
      connections_.emplace(id, std::move(connection)).first->second->begin();
    } catch (...) {
      --load_;
      log::error("endpoint: cannot take a connection: {}", describe_current_exception());
    }
  }

  Services& services_;
  std::vector<char> scratch_;
  EventLoop loop_;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
  std::atomic<std::size_t> load_ = 0;
  std::thread thread_;
};

std::size_t loop_count(const ProxyOptions& options) {
  if (options.loops > 0) return options.loops;
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, most_loops);
}

}  // namespace

struct Proxy::Impl final : Watched, Timed {
  Impl(BranchDirectory& directory, Metrics& metrics, ProxyOptions options)
      : services(directory, metrics, std::move(options)),
        listener(listen_on(make_address(services.options.listen_host, services.options.port))) {
    for (std::size_t index = 0; index < loop_count(services.options); ++index) {
      loops.push_back(std::make_unique<LoopThread>(services));
    }
    acceptor().watch(listener.get(), *this);
    for (const auto& loop : loops) loop->start();
  }
  ~Impl() {
    // The one that accepts is the first, and gives no work to the others any more.
    for (const auto& loop : loops) loop->stop();
    services.finder.stop();
  }

  EventLoop& acceptor() { return loops.front()->loop(); }

  void on_ready(std::uint32_t) override { accept_all(); }
  void on_deadline() override { accept_all(); }
  void on_next_round() override {}

  void accept_all() {
    for (;;) {
      SocketAddress client;
      client.size = sizeof client.storage;
      UniqueFd fd(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&client.storage), &client.size,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        take(std::move(fd), client);
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) {
        log::warn("the endpoint cannot accept a connection: {}", strerrordesc_np(errno));
        acceptor().set_deadline(*this, deadline, EventLoop::Clock::now() + breath);
      }
      return;
    }
  }

  void take(UniqueFd fd, const SocketAddress& client) {
    services.counters.accepted.add();
    set_session_options(fd.get());
    try {
      Admission::Place place = services.admission.admit(client.host());
      const auto least = std::ranges::min_element(loops, {}, [](const auto& loop) { return loop->load(); });
      (*least)->take({next_id++, std::move(fd), client, std::move(place)});
    } catch (const Error& error) {
      // Said at once, whatever the client was about to say, and forgotten.
      services.counters.refused.add();
      log::info("endpoint, a connection from {}: {}", client.host(), error.message());
      const std::string text = wire::error_response(
          {.sqlstate = wire::too_many_connections, .message = error.message(), .hint = error.hint()});
      [[maybe_unused]] const ssize_t sent = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
  }

  Services services;
  UniqueFd listener;
  // After what their connections use.
  std::vector<std::unique_ptr<LoopThread>> loops;
  ConnectionId next_id = 1;
  std::optional<EventLoop::Clock::time_point> deadline;
};

Proxy::Proxy(BranchDirectory& directory, Metrics& metrics, ProxyOptions options)
    : impl_(std::make_unique<Impl>(directory, metrics, std::move(options))) {}

Proxy::~Proxy() = default;

std::uint16_t Proxy::port() const {
  return local_address(impl_->listener.get()).port();
}

ProxyFigures Proxy::figures() const {
  return {.connections = impl_->services.counters.connections, .open_sessions = impl_->services.sessions.open()};
}

}  // namespace pgtwig::proxy
