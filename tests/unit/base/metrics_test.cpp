#include "base/metrics.h"

#include <gmock/gmock.h>

#include <thread>

namespace pgtwig {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::string text_of(const Metrics& metrics) {
  MetricText text;
  metrics.write(text);
  return text.text();
}

TEST(Metrics, AreWrittenAFamilyAfterTheOther) {
  Metrics metrics;
  metrics.counter("b_total", "Of b.", {{"kind", "x"}}).add(2);
  metrics.counter("a_total", "Of a.").add();
  metrics.counter("b_total", "Of b.", {{"kind", "y"}});
  metrics.counter("b_total", "Of b.", {{"kind", "x"}}).add();
  EXPECT_EQ(text_of(metrics),
            "# HELP a_total Of a.\n# TYPE a_total counter\na_total 1\n"
            "# HELP b_total Of b.\n# TYPE b_total counter\nb_total{kind=\"x\"} 3\nb_total{kind=\"y\"} 0\n");
}

TEST(Metrics, CountDurationsByBucketsThatHoldThoseBelow) {
  Metrics metrics;
  auto& durations = metrics.durations("wake_seconds", "Wakes.", {{"kind", "wake"}});
  durations.observe(5ms);
  durations.observe(60ms);
  durations.observe(10min);
  const std::string text = text_of(metrics);
  EXPECT_THAT(text, HasSubstr("# TYPE wake_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_bucket{kind=\"wake\",le=\"0.005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_bucket{kind=\"wake\",le=\"0.05\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_bucket{kind=\"wake\",le=\"0.075\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_bucket{kind=\"wake\",le=\"300\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_bucket{kind=\"wake\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_sum{kind=\"wake\"} 600.065\n"));
  EXPECT_THAT(text, HasSubstr("wake_seconds_count{kind=\"wake\"} 3\n"));
}

TEST(Metrics, EscapeWhatWouldEndALabelOrALine) {
  MetricText text;
  text.family("x", "gauge", "One\nline \\ \"quoted\"").sample({{"branch", "demo/a\"b\\c\nd"}}, 1.5);
  EXPECT_EQ(text.text(),
            "# HELP x One\\nline \\\\ \"quoted\"\n# TYPE x gauge\nx{branch=\"demo/a\\\"b\\\\c\\nd\"} 1.5\n");
}

TEST(Metrics, AreCountedFromSeveralThreads) {
  Metrics metrics;
  const auto count = [&] {
    for (int n = 0; n < 1000; ++n) metrics.counter("n_total", "N.", {{"parity", n % 2 == 0 ? "even" : "odd"}}).add();
  };
  std::thread other(count);
  count();
  other.join();
  EXPECT_THAT(text_of(metrics), HasSubstr("n_total{parity=\"even\"} 1000\nn_total{parity=\"odd\"} 1000\n"));
}

}  // namespace
}  // namespace pgtwig
