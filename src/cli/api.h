// What the commands ask of the daemon, as an interface: client::Client behind it in the program, a list of prepared
// answers in the tests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"

namespace pgtwig::cli {

class Api {
 public:
  virtual ~Api() = default;
  // As those of client::Client: the answer's JSON, or the Error that the daemon answered.
  virtual std::string request(const std::string& method, const std::string& target, const std::string& body = {}) = 0;
  virtual std::string request_with_events(const std::string& method, const std::string& target, const std::string& body,
                                          const client::OnEvent& on_event) = 0;
  virtual std::string upload_with_events(const std::string& target, const std::string& request_json, int fd,
                                         const client::OnEvent& on_event) = 0;
  virtual bool is_daemon_running() = 0;
};

struct ConnectOptions {
  bool start_daemon = true;                           // when nobody answers
  std::function<void(const std::string&)> on_notice;  // "Started the pgtwig daemon (pid 123)"
};
using Connect = std::function<std::unique_ptr<Api>(const Paths&, const ConnectOptions&)>;

// Ends the daemon that runs by `stop` and starts another with more arguments of `daemon run`; nobody comes in between.
using ReplaceDaemon =
    std::function<void(const Paths&, const std::vector<std::string>& arguments, const std::function<void()>& stop)>;
void replace_daemon(const Paths& paths, const std::vector<std::string>& arguments, const std::function<void()>& stop);

// The real one. Says so through `on_notice` when the daemon is of another version than this program.
std::unique_ptr<Api> connect_to_daemon(const Paths& paths, const ConnectOptions& options);

}  // namespace pgtwig::cli
