// What the next daemon does to a volume whose manifest is not its own: it cleans a fork whose last writes were lost,
// and no other.
#include "catalog/manifest.h"
#include "engine/housekeeping.h"
#include "tests/support/wait.h"
#include "tests/unit/engine/engine_fixture.h"

namespace pgtwig::engine {
namespace {

class ResealTest : public EngineTest {
 protected:
  void SetUp() override {
    make_project();
    create_branch(*engine_, {.path = path("dev"), .start = false}, listener_);
    std::filesystem::create_directory(slot());
  }

  std::filesystem::path volume(const std::string& branch) const {
    const auto project = engine_->catalog().find_project(*ProjectName::parse("demo"));
    const auto record = engine_->catalog().find_branch(project->id, *BranchName::parse(branch));
    return root_ / "pool" / record->incarnation.text();
  }
  std::filesystem::path manifest_file(const std::string& branch) const {
    return volume(branch) / catalog::manifest_file_name;
  }
  // Of the branch itself, or of its source in a fork that was not cleaned: nothing else tells them apart.
  std::filesystem::path slot() const { return volume("dev") / "data/pg_replslot/a_slot"; }

  bool has_its_own_manifest() const {
    const auto manifest = catalog::parse_manifest(read_file(manifest_file("dev")));
    return manifest && manifest->branch.incarnation.text() == volume("dev").filename();
  }

  void begin_next_daemon() {
    open_engine();
    support::wait_until([this] { return engine_->housekeeping().has_restored(); });
  }
};

TEST_F(ResealTest, ABranchWhoseManifestIsEmptyKeepsItsDataAndGetsItsManifestAgain) {
  write_file(manifest_file("dev"), "");
  begin_next_daemon();
  EXPECT_TRUE(std::filesystem::exists(slot()));
  EXPECT_TRUE(has_its_own_manifest());
}

TEST_F(ResealTest, ABranchWhoseManifestIsGoneKeepsItsDataAndGetsItsManifestAgain) {
  std::filesystem::remove(manifest_file("dev"));
  begin_next_daemon();
  EXPECT_TRUE(std::filesystem::exists(slot()));
  EXPECT_TRUE(has_its_own_manifest());
}

// As one finds it in a pool that was copied to another disk.
TEST_F(ResealTest, ABranchWhoseVolumeIsAnotherThanItsManifestSaysKeepsItsData) {
  auto manifest = catalog::parse_manifest(read_file(manifest_file("dev"))).value();
  manifest.identity = "another";
  write_file(manifest_file("dev"), catalog::write_manifest(manifest));
  begin_next_daemon();
  EXPECT_TRUE(std::filesystem::exists(slot()));
  EXPECT_NE(catalog::parse_manifest(read_file(manifest_file("dev"))).value().identity, "another");
}

TEST_F(ResealTest, AForkThatCarriesItsSourcesManifestIsCleanedAndSealed) {
  write_file(manifest_file("dev"), read_file(manifest_file("main")));
  begin_next_daemon();
  EXPECT_FALSE(std::filesystem::exists(slot()));
  EXPECT_TRUE(has_its_own_manifest());
}

}  // namespace
}  // namespace pgtwig::engine
