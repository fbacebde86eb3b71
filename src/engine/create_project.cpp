// A project: a new cluster in a new volume, with its first branch, main.
#include <fmt/format.h>

#include "base/error.h"
#include "base/user_setting.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/incarnations.h"
#include "engine/new_cluster.h"
#include "engine/project_server.h"
#include "engine/restore_point_keeper.h"
#include "engine/user_files.h"
#include "engine/view_of.h"
#include "postgres/dump.h"
#include "postgres/roles.h"

namespace pgtwig::engine {
namespace {

void require_new_name(Engine& engine, const ProjectName& name) {
  if (!engine.catalog().find_project(name)) return;
  throw Error(ErrorCode::already_exists, fmt::format("project {} already exists", name.text()),
              fmt::format("`pgtwig branch create {}/NAME` makes a branch of it", name.text()));
}

}  // namespace

ProjectView create_project(Engine& engine, const CreateProject& request, Listener& listener) {
  require_new_name(engine, request.name);
  for (const auto& [name, value] : request.settings) check_user_setting(name, value);
  catalog::ProjectRecord project{.id = ProjectId::random(),
                                 .name = request.name,
                                 .pool = PoolId::random(),
                                 .pg_major = 0,
                                 .runtime = {},
                                 .settings = request.settings,
                                 .created_at = engine.clock().now(),
                                 .files = changed_files({}, request.files)};
  choose_server(engine,
                {.runtime = request.runtime.value_or(engine.config().runtime),
                 .image = request.image,
                 .pg_major = request.pg_major,
                 .pull = request.pull},
                project);
  const postgres::Installation installation = installation_of(engine, project);
  const auto dump_format =
      request.dump_fd < 0 ? std::nullopt : std::optional(postgres::detect_dump_format(request.dump_fd));
  const auto lock = engine.locks().acquire({project_lock(request.name, LockMode::exclusive)}, lock_timeout);
  require_new_name(engine, request.name);
  std::optional<Ports::Reservation> port = engine.ports().reserve(request.port);

  return engine.operations().run("project create", request.name.text(), listener, [&](Operation& operation) {
    const std::shared_ptr<OpenPool> pool = engine.pools().choose(request.pool, operation);
    engine.pools().require_room(*pool);
    project.pool = pool->record.id;
    project.created_at = engine.clock().now();
    project.suspend_after = request.suspend_after;
    Body main = planned_main(engine, project, pool, port->port());
    set_limits(engine, project, request.limits, main.branch);
    engine.instances().require_memory(main);

    operation.begin({sweep_record(main)});
    for (const std::string& warning : warnings_of(project.files, engine.config().proxy)) operation.warn(warning);
    make_cluster(engine, operation, main, {.locale = request.locale});
    catalog::IncarnationRecord incarnation = first_incarnation(main);
    start_new_body(engine, operation, main, port, request.port);
    if (dump_format) {
      operation.step("Load dump", [&] {
        postgres::load_dump(installation, request.dump_fd, *dump_format,
                            {.socket_directory = engine.paths().instance(main.branch.incarnation) / "s",
                             .port = main.branch.port,
                             .password = main.branch.password,
                             .user = engine.instance_user()});
      });
      operation.step("Analyze", [&] { postgres::analyze_all(*engine.instances().admin(main)); });
    }
    // What is there now must survive a loss of power as soon as the caller is told.
    operation.step("Flush", [&] { pool->driver->flush(main.branch.incarnation); });
    auto transaction = engine.catalog().begin();
    transaction->insert(main.project);
    transaction->insert(main.branch);
    record_incarnation(*transaction, incarnation, engine.clock().now());
    transaction->remove_sweep(main.branch.incarnation);
    operation.commit(*transaction);
    refresh_manifest(engine, main);
    refresh_incarnation_file(*pool, incarnation);
    // Before anybody can make a branch, which then goes back to it.
    const bool has_restore_points = schedule_of(engine, main.project, main.branch).every.count() > 0;
    if (has_restore_points) take_first_restore_point(engine, operation, main);

    ProjectView view = project_view(engine, main.project);
    view.main = branch_view(engine, main, operation);
    add_course(view, operation);
    return view;
  });
}

}  // namespace pgtwig::engine
