// The engine's records as what callers see.
#pragma once

#include "engine/body.h"
#include "engine/operation.h"
#include "engine/views.h"

namespace pgtwig::engine {

// Where instances listen.
inline constexpr const char* loopback = "127.0.0.1";

// What the operation that made or changed it has to say.
template <class View>
void add_course(View& view, const Operation& operation) {
  view.warnings = operation.warnings();
  view.steps = operation.steps();
  view.total_ms = operation.total_ms();
}

BranchView branch_view(Engine& engine, const Body& body);
// With what the operation that just made or changed it has to say.
BranchView branch_view(Engine& engine, const Body& body, const Operation& operation);
ProjectView project_view(Engine& engine, const catalog::ProjectRecord& project);
OperationView operation_view(const catalog::OperationRecord& record);
CredentialsView credentials_view(Engine& engine, const Body& body);

}  // namespace pgtwig::engine
