// What the daemon counts, and how things stand, as Prometheus reads it. docs/metrics.md lists it.
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/connection_counter.h"
#include "engine/use_cases.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

void write_branches(Engine& engine, MetricText& text) {
  std::map<std::string, int> states;
  for (const char* state : {"creating", "running", "stopped", "suspended", "failed", "deleting"}) states[state] = 0;
  std::vector<std::pair<std::string, int>> connections;
  for (const BranchView& branch : list_branches(engine, std::nullopt)) {
    ++states[branch.state];
    if (branch.connections) connections.emplace_back(branch.name, *branch.connections);
  }
  text.family("pgtwig_branches", "gauge", "Branches by their state.");
  for (const auto& [state, count] : states) text.sample({{"state", state}}, count);
  text.family("pgtwig_branch_connections", "gauge", "Connections of clients to each running branch.");
  for (const auto& [branch, count] : connections) text.sample({{"branch", branch}}, count);
}

void write_pools(const std::vector<PoolView>& pools, MetricText& text) {
  const auto write = [&](const char* name, const char* help, double (*value)(const PoolView&)) {
    text.family(name, "gauge", help);
    for (const PoolView& pool : pools) text.sample({{"pool", pool.name}}, value(pool));
  };
  write("pgtwig_pool_ready", "Whether the pool can be reached: 1, or 0 while it is away.",
        [](const PoolView& pool) { return pool.state == "ready" ? 1.0 : 0.0; });
  write("pgtwig_pool_size_bytes", "Size of the pool's file system.",
        [](const PoolView& pool) { return static_cast<double>(pool.total_bytes.count); });
  write("pgtwig_pool_free_bytes", "What is free of it.",
        [](const PoolView& pool) { return static_cast<double>(pool.free_bytes.count); });
  write("pgtwig_pool_volumes", "Volumes in the pool: bodies of branches, and snapshots.",
        [](const PoolView& pool) { return static_cast<double>(pool.volume_count); });
}

double archived_bytes(Engine& engine, const catalog::ProjectRecord& project) {
  double sum = 0;
  try {
    const auto pool = engine.pools().open(project.pool);
    for (const auto& incarnation : engine.catalog().incarnations(project.id)) {
      const archive::LocalArchive archive = archive_of(*pool, incarnation.id);
      if (!archive.exists()) continue;
      for (const auto& file : archive.list()) sum += static_cast<double>(file.bytes.count);
    }
  } catch (const Error& error) {
    log::debug("the WAL archives of {} are not counted: {}", project.name.text(), error.message());
  }
  return sum;
}

}  // namespace

std::string metrics_text(Engine& engine) {
  MetricText text;
  text.family("pgtwig_build_info", "gauge", "1, with the daemon's version.").sample({{"version", PGTWIG_VERSION}}, 1);
  const auto opened_at = engine.opened_at().time_since_epoch();
  text.family("pgtwig_start_time_seconds", "gauge", "When the daemon began, in seconds since 1970.")
      .sample({}, std::chrono::duration<double>(opened_at).count());
  write_branches(engine, text);
  write_pools(list_pools(engine), text);
  text.family("pgtwig_wal_archive_bytes", "gauge", "Archived WAL of all bodies of a project's branches.");
  for (const auto& project : engine.catalog().projects()) {
    text.sample({{"project", project.name.text()}}, archived_bytes(engine, project));
  }
  engine.metrics().write(text);
  return text.text();
}

}  // namespace pgtwig::engine
