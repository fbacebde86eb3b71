// What each error code means to every border, in one table; and the Error type itself.
#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace pgtwig {

namespace {

constexpr ErrorCode all_codes[] = {
    ErrorCode::invalid_argument,   ErrorCode::not_found,      ErrorCode::already_exists,
    ErrorCode::conflict,           ErrorCode::busy,           ErrorCode::timed_out,
    ErrorCode::cancelled,          ErrorCode::not_allowed,    ErrorCode::not_available,
    ErrorCode::no_space,           ErrorCode::storage_failed, ErrorCode::postgres_failed,
    ErrorCode::daemon_unavailable, ErrorCode::internal,
};

// A switch rather than an array, so that the compiler asks for the row of a new code.
constexpr ErrorCodeInfo info_of(ErrorCode code) {
  switch (code) {
    //                                             exit  http  SQLSTATE our fault
    case ErrorCode::invalid_argument:
      return {"invalid_argument", 1, 400, "22023", false};
    case ErrorCode::not_found:
      return {"not_found", 3, 404, "3D000", false};
    case ErrorCode::already_exists:
      return {"already_exists", 4, 409, "42P04", false};
    case ErrorCode::conflict:
      return {"conflict", 5, 409, "55000", false};
    case ErrorCode::busy:
      return {"busy", 5, 423, "55P03", false};
    case ErrorCode::timed_out:
      return {"timed_out", 6, 504, "57014", true};
    case ErrorCode::cancelled:
      return {"cancelled", 2, 409, "57014", false};
    case ErrorCode::not_allowed:
      return {"not_allowed", 9, 403, "42501", false};
    case ErrorCode::not_available:
      return {"not_available", 1, 501, "0A000", false};
    case ErrorCode::no_space:
      return {"no_space", 2, 507, "53100", true};
    case ErrorCode::storage_failed:
      return {"storage_failed", 2, 500, "58030", true};
    case ErrorCode::postgres_failed:
      return {"postgres_failed", 2, 502, "57P03", true};
    case ErrorCode::daemon_unavailable:
      return {"daemon_unavailable", 2, 503, "08001", true};
    case ErrorCode::internal:
      return {"internal", 2, 500, "XX000", true};
  }
  return {"internal", 2, 500, "XX000", true};
}

struct Table {
  ErrorCodeInfo rows[std::size(all_codes)];
};

constexpr Table make_table() {
  Table table{};
  for (ErrorCode code : all_codes) table.rows[static_cast<std::size_t>(code)] = info_of(code);
  return table;
}

constexpr Table table = make_table();

}  // namespace

const ErrorCodeInfo& error_code_info(ErrorCode code) {
  return table.rows[static_cast<std::size_t>(code)];
}

ErrorCode error_code_from_name(std::string_view name) {
  for (ErrorCode code : all_codes) {
    if (error_code_info(code).name == name) return code;
  }
  return ErrorCode::internal;
}

Error::Error(ErrorCode code, std::string message, std::string hint)
    : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

Error& Error::add_context(std::string_view context) {
  message_ = std::string(context) + ": " + message_;
  return *this;
}

Error& Error::set_hint(std::string hint) {
  hint_ = std::move(hint);
  return *this;
}

Error system_error(int error_number, std::string_view action) {
  // strerrordesc_np() is safe in threads and speaks no other language than our own messages do.
  const char* description = strerrordesc_np(error_number);
  std::string message = std::string(action) + ": ";
  message += description ? description : "error " + std::to_string(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return Error(ErrorCode::no_space, message, "free some space there, or give the pool more: pgtwig pool grow");
    case EROFS:
    case EIO:
      return Error(ErrorCode::storage_failed, message, "look at the kernel's log: dmesg");
    default:
      return Error(ErrorCode::internal, message);
  }
}

std::string describe_current_exception() {
  try {
    throw;
  } catch (const Error& error) {
    return error.hint().empty() ? error.message() : error.message() + " (" + error.hint() + ")";
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an unknown exception";
  }
}

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (...) {
    return Error(ErrorCode::internal, "the daemon failed: " + describe_current_exception());
  }
}

}  // namespace pgtwig
