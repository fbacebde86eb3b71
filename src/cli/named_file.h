// Files that the words of a call name, read and written by pgtwig itself as its user: what goes wrong there is for that
// user to mend, and no daemon's log knows of it. Used by commands/.
#pragma once

#include <string>

#include "base/error.h"

namespace pgtwig::cli {

// Does `work`, which reads or writes such a file. Where the system refuses, that is Error invalid_argument with `hint`.
template <class Work>
auto with_named_file(const std::string& hint, Work&& work) {
  try {
    return work();
  } catch (Error& error) {
    if (error.code() == ErrorCode::internal || error.code() == ErrorCode::storage_failed)
      throw Error(ErrorCode::invalid_argument, error.message(), hint);
    if (error.code() == ErrorCode::no_space) error.set_hint("free some space there");
    throw;
  }
}

}  // namespace pgtwig::cli
