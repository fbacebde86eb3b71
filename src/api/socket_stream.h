// A connected socket as a blocking stream with time limits, in the form that Asio and Beast read from and write
// to. Both ends use it: api/http_server.cpp and client/.
#pragma once

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <span>

#include "base/fs.h"

namespace pgtwig::api {

class SocketStream {
 public:
  using Clock = std::chrono::steady_clock;

  explicit SocketStream(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }

  // A call that waits longer than this for the other side fails with timed_out. Zero: waits for ever.
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  // Reads fail with timed_out at this moment at the latest, however busily single bytes trickle in.
  void set_read_deadline(std::optional<Clock::time_point> deadline) { read_deadline_ = deadline; }
  // The same for writes, however slowly the other side reads.
  void set_write_deadline(std::optional<Clock::time_point> deadline) { write_deadline_ = deadline; }

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, boost::system::error_code& error) {
    for (auto part = boost::asio::buffer_sequence_begin(buffers); part != boost::asio::buffer_sequence_end(buffers);
         ++part) {
      boost::asio::mutable_buffer buffer(*part);
      if (buffer.size() > 0) return receive(buffer.data(), buffer.size(), error);
    }
    error = {};
    return 0;
  }

  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, boost::system::error_code& error) {
    iovec parts[16];
    std::size_t count = 0;
    for (auto part = boost::asio::buffer_sequence_begin(buffers);
         part != boost::asio::buffer_sequence_end(buffers) && count < std::size(parts); ++part) {
      boost::asio::const_buffer buffer(*part);
      if (buffer.size() > 0) parts[count++] = {const_cast<void*>(buffer.data()), buffer.size()};
    }
    return send(std::span(parts, count), error);
  }

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    boost::system::error_code error;
    std::size_t count = read_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return count;
  }

  template <class Buffers>
  std::size_t write_some(const Buffers& buffers) {
    boost::system::error_code error;
    std::size_t count = write_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return count;
  }

 private:
  std::size_t receive(void* data, std::size_t size, boost::system::error_code& error);
  std::size_t send(std::span<iovec> parts, boost::system::error_code& error);
  // Waits until `events` are there; false with `error` set at the end of patience.
  bool wait_for(short events, std::optional<Clock::time_point> deadline, boost::system::error_code& error);

  UniqueFd fd_;
  std::chrono::milliseconds timeout_{0};
  std::optional<Clock::time_point> read_deadline_;
  std::optional<Clock::time_point> write_deadline_;
};

// nullopt when nobody listens there (no such file, or a socket that a dead process left). Throws Error not_allowed when
// the caller may not connect, internal for the rest.
std::optional<UniqueFd> connect_unix_socket(const std::filesystem::path& path);
// Listens with the given mode and group, replacing a socket that a dead process left. Throws Error conflict when
// somebody listens there.
UniqueFd listen_on_unix_socket(const std::filesystem::path& path, std::optional<gid_t> group);

}  // namespace pgtwig::api
