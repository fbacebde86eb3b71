// What a fork is: the same content, a life of its own.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/process.h"
#include "tests/contract/storage/driver_contract.h"
#include "tests/support/wait.h"

namespace pgtwig::support {

using storage::VolumeId;

class ForkOfAVolume : public DriverContract {};
INSTANTIATE_TEST_SUITE_P(Drivers, ForkOfAVolume, ::testing::ValuesIn(every_driver), case_name);

TEST_P(ForkOfAVolume, EqualsItsSourceInContentOwnersModesTimesLinksAndHoles) {
  VolumeId source = make_sample();
  TreeDescription before = describe_tree(path_of(source));
  ASSERT_GT(before.size(), 20u);
  VolumeId target = make_fork(source);
  EXPECT_EQ(differences(describe_tree(path_of(target)), before), "");
  EXPECT_EQ(differences(describe_tree(path_of(source)), before), "");
}

TEST_P(ForkOfAVolume, LeaksNoWriteEitherWay) {
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  TreeDescription original = describe_tree(path_of(source));

  write_text(path_of(target) / "data" / "page", "changed in the fork");
  std::filesystem::remove(path_of(target) / "data" / "big");
  write_text(path_of(target) / "data" / "links" / "second name", "changed by its other name");
  EXPECT_EQ(differences(describe_tree(path_of(source)), original), "");

  TreeDescription changed = describe_tree(path_of(target));
  write_text(path_of(source) / "data" / "odd size", "changed in the source");
  write_text(path_of(source) / "data" / "new", "new in the source");
  EXPECT_EQ(differences(describe_tree(path_of(target)), changed), "");
}

TEST_P(ForkOfAVolume, SharesNoPageThatIsOverwrittenInPlace) {
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  std::string before = read_text(path_of(source) / "data" / "big");
  {
    std::fstream file(path_of(target) / "data" / "big", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1 << 20);
    file << std::string(8192, 'z');
  }
  file_system_->sync();
  EXPECT_EQ(read_text(path_of(source) / "data" / "big"), before);
  EXPECT_EQ(read_text(path_of(target) / "data" / "big").substr(1 << 20, 8192), std::string(8192, 'z'));
}

TEST_P(ForkOfAVolume, OfAForkOfAForkEqualsTheLast) {
  VolumeId source = make_sample();
  VolumeId child = make_fork(source);
  write_text(path_of(child) / "data" / "page", "of the child");
  VolumeId grandchild = make_fork(child);
  write_text(path_of(grandchild) / "data" / "empty", "of the grandchild");
  VolumeId last = make_fork(grandchild);
  EXPECT_EQ(differences(describe_tree(path_of(last)), describe_tree(path_of(grandchild))), "");
  EXPECT_EQ(read_text(path_of(last) / "data" / "page"), "of the child");
  EXPECT_EQ(read_text(path_of(source) / "data" / "empty"), "");
}

TEST_P(ForkOfAVolume, HasTenIsolatedSiblings) {
  VolumeId source = make_sample();
  std::vector<VolumeId> siblings;
  for (int i = 0; i < 10; ++i) siblings.push_back(make_fork(source));
  for (int i = 0; i < 10; ++i) write_text(path_of(siblings[i]) / "data" / "page", "sibling " + std::to_string(i));
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(read_text(path_of(siblings[i]) / "data" / "page"), "sibling " + std::to_string(i));
  EXPECT_EQ(read_text(path_of(source) / "data" / "page").size(), 8192u);
}

TEST_P(ForkOfAVolume, OutlivesItsSource) {
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  TreeDescription before = describe_tree(path_of(target));
  driver_->destroy(source);
  file_system_->sync();
  EXPECT_EQ(differences(describe_tree(path_of(target)), before), "");
}

TEST_P(ForkOfAVolume, HoldsWhatWasWrittenJustBefore) {
  VolumeId source = make_sample();
  for (int i = 0; i < 20; ++i) {
    write_text(path_of(source) / "data" / "page", "round " + std::to_string(i));
    EXPECT_EQ(read_text(path_of(make_fork(source)) / "data" / "page"), "round " + std::to_string(i));
  }
}

TEST_P(ForkOfAVolume, WorksForManyFilesInManyDirectories) {
  VolumeId source = VolumeId::random();
  driver_->create(source);
  for (int d = 0; d < 60; ++d) {
    std::filesystem::path directory = path_of(source) / ("directory " + std::to_string(d));
    std::filesystem::create_directory(directory);
    for (int f = 0; f < 50; ++f)
      write_text(directory / std::to_string(f), std::string(static_cast<std::size_t>(f), 'x'));
  }
  VolumeId target = make_fork(source);
  EXPECT_EQ(differences(describe_tree(path_of(target)), describe_tree(path_of(source))), "");
}

TEST_P(ForkOfAVolume, NeedsFewOpenFilesForDeepAndWideTrees) {
  VolumeId source = VolumeId::random();
  driver_->create(source);
  std::filesystem::path deep = path_of(source);
  for (int i = 0; i < 400; ++i) deep /= "d";
  std::filesystem::create_directories(deep);
  write_text(deep / "bottom", "reached");
  for (int i = 0; i < 600; ++i) {
    std::filesystem::create_directory(path_of(source) / ("w" + std::to_string(i)));
    write_text(path_of(source) / ("w" + std::to_string(i)) / "file", "content");
  }

  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  rlimit few{256, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  VolumeId target = make_fork(source);
  storage::VolumeUsage usage = driver_->usage(target);
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(differences(describe_tree(path_of(target)), describe_tree(path_of(source))), "");
  EXPECT_GT(usage.logical.count, 0u);
  driver_->destroy(target);
}

TEST_P(ForkOfAVolume, FollowsNoLinkOutOfTheVolume) {
  write_text(pool() / "outside", "not part of any volume");
  VolumeId source = make_sample();
  std::filesystem::create_directory_symlink("../..", path_of(source) / "data" / "pg_tblspc");
  VolumeId target = make_fork(source);
  EXPECT_TRUE(std::filesystem::is_symlink(path_of(target) / "data" / "pg_tblspc"));
  driver_->destroy(target);
  EXPECT_EQ(read_text(pool() / "outside"), "not part of any volume");
}

TEST_P(ForkOfAVolume, LeavesOutWhatItIsToldToUnlessItIsAtomic) {
  VolumeId source = make_sample();
  VolumeId target = VolumeId::random();
  driver_->fork(source, target, {.leave_out = {"data/page", "data/names", "data/links/*", "data/not there", "page"}});
  std::filesystem::path data = path_of(target) / "data";
  bool keeps_all = driver_->capabilities().atomic_fork;
  EXPECT_EQ(std::filesystem::exists(data / "page"), keeps_all);
  EXPECT_EQ(std::filesystem::exists(data / "names"), keeps_all);
  EXPECT_EQ(std::filesystem::is_empty(data / "links"), !keeps_all);
  EXPECT_TRUE(std::filesystem::exists(data / "big"));
  // What the directories are is the same all the same.
  TreeDescription of_source = describe_tree(path_of(source));
  EXPECT_EQ(describe_tree(path_of(target)).at("data/links"), of_source.at("data/links"));
  EXPECT_EQ(describe_tree(path_of(target)).at("data"), of_source.at("data"));
}

TEST_P(ForkOfAVolume, SucceedsEightTimesAtOnceFromOneSource) {
  VolumeId source = make_sample();
  std::vector<VolumeId> targets;
  for (int i = 0; i < 8; ++i) targets.push_back(VolumeId::random());
  {
    std::vector<std::jthread> threads;
    for (const VolumeId& target : targets)
      threads.emplace_back([this, source, target] { driver_->fork(source, target, {}); });
  }
  TreeDescription expected = describe_tree(path_of(source));
  for (const VolumeId& target : targets) EXPECT_EQ(differences(describe_tree(path_of(target)), expected), "");
}

TEST_P(ForkOfAVolume, GoesToOneOfTwoWhoWantTheSameId) {
  VolumeId source = make_sample();
  VolumeId target = VolumeId::random();
  std::atomic<int> made = 0;
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&] {
        try {
          driver_->fork(source, target, {});
          ++made;
        } catch (const Error& error) {
          if (error.code() == ErrorCode::already_exists) ++refused;
        }
      });
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(differences(describe_tree(path_of(target)), describe_tree(path_of(source))), "");
}

TEST_P(ForkOfAVolume, SucceedsWhileFilesComeAndGoInTheSource) {
  VolumeId source = make_sample();
  TreeDescription steady = describe_tree(path_of(source));
  std::filesystem::path busy = path_of(source) / "busy";
  std::filesystem::create_directory(busy);
  std::jthread writer([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      std::string name = std::to_string(i % 40);
      write_text(busy / name, std::string(20'000, 'x'));
      std::filesystem::resize_file(busy / name, 100);
      std::filesystem::create_directory(busy / ("d" + name));
      std::filesystem::remove(busy / std::to_string((i + 20) % 40));
      std::filesystem::remove(busy / ("d" + std::to_string((i + 39) % 40)));
    }
  });
  for (int i = 0; i < 15; ++i) {
    VolumeId target = make_fork(source);
    TreeDescription fork = describe_tree(path_of(target));
    for (const auto& [path, text] : steady) {
      if (path != ".") {
        EXPECT_EQ(fork.at(path), text) << path;
      }
    }
    driver_->destroy(target);
  }
}

TEST_P(ForkOfAVolume, TakesAPartAnewWhenAsked) {
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  write_text(path_of(source) / "data" / "page", "a new control file");
  std::filesystem::remove(path_of(source) / "data" / "links" / "relative");
  write_text(path_of(source) / "data" / "links" / "segment", "new in the directory");
  write_text(path_of(source) / "data" / "big", "not asked for");
  driver_->refork_part(source, target, "data/page");
  driver_->refork_part(source, target, "data/links");
  TreeDescription of_source = describe_tree(path_of(source));
  TreeDescription of_target = describe_tree(path_of(target));
  for (const char* path : {"data/page", "data/links", "data/links/segment", "data/links/file", "data/links/third name",
                           "data/links/deeper", "data/links/dangling"}) {
    if (of_source.contains(path)) {
      EXPECT_EQ(of_target.at(path), of_source.at(path)) << path;
    }
  }
  EXPECT_FALSE(of_target.contains("data/links/relative"));
  EXPECT_NE(of_target.at("data/big"), of_source.at("data/big"));
  EXPECT_EQ(of_target.size(), of_source.size()) << "something was left beside";
}

TEST_P(ForkOfAVolume, KeepsItsPartWhenTheSourceHasNone) {
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  TreeDescription before = describe_tree(path_of(target));
  EXPECT_EQ(code_of([&] { driver_->refork_part(source, target, "data/not there"); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { driver_->refork_part(source, target, "nowhere/not there"); }), ErrorCode::not_found);
  EXPECT_EQ(differences(describe_tree(path_of(target)), before), "");
}

TEST_P(ForkOfAVolume, IsMadeByAnOrdinaryUserOfItsOwnVolumes) {
  if (GetParam().driver == "zfs") GTEST_SKIP() << "on Linux only root may mount a dataset";
  OsUser nobody = OsUser::find("nobody").value();
  std::filesystem::path own = pool() / "own pool";
  std::filesystem::create_directory(own);
  ASSERT_EQ(chown(own.c_str(), nobody.uid, nobody.gid), 0);
  VolumeId source = VolumeId::random();
  VolumeId target = VolumeId::random();
  EXPECT_EQ(run_as_nobody([&] {
              auto driver = open_any_driver(GetParam().driver, own);
              driver->create(source);
              write_sample_tree(own / source.text());
              driver->fork(source, target, {});
              driver->flush(target);
              if (driver->usage(target).logical.count == 0) throw Error(ErrorCode::internal, "usage of nothing");
              if (driver->identity(source) == driver->identity(target))
                throw Error(ErrorCode::internal, "one identity");
            }),
            "");
  EXPECT_EQ(differences(describe_tree(own / target.text()), describe_tree(own / source.text())), "");
  EXPECT_EQ(run_as_nobody([&] {
              auto driver = open_any_driver(GetParam().driver, own);
              driver->refork_part(source, target, "data/page");
              driver->destroy(source);
              driver->destroy(target);
              if (!driver->list().empty()) throw Error(ErrorCode::internal, "something is left");
            }),
            "");
}

}  // namespace pgtwig::support
