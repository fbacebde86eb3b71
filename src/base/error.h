// The one exception type of pgtwig: data that any border (command line, HTTP, log) can render. Thrown by every layer.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace pgtwig {

// Closed: a new code needs a row in the table of error.cpp, which the compiler asks for.
enum class ErrorCode {
  invalid_argument,  // bad name, flag or value
  not_found,
  already_exists,
  conflict,  // has children, is protected, wrong state
  busy,      // somebody else's operation holds it
  timed_out,
  cancelled,  // somebody asked for it
  not_allowed,
  not_available,  // asked for rightly, but this build or file system cannot do it
  no_space,
  storage_failed,
  postgres_failed,     // PostgreSQL would not start, stop or answer
  daemon_unavailable,  // nobody answers on the socket
  internal,            // everything else that the system did to us
};

struct ErrorCodeInfo {
  std::string_view name;  // "not_found": the `code` of the JSON error
  int exit_status;        // of the command line
  int http_status;
  std::string_view sqlstate;  // of the PostgreSQL protocol
  bool is_our_fault;          // logged as an error, not as information
};

const ErrorCodeInfo& error_code_info(ErrorCode code);
// The code of a name that error_code_info() gave; unknown names (a newer daemon's) read as `internal`.
ErrorCode error_code_from_name(std::string_view name);

// `message` and `hint` may be shown to anyone who may call pgtwig: no secrets, no stack traces. `hint` says what to do
// next, ideally as a command, and may be empty.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message, std::string hint = {});

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  const char* what() const noexcept override { return message_.c_str(); }

  // Puts what was being done before the message: "cannot create demo/dev: <message>".
  Error& add_context(std::string_view context);
  Error& set_hint(std::string hint);

 private:
  ErrorCode code_;
  std::string message_;
  std::string hint_;
};

// An Error of a failed system call: "<action>: <strerror>". ENOSPC and EDQUOT become no_space, EROFS storage_failed,
// ENOENT stays internal: what is missing is for the caller to know.
Error system_error(int error_number, std::string_view action);

// The text of whatever is being handled now, with its hint; for the borders that log and go on.
std::string describe_current_exception();
// What is being handled now, as an Error: for the borders that hand it to somebody else.
Error current_error();

}  // namespace pgtwig
