#include "main/endpoint.h"

#include <fmt/format.h>

#include "base/log.h"
#include "engine/use_cases.h"
#include "postgres/connection.h"
#include "proxy/proxy.h"

namespace pgtwig {
namespace {

// What the endpoint asks about branches, answered by the engine.
class EngineDirectory final : public proxy::BranchDirectory {
 public:
  explicit EngineDirectory(engine::Engine& engine) : engine_(engine) {}

  proxy::BranchAddress find(const std::optional<proxy::BranchChoice>& choice) override {
    const BranchPath path = resolve(choice);
    if (const auto address = engine::find_address(engine_, path)) return as_proxy_address(*address);
    throw Error(ErrorCode::not_found, fmt::format("branch {} does not exist", path.text()),
                "`pgtwig branch list --all` shows all there are");
  }

  proxy::BranchAddress wake(const BranchPath& branch,
                            const std::function<void(const proxy::BranchAddress&)>& let_in) override {
    return as_proxy_address(engine::wake_branch(
        engine_, branch, [&](const engine::BranchAddress& address) { let_in(as_proxy_address(address)); }));
  }

 private:
  static proxy::BranchAddress as_proxy_address(const engine::BranchAddress& address) {
    return {.path = address.path,
            .host = address.host,
            .port = address.port,
            .is_running = address.is_running,
            .is_stopped = address.is_stopped};
  }

  BranchPath resolve(const std::optional<proxy::BranchChoice>& choice) {
    if (choice && choice->project) return {*choice->project, choice->branch};
    const auto selected = engine::selected_branch(engine_);
    if (choice) return {current_project(selected), choice->branch};
    if (selected) return *selected;
    throw Error(ErrorCode::invalid_argument, "the connection names no branch, and none is selected",
                "name one by the database, as in app@demo/dev, or select one: pgtwig use demo/dev");
  }

  // That of the selected branch, or the only one.
  ProjectName current_project(const std::optional<BranchPath>& selected) {
    if (selected) return selected->project;
    const auto projects = engine_.catalog().projects();
    if (projects.size() == 1) return projects.front().name;
    throw Error(ErrorCode::invalid_argument, "the connection names a branch without its project",
                "write the project too, as in app@demo/dev, or select a branch: pgtwig use demo/dev");
  }

  engine::Engine& engine_;
};

proxy::ProxyOptions options_of(const engine::Engine& engine) {
  const Config::Proxy& config = engine.config().proxy;
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    throw Error(ErrorCode::invalid_argument, "proxy.tls_certificate and proxy.tls_key are set together or not at all",
                "set the other one too: pgtwig config set");
  }
  return {.listen_host = config.listen,
          .port = config.port,
          .rules = {.domain = config.domain, .database_is_branch = config.database_is_branch},
          .tls = {.directory = engine.paths().endpoint(),
                  .certificate = config.tls_certificate,
                  .key = config.tls_key,
                  .domain = config.domain,
                  .listen_host = config.listen},
          .refused_roles = {postgres::admin_role}};
}

}  // namespace

struct Endpoint::Impl {
  explicit Impl(engine::Engine& served) : engine(served), directory(served) {
    const Config::Proxy& config = engine.config().proxy;
    view.host = config.listen;
    view.port = config.port;
    view.domain = config.domain;
    view.certificate = config.tls_certificate.empty() ? proxy::authority_certificate(engine.paths().endpoint()).string()
                                                      : config.tls_certificate;
    try {
      proxy = std::make_unique<proxy::Proxy>(directory, engine.metrics(), options_of(engine));
      log::info("clients of all branches are served at {} port {}", config.listen, config.port);
    } catch (const Error& error) {
      view.problem = error.message();
      log::error("the endpoint for all branches does not run: {}", error.message());
    }
    engine.set_endpoint([this] { return describe(); });
  }
  ~Impl() { engine.set_endpoint(nullptr); }

  engine::EndpointView describe() const {
    engine::EndpointView described = view;
    if (!proxy) return described;
    const proxy::ProxyFigures figures = proxy->figures();
    described.connections = static_cast<std::int64_t>(figures.connections);
    for (const auto& [branch, count] : figures.open_sessions) {
      described.sessions.push_back({branch.text(), static_cast<std::int64_t>(count)});
    }
    return described;
  }

  engine::Engine& engine;
  EngineDirectory directory;
  engine::EndpointView view;
  std::unique_ptr<proxy::Proxy> proxy;
};

Endpoint::Endpoint(engine::Engine& engine) {
  if (engine.config().proxy.is_enabled) impl_ = std::make_unique<Impl>(engine);
}

Endpoint::~Endpoint() = default;

}  // namespace pgtwig
