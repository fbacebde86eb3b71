#include "api/server.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "api/event_stream.h"
#include "api/http.h"
#include "api/json.h"
#include "api/request_fields.h"
#include "api/routes.h"
#include "base/log.h"
#include "engine/engine.h"

namespace pgtwig::api {
namespace {

// Operations left to run with ?async=true. Each is a thread; most would only wait for the same locks and disk.
constexpr std::size_t most_in_background = 64;

int status_of(const Error& error) {
  return error_code_info(error.code()).http_status;
}

void log_failure(const Request& request, const Error& error) {
  auto text = fmt::format("{} {}: {}", request.method, request.target, error.message());
  if (error_code_info(error.code()).is_our_fault) {
    log::error("{}", text);
  } else {
    log::info("{}", text);
  }
}

class SilentListener final : public engine::Listener {
 public:
  void on_event(const engine::Event&) override {}
};

// Sends each event to the client as it happens. A client that goes away or stops reading doesn't stop the operation.
class StreamListener final : public engine::Listener {
 public:
  explicit StreamListener(Responder& responder) : responder_(responder) {}
  void on_event(const engine::Event& event) override {
    std::lock_guard lock(mutex_);
    responder_.send_line(event_line(event));
  }

 private:
  std::mutex mutex_;
  Responder& responder_;
};

// An operation that goes on when its request has been answered.
class BackgroundCall final : public engine::Listener {
 public:
  BackgroundCall(engine::Engine& engine, Request request, Match match)
      : engine_(engine), request_(std::move(request)), match_(std::move(match)) {}

  void start() {
    thread_ = std::thread([this] { run(); });
  }
  void join() { thread_.join(); }
  bool is_finished() {
    std::lock_guard lock(mutex_);
    return is_finished_;
  }

  // Returns as soon as the operation has a number, or is over before it got one.
  void answer(Responder& responder) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !operation_.empty() || is_finished_; });
    if (!operation_.empty()) {
      responder.send(202, fmt::format("{{\"operation\":\"{}\"}}", operation_));
    } else if (error_) {
      responder.send(status_of(*error_), to_json(*error_));
    } else {
      responder.send(200, result_);
    }
  }

  void on_event(const engine::Event& event) override {
    std::lock_guard lock(mutex_);
    if (operation_.empty()) operation_ = event.operation;
    changed_.notify_all();
  }

 private:
  void run() {
    std::string result;
    std::optional<Error> error;
    try {
      result = match_.route->handle({engine_, request_, match_.names, *this});
    } catch (...) {
      error = current_error();
      log_failure(request_, *error);
    }
    std::lock_guard lock(mutex_);
    result_ = std::move(result);
    error_ = std::move(error);
    is_finished_ = true;
    changed_.notify_all();
  }

  engine::Engine& engine_;
  Request request_;
  Match match_;
  std::thread thread_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::string operation_;
  std::string result_;
  std::optional<Error> error_;
  bool is_finished_ = false;
};

}  // namespace

struct Server::Impl {
  Impl(engine::Engine& served_engine, ServerOptions server_options)
      : engine(served_engine),
        options(std::move(server_options)),
        stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        http({.place = UnixPlace{options.socket, options.group},
              .spool_directory = options.spool_directory,
              .max_connections = options.max_connections,
              .admit = [this](const Peer& peer) { admit(peer); },
              .handle = [this](Request& request, Responder& responder) { handle(request, responder); }}) {
    if (!stop_event) throw system_error(errno, "cannot make an event descriptor");
  }

  void admit(const Peer& peer) const {
    if (peer.is_administrator() || (options.group && peer.is_in(*options.group))) return;
    throw Error(ErrorCode::not_allowed, "you may not use this pgtwig daemon",
                "ask the administrator to put you into the group pgtwig");
  }

  static void authorise(const Route& route, const Peer& peer) {
    if (route.access == Access::everyone || peer.is_administrator()) return;
    throw Error(ErrorCode::not_allowed, "only the administrator may change pools or stop this daemon",
                "repeat it with sudo");
  }

  void handle(Request& request, Responder& responder) {
    log::debug("{} {} by uid {}, pid {}", request.method, request.target, request.peer.uid, request.peer.pid);
    try {
      Match match = find_route(request);
      authorise(*match.route, request.peer);
      switch (match.route->kind) {
        case Kind::read:
          return read(request, match, responder);
        case Kind::text:
          return read_text(request, match, responder);
        case Kind::change:
          return change(request, std::move(match), responder);
        case Kind::stop:
          return stop_daemon(request, responder);
        case Kind::events:
          QueryFields(request.query).finish();
          return stream_events(engine.events(), responder, stop_event.get());
      }
    } catch (...) {
      Error error = current_error();
      log_failure(request, error);
      if (responder.has_begun()) {
        responder.send_line(to_json(error) + "\n");
      } else {
        responder.send(status_of(error), to_json(error));
      }
    }
  }

  void read(const Request& request, const Match& match, Responder& responder) {
    SilentListener listener;
    responder.send(200, match.route->handle({engine, request, match.names, listener}));
  }

  void read_text(const Request& request, const Match& match, Responder& responder) {
    SilentListener listener;
    responder.send_text(match.route->handle({engine, request, match.names, listener}));
  }

  void change(Request& request, Match match, Responder& responder) {
    if (request.upload && match.route->pattern != "/v1/projects") {
      throw Error(ErrorCode::invalid_argument, "only POST /v1/projects takes a dump");
    }
    if (QueryFields(request.query).flag("async")) return change_in_background(request, std::move(match), responder);
    if (request.accept == stream_content_type) {
      StreamListener listener(responder);
      responder.send_line(result_line(match.route->handle({engine, request, match.names, listener})));
    } else {
      SilentListener listener;
      responder.send(200, match.route->handle({engine, request, match.names, listener}));
    }
  }

  void change_in_background(Request& request, Match match, Responder& responder) {
    // Shared by this request, which waits for the operation's number, and the list, which outlives it.
    std::shared_ptr<BackgroundCall> call;
    {
      std::lock_guard lock(background_mutex);
      std::erase_if(background, [](const auto& finished) {
        if (!finished->is_finished()) return false;
        finished->join();
        return true;
      });
      if (background.size() >= most_in_background) {
        throw Error(ErrorCode::busy, fmt::format("{} operations run in the background already", background.size()),
                    "wait for some of them: GET /v1/operations");
      }
      call = std::make_shared<BackgroundCall>(engine, std::move(request), std::move(match));
      call->start();
      background.push_back(call);
    }
    call->answer(responder);
  }

  void stop_daemon(const Request& request, Responder& responder) {
    QueryFields(request.query).finish();
    BodyFields fields(request.body);
    bool stop_all = fields.flag("stop_all", false);
    fields.finish();
    responder.send(200, "{}");
    options.on_stop_request(stop_all);
  }

  void run() {
    http.run();
    std::lock_guard lock(background_mutex);
    for (const auto& call : background) call->join();
    background.clear();
  }

  void stop() {
    http.stop();
    ::eventfd_write(stop_event.get(), 1);
  }

  engine::Engine& engine;
  ServerOptions options;
  UniqueFd stop_event;
  std::mutex background_mutex;
  std::vector<std::shared_ptr<BackgroundCall>> background;
  HttpServer http;
};

Server::Server(engine::Engine& engine, ServerOptions options)
    : impl_(std::make_unique<Impl>(engine, std::move(options))) {
  log::debug("the server is made");  // the log's own set-up happens here and not on two connections' threads at once
}
Server::~Server() = default;
void Server::run() {
  impl_->run();
}
void Server::stop() {
  impl_->stop();
}

}  // namespace pgtwig::api
