// The API as a C++ object: one request, one blocking call on the Unix socket. Starts the daemon when nobody answers.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/paths.h"
#include "engine/views.h"

namespace pgtwig::client {

struct Response {
  int status = 0;
  std::string body;  // JSON
};

using OnEvent = std::function<void(const engine::Event&)>;

struct ClientOptions {
  Paths paths;
  bool start_daemon = true;          // when nobody answers; under a lock, so that two callers start one
  std::filesystem::path executable;  // what to start: this binary
  std::function<void(const std::string&)> on_notice;  // "Started the pgtwig daemon (pid 123)"
};

class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();

  // GET, or a change without progress. Throws the Error that the daemon answered, or daemon_unavailable.
  std::string request(const std::string& method, const std::string& target, const std::string& body = {});
  // A change whose events are heard as they happen. Returns the result's JSON.
  std::string request_with_events(const std::string& method, const std::string& target, const std::string& body,
                                  const OnEvent& on_event);
  // The same with a file as the body: a dump. `fd` is read to its end.
  std::string upload_with_events(const std::string& target, const std::string& request_json, int fd,
                                 const OnEvent& on_event);

  // Whether a daemon answers now; never starts one.
  bool is_daemon_running();
  const std::string& daemon_version() const;  // after the first request

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A name as one segment of a path: "feature/x" -> "feature%2Fx".
std::string encode_segment(const std::string& text);

}  // namespace pgtwig::client
