// JDBC: connects by each case of the file and looks where it is; then cancels a statement with and without TLS.
// Arguments: port, file of the authority, file of cases (a line each, fields by tabs); the password in PGPASSWORD.

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Properties;

public class Jdbc {
  static String port;
  static String authority;

  static Connection connect(String[] one) throws SQLException {
    boolean tls = one[1].equals("True");
    Properties settings = new Properties();
    settings.setProperty("user", one[3]);
    settings.setProperty("password", System.getenv("PGPASSWORD"));
    if (one.length > 5) settings.setProperty("options", one[5]);
    settings.setProperty("sslmode", tls ? "verify-full" : "disable");
    if (tls) settings.setProperty("sslrootcert", authority);
    String database = one[4].replace("@", "%40").replace("/", "%2F");
    return DriverManager.getConnection("jdbc:postgresql://" + one[2] + ":" + port + "/" + database, settings);
  }

  static void require(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  static void look(String[] one) throws SQLException {
    try (Connection connection = connect(one); Statement statement = connection.createStatement()) {
      try (ResultSet row = statement.executeQuery("SELECT current_setting('pgtwig.branch'), name FROM here")) {
        require(row.next() && row.getString(1).equals("demo/dev") && row.getString(2).equals("dev"), one[0]);
      }
      try (ResultSet row = statement.executeQuery("SELECT repeat('x', 10485760)")) {
        require(row.next() && row.getString(1).length() == 10485760, "a large row");
      }
    }
  }

  static void cancel(String[] one) throws Exception {
    try (Connection connection = connect(one); Connection watcher = connect(one);
         Statement slow = connection.createStatement(); Statement watch = watcher.createStatement()) {
      String[] state = new String[1];
      Thread waiter = new Thread(() -> {
        try {
          slow.execute("SELECT pg_sleep(100), 'slow'");
        } catch (SQLException error) {
          state[0] = error.getSQLState();
        }
      });
      waiter.start();
      for (boolean runs = false; !runs;) {
        try (ResultSet row = watch.executeQuery("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%slow%' AND "
            + "state = 'active' AND pid <> pg_backend_pid()")) {
          runs = row.next();
        }
      }
      slow.cancel();
      waiter.join();
      require("57014".equals(state[0]), "cancelled: " + state[0]);
    }
  }

  public static void main(String[] arguments) throws Exception {
    port = arguments[0];
    authority = arguments[1];
    List<String> cases = Files.readAllLines(Path.of(arguments[2]));
    for (String one : cases) look(one.split("\t"));
    cancel(cases.get(0).split("\t"));
    cancel(cases.get(1).split("\t"));
    System.out.println(cases.size() + " cases and 2 cancels");
  }
}
