// The Error that a call must fail with.
#pragma once

#include <gtest/gtest.h>

#include "base/error.h"

namespace pgtwig::support {

// What `call` throws; a failure of the test when it throws nothing.
template <class Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_FALSE(error.message().empty());
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::internal, "nothing was thrown");
}

template <class Call>
ErrorCode code_of(Call call) {
  return error_of(call).code();
}

}  // namespace pgtwig::support
