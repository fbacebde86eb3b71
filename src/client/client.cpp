#include "client/client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <vector>

#include "api/http.h"
#include "api/json.h"
#include "api/socket_stream.h"
#include "base/error.h"
#include "client/daemon_starter.h"

namespace pgtwig::client {
namespace {

namespace http = boost::beast::http;
using RequestHead = http::request<http::empty_body>;

constexpr std::size_t read_chunk = 64u << 10;
constexpr std::size_t upload_chunk = 256u << 10;

Error connection_lost() {
  return Error(ErrorCode::daemon_unavailable, "the daemon ended before it had answered",
               "see whether it was done with: pgtwig operation list");
}

// One answer: its status, and its body as it comes.
class Exchange {
 public:
  explicit Exchange(UniqueFd fd) : stream_(std::move(fd)) { parser_.body_limit(boost::none); }

  api::SocketStream& stream() { return stream_; }

  // False when the daemon closed the connection without a word.
  bool read_head() {
    boost::system::error_code error;
    http::read_header(stream_, buffer_, parser_, error);
    return !error;
  }
  int status() const { return static_cast<int>(parser_.get().result_int()); }
  std::string header(std::string_view name) const {
    return std::string(parser_.get()[boost::beast::string_view(name.data(), name.size())]);
  }

  // The next piece of the body; empty at its end.
  std::string read_some() {
    if (parser_.is_done()) return {};
    std::string piece(read_chunk, '\0');
    parser_.get().body().data = piece.data();
    parser_.get().body().size = piece.size();
    boost::system::error_code error;
    http::read_some(stream_, buffer_, parser_, error);
    if (error && error != http::error::need_buffer) throw connection_lost();
    piece.resize(piece.size() - parser_.get().body().size);
    return piece.empty() && !parser_.is_done() ? read_some() : piece;
  }

  std::string read_all() {
    std::string body;
    for (std::string piece = read_some(); !piece.empty(); piece = read_some()) body += piece;
    return body;
  }

  // nullopt at the end.
  std::optional<std::string> read_line() {
    for (;;) {
      std::size_t end = pending_.find('\n');
      if (end != std::string::npos) {
        std::string line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        return line;
      }
      std::string piece = read_some();
      if (piece.empty()) return std::nullopt;
      pending_ += piece;
    }
  }

 private:
  api::SocketStream stream_;
  boost::beast::flat_buffer buffer_;
  http::response_parser<http::buffer_body> parser_;
  std::string pending_;
};

RequestHead make_head(const std::string& method, const std::string& target, bool wants_events) {
  RequestHead head(http::string_to_verb(method), target, 11);
  head.set(http::field::host, "localhost");
  head.set(http::field::user_agent, "pgtwig/" PGTWIG_VERSION);
  head.set(http::field::accept, wants_events ? api::stream_content_type : "application/json");
  head.set("Pgtwig-Version", PGTWIG_VERSION);
  head.keep_alive(false);
  return head;
}

// A server that refuses early stops reading: a failed write is no failure yet, its answer tells more.
void send_body(Exchange& exchange, RequestHead head, const std::string& body) {
  http::request<http::string_body> request(std::move(head));
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = body;
  request.prepare_payload();
  boost::system::error_code ignored;
  http::write(exchange.stream(), request, ignored);
}

void send_file(Exchange& exchange, RequestHead head, int fd) {
  head.chunked(true);
  head.set(http::field::content_type, api::upload_content_type);
  http::request_serializer<http::empty_body> serializer(head);
  boost::system::error_code error;
  http::write_header(exchange.stream(), serializer, error);
  std::vector<char> chunk(upload_chunk);
  while (!error) {
    ssize_t count = ::read(fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error(errno, "cannot read the dump");
    if (count == 0) {
      boost::asio::write(exchange.stream(), http::make_chunk_last(), error);
      return;
    }
    boost::asio::write(exchange.stream(),
                       http::make_chunk(boost::asio::buffer(chunk.data(), static_cast<std::size_t>(count))), error);
  }
}

// The result of a streamed answer; its events go to `on_event` on the way.
std::string read_result(Exchange& exchange, const OnEvent& on_event) {
  while (auto line = exchange.read_line()) {
    if (line->empty()) continue;
    api::StreamLine parsed = api::parse_stream_line(*line);
    switch (parsed.kind) {
      case api::LineKind::event:
        if (on_event) on_event(api::from_json<engine::Event>(parsed.json));
        break;
      case api::LineKind::result:
        return parsed.json;
      case api::LineKind::error:
        throw api::error_from_json(parsed.json);
    }
  }
  throw connection_lost();
}

}  // namespace

struct Client::Impl {
  explicit Impl(ClientOptions client_options) : options(std::move(client_options)) {}

  UniqueFd connect() {
    if (auto connection = api::connect_unix_socket(options.paths.socket)) return std::move(*connection);
    if (!options.start_daemon) {
      throw Error(ErrorCode::daemon_unavailable,
                  fmt::format("no pgtwig daemon answers on {}", options.paths.socket.string()),
                  "start it with: pgtwig daemon start");
    }
    StartedDaemon started = start_daemon(options.paths, options.executable);
    if (started.pid != 0 && options.on_notice) {
      options.on_notice(fmt::format("Started the pgtwig daemon (pid {})", started.pid));
    }
    return std::move(started.connection);
  }

  // Sends with `send(exchange)` and returns the result.
  template <class Send>
  std::string exchange(bool is_repeatable, const OnEvent& on_event, Send send) {
    for (;;) {
      Exchange exchange(connect());
      send(exchange);
      if (!exchange.read_head()) {
        // It was stopping: another one takes its place. What only reads may be asked again.
        if (!std::exchange(is_repeatable, false)) throw connection_lost();
        continue;
      }
      daemon_version = exchange.header("Pgtwig-Version");
      if (exchange.status() >= 400) throw api::error_from_json(exchange.read_all());
      if (exchange.header("Content-Type") == api::stream_content_type) return read_result(exchange, on_event);
      std::string body = exchange.read_all();
      while (body.ends_with('\n')) body.pop_back();
      return body;
    }
  }

  ClientOptions options;
  std::string daemon_version;
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;

std::string Client::request(const std::string& method, const std::string& target, const std::string& body) {
  return impl_->exchange(method == "GET", {},
                         [&](Exchange& exchange) { send_body(exchange, make_head(method, target, false), body); });
}

std::string Client::request_with_events(const std::string& method, const std::string& target, const std::string& body,
                                        const OnEvent& on_event) {
  return impl_->exchange(false, on_event,
                         [&](Exchange& exchange) { send_body(exchange, make_head(method, target, true), body); });
}

std::string Client::upload_with_events(const std::string& target, const std::string& request_json, int fd,
                                       const OnEvent& on_event) {
  return impl_->exchange(false, on_event, [&](Exchange& exchange) {
    RequestHead head = make_head("POST", target, true);
    head.set("Pgtwig-Request", request_json);
    send_file(exchange, std::move(head), fd);
  });
}

bool Client::is_daemon_running() {
  return api::connect_unix_socket(impl_->options.paths.socket).has_value();
}

const std::string& Client::daemon_version() const {
  return impl_->daemon_version;
}

std::string encode_segment(const std::string& text) {
  std::string encoded;
  for (unsigned char c : text) {
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '.' || c == '~';
    encoded += is_plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return encoded;
}

}  // namespace pgtwig::client
