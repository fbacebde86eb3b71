// The one write transaction at a time. Made by catalog.cpp.
#pragma once

#include <memory>
#include <mutex>

#include "catalog/catalog.h"
#include "catalog/connection.h"

namespace pgtwig::catalog {

// Takes `mutex`, which guards `writer`, for its whole life.
std::unique_ptr<Transaction> begin_transaction(Connection& writer, std::mutex& mutex);

}  // namespace pgtwig::catalog
