// Archiving, with real files. What a real PostgreSQL hands over is in real_segments_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/helper.h"
#include "archive/local_archive.h"
#include "base/error.h"
#include "tests/unit/archive/made_segment.h"

namespace pgtwig::archive {
namespace {

using support::made_segment_bytes;
using support::MadeSegment;
using support::MadeSegmentOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class Run>
std::string failure_of(Run run) {
  try {
    run();
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

class Archive : public ::testing::Test {
 protected:
  void SetUp() override { archive_.make(OsUser::current()); }

  PushOutcome push_number(std::uint64_t number, Bytes limit = Bytes{0}) {
    const MadeSegment made({.number = number});
    return push(made.path(), made.name(), {.segments = archive_.segments(), .limit = limit});
  }
  static std::string name_of(std::uint64_t number) { return segment_name({1, number}, 1_MiB); }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const ArchivedFile& file : archive_.list()) found.push_back(file.name);
    return found;
  }
  std::vector<std::string> everything() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(archive_.segments())) {
      found.push_back(entry.path().filename());
    }
    return found;
  }

  pgtwig::support::TemporaryDirectory pool_;
  LocalArchive archive_{archive_directory(pool_.path(), IncarnationId::random())};
};

TEST_F(Archive, IsMadeOnceAndStaysAsItIs) {
  EXPECT_TRUE(archive_.exists());
  push_number(3);
  archive_.make(OsUser::current());
  EXPECT_THAT(names(), ElementsAre(name_of(3)));
  struct stat status{};
  ASSERT_EQ(::stat(archive_.segments().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat(archive_.directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0711u);
  archive_.destroy();
  EXPECT_FALSE(archive_.exists());
  archive_.destroy();
}

TEST_F(Archive, HoldsWhatWasPushedAndIsNoHardLinkToIt) {
  const MadeSegment made({});
  push(made.path(), made.name(), {.segments = archive_.segments()});
  const std::string before = made_segment_bytes({});
  EXPECT_EQ(read_file(archive_.segments() / made.name()), before);
  // PostgreSQL recycles its segments in place.
  const std::string other(before.size(), 'x');
  ASSERT_EQ(::pwrite(made.fd(), other.data(), other.size(), 0), static_cast<ssize_t>(other.size()));
  EXPECT_EQ(read_file(archive_.segments() / made.name()), before);
  EXPECT_THAT(everything(), ElementsAre(made.name()));
}

TEST_F(Archive, KnowsWhenASegmentWasWrittenHoweverLateItWasPushed) {
  const MadeSegment made({});
  const timespec times[] = {{0, UTIME_OMIT}, {1'700'000'000, 123'456'000}};
  ASSERT_EQ(::futimens(made.fd(), times), 0);
  push(made.path(), made.name(), {.segments = archive_.segments()});
  ASSERT_EQ(archive_.list().size(), 1u);
  EXPECT_EQ(format_rfc3339(archive_.list()[0].completed_at), "2023-11-14T22:13:20.123456Z");
}

TEST_F(Archive, TakesTheSameSegmentTwice) {
  push_number(3);
  push_number(3);
  EXPECT_THAT(names(), ElementsAre(name_of(3)));
}

TEST_F(Archive, RefusesOtherContentUnderANameThatIsTakenAndChangesNothing) {
  push_number(3);
  const MadeSegment other({.filling = 'o'});
  EXPECT_THAT(failure_of([&] { push(other.path(), other.name(), {.segments = archive_.segments()}); }),
              HasSubstr("the archive has another 000000010000000000000003 already"));
  EXPECT_EQ(read_file(archive_.segments() / name_of(3)), made_segment_bytes({}));
  EXPECT_THAT(everything(), ElementsAre(name_of(3)));
}

TEST_F(Archive, RefusesWhatIsNoSegmentOfThisName) {
  const MadeSegment made({});
  const auto push_as = [&](const std::string& name) {
    return failure_of([&] { push(made.path(), name, {.segments = archive_.segments()}); });
  };
  EXPECT_THAT(push_as(name_of(4)), HasSubstr("its page at 0/400000 is one of 0/300000"));
  EXPECT_THAT(push_as("postgresql.conf"), HasSubstr("is not the name of a WAL file"));
  EXPECT_THAT(push_as("../../evil"), HasSubstr("is not the name of a WAL file"));
  MadeSegment cut({});
  cut.truncate(5000);
  EXPECT_THAT(failure_of([&] { push(cut.path(), cut.name(), {.segments = archive_.segments()}); }),
              HasSubstr("it is truncated: 5000 of 1048576 bytes"));
  EXPECT_THAT(everything(), IsEmpty());
}

TEST_F(Archive, RefusesASegmentOfAnotherCluster) {
  push_number(3);
  const MadeSegment foreign({.system_identifier = 77, .number = 4});
  EXPECT_THAT(failure_of([&] { push(foreign.path(), foreign.name(), {.segments = archive_.segments()}); }),
              HasSubstr("it is of another cluster"));
  EXPECT_THAT(names(), ElementsAre(name_of(3)));
}

TEST_F(Archive, RefusesToFollowALinkOrReadAPipe) {
  const MadeSegment made({});
  const auto link = pool_ / "link";
  std::filesystem::create_symlink(made.path(), link);
  EXPECT_NE(failure_of([&] { push(link, made.name(), {.segments = archive_.segments()}); }), "");
  const auto pipe = pool_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(failure_of([&] { push(pipe, made.name(), {.segments = archive_.segments()}); }),
              HasSubstr("no regular file"));
  std::filesystem::create_symlink("/etc/passwd", archive_.segments() / made.name());
  EXPECT_NE(failure_of([&] { push(made.path(), made.name(), {.segments = archive_.segments()}); }), "");
  EXPECT_NE(failure_of([&] { archive_.open(made.name()); }), "");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Archive, ForgetsWhatADeadPushLeft) {
  write_file(archive_.segments() / (".tmp-1-" + name_of(3)), "half");
  write_file(archive_.segments() / (".tmp-4194304-" + name_of(7)), "half");
  push_number(3);
  EXPECT_THAT(everything(), ElementsAre(name_of(3)));
}

TEST_F(Archive, LosesItsOldestSegmentsAtTheLimitAndNeverAHistory) {
  const auto history = pool_ / "history";
  write_file(history, "1\t0/5000000\tno recovery target specified\n");
  push(history, "00000002.history", {.segments = archive_.segments()});
  push(history, name_of(1) + ".00000028.backup", {.segments = archive_.segments()});
  for (std::uint64_t number = 1; number <= 5; ++number) push_number(number, 3_MiB + 1_KiB);
  EXPECT_THAT(names(), ElementsAre(name_of(3), name_of(4), name_of(5), "00000002.history"));
  // Less than one segment: the newest is kept all the same.
  push_number(6, 1_KiB);
  EXPECT_THAT(names(), ElementsAre(name_of(6), "00000002.history"));
}

TEST_F(Archive, GivesTheOldestByTimeAwayFirstAndByNameAmongEquals) {
  const auto push_at = [&](std::uint64_t number, std::time_t second, Bytes limit) {
    const MadeSegment made({.number = number});
    const timespec times[] = {{0, UTIME_OMIT}, {second, 0}};
    EXPECT_EQ(::futimens(made.fd(), times), 0);
    return push(made.path(), made.name(), {.segments = archive_.segments(), .limit = limit}).removed;
  };
  push_at(9, 100, Bytes{0});
  push_at(3, 200, Bytes{0});
  push_at(2, 200, Bytes{0});
  EXPECT_THAT(push_at(4, 300, 2_MiB), ElementsAre(name_of(9), name_of(2)));
}

TEST_F(Archive, IsReadByNameOnly) {
  push_number(3);
  EXPECT_TRUE(archive_.open(name_of(3)));
  EXPECT_THAT(failure_of([&] { archive_.open(name_of(4)); }), HasSubstr("has no 000000010000000000000004"));
  EXPECT_THAT(failure_of([&] { archive_.open("../incarnation.json"); }), HasSubstr("is not the name of a WAL file"));
  archive_.remove({name_of(3), name_of(4)});
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_NE(failure_of([&] { archive_.remove({"../segments"}); }), "");
}

TEST_F(Archive, StagesLinksToOthersAndCopiesOfWhatIsBeingWritten) {
  push_number(3);
  const LocalArchive mine(archive_directory(pool_.path(), IncarnationId::random()));
  mine.make(OsUser::current());
  mine.stage_link(archive_, name_of(3));
  mine.stage_link(archive_, name_of(3));
  EXPECT_TRUE(std::filesystem::equivalent(mine.restore() / name_of(3), archive_.segments() / name_of(3)));
  EXPECT_THAT(failure_of([&] { mine.stage_link(archive_, name_of(4)); }), HasSubstr("has no"));

  const MadeSegment live({.number = 4, .written_pages = 5});
  mine.stage_copy(live.fd(), live.name(), OsUser::current());
  EXPECT_EQ(read_file(mine.restore() / live.name()), made_segment_bytes(live.options()));
  EXPECT_FALSE(std::filesystem::equivalent(mine.restore() / live.name(), live.path()));

  // What was archived stays when it is removed from its archive, and goes with restore/.
  archive_.remove({name_of(3)});
  EXPECT_EQ(read_file(mine.restore() / name_of(3)), made_segment_bytes({}));
  mine.clear_restore();
  EXPECT_TRUE(std::filesystem::is_empty(mine.restore()));
}

TEST_F(Archive, GivesWhatItFetchesAndTellsHowFarItCame) {
  push_number(3);
  archive_.stage_link(archive_, name_of(3));
  EXPECT_EQ(fetch_progress(archive_.restore()), "");
  const auto target = (pool_ / "RECOVERYXLOG").string();
  const std::string restore = archive_.restore();
  EXPECT_EQ(fetch_main(std::vector<std::string>{"--from", restore, name_of(3), target}), 0);
  EXPECT_EQ(read_file(target), made_segment_bytes({}));
  EXPECT_EQ(fetch_progress(archive_.restore()), name_of(3));
  // Absent is an ordinary answer, and no reason to stop.
  EXPECT_EQ(fetch_main(std::vector<std::string>{"--from", restore, "--", name_of(4), target}), 1);
  EXPECT_EQ(fetch_main(std::vector<std::string>{"--from", restore, "00000002.history", target}), 1);
  EXPECT_EQ(fetch_progress(archive_.restore()), name_of(3));
}

TEST_F(Archive, StopsARecoveryWhenWhatIsThereCannotBeHad) {
  push_number(3);
  archive_.stage_link(archive_, name_of(3));
  const std::string restore = archive_.restore();
  EXPECT_GT(fetch_main(std::vector<std::string>{"--from", restore, name_of(3), "/nonexistent/RECOVERYXLOG"}), 125);
  EXPECT_GT(fetch_main(std::vector<std::string>{"--from", "/nonexistent", name_of(3), pool_ / "x"}), 125);
  EXPECT_GT(fetch_main(std::vector<std::string>{"--from", restore, "passwd", pool_ / "x"}), 125);
  EXPECT_GT(fetch_main(std::vector<std::string>{name_of(3), pool_ / "x"}), 125);
  std::filesystem::create_symlink("/etc/passwd", archive_.restore() / name_of(5));
  EXPECT_GT(fetch_main(std::vector<std::string>{"--from", restore, name_of(5), pool_ / "x"}), 125);
}

TEST_F(Archive, TakesNoArgumentsThatItDoesNotKnow) {
  const MadeSegment made({});
  const std::string to = archive_.segments();
  const std::string path = made.path();
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {path, made.name()},
                                             {"--to", to, path},
                                             {"--to", to, path, made.name(), "more"},
                                             {"--to", to, "--to", to, path, made.name()},
                                             {"--to", to, "--limit", "4G", path, made.name()},
                                             {"--to", to, "--limit", "", path, made.name()},
                                             {"--to", to, "--limit", "-1", path, made.name()},
                                             {"--to", "", path, made.name()},
                                             {"--help"},
                                             {"--to=" + to, path, made.name()},
                                             {"--from", to, path, made.name()},
                                             {"--to"}}) {
    EXPECT_EQ(push_main(arguments), 2) << ::testing::PrintToString(arguments);
  }
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(push_main(std::vector<std::string>{"--limit", "4096", "--to", to, "--", path, made.name()}), 0);
  EXPECT_THAT(names(), ElementsAre(made.name()));
}

}  // namespace
}  // namespace pgtwig::archive
