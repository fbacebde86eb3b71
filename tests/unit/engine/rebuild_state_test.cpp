#include <fmt/format.h>

#include "catalog/manifest.h"
#include "engine/pools.h"
#include "engine/sweeper.h"
#include "tests/support/errors.h"
#include "tests/unit/engine/engine_fixture.h"

namespace pgtwig::engine {
namespace {

using pgtwig::support::error_of;

class RebuildStateTest : public EngineTest {
 protected:
  IncarnationId make_stopped_branch(const std::string& name) {
    create_branch(*engine_, {.path = path(name), .start = false}, listener_);
    const auto project = engine_->catalog().find_project(*ProjectName::parse("demo"));
    return engine_->catalog().find_branch(project->id, *BranchName::parse(name))->incarnation;
  }

  void say_uncommitted(const IncarnationId& volume) const {
    const auto file = root_ / "pool" / volume.text() / catalog::manifest_file_name;
    auto manifest = catalog::parse_manifest(read_file(file)).value();
    ASSERT_TRUE(manifest.committed);
    manifest.committed = false;
    write_file(file, catalog::write_manifest(manifest));
  }

  void lose_catalog() {
    // What the new catalog may not know of would be stopped by nobody.
    stop_branch(*engine_, path("main"), listener_);
    const auto file = engine_->paths().catalog();
    engine_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + suffix);
  }

  static DoomedVolumes doom(const IncarnationId& volume, const catalog::PoolRecord& pool) {
    return {
        .volumes = {{volume, {.volume = volume, .pool = pool.id, .pg_major = 15, .operation = OperationId::random()}}},
        .pools = {pool}};
  }

  std::vector<IncarnationId> swept() {
    std::vector<IncarnationId> ids;
    for (const auto& volume : engine_->catalog().sweep_list()) ids.push_back(volume.volume);
    return ids;
  }

  std::vector<std::string> branch_names() {
    std::vector<std::string> names;
    for (const auto& branch : engine_->catalog().branches()) names.push_back(branch.name.text());
    return names;
  }
};

TEST_F(RebuildStateTest, TakesUpWhatWasCommittedAndNotReplaced) {
  make_project();
  make_stopped_branch("dev");
  const IncarnationId staged = make_stopped_branch("staged");
  const IncarnationId deleted = make_stopped_branch("deleted");
  say_uncommitted(staged);
  const catalog::PoolRecord pool = engine_->catalog().pools().at(0);
  lose_catalog();
  open_engine();

  // The pool lies outside of the state directory and is not named.
  const RebuildReport report = rebuild_state(*engine_, {}, doom(deleted, pool));

  EXPECT_EQ(branch_names(), (std::vector<std::string>{"main", "dev"}));
  ASSERT_EQ(report.notes.size(), 2u);
  EXPECT_EQ(engine_->catalog().pools().at(0).driver, "memory");
  EXPECT_EQ(volumes().size(), 4u);
  // Whoever rebuilds once more finds it there, and else it goes. What is unowned stays.
  EXPECT_EQ(swept(), std::vector{deleted});
  open_engine();
  engine_->sweeper().wait_until_idle();
  EXPECT_EQ(volumes().size(), 3u);
  EXPECT_TRUE(swept().empty());
}

TEST_F(RebuildStateTest, OfTwoBodiesOfOneNameTheNewerBranchIsTakenUp) {
  make_project();
  const IncarnationId old = make_stopped_branch("dev");
  // It was deleted and not swept when the catalog was lost.
  const auto record = engine_->catalog().branches().at(1);
  ASSERT_EQ(record.incarnation, old);
  auto transaction = engine_->catalog().begin();
  transaction->remove_branch(record.id);
  transaction->remove_incarnation(old);
  transaction->commit();
  transaction.reset();
  const IncarnationId fresh = make_stopped_branch("dev");
  lose_catalog();
  open_engine();

  const RebuildReport report = rebuild_state(*engine_, {});

  EXPECT_EQ(branch_names(), (std::vector<std::string>{"main", "dev"}));
  EXPECT_EQ(engine_->catalog().branches().at(1).incarnation, fresh);
  EXPECT_EQ(report.notes.size(), 1u);
}

TEST_F(RebuildStateTest, APoolElsewhereIsKnownWithoutTheCatalog) {
  const Paths paths = engine_->paths();
  EXPECT_FALSE(has_pools(paths));
  write_file(paths.pools() / "default.img.unfinished", "");
  EXPECT_FALSE(has_pools(paths));
  make_project();
  EXPECT_TRUE(has_pools(paths));
  EXPECT_EQ(find_installation_of_volumes(paths, {}), installation_);
}

TEST_F(RebuildStateTest, ADirectoryThatIsNamedHasToBeAPoolThatIsTakenUp) {
  const Paths paths = engine_->paths();
  make_project();
  std::filesystem::create_directory(root_ / "empty");
  std::filesystem::create_directory(root_ / "stranger");
  write_file(root_ / "stranger" / pool_marker_file_name,
             fmt::format("{} other {} memory\n", PoolId::random().text(), InstallationId::random().text()));
  EXPECT_EQ(find_installation_of_volumes(paths, {root_ / "pool"}), installation_);
  for (const auto& [name, code] : {std::pair("nowhere", ErrorCode::invalid_argument),
                                   {"empty", ErrorCode::invalid_argument},
                                   {"stranger", ErrorCode::conflict}}) {
    const auto directory = root_ / name;
    const Error error = error_of([&] { find_installation_of_volumes(paths, {directory}); });
    EXPECT_EQ(error.code(), code);
    EXPECT_NE(error.message().find(directory.string()), std::string::npos);
  }
}

TEST_F(RebuildStateTest, APoolThatIsNotThereIsANoteAndStaysKnown) {
  make_project();
  lose_catalog();
  std::filesystem::rename(root_ / "pool", root_ / "away");
  open_engine();
  EXPECT_EQ(rebuild_state(*engine_, {}).notes.size(), 1u);
  EXPECT_TRUE(has_pools(engine_->paths()));
  std::filesystem::rename(root_ / "away", root_ / "pool");
}

TEST_F(RebuildStateTest, WhatWasDeletedInAPoolThatIsNotThereGoesWhenItIsBack) {
  make_project();
  const IncarnationId deleted = make_stopped_branch("deleted");
  const catalog::PoolRecord pool = engine_->catalog().pools().at(0);
  lose_catalog();
  std::filesystem::rename(root_ / "pool", root_ / "away");
  open_engine();
  rebuild_state(*engine_, {}, doom(deleted, pool));
  EXPECT_EQ(swept(), std::vector{deleted});
  EXPECT_EQ(get_pool(*engine_, pool.name).state, "away");

  std::filesystem::rename(root_ / "away", root_ / "pool");
  open_engine();
  engine_->sweeper().wait_until_idle();

  EXPECT_TRUE(swept().empty());
  EXPECT_EQ(volumes().size(), 1u);
}

}  // namespace
}  // namespace pgtwig::engine
