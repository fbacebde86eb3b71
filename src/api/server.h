// The daemon's front door: HTTP on a Unix socket, a thread per connection from a bounded pool. Who may come in is
// decided by peer credentials.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

namespace pgtwig::engine {
class Engine;
}

namespace pgtwig::api {

struct ServerOptions {
  std::filesystem::path socket;
  std::optional<gid_t> group;             // who may connect besides the owner (0660); absent: 0600
  std::filesystem::path spool_directory;  // for dumps on their way in
  int max_connections = 256;
  std::function<void(bool stop_all)> on_stop_request;
};

class Server {
 public:
  Server(engine::Engine& engine, ServerOptions options);  // binds; throws Error conflict when somebody listens there
  ~Server();
  void run();   // returns after stop(), when the requests and background operations under way are finished
  void stop();  // from any thread; returns at once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgtwig::api
