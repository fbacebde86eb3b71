// The helper as the archive and restore command of a real PostgreSQL.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/archive/real_cluster.h"

namespace pgtwig::archive {
namespace {

using support::Ground;
using support::RealCluster;
using support::Settings;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Bytes segment_size = 1_MiB;
// Servers of other tests, which run beside these, have other socket directories: the number is only a part of its name.
constexpr int port = 5432;
constexpr int other_port = 5433;

class RealSegments : public ::testing::Test {
 protected:
  Settings archiving(const std::string& before = "") const {
    const auto segments = std::filesystem::relative(archive_.segments(), cluster_.data());
    return {{"archive_mode", "on"},
            {"archive_command", before + archive_command(ground_.helper(), segments, Bytes{0})}};
  }
  bool is_archived(const std::string& name) const { return std::filesystem::exists(archive_.segments() / name); }
  // PostgreSQL knows that it is.
  bool is_done(const std::string& name) const {
    return std::filesystem::exists(cluster_.pg_wal() / "archive_status" / (name + ".done"));
  }
  bool wait_for(const std::string& name) const {
    return pgtwig::support::wait_until(
        [&] { return is_done(name) || (is_archived(name) && !std::filesystem::exists(cluster_.pg_wal() / name)); });
  }
  std::vector<std::string> temporaries() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(archive_.segments())) {
      if (entry.path().filename().string().starts_with(".")) names.push_back(entry.path().filename());
    }
    return names;
  }
  static std::vector<std::string> segments_in(const std::filesystem::path& pg_wal) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(pg_wal)) {
      const std::string name = entry.path().filename();
      if (parse_segment_name(name, segment_size)) names.push_back(name);
    }
    return names;
  }
  void expect_whole_archive(const LocalArchive& archive, Timeline timeline) const {
    std::optional<Segment> before;
    for (const ArchivedFile& file : archive.list()) {
      const auto segment = parse_segment_name(file.name, segment_size);
      if (!segment || segment->timeline != timeline) continue;
      const auto checked = check_segment(
          archive.open(file.name).get(),
          {.system_identifier = cluster_.system_identifier(), .segment = *segment, .segment_size = segment_size});
      EXPECT_TRUE(checked) << file.name << ": " << checked.error();
      if (before) {
        EXPECT_EQ(segment->number, before->number + 1);
      }
      before = segment;
    }
    EXPECT_TRUE(before);
  }

  Ground ground_;
  RealCluster cluster_{ground_, "source", port};
  LocalArchive archive_ = ground_.make_archive();
};

TEST_F(RealSegments, AreArchivedWholeAndWithoutAGap) {
  cluster_.start(archiving());
  cluster_.sql("CREATE TABLE t AS SELECT generate_series(1, 60000) AS n");
  const std::string last = cluster_.switch_segment();
  ASSERT_TRUE(wait_for(last)) << read_file(cluster_.log());
  EXPECT_GE(archive_.list().size(), 4u);
  expect_whole_archive(archive_, 1);
  for (const ArchivedFile& file : archive_.list()) {
    if (!std::filesystem::exists(cluster_.pg_wal() / file.name)) continue;
    EXPECT_EQ(read_file(archive_.segments() / file.name), read_file(cluster_.pg_wal() / file.name));
  }
  EXPECT_EQ(cluster_.sql("SELECT failed_count FROM pg_stat_archiver"), "0");
}

TEST_F(RealSegments, SurviveAHelperThatIsKilledAtAnyStep) {
  for (const std::string point : {"wal_push.copied", "wal_push.renamed"}) {
    cluster_.start(archiving("export PGTWIG_FAULT=" + point + "=kill; "));
    const std::string last = cluster_.switch_segment();
    // Between the two steps its file has no name yet, behind them it has.
    ASSERT_TRUE(pgtwig::support::wait_until([&] {
      return point == "wal_push.copied" ? !temporaries().empty() : is_archived(last);
    })) << point;
    EXPECT_FALSE(is_done(last)) << point;
    cluster_.stop();
    cluster_.start(archiving());
    ASSERT_TRUE(wait_for(last)) << point << read_file(cluster_.log());
    // One may be at work on a later segment.
    EXPECT_TRUE(pgtwig::support::wait_until([&] { return temporaries().empty(); })) << point;
    expect_whole_archive(archive_, 1);
    cluster_.stop();
  }
}

TEST_F(RealSegments, OfAnotherClusterOrCutAreRefused) {
  cluster_.start(archiving());
  const std::string name = cluster_.switch_segment();
  ASSERT_TRUE(wait_for(name));

  const RealCluster other(ground_, "other", other_port);
  const auto push_error = [&](const std::filesystem::path& source, const std::string& as) -> std::string {
    try {
      push(source, as, {.segments = archive_.segments()});
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  };
  for (const std::string& foreign : segments_in(other.pg_wal())) {
    EXPECT_THAT(push_error(other.pg_wal() / foreign, foreign), HasSubstr("it is of another cluster"));
  }
  const auto cut = ground_.root() / "cut";
  write_file(cut, read_file(archive_.segments() / name).substr(0, 500'000));
  archive_.remove({name});
  EXPECT_THAT(push_error(cut, name), HasSubstr("it is truncated"));
  EXPECT_FALSE(is_archived(name));
}

TEST_F(RealSegments, EndWherePostgresqlSaysThatItsWalEnds) {
  cluster_.start(archiving());
  cluster_.switch_segment();
  for (int round = 0; round < 5; ++round) {
    cluster_.sql("CREATE TABLE t" + std::to_string(round) + " AS SELECT generate_series(1, 3000) AS n");
    const Lsn end = cluster_.lsn("pg_current_wal_flush_lsn()");
    const Segment segment{1, segment_of(Lsn{end.value - 1}, segment_size)};
    UniqueFd live(::open((cluster_.pg_wal() / segment_name(segment, segment_size)).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(live);
    const auto last_page = find_last_page(live.get(), segment, segment_size);
    ASSERT_TRUE(last_page) << last_page.error();
    if (!*last_page) continue;
    // The page may have gone on meanwhile, since the server also writes by itself.
    EXPECT_GE((*last_page)->value + 8192, end.value);
    EXPECT_LE((*last_page)->value, cluster_.lsn("pg_current_wal_insert_lsn()").value);
    EXPECT_TRUE(check_segment(live.get(), {.system_identifier = cluster_.system_identifier(),
                                           .segment = segment,
                                           .segment_size = segment_size,
                                           .until = end}));
  }
}

// A copy made before the first start is recovered to the end of what was archived, on a timeline of its own.
TEST_F(RealSegments, AreFetchedByARecovery) {
  ground_.run({"cp", "-a", cluster_.data(), ground_.clusters() / "copy"});
  cluster_.start(archiving());
  cluster_.sql("CREATE TABLE t AS SELECT generate_series(1, 60000) AS n");
  const std::string last = cluster_.switch_segment();
  ASSERT_TRUE(wait_for(last));

  const LocalArchive own = ground_.make_archive();
  for (const ArchivedFile& file : archive_.list()) own.stage_link(archive_, file.name);
  const RealCluster copy(ground_, "copy", other_port);
  write_file(copy.data() / "recovery.signal", "");
  ground_.give_away(copy.data() / "recovery.signal");
  const auto segments = std::filesystem::relative(own.segments(), copy.data());
  copy.start({{"restore_command", restore_command(ground_.helper(), own.restore())},
              {"recovery_target_timeline", "1"},
              {"archive_mode", "on"},
              {"archive_command", archive_command(ground_.helper(), segments, Bytes{0})}});
  ASSERT_TRUE(pgtwig::support::wait_until([&] { return copy.is_promoted(); })) << read_file(copy.log());
  EXPECT_EQ(copy.sql("SELECT count(*) FROM t"), "60000");
  EXPECT_EQ(fetch_progress(own.restore()), last);
  EXPECT_FALSE(std::filesystem::exists(own.restore() / "00000002.history"));

  // Its first segment begins with a copy of the last one before it.
  copy.sql("CREATE TABLE u AS SELECT generate_series(1, 60000) AS n");
  const std::string of_new_timeline = copy.switch_segment();
  EXPECT_THAT(of_new_timeline, StartsWith("00000002"));
  ASSERT_TRUE(pgtwig::support::wait_until([&] { return std::filesystem::exists(own.segments() / of_new_timeline); }));
  std::vector<std::string> names;
  for (const ArchivedFile& file : own.list()) names.push_back(file.name);
  EXPECT_THAT(names, Contains("00000002.history"));
  expect_whole_archive(own, 2);
  expect_whole_archive(archive_, 1);
}

TEST_F(RealSegments, StopARecoveryWhenOneCannotBeRead) {
  ground_.run({"cp", "-a", cluster_.data(), ground_.clusters() / "copy"});
  const LocalArchive own = ground_.make_archive();
  const RealCluster copy(ground_, "copy", other_port);
  for (const std::string& name : segments_in(copy.pg_wal())) {
    std::filesystem::create_symlink("/etc/passwd", own.restore() / name);
  }
  write_file(copy.data() / "recovery.signal", "");
  ground_.give_away(copy.data() / "recovery.signal");
  try {
    copy.start({{"restore_command", restore_command(ground_.helper(), own.restore())}});
  } catch (const Error&) {
    // It may come up before it asks for the file.
  }
  ASSERT_TRUE(pgtwig::support::wait_until([&] { return !copy.is_running(); })) << read_file(copy.log());
  EXPECT_THAT(read_file(copy.log()), HasSubstr(" is a link, not a file"));
  EXPECT_THAT(read_file(copy.log()), HasSubstr("child process exited with exit code 255"));
}

}  // namespace
}  // namespace pgtwig::archive
