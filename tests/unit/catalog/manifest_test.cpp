#include "catalog/manifest.h"

#include <gtest/gtest.h>

namespace pgtwig::catalog {
namespace {

Manifest sample() {
  const ProjectId project = ProjectId::random();
  const TimePoint time = *parse_rfc3339("2026-03-01T12:00:00.123456Z");
  return {.installation = InstallationId::random(),
          .identity = "subvolume 0123",
          .committed = true,
          .project = {.id = project,
                      .name = *ProjectName::parse("demo"),
                      .pool = PoolId::random(),
                      .pg_major = 15,
                      .runtime = "native",
                      .settings = {{"work_mem", "8MB"}},
                      .created_at = time},
          .branch = {.id = BranchId::random(),
                     .project = project,
                     .name = *BranchName::parse("feature/ü"),
                     .parent = BranchId::random(),
                     .incarnation = IncarnationId::random(),
                     .host = "local",
                     .port = 6002,
                     .wants_running = false,
                     .durability = Durability::relaxed,
                     .settings = {{"a.b", "it's \"quoted\""}},
                     .password = "secret",
                     .held_back = {"standby"},
                     .allowed = {},
                     .maybe_has_subscriptions = true,
                     .origin = {.branch = "demo/main", .snapshot = {}, .lsn = "0/16B3748", .time = time},
                     .created_at = time,
                     .expires_at = time}};
}

TEST(Manifest, ComesBackAsItWasWritten) {
  const Manifest manifest = sample();
  const std::string text = write_manifest(manifest);
  const auto parsed = parse_manifest(text);
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(write_manifest(*parsed), text);
  EXPECT_TRUE(parsed->committed);
  EXPECT_EQ(parsed->branch.name.text(), "feature/ü");
  EXPECT_EQ(parsed->branch.expires_at, manifest.branch.expires_at);
}

TEST(Manifest, SaysWhetherItsBranchSleepsAndWhenItShallAndWhatItsProjectHas) {
  Manifest manifest = sample();
  manifest.branch.is_suspended = true;
  manifest.branch.suspend_after = std::chrono::seconds(0);
  manifest.project.suspend_after = std::chrono::minutes(5);
  manifest.project.files = {{"pg_hba.conf", "host all all all \"trust\"\n"}};
  const auto parsed = parse_manifest(write_manifest(manifest));
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_TRUE(parsed->branch.is_suspended);
  EXPECT_EQ(parsed->branch.suspend_after, std::chrono::seconds(0));
  EXPECT_EQ(parsed->project.suspend_after, std::chrono::seconds(300));
  EXPECT_EQ(parsed->project.files, manifest.project.files);

  manifest.branch.wants_running = true;
  EXPECT_FALSE(parse_manifest(write_manifest(manifest)));
}

TEST(Manifest, OfAnOlderPgtwigSaysNothingOfSleep) {
  std::string text = write_manifest(sample());
  for (const std::string member : {",\"is_suspended\":false", ",\"suspend_after\":null", ",\"suspend_after\":null"}) {
    const std::size_t at = text.find(member);
    ASSERT_NE(at, std::string::npos) << text;
    text.erase(at, member.size());
  }
  const auto parsed = parse_manifest(text);
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_FALSE(parsed->branch.is_suspended);
  EXPECT_FALSE(parsed->branch.suspend_after);
  EXPECT_FALSE(parsed->project.suspend_after);
}

TEST(Manifest, OfASnapshotComesBackAsItWasWritten) {
  Manifest manifest = sample();
  manifest.snapshot = SnapshotRecord{.id = manifest.branch.incarnation,
                                     .project = manifest.project.id,
                                     .branch = manifest.branch.id,
                                     .incarnation = IncarnationId::random(),
                                     .name = "v1",
                                     .message = "two\nlines",
                                     .kind = SnapshotKind::restore,
                                     .redo = {0x1000028},
                                     .end = {0xFFFFFFFF00000000},
                                     .timeline = 4294967295,
                                     .next_xid = 1ull << 40,
                                     .password = "of then",
                                     .held_back = {"replication slot: x"},
                                     .maybe_has_subscriptions = true,
                                     .created_at = *parse_rfc3339("2026-03-01T12:00:01Z")};
  const std::string text = write_manifest(manifest);
  const auto parsed = parse_manifest(text);
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(write_manifest(*parsed), text);
  ASSERT_TRUE(parsed->snapshot);
  EXPECT_EQ(parsed->snapshot->project, manifest.project.id);
  EXPECT_EQ(parsed->snapshot->branch, manifest.branch.id);
  EXPECT_EQ(parsed->snapshot->end, manifest.snapshot->end);
  EXPECT_EQ(parsed->snapshot->timeline, 4294967295);

  manifest.snapshot->id = IncarnationId::random();
  EXPECT_FALSE(parse_manifest(write_manifest(manifest)));
}

TEST(Manifest, OfASnapshotIsNoneToAPgtwigThatKnowsNoSnapshots) {
  Manifest manifest = sample();
  EXPECT_NE(write_manifest(manifest).find("\"format\":1,"), std::string::npos);
  manifest.snapshot = SnapshotRecord{.id = manifest.branch.incarnation,
                                     .project = manifest.project.id,
                                     .branch = manifest.branch.id,
                                     .incarnation = manifest.branch.incarnation,
                                     .name = "v1",
                                     .created_at = manifest.branch.created_at};
  EXPECT_NE(write_manifest(manifest).find("\"format\":2,"), std::string::npos);
}

TEST(Manifest, OfANewerFormatIsRefused) {
  std::string text = write_manifest(sample());
  text.replace(text.find("\"format\":1"), 10, "\"format\":9");
  const auto parsed = parse_manifest(text);
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().find("newer"), std::string::npos);
}

TEST(Manifest, ThatIsCutOrLacksAFieldIsAnErrorAndNoCrash) {
  const std::string text = write_manifest(sample());
  for (std::size_t length = 0; length + 2 < text.size(); ++length) {
    EXPECT_FALSE(parse_manifest(std::string_view(text).substr(0, length)));
  }
  for (const char* field :
       {"\"port\"", "\"incarnation\"", "\"identity\"", "\"committed\"", "\"origin\"", "\"settings\""}) {
    std::string changed = text;
    changed.replace(changed.find(field) + 1, 1, "X");
    EXPECT_FALSE(parse_manifest(changed)) << field;
  }
}

}  // namespace
}  // namespace pgtwig::catalog
