// Sleep: who is suspended, who is woken and by how many starts, and what becomes of it meanwhile.
#include <gmock/gmock.h>

#include <future>

#include "base/fs.h"
#include "engine/body.h"
#include "engine/sleep.h"
#include "tests/unit/engine/engine_fixture.h"

namespace pgtwig::engine {
namespace {

using ::testing::HasSubstr;

class Sleep : public EngineTest {
 protected:
  Sleep() {
    make_project();
    create_branch(*engine_, {.path = path("dev")}, listener_);
    sql("dev", "CREATE TABLE public.rows AS SELECT 42 AS n");
  }

  std::string sql(const std::string& branch, const std::string& statement) {
    const auto rows = engine_->instances().admin(require_body(*engine_, path(branch)))->query(statement);
    return rows.empty() ? "" : rows.at(0).at(0).value_or("");
  }
  std::string state(const std::string& branch) { return get_branch(*engine_, path(branch)).state; }
  int count_of(const std::string& kind, const std::string& operation_state = "done") {
    int count = 0;
    for (const auto& operation : list_operations(*engine_, 1000)) {
      if (operation.kind == kind && operation.state == operation_state) ++count;
    }
    return count;
  }
  bool is_running(const std::string& branch) { return find_address(*engine_, path(branch))->is_running; }
  Error error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {ErrorCode::internal, "nothing"};
  }
  void break_postgres(const std::string& branch) {
    std::filesystem::rename(control_file(branch), control_file(branch).string() + ".away");
  }
  void mend_postgres(const std::string& branch) {
    std::filesystem::rename(control_file(branch).string() + ".away", control_file(branch));
  }
  std::filesystem::path control_file(const std::string& branch) {
    return require_body(*engine_, path(branch)).data() / "global/pg_control";
  }
};

TEST_F(Sleep, SuspendsABranchOnceAndKeepsWhatIsInIt) {
  EXPECT_TRUE(is_running("dev"));
  const BranchView view = suspend_branch(*engine_, path("dev"), listener_);
  EXPECT_EQ(view.state, "suspended");
  EXPECT_EQ(state("dev"), "suspended");
  EXPECT_FALSE(is_running("dev"));
  suspend_branch(*engine_, path("dev"), listener_);
  EXPECT_EQ(count_of("branch suspend"), 1);

  const BranchAddress address = wake_branch(*engine_, path("dev"));
  EXPECT_TRUE(address.is_running);
  EXPECT_EQ(address.path, path("dev"));
  EXPECT_EQ(address.port, view.port);
  EXPECT_EQ(address.host, view.host);
  EXPECT_EQ(address.incarnation, require_body(*engine_, path("dev")).branch.incarnation);
  EXPECT_EQ(sql("dev", "SELECT n FROM public.rows"), "42");
  EXPECT_EQ(state("dev"), "running");
}

TEST_F(Sleep, WakesABranchForManyWithOneStart) {
  suspend_branch(*engine_, path("dev"), listener_);
  std::vector<std::future<std::uint16_t>> callers;
  callers.reserve(50);
  for (int caller = 0; caller < 50; ++caller) {
    callers.push_back(std::async(std::launch::async, [&] {
      const BranchAddress address = wake_branch(*engine_, path("dev"));
      EXPECT_EQ(sql("dev", "SELECT n FROM public.rows"), "42");
      return address.port;
    }));
  }
  for (auto& caller : callers) EXPECT_EQ(caller.get(), find_address(*engine_, path("dev"))->port);
  EXPECT_EQ(count_of("branch wake"), 1);
  wake_branch(*engine_, path("dev"));
  EXPECT_EQ(count_of("branch wake"), 1);
}

TEST_F(Sleep, SaysThatABranchListensBeforeItsWakeIsOnRecord) {
  suspend_branch(*engine_, path("dev"), listener_);
  int calls = 0;
  wake_branch(*engine_, path("dev"), [&](const BranchAddress& address) {
    ++calls;
    EXPECT_EQ(address.port, require_body(*engine_, path("dev")).branch.port);
    EXPECT_TRUE(is_running("dev"));
    EXPECT_TRUE(require_body(*engine_, path("dev")).branch.is_suspended);
    EXPECT_EQ(count_of("branch wake"), 0);
    // Nobody takes the server for one that nobody wants.
    EXPECT_EQ(error_of([&] { suspend_if(*engine_, path("dev"), [](const Body&) { return true; }); }).code(),
              ErrorCode::busy);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(require_body(*engine_, path("dev")).branch.is_suspended);
  // One that runs is found, not started.
  wake_branch(*engine_, path("dev"), [&](const BranchAddress&) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST_F(Sleep, SaysNothingOfABranchThatDoesNotListen) {
  suspend_branch(*engine_, path("dev"), listener_);
  break_postgres("dev");
  const auto listens = [](const BranchAddress&) { ADD_FAILURE() << "it can't"; };
  EXPECT_EQ(error_of([&] { wake_branch(*engine_, path("dev"), listens); }).code(), ErrorCode::postgres_failed);
}

TEST_F(Sleep, WakesManyBranchesAtOnce) {
  constexpr int count = 8;
  std::vector<std::future<void>> callers;
  for (int number = 0; number < count; ++number) {
    create_branch(*engine_, {.path = path("b" + std::to_string(number)), .from = *parse_branch_reference("dev")},
                  listener_);
    suspend_branch(*engine_, path("b" + std::to_string(number)), listener_);
  }
  callers.reserve(2 * count);
  for (int caller = 0; caller < 2 * count; ++caller) {
    callers.push_back(std::async(std::launch::async, [this, name = "b" + std::to_string(caller % count)] {
      wake_branch(*engine_, path(name));
      EXPECT_EQ(sql(name, "SELECT n FROM public.rows"), "42");
    }));
  }
  for (auto& caller : callers) caller.get();
  EXPECT_EQ(count_of("branch wake"), count);
}

TEST_F(Sleep, LeavesABranchThatWasStoppedByHandAlone) {
  stop_branch(*engine_, path("dev"), listener_);
  const Error error = error_of([&] { wake_branch(*engine_, path("dev")); });
  EXPECT_EQ(error.code(), ErrorCode::conflict);
  EXPECT_THAT(error.hint(), HasSubstr("pgtwig start demo/dev"));
  EXPECT_EQ(state("dev"), "stopped");

  EXPECT_EQ(suspend_branch(*engine_, path("dev"), listener_).state, "suspended");
  wake_branch(*engine_, path("dev"));
  EXPECT_EQ(state("dev"), "running");

  suspend_branch(*engine_, path("dev"), listener_);
  EXPECT_EQ(stop_branch(*engine_, path("dev"), listener_).state, "stopped");
  EXPECT_EQ(error_of([&] { wake_branch(*engine_, path("dev")); }).code(), ErrorCode::conflict);
}

TEST_F(Sleep, StartsABranchThatSleepsOrShouldRunAndDoesNot) {
  suspend_branch(*engine_, path("dev"), listener_);
  EXPECT_EQ(start_branch(*engine_, {.path = path("dev")}, listener_).state, "running");
  EXPECT_FALSE(require_body(*engine_, path("dev")).branch.is_suspended);

  engine_->instances().stop(require_body(*engine_, path("dev")), runtime::StopMode::immediate);
  EXPECT_EQ(state("dev"), "failed");
  wake_branch(*engine_, path("dev"));
  EXPECT_EQ(state("dev"), "running");
}

TEST_F(Sleep, TellsAllWhoWaitWhyTheStartFailed) {
  suspend_branch(*engine_, path("dev"), listener_);
  break_postgres("dev");
  std::vector<std::future<Error>> callers;
  callers.reserve(10);
  for (int caller = 0; caller < 10; ++caller) {
    callers.push_back(
        std::async(std::launch::async, [&] { return error_of([&] { wake_branch(*engine_, path("dev")); }); }));
  }
  for (auto& caller : callers) {
    const Error error = caller.get();
    EXPECT_EQ(error.code(), ErrorCode::postgres_failed) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("pg_control"));
    EXPECT_NE(error.hint(), "");
  }
  EXPECT_GE(count_of("branch wake", "failed"), 1);
  EXPECT_EQ(state("dev"), "suspended");
  mend_postgres("dev");
  wake_branch(*engine_, path("dev"));
  EXPECT_EQ(sql("dev", "SELECT n FROM public.rows"), "42");
}

TEST_F(Sleep, OutlastsTheDaemon) {
  create_branch(*engine_, {.path = path("awake")}, listener_);
  suspend_branch(*engine_, path("dev"), listener_);
  select_branch(*engine_, path("dev"));
  shut_down(*engine_);
  open_engine();
  wake_branch(*engine_, path("awake"));  // after housekeeping or before it: it runs
  EXPECT_EQ(state("awake"), "running");
  EXPECT_EQ(state("dev"), "suspended");
  EXPECT_EQ(selected_branch(*engine_), path("dev"));
}

// A daemon ended between a start and its commit, and its successor has not come to this branch yet.
TEST_F(Sleep, WakesABranchWhoseServerRunsWithoutTheCatalogKnowing) {
  suspend_branch(*engine_, path("dev"), listener_);
  const Body body = require_body(*engine_, path("dev"));
  engine_->instances().start(body, {.is_committed = true});
  open_engine();
  EXPECT_EQ(wake_branch(*engine_, path("dev")).port, body.branch.port);
  EXPECT_EQ(sql("dev", "SELECT n FROM public.rows"), "42");
}

TEST_F(Sleep, StartsABranchWhoseServerRunsWithoutTheCatalogKnowing) {
  stop_branch(*engine_, path("dev"), listener_);
  engine_->instances().start(require_body(*engine_, path("dev")), {.is_committed = true});
  EXPECT_EQ(start_branch(*engine_, {.path = path("dev")}, listener_).state, "running");
  EXPECT_TRUE(require_body(*engine_, path("dev")).branch.wants_running);
  EXPECT_EQ(sql("dev", "SELECT n FROM public.rows"), "42");
}

TEST_F(Sleep, IsNotDisturbedByForksResetsSnapshotsAndNewNames) {
  suspend_branch(*engine_, path("dev"), listener_);
  create_branch(*engine_, {.path = path("child"), .from = *parse_branch_reference("dev")}, listener_);
  EXPECT_EQ(state("child"), "running");
  EXPECT_EQ(sql("child", "SELECT n FROM public.rows"), "42");
  create_snapshot(*engine_, {.branch = path("dev"), .name = "v1"}, listener_);
  EXPECT_EQ(state("dev"), "suspended");
  EXPECT_EQ(rename_branch(*engine_, path("dev"), *BranchName::parse("renamed"), listener_).state, "suspended");
  ResetBranch reset{.path = path("renamed")};
  reset.from = *parse_branch_reference("^parent");
  EXPECT_EQ(reset_branch(*engine_, reset, listener_).state, "suspended");
  EXPECT_FALSE(is_running("renamed"));
  wake_branch(*engine_, path("renamed"));
  EXPECT_EQ(sql("renamed", "SELECT count(*) FROM pg_class WHERE relname = 'rows'"), "0");
}

TEST_F(Sleep, AndWakeAtOnceEndInOneOfBoth) {
  for (int round = 0; round < 5; ++round) {
    auto suspends = std::async(std::launch::async, [&] { suspend_branch(*engine_, path("dev"), listener_); });
    auto wakes = std::async(std::launch::async, [&] { wake_branch(*engine_, path("dev")); });
    suspends.get();
    wakes.get();
    const bool runs = is_running("dev");
    EXPECT_EQ(state("dev"), runs ? "running" : "suspended");
  }
  wake_branch(*engine_, path("dev"));
  EXPECT_EQ(sql("dev", "SELECT n FROM public.rows"), "42");
}

TEST_F(Sleep, HasNoAddressForWhatIsNotThere) {
  EXPECT_FALSE(find_address(*engine_, path("nobody")));
  EXPECT_FALSE(find_address(*engine_, {*ProjectName::parse("nothing"), BranchName::main()}));
  EXPECT_EQ(error_of([&] { wake_branch(*engine_, path("nobody")); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { suspend_branch(*engine_, path("nobody"), listener_); }).code(), ErrorCode::not_found);
}

TEST_F(Sleep, TheSelectionFollowsABranchToItsNewNameAndEndsWithIt) {
  EXPECT_FALSE(selected_branch(*engine_));
  select_branch(*engine_, path("dev"));
  EXPECT_EQ(selected_branch(*engine_), path("dev"));
  rename_branch(*engine_, path("dev"), *BranchName::parse("renamed"), listener_);
  EXPECT_EQ(selected_branch(*engine_), path("renamed"));
  EXPECT_EQ(error_of([&] { select_branch(*engine_, path("nobody")); }).code(), ErrorCode::not_found);
  EXPECT_EQ(selected_branch(*engine_), path("renamed"));
  delete_branch(*engine_, {.path = path("renamed")}, listener_);
  EXPECT_FALSE(selected_branch(*engine_));
  select_branch(*engine_, path("main"));
  select_branch(*engine_, std::nullopt);
  EXPECT_FALSE(selected_branch(*engine_));
}

}  // namespace
}  // namespace pgtwig::engine
