// pg_control as this program reads it and as PostgreSQL's own tool does.
#include "postgres/control_file.h"

#include <gtest/gtest.h>

#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using ControlFileOf = WithInstance;

std::string controldata_field(const std::string& report, const std::string& label) {
  const auto start = report.find(label + ":");
  if (start == std::string::npos) return {};
  const auto value = report.find_first_not_of(' ', start + label.size() + 1);
  return report.substr(value, report.find('\n', value) - value);
}

TEST_F(ControlFileOf, AClusterSaysWhatPgControldataSays) {
  const auto agree = [this](ClusterState state, const std::string& words) {
    Command command;
    command.argv = {instance.installation().program("pg_controldata"), instance.data()};
    command.environment = {{"LC_ALL", "C"}};
    const std::string report = run_command_checked(command, "pg_controldata", ErrorCode::internal).output;
    const ControlFile control = read_control_file(instance.open_data().get());
    EXPECT_EQ(controldata_field(report, "Database cluster state"), words);
    EXPECT_EQ(control.state, state);
    EXPECT_EQ(std::to_string(control.system_identifier), controldata_field(report, "Database system identifier"));
    EXPECT_EQ(std::to_string(control.pg_control_version), controldata_field(report, "pg_control version number"));
    EXPECT_EQ(format_lsn(control.checkpoint), controldata_field(report, "Latest checkpoint location"));
    EXPECT_EQ(format_lsn(control.redo), controldata_field(report, "Latest checkpoint's REDO location"));
    EXPECT_EQ(std::to_string(control.timeline), controldata_field(report, "Latest checkpoint's TimeLineID"));
    EXPECT_EQ("0:" + std::to_string(control.next_xid), controldata_field(report, "Latest checkpoint's NextXID"));
  };
  agree(ClusterState::shut_down, "shut down");
  {
    Connection connection = instance.start();
    connection.query("CREATE TABLE public.t AS SELECT generate_series(1, 1000) n");
    connection.query("CHECKPOINT");
    agree(ClusterState::in_production, "in production");
  }
  instance.stop(runtime::StopMode::immediate);
  agree(ClusterState::in_production, "in production");
  EXPECT_FALSE(read_control_file(instance.open_data().get()).was_cleanly_shut_down());
  instance.start();
  instance.stop();
  EXPECT_TRUE(read_control_file(instance.open_data().get()).was_cleanly_shut_down());
}

TEST_F(ControlFileOf, AClusterWithABackupLabelBeginsItsReplayThere) {
  const ControlFile control = read_control_file(instance.open_data().get());
  EXPECT_EQ(read_replay_start(instance.open_data().get()).redo, control.redo);
  EXPECT_EQ(read_replay_start(instance.open_data().get()).timeline, control.timeline);
  const auto say = [this](const std::string& label) { write_file(instance.data() / "backup_label", label); };
  say("START WAL LOCATION: 1/2000028 (file 000000070000000100000002)\nCHECKPOINT LOCATION: 1/2000060\n"
      "BACKUP METHOD: streamed\nSTART TIMELINE: 7\n");
  EXPECT_EQ(read_replay_start(instance.open_data().get()).redo, *parse_lsn("1/2000028"));
  EXPECT_EQ(read_replay_start(instance.open_data().get()).timeline, 7u);
  say("START WAL LOCATION: 1/2000028 (file 000000070000000100000002)\n");
  EXPECT_THROW(read_replay_start(instance.open_data().get()), Error);
  say("");
  EXPECT_THROW(read_replay_start(instance.open_data().get()), Error);
}

TEST_F(ControlFileOf, ADamagedClusterIsNotBelieved) {
  const std::string good = read_file(instance.data() / "global" / "pg_control");
  EXPECT_NO_THROW(parse_control_file(good));
  for (std::size_t at = 0; at < 288; ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_THROW(parse_control_file(bad), Error) << at;
  }
  for (const std::size_t length : {0UL, 8UL, 100UL, 291UL}) {
    EXPECT_THROW(parse_control_file(std::string_view(good).substr(0, length)), Error) << length;
  }
}

}  // namespace
}  // namespace pgtwig::postgres
