// HTTP as the API sees it: a Request comes in, a Responder takes the answer. Everything of the protocol itself is in
// http_server.cpp.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/tcp.h"

namespace pgtwig::api {

// Who is at the other end of the socket, as the kernel says; as they were when they connected.
struct Peer {
  pid_t pid = 0;
  uid_t uid = static_cast<uid_t>(-1);  // nobody: by TCP nobody is known
  std::vector<gid_t> groups;           // all of them, the primary one included
  bool is_in(gid_t group) const;
  bool is_administrator() const;  // root, or whose daemon this is
};
Peer peer_of(int socket);

struct Request {
  std::string method;
  std::string target;                        // as it was sent, for messages
  std::vector<std::string> segments;         // of the path, decoded
  std::map<std::string, std::string> query;  // decoded
  std::string accept;
  std::string described_by;  // header Pgtwig-Request: the JSON that describes an upload
  std::string body;
  UniqueFd upload;  // a body of content type `upload_content_type`, in an unlinked file, at its beginning
  Peer peer;
};

constexpr const char* upload_content_type = "application/vnd.pgtwig.dump";
constexpr const char* stream_content_type = "application/x-ndjson";
constexpr const char* text_content_type = "text/plain; version=0.0.4; charset=utf-8";  // as Prometheus wants it

// Takes the answer to one request: send() once, or send_line() any number of times.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void send(int status, const std::string& json) = 0;
  virtual void send_text(const std::string& text) = 0;  // 200
  // The first line answers 200. False when the client is gone or doesn't read: nothing more will reach it.
  virtual bool send_line(const std::string& line) = 0;
  virtual bool has_begun() const = 0;
  // To wait on for the client's departure.
  virtual int socket() const = 0;
};

// How long the server waits for a client that says nothing.
struct Patience {
  std::chrono::milliseconds idle{60'000};      // between two requests of a connection
  std::chrono::milliseconds request{30'000};   // from the first byte of a request to the last one of its JSON
  std::chrono::milliseconds transfer{60'000};  // for the next piece of a dump
  std::chrono::milliseconds answer{10'000};    // for the reading of a whole answer: a server that stops waits for it
  std::chrono::milliseconds line{5'000};       // for the reading of a progress line: the operation waits meanwhile
};

struct UnixPlace {
  std::filesystem::path socket;
  std::optional<gid_t> group;  // who may connect besides the owner
};

struct HttpServerOptions {
  std::variant<UnixPlace, SocketAddress> place;          // by TCP every peer is nobody
  std::optional<std::filesystem::path> spool_directory;  // for uploads; absent: none are taken
  int max_connections = 256;
  Patience patience = {};
  // Throws Error when this peer may not come in.
  std::function<void(const Peer&)> admit;
  // Called on the connection's thread; may throw anything.
  std::function<void(Request&, Responder&)> handle;
};

class HttpServer {
 public:
  explicit HttpServer(HttpServerOptions options);
  ~HttpServer();
  // Returns after stop(), when the requests that had come whole by then are finished.
  void run();
  // From any thread; returns at once.
  void stop();
  std::uint16_t port() const;  // by TCP: the one that it listens on

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgtwig::api
