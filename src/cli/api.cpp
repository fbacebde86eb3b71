#include "cli/api.h"

#include <fmt/format.h>

#include "client/daemon_starter.h"

namespace pgtwig::cli {
namespace {

class ClientApi final : public Api {
 public:
  ClientApi(client::ClientOptions options, std::function<void(const std::string&)> on_notice)
      : client_(std::move(options)), on_notice_(std::move(on_notice)) {}

  std::string request(const std::string& method, const std::string& target, const std::string& body) override {
    std::string answer = client_.request(method, target, body);
    compare_versions();
    return answer;
  }
  std::string request_with_events(const std::string& method, const std::string& target, const std::string& body,
                                  const client::OnEvent& on_event) override {
    std::string answer = client_.request_with_events(method, target, body, on_event);
    compare_versions();
    return answer;
  }
  std::string upload_with_events(const std::string& target, const std::string& request_json, int fd,
                                 const client::OnEvent& on_event) override {
    std::string answer = client_.upload_with_events(target, request_json, fd, on_event);
    compare_versions();
    return answer;
  }
  bool is_daemon_running() override { return client_.is_daemon_running(); }

 private:
  void compare_versions() {
    const std::string& daemon = client_.daemon_version();
    if (has_compared_ || !on_notice_ || daemon.empty()) return;
    has_compared_ = true;
    if (daemon == PGTWIG_VERSION) return;
    on_notice_(
        fmt::format("The daemon is version {}, this command {}. `pgtwig daemon stop` lets the next command start "
                    "its own; running branches are not touched.",
                    daemon, PGTWIG_VERSION));
  }

  client::Client client_;
  std::function<void(const std::string&)> on_notice_;
  bool has_compared_ = false;
};

std::filesystem::path own_executable() {
  return std::filesystem::read_symlink("/proc/self/exe");
}

}  // namespace

void replace_daemon(const Paths& paths, const std::vector<std::string>& arguments, const std::function<void()>& stop) {
  client::replace_daemon(paths, own_executable(), arguments, stop);
}

std::unique_ptr<Api> connect_to_daemon(const Paths& paths, const ConnectOptions& options) {
  client::ClientOptions client_options;
  client_options.paths = paths;
  client_options.start_daemon = options.start_daemon;
  client_options.executable = own_executable();
  client_options.on_notice = options.on_notice;
  return std::make_unique<ClientApi>(std::move(client_options), options.on_notice);
}

}  // namespace pgtwig::cli
