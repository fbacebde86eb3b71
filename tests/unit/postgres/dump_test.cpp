// Dumps as pg_dump and pg_dumpall make them, whole, damaged and foreign.
#include "postgres/dump.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/dump_text.h"
#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A source with data, owners and privileges, and a fresh target that lacks its roles.
class Dump : public WithInstance {
 protected:
  void SetUp() override {
    WithInstance::SetUp();
    target.copy_data_from(instance);
    target.start();
  }

  void fill_source() {
    Connection connection = instance.start();
    for (const char* statement :
         {"CREATE ROLE app LOGIN PASSWORD 'secret'", "CREATE ROLE \"Read Only\"", "CREATE ROLE auditor",
          "CREATE TABLE public.account (id int PRIMARY KEY, name text)",
          "INSERT INTO public.account SELECT n, 'name ' || n FROM generate_series(1, 5000) n",
          "INSERT INTO public.account VALUES (0, E'line\\n\\\\.\\nGRANT x TO never_made;')",
          "ALTER TABLE public.account OWNER TO app", "GRANT SELECT ON public.account TO \"Read Only\"",
          "ALTER TABLE public.account ENABLE ROW LEVEL SECURITY",
          "CREATE POLICY p ON public.account FOR SELECT TO auditor USING (name <> ' TO nobody')",
          "CREATE MATERIALIZED VIEW public.sums AS SELECT sum(id) FROM public.account"}) {
      connection.query(statement);
    }
  }

  std::filesystem::path dump(const std::vector<std::string>& program_and_options) {
    const auto file = temporary.path() / "dump";
    Command command;
    command.argv = program_and_options;
    command.argv.front() = instance.installation().program(command.argv.front());
    for (const std::string& argument :
         {"--host=" + instance.sockets().string(), "--port=" + std::to_string(instance.configuration.port),
          std::string("--username=") + admin_role, "--file=" + file.string()}) {
      command.argv.push_back(argument);
    }
    run_command_checked(command, "pg_dump", ErrorCode::internal);
    return file;
  }

  void load(const std::filesystem::path& file) {
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    load_dump(target.installation(), fd.get(), detect_dump_format(fd.get()),
              {.socket_directory = target.sockets(),
               .port = target.configuration.port,
               .password = test_password,
               .user = target.configuration.user});
  }

  Error refusal(const std::filesystem::path& file) {
    try {
      load(file);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "it was loaded";
    return {ErrorCode::internal, ""};
  }

  void expect_loaded() {
    Connection connection = target.connect();
    EXPECT_EQ(connection.value("SELECT count(*) FROM public.account"), "5001");
    EXPECT_EQ(connection.value("SELECT sum FROM public.sums"), "12502500");
    EXPECT_EQ(connection.value("SELECT tableowner FROM pg_tables WHERE tablename = 'account'"), "app");
    EXPECT_EQ(connection.value("SELECT has_table_privilege('Read Only', 'public.account', 'SELECT')"), "t");
    EXPECT_EQ(connection.value("SELECT roles FROM pg_policies"), "{auditor}");
  }

  bool is_empty() {
    return target.connect().value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0";
  }

  pgtwig::support::TemporaryDirectory target_directory;
  TestInstance target{target_directory.path()};
};

TEST_F(Dump, InPlainTextKeepsDataOwnersAndPrivileges) {
  fill_source();
  load(dump({"pg_dump", "postgres"}));
  expect_loaded();
  Connection connection = target.connect();
  EXPECT_EQ(connection.value("SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE NOT rolcanlogin AND "
                             "rolname NOT LIKE 'pg\\_%'"),
            "Read Only app auditor");
}

TEST_F(Dump, InCustomFormatKeepsDataOwnersAndPrivileges) {
  fill_source();
  load(dump({"pg_dump", "--format=custom", "postgres"}));
  expect_loaded();
}

TEST_F(Dump, OfAWholeClusterBringsItsRolesAndLeavesThePasswordAlone) {
  fill_source();
  instance.connect().query("ALTER ROLE postgres PASSWORD 'of the source'");
  instance.connect().query("CREATE DATABASE \"other db\"");
  instance.connect("other db").query("CREATE TABLE public.there (n int)");
  load(dump({"pg_dumpall"}));
  expect_loaded();
  EXPECT_EQ(target.run_psql("SELECT 1", "127.0.0.1", "postgres", test_password).output, "1\n");
  EXPECT_EQ(target.run_psql("SELECT 1", "127.0.0.1", "app", "secret").output, "1\n");
  EXPECT_EQ(target.connect("other db").value("SELECT count(*) FROM public.there"), "0");
}

TEST_F(Dump, ThatIsTruncatedIsRefusedBeforeAnythingIsLoaded) {
  fill_source();
  const auto file = dump({"pg_dump", "postgres"});
  std::filesystem::resize_file(file, std::filesystem::file_size(file) * 9 / 10);
  const Error error = refusal(file);
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.message(), HasSubstr("truncated"));
  EXPECT_TRUE(is_empty());
}

TEST_F(Dump, InCustomFormatThatIsTruncatedIsRefused) {
  fill_source();
  const auto file = dump({"pg_dump", "--format=custom", "postgres"});
  const auto size = std::filesystem::file_size(file);
  for (const std::uintmax_t part : {size - 3, size / 2, size / 10}) {
    std::filesystem::resize_file(file, part);
    const Error error = refusal(file);
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << part;
    EXPECT_THAT(error.hint(), HasSubstr("truncated")) << error.message();
    target.connect().query("DROP TABLE IF EXISTS public.account CASCADE");
  }
}

TEST_F(Dump, OfANewerPgDumpIsRefusedWithAHint) {
  fill_source();
  const auto file = dump({"pg_dump", "--format=custom", "postgres"});
  std::string text = read_file(file);
  text[6] = 99;  // the minor version of the archive
  write_file(file, text);
  Error error = refusal(file);
  EXPECT_THAT(error.message(), HasSubstr("unsupported version (1.99)"));
  EXPECT_THAT(error.hint(), HasSubstr("--pg-version"));
  EXPECT_TRUE(is_empty());
  write_file(
      file,
      "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 99.1\n-- Dumped by pg_dump version "
      "99.1\n\nSET a_setting_of_the_future = 0;\n--\n-- PostgreSQL database dump complete\n--\n");
  error = refusal(file);
  EXPECT_THAT(error.message(), HasSubstr("unrecognized configuration parameter"));
  EXPECT_THAT(error.hint(), HasSubstr("--pg-version"));
}

TEST_F(Dump, WithAMistakeIsRefusedInPostgresWordsAndNamesTheLine) {
  const auto file = temporary.path() / "dump.sql";
  write_file(file, "CREATE TABLE t (n int);\nSELECT nonsense;\nCREATE TABLE never (n int);\n");
  const Error error = refusal(file);
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.message(), HasSubstr(":2: ERROR:  column \"nonsense\" does not exist"));
  EXPECT_EQ(target.connect().value("SELECT count(*) FROM pg_tables WHERE tablename = 'never'"), "0");
}

TEST_F(Dump, RunsProgramsAsTheServersUserOnly) {
  const auto file = temporary.path() / "dump.sql";
  const auto made = target.configuration.files.socket_directory() / "made";
  write_file(file, "\\! id -u > " + made.string() + "\n");
  load(file);
  EXPECT_EQ(read_file(made), std::to_string(target.configuration.user.uid) + "\n");
  Connection connection = target.connect();
}

class ForeignDump : public ::testing::Test {
 protected:
  Error refusal(const std::string& text) {
    const auto file = temporary.path() / "file";
    write_file(file, text);
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    try {
      detect_dump_format(fd.get());
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "it was taken";
    return {ErrorCode::internal, ""};
  }
  pgtwig::support::TemporaryDirectory temporary;
};

TEST_F(ForeignDump, IsRefusedSayingWhatToDo) {
  EXPECT_THAT(refusal("").message(), HasSubstr("empty"));
  EXPECT_THAT(refusal("\x1f\x8b\x08").hint(), HasSubstr("gunzip"));
  EXPECT_THAT(refusal("\x28\xb5\x2f\xfd").hint(), HasSubstr("unzstd"));
  EXPECT_THAT(refusal("\xff\xfe-\0-\0").message(), HasSubstr("UTF-16"));
  EXPECT_THAT(refusal(std::string(257, 'x') + "ustar").hint(), HasSubstr("pg_restore"));
  EXPECT_THAT(refusal(std::string("PGDMP\x01\x0e\x00\x04\x08\x05", 11)).message(), HasSubstr("another format"));
  EXPECT_THAT(refusal(std::string("abc\0def", 7)).message(), HasSubstr("neither SQL"));
  const UniqueFd directory = open_directory(temporary.path());
  EXPECT_THROW(detect_dump_format(directory.get()), Error);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  EXPECT_THROW(detect_dump_format(read_end.get()), Error);
}

TEST(RolesOfADump, AreThoseItsStatementsName) {
  EXPECT_THAT(
      roles_in_text("ALTER TABLE public.t OWNER TO plain;\n"
                    "ALTER FUNCTION public.f(\" OWNER TO x\" text) OWNER TO \"quo\"\"ted\";\n"
                    "GRANT ALL ON TABLE public.t TO grantee WITH GRANT OPTION;\n"
                    "GRANT SELECT ON TABLE public.t TO PUBLIC;\n"
                    "GRANT SELECT ON TABLE public.t TO \"PUBLIC\";\n"
                    "GRANT pg_monitor TO pg_read_all_data;\n"
                    "REVOKE ALL ON TABLE public.t FROM revokee;\n"
                    "ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA public GRANT SELECT ON TABLES  TO reader;\n"
                    "CREATE POLICY p ON public.t TO one, \"t wo\" USING ((a = ' TO not_me'::text));\n"
                    "CREATE POLICY q ON public.t USING ((a = ' TO not_me'::text));\n"
                    "CREATE USER MAPPING FOR mapped SERVER s OPTIONS (\n"
                    "COPY public.t (a) FROM stdin;\n"
                    "ALTER TABLE x OWNER TO not_me;\n"
                    "\\.\n"
                    "SELECT 'ALTER TABLE x OWNER TO not_me;';\n"),
      ElementsAre("PUBLIC", "grantee", "maker", "mapped", "one", "plain", "quo\"ted", "reader", "revokee", "t wo"));
  EXPECT_THAT(roles_in_text(""), IsEmpty());
}

TEST(RolesOfADump, AreCutAsTheServerCutsThem) {
  const std::string whole = "\u00e4" + std::string(60, 'x');
  EXPECT_THAT(roles_in_text("ALTER TABLE t OWNER TO " + whole + "\u00e4;\n" + "ALTER TABLE u OWNER TO " +
                            std::string(100, 'y') + ";\n"),
              ElementsAre(std::string(63, 'y'), whole));
}

TEST(RolesOfADump, AreNotMoreThanAClusterHas) {
  std::string text;
  for (int i = 0; i <= 10'000; ++i) text += "ALTER TABLE t OWNER TO role_" + std::to_string(i) + ";\n";
  EXPECT_THROW(roles_in_text(text), Error);
}

}  // namespace
}  // namespace pgtwig::postgres
