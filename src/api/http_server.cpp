// The one file that knows Beast on the server's side: threads, connections, limits, bodies.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url.hpp>
#include <cerrno>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

#include "api/http.h"
#include "api/json.h"
#include "api/socket_stream.h"
#include "base/log.h"

namespace pgtwig::api {
namespace {

namespace http = boost::beast::http;

constexpr std::uint64_t body_limit = 1u << 20;         // of JSON: the longest request has a few hundred settings
constexpr std::uint32_t header_limit = 16u << 10;      // Pgtwig-Request is the longest one
constexpr std::size_t buffer_limit = 64u << 10;        // what is read ahead
constexpr std::size_t spool_chunk = 256u << 10;        // of a dump, read and written at once
constexpr std::chrono::milliseconds accept_pause{50};  // when there are no descriptors left

// A request that can't be answered by the handler: why, and with which status.
struct BadRequest {
  http::status status;
  Error error;
};

// A file without a name, gone with its last descriptor.
UniqueFd open_spool_file(const std::filesystem::path& directory) {
  UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::string name = (directory / "upload-XXXXXX").string();
    fd.reset(::mkostemp(name.data(), O_CLOEXEC));
    if (fd) ::unlink(name.c_str());
  }
  if (!fd) throw system_error(errno, fmt::format("cannot make a temporary file in {}", directory.string()));
  return fd;
}

void write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    ssize_t count = ::write(fd, data, size);
    if (count < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "cannot keep the uploaded file");
    }
    data += count;
    size -= static_cast<std::size_t>(count);
  }
}

class BeastResponder final : public Responder {
 public:
  BeastResponder(SocketStream& stream, const Patience& patience, bool keep_alive)
      : stream_(stream), patience_(patience), keep_alive_(keep_alive) {}

  void send(int status, const std::string& json) override { send_body(status, "application/json", json + "\n"); }
  void send_text(const std::string& text) override { send_body(200, text_content_type, text); }

  bool send_line(const std::string& line) override {
    if (is_broken_) return false;
    give_time(patience_.line);
    boost::system::error_code error;
    if (!has_begun_) {
      has_begun_ = is_stream_ = true;
      http::response<http::empty_body> response(http::status::ok, 11);
      set_header(response, stream_content_type);
      response.chunked(true);
      http::response_serializer<http::empty_body> serializer(response);
      http::write_header(stream_, serializer, error);
    }
    if (!error) boost::asio::write(stream_, http::make_chunk(boost::asio::buffer(line)), error);
    is_broken_ = error.failed();
    return !is_broken_;
  }

  bool has_begun() const override { return has_begun_; }
  int socket() const override { return stream_.fd(); }

  void finish() {
    if (!is_stream_ || is_broken_) return;
    boost::system::error_code error;
    boost::asio::write(stream_, http::make_chunk_last(), error);
    is_broken_ = error.failed();
  }

  // Whether another request may follow on this connection.
  bool may_go_on() const { return keep_alive_ && has_begun_ && !is_broken_; }

 private:
  template <class Response>
  void set_header(Response& response, const char* content_type) {
    response.set(http::field::content_type, content_type);
    response.set(http::field::cache_control, "no-store");
    response.set("Pgtwig-Version", PGTWIG_VERSION);
    response.keep_alive(keep_alive_);
  }

  void send_body(int status, const char* content_type, std::string body) {
    has_begun_ = true;
    http::response<http::string_body> response(static_cast<http::status>(status), 11);
    set_header(response, content_type);
    response.body() = std::move(body);
    response.prepare_payload();
    give_time(patience_.answer);
    boost::system::error_code error;
    http::write(stream_, response, error);
    is_broken_ = error.failed();
  }

  // For the client's reading of what is said next.
  void give_time(std::chrono::milliseconds time) { stream_.set_write_deadline(SocketStream::Clock::now() + time); }

  SocketStream& stream_;
  const Patience& patience_;
  bool keep_alive_;
  bool has_begun_ = false;
  bool is_stream_ = false;
  bool is_broken_ = false;
};

}  // namespace

struct HttpServer::Impl {
  explicit Impl(HttpServerOptions server_options)
      : options(std::move(server_options)), listener(listen()), stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!stop_event) throw system_error(errno, "cannot make an event descriptor");
  }

  struct Connection {
    UniqueFd fd;
    std::thread thread;
    bool is_reading = true;  // its next request, which is not whole yet
    bool is_finished = false;
  };

  UniqueFd listen() const {
    if (const auto* unix_place = std::get_if<UnixPlace>(&options.place)) {
      return listen_on_unix_socket(unix_place->socket, unix_place->group);
    }
    return listen_on(std::get<SocketAddress>(options.place));
  }
  bool is_by_tcp() const { return std::holds_alternative<SocketAddress>(options.place); }

  void run() {
    try {
      accept_until_stopped();
    } catch (...) {
      finish();
      throw;
    }
    finish();
  }

  void accept_until_stopped() {
    for (;;) {
      pollfd entries[] = {{listener.get(), POLLIN, 0}, {stop_event.get(), POLLIN, 0}};
      if (::poll(entries, std::size(entries), -1) < 0 && errno != EINTR) {
        throw system_error(errno, "cannot wait for connections");
      }
      if (entries[1].revents != 0) return;
      if (entries[0].revents != 0) accept_one();
    }
  }

  void finish() {
    listener.reset();
    if (const auto* unix_place = std::get_if<UnixPlace>(&options.place)) ::unlink(unix_place->socket.c_str());
    std::unique_lock lock(mutex);
    is_stopping = true;
    for (Connection& connection : connections) {
      // Nobody can hold it up by what they have not said yet, and strangers not at all.
      if (is_by_tcp())
        ::shutdown(connection.fd.get(), SHUT_RDWR);
      else if (connection.is_reading)
        ::shutdown(connection.fd.get(), SHUT_RD);
    }
    changed.wait(lock, [&] {
      return std::all_of(connections.begin(), connections.end(), [](const Connection& c) { return c.is_finished; });
    });
    reap();
  }

  void accept_one() {
    UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        log::error("cannot accept a connection: {}", std::generic_category().message(errno));
        ::poll(nullptr, 0, static_cast<int>(accept_pause.count()));
      }
      return;
    }
    std::unique_lock lock(mutex);
    reap();
    // The others wait in the kernel's queue until one of these has finished.
    changed.wait(lock, [&] {
      reap();
      return connections.size() < static_cast<std::size_t>(options.max_connections) || is_stopping;
    });
    if (is_stopping) return;
    Connection& connection = connections.emplace_back();
    connection.fd = std::move(fd);
    try {
      connection.thread = std::thread([this, &connection] {
        serve(connection);
        std::lock_guard guard(mutex);
        connection.is_finished = true;
        changed.notify_all();
      });
    } catch (const std::system_error& failure) {
      log::error("cannot serve a connection: {}", failure.what());
      connections.pop_back();
    }
  }

  // Joins and forgets the finished; `mutex` is held.
  void reap() {
    std::erase_if(connections, [](Connection& connection) {
      if (!connection.is_finished) return false;
      connection.thread.join();
      return true;
    });
  }

  void stop() {
    {
      std::lock_guard lock(mutex);
      is_stopping = true;
      changed.notify_all();
    }
    ::eventfd_write(stop_event.get(), 1);
  }

  // False when the server is stopping.
  bool set_reading(Connection& connection, bool is_reading) {
    std::lock_guard lock(mutex);
    connection.is_reading = is_reading;
    return !is_stopping;
  }

  // One connection, request after request.
  void serve(Connection& connection) {
    try {
      SocketStream stream(UniqueFd(::fcntl(connection.fd.get(), F_DUPFD_CLOEXEC, 0)));
      if (stream.fd() < 0) throw system_error(errno, "cannot serve a connection");
      const Peer peer = is_by_tcp() ? Peer{} : peer_of(stream.fd());
      boost::beast::flat_buffer buffer(buffer_limit);
      bool goes_on = true;
      while (goes_on) goes_on = set_reading(connection, true) && serve_request(connection, stream, buffer, peer);
    } catch (...) {
      log::error("a connection ended: {}", describe_current_exception());
    }
    ::shutdown(connection.fd.get(), SHUT_RDWR);
  }

  // False when the connection is to be closed.
  bool serve_request(Connection& connection, SocketStream& stream, boost::beast::flat_buffer& buffer,
                     const Peer& peer) {
    if (buffer.size() == 0) {
      pollfd entry{stream.fd(), POLLIN, 0};
      int ready = ::poll(&entry, 1, static_cast<int>(options.patience.idle.count()));
      if (ready <= 0) return false;
    }
    stream.set_timeout(options.patience.request);
    stream.set_read_deadline(SocketStream::Clock::now() + options.patience.request);

    http::request_parser<http::empty_body> head;
    head.header_limit(header_limit);
    head.body_limit(boost::none);
    boost::system::error_code error;
    http::read_header(stream, buffer, head, error);
    if (error && error.category() != http::make_error_code(http::error::end_of_stream).category()) return false;
    if (error == http::error::end_of_stream || error == http::error::partial_message) return false;

    BeastResponder responder(stream, options.patience, !error && head.get().keep_alive());
    try {
      if (error) {
        throw BadRequest{http::status::bad_request,
                         Error(ErrorCode::invalid_argument, "this is not an HTTP request: " + error.message())};
      }
      Request request = read_head(head.get());
      request.peer = peer;
      const bool is_whole = read_rest(stream, buffer, head, request);
      const bool is_stopped = !set_reading(connection, false);
      if (!is_whole && is_stopped) {
        throw BadRequest{http::status::service_unavailable,
                         Error(ErrorCode::daemon_unavailable, "the daemon was stopped before it had the whole request",
                               "nothing was done for it; repeat it")};
      }
      if (!is_whole) return false;
      stream.set_read_deadline(std::nullopt);
      handle(request, responder);
    } catch (const BadRequest& bad) {
      // What follows on this connection can't be told from the rest of the bad request.
      BeastResponder(stream, options.patience, false).send(static_cast<int>(bad.status), to_json(bad.error));
      return false;
    }
    responder.finish();
    return responder.may_go_on();
  }

  // False when that is not all that was announced.
  bool read_rest(SocketStream& stream, boost::beast::flat_buffer& buffer, http::request_parser<http::empty_body>& head,
                 Request& request) {
    try {
      options.admit(request.peer);
    } catch (const Error& error) {
      throw BadRequest{static_cast<http::status>(error_code_info(error.code()).http_status), error};
    }
    if (head.get()[http::field::expect] == "100-continue") {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      boost::system::error_code error;
      http::write(stream, go_on, error);
      if (error) return false;
    }
    return head.get()[http::field::content_type] == upload_content_type ? read_upload(stream, buffer, head, request)
                                                                        : read_body(stream, buffer, head, request);
  }

  void handle(Request& request, BeastResponder& responder) {
    try {
      options.handle(request, responder);
    } catch (...) {
      log::error("{} {}: {}", request.method, request.target, describe_current_exception());
      if (!responder.has_begun()) {
        Error error(ErrorCode::internal, "the daemon failed: " + describe_current_exception());
        responder.send(error_code_info(error.code()).http_status, to_json(error));
      }
    }
  }

  static Request read_head(const http::request<http::empty_body>& head) {
    if (head.version() != 11) {
      throw BadRequest{http::status::http_version_not_supported,
                       Error(ErrorCode::invalid_argument, "only HTTP/1.1 is spoken here")};
    }
    auto target = boost::urls::parse_origin_form(std::string_view(head.target().data(), head.target().size()));
    if (!target) {
      throw BadRequest{http::status::bad_request,
                       Error(ErrorCode::invalid_argument,
                             fmt::format("'{}' is not a path", std::string(head.target().substr(0, 200))),
                             "percent-encode names in paths: feature%2Fnew-api")};
    }
    Request request;
    request.method = std::string(head.method_string());
    request.target = std::string(head.target());
    for (auto segment : target->segments()) request.segments.emplace_back(segment.data(), segment.size());
    for (auto parameter : target->params()) {
      request.query[std::string(parameter.key)] = std::string(parameter.value);
    }
    request.accept = std::string(head[http::field::accept]);
    request.described_by = std::string(head["Pgtwig-Request"]);
    return request;
  }

  static bool read_body(SocketStream& stream, boost::beast::flat_buffer& buffer,
                        http::request_parser<http::empty_body>& head, Request& request) {
    const BadRequest too_large{http::status::payload_too_large,
                               Error(ErrorCode::invalid_argument, "the body of the request is larger than 1 MiB")};
    if (head.content_length() && *head.content_length() > body_limit) throw too_large;
    http::request_parser<http::string_body> parser(std::move(head));
    parser.body_limit(body_limit);
    boost::system::error_code error;
    http::read(stream, buffer, parser, error);
    if (error == http::error::body_limit) throw too_large;
    if (error) return false;
    request.body = std::move(parser.get().body());
    return true;
  }

  bool read_upload(SocketStream& stream, boost::beast::flat_buffer& buffer,
                   http::request_parser<http::empty_body>& head, Request& request) {
    http::request_parser<http::buffer_body> parser(std::move(head));
    parser.body_limit(boost::none);
    stream.set_read_deadline(std::nullopt);
    stream.set_timeout(options.patience.transfer);
    if (!options.spool_directory) {
      throw BadRequest{http::status::bad_request, Error(ErrorCode::invalid_argument, "nothing can be uploaded here")};
    }
    try {
      request.upload = open_spool_file(*options.spool_directory);
      std::vector<char> chunk(spool_chunk);
      while (!parser.is_done()) {
        parser.get().body().data = chunk.data();
        parser.get().body().size = chunk.size();
        boost::system::error_code error;
        http::read(stream, buffer, parser, error);
        if (error && error != http::error::need_buffer) return false;
        write_all(request.upload.get(), chunk.data(), chunk.size() - parser.get().body().size);
      }
      if (::lseek(request.upload.get(), 0, SEEK_SET) < 0) throw system_error(errno, "cannot rewind the uploaded file");
    } catch (const Error& error) {
      throw BadRequest{static_cast<http::status>(error_code_info(error.code()).http_status), error};
    }
    return true;
  }

  HttpServerOptions options;
  UniqueFd listener;
  UniqueFd stop_event;
  std::mutex mutex;  // guards the rest
  std::condition_variable changed;
  bool is_stopping = false;
  std::list<Connection> connections;
};

HttpServer::HttpServer(HttpServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpServer::~HttpServer() = default;
void HttpServer::run() {
  impl_->run();
}
void HttpServer::stop() {
  impl_->stop();
}
std::uint16_t HttpServer::port() const {
  return local_address(impl_->listener.get()).port();
}

}  // namespace pgtwig::api
