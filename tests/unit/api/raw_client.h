// A client that says exactly what a test wants, byte by byte, and an HTTP server that runs on a thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <thread>

#include "api/http.h"
#include "api/socket_stream.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::api {

class RawClient {
 public:
  explicit RawClient(const std::filesystem::path& socket) {
    auto fd = connect_unix_socket(socket);
    if (!fd) throw Error(ErrorCode::daemon_unavailable, "nobody listens");
    use(std::move(*fd));
  }
  explicit RawClient(const SocketAddress& address) {
    auto fd = begin_connect(address);
    if (!fd) throw system_error(fd.error(), "cannot connect");
    use(std::move(*fd));
  }

  void say(const std::string& bytes) {
    boost::system::error_code error;
    for (std::size_t at = 0; at < bytes.size() && !error;) {
      at += stream_->write_some(boost::asio::buffer(bytes.data() + at, bytes.size() - at), error);
    }
  }
  void say_no_more() { ::shutdown(stream_->fd(), SHUT_WR); }

  // What the server says until the connection is closed.
  std::string listen_to_the_end() {
    while (listen()) {
    }
    return std::exchange(heard_, {});
  }
  // What it says up to and with `end`.
  std::string listen_until(const std::string& end) {
    while (heard_.find(end) == std::string::npos) {
      if (!listen()) break;
    }
    std::size_t length = heard_.find(end);
    length = length == std::string::npos ? heard_.size() : length + end.size();
    std::string text = heard_.substr(0, length);
    heard_.erase(0, length);
    return text;
  }
  // Some of what it says, `size` bytes at most; nothing at the end.
  std::string listen_to_a_piece(std::size_t size) {
    std::string piece(size, '\0');
    boost::system::error_code error;
    piece.resize(stream_->read_some(boost::asio::buffer(piece), error));
    return piece;
  }

 private:
  void use(UniqueFd fd) {
    stream_.emplace(std::move(fd));
    stream_->set_timeout(std::chrono::seconds(20));
  }
  bool listen() {
    char bytes[4096];
    boost::system::error_code error;
    std::size_t count = stream_->read_some(boost::asio::buffer(bytes), error);
    heard_.append(bytes, count);
    return !error && count > 0;
  }

  std::optional<SocketStream> stream_;
  std::string heard_;
};

// A GET of `path`, after which the connection is closed.
inline std::string get(const auto& server, const std::string& path) {
  RawClient client(server);
  client.say("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return client.listen_to_the_end();
}

class RunningServer {
 public:
  explicit RunningServer(HttpServerOptions options) : server_(std::move(options)), thread_([this] { server_.run(); }) {}
  ~RunningServer() { stop(); }
  // Ends its threads: what a handler wrote may be read from then on.
  void stop() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }
  HttpServer& server() { return server_; }

 private:
  HttpServer server_;
  std::thread thread_;
};

}  // namespace pgtwig::api
