#include "api/metrics_server.h"

#include <fmt/format.h>

#include <thread>

#include "api/http.h"
#include "api/json.h"
#include "base/log.h"
#include "engine/use_cases.h"

namespace pgtwig::api {
namespace {

// Anybody can connect here; who asks slowly, or for nothing, keeps the others waiting no longer than this.
constexpr int most_connections = 8;
constexpr Patience little_patience{.idle = std::chrono::seconds(5),
                                   .request = std::chrono::seconds(5),
                                   .answer = std::chrono::seconds(5),
                                   .line = std::chrono::seconds(5)};

}  // namespace

struct MetricsServer::Impl {
  Impl(engine::Engine& served, const SocketAddress& address)
      : engine(served),
        http({.place = address,
              .spool_directory = std::nullopt,
              .max_connections = most_connections,
              .patience = little_patience,
              .admit = [](const Peer&) {},
              .handle = [this](Request& request, Responder& responder) { answer(request, responder); }}),
        place{.host = address.host(), .port = http.port(), .problem = {}} {
    engine.set_metrics_place(place);
    thread = std::thread([this] { run(); });
  }

  ~Impl() {
    http.stop();
    thread.join();
    engine.set_metrics_place(std::nullopt);
  }

  void run() {
    try {
      http.run();
    } catch (...) {
      place.problem = describe_current_exception();
      engine.set_metrics_place(place);
      log::error("the metrics are served no longer: {}", place.problem);
    }
  }

  void answer(const Request& request, Responder& responder) {
    if (request.method == "GET" && request.segments == std::vector<std::string>{"metrics"}) {
      try {
        return responder.send_text(engine::metrics_text(engine));
      } catch (...) {
        // What exactly is for the log, not for strangers.
        log::error("cannot collect the metrics: {}", describe_current_exception());
        return refuse(responder,
                      Error(ErrorCode::internal, "the metrics cannot be collected now", "the daemon's log tells why"));
      }
    }
    refuse(responder, Error(ErrorCode::not_found, fmt::format("there is no {} {} here", request.method, request.target),
                            "there is GET /metrics, and nothing else"));
  }

  static void refuse(Responder& responder, const Error& error) {
    responder.send(error_code_info(error.code()).http_status, to_json(error));
  }

  engine::Engine& engine;
  HttpServer http;
  engine::MetricsPlaceView place;
  std::thread thread;
};

MetricsServer::MetricsServer(engine::Engine& engine, const SocketAddress& address)
    : impl_(std::make_unique<Impl>(engine, address)) {}
MetricsServer::~MetricsServer() = default;
std::uint16_t MetricsServer::port() const {
  return impl_->http.port();
}

}  // namespace pgtwig::api
