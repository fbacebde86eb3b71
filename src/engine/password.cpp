// A new password for the role that pgtwig made.
#include <fmt/format.h>

#include "base/error.h"
#include "engine/body.h"
#include "engine/view_of.h"
#include "postgres/roles.h"

namespace pgtwig::engine {

CredentialsView reset_branch_password(Engine& engine, const BranchPath& path,
                                      const std::optional<std::string>& password, Listener& listener) {
  constexpr std::size_t password_length = 24;
  const auto lock = engine.locks().acquire(
      {project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::exclusive)}, lock_timeout);
  Body body = require_body(engine, path);
  if (password && (password->empty() || password->find('\0') != std::string::npos)) {
    throw Error(ErrorCode::invalid_argument, "a password cannot be empty", "leave it out to get a random one");
  }
  if (!engine.instances().find(body)) {
    throw Error(ErrorCode::conflict, fmt::format("{} is not running", body.name()),
                fmt::format("`pgtwig start {}`", body.name()));
  }
  return engine.operations().run("branch password", body.name(), listener, [&](Operation& operation) {
    const std::string old_password = body.branch.password;
    body.branch.password = password.value_or(random_password(password_length));
    operation.begin();
    operation.step("Set password", [&] {
      postgres::set_password(*engine.instances().admin(body), postgres::owner_role, body.branch.password);
    });
    try {
      auto transaction = engine.catalog().begin();
      transaction->update(body.branch);
      operation.commit(*transaction);
    } catch (...) {
      if (!old_password.empty()) {
        postgres::set_password(*engine.instances().admin(body), postgres::owner_role, old_password);
      }
      throw;
    }
    refresh_manifest(engine, body);
    return credentials_view(engine, body);
  });
}

}  // namespace pgtwig::engine
