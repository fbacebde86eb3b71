// JSON of the engine's views, both ways: the server writes it, the client reads it. Field names are those of views.h
// and stable.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/views.h"

namespace pgtwig::api {

// As compact text. A list is {"<plural>": [...]}.
std::string to_json(const engine::BranchView& branch);
std::string to_json(const engine::ProjectView& project);
std::string to_json(const engine::PoolView& pool);
std::string to_json(const engine::OperationView& operation);
std::string to_json(const engine::CredentialsView& credentials);
std::string to_json(const engine::StatusView& status);
std::string to_json(const engine::Event& event);
std::string to_json(const Error& error);
std::string to_json(const std::vector<engine::BranchView>& branches);
std::string to_json(const std::vector<engine::ProjectView>& projects);
std::string to_json(const std::vector<engine::PoolView>& pools);
std::string to_json(const std::vector<engine::OperationView>& operations);

// Reads what to_json() wrote; unknown fields are skipped (a newer daemon's). Throws Error internal.
template <class View>
View from_json(const std::string& text);

}  // namespace pgtwig::api
