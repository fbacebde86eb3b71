#include "engine/new_cluster.h"

#include <fmt/format.h>

#include "engine/project_server.h"

namespace pgtwig::engine {
namespace {

constexpr std::size_t password_length = 24;

}  // namespace

Body planned_main(Engine& engine, const catalog::ProjectRecord& project, const std::shared_ptr<OpenPool>& pool,
                  std::uint16_t port) {
  const TimePoint now = engine.clock().now();
  return {.project = project,
          .branch = {.id = BranchId::random(),
                     .project = project.id,
                     .name = BranchName::main(),
                     .parent = std::nullopt,
                     .incarnation = IncarnationId::random(),
                     .host = "local",
                     .port = port,
                     .wants_running = true,
                     .durability = catalog::Durability::full,
                     .settings = {},
                     .password = random_password(password_length),
                     .held_back = {},
                     .allowed = {},
                     .maybe_has_subscriptions = false,
                     .origin = {.branch = {}, .snapshot = {}, .lsn = {}, .time = now},
                     .created_at = now,
                     .expires_at = std::nullopt},
          .pool = pool};
}

void make_cluster(Engine& engine, Operation& operation, const Body& main, const NewCluster& cluster) {
  operation.step(fmt::format("Make volume ({})", main.pool->driver->name()),
                 [&] { main.pool->driver->create(main.branch.incarnation); });
  const postgres::Installation installation = installation_of(engine, main.project);
  operation.step(fmt::format("Make cluster (PostgreSQL {})", installation.version), [&] {
    postgres::init_cluster(installation, {.data_directory = main.data(),
                                          .user = engine.instance_user(),
                                          .password = main.branch.password,
                                          .locale = cluster.locale,
                                          .is_synced = cluster.is_synced});
    write_manifest(engine, main);
  });
}

}  // namespace pgtwig::engine
