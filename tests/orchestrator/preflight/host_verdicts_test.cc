#include "orchestrator/preflight/host_verdicts.h"

#include <functional>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGiB = 1 << 30;

HostFacts GoodFacts() {
  HostFacts facts;
  facts.version = "1.0";
  facts.hash = "0123";
  facts.libraries = {{"UCX", "1.13.1"}, {"CAF", "0.17.6"}};
  facts.shm_bytes = facts.shm_free_bytes = kGiB;
  facts.open_files = facts.open_files_hard = 4096;
  facts.locked_bytes = std::numeric_limits<int64_t>::max();
  facts.memory_bytes = facts.memory_free_bytes = 64 * kGiB;
  facts.processors = 8;
  facts.instruction_set = "AVX2";
  facts.folder = "/ckpt";
  facts.folder_free_bytes = 100 * kGiB;
  return facts;
}

CheckedHost Good(const std::string& name = "b") {
  CheckedHost host;
  host.name = name;
  host.slots = 4;
  host.facts = GoodFacts();
  return host;
}

// The only row that is not passed.
CheckRow TheBadRow(const std::function<void(CheckedHost&)>& spoil) {
  CheckedHost host = Good();
  spoil(host);
  std::vector<CheckRow> bad;
  for (CheckRow& row : JudgeHosts(GoodFacts(), {host})) {
    if (row.outcome != Outcome::kPassed) bad.push_back(std::move(row));
  }
  EXPECT_EQ(bad.size(), 1u);
  return bad.empty() ? CheckRow() : bad.front();
}

TEST(JudgeHosts, AHostThatIsFinePasses) {
  for (const CheckRow& row : JudgeHosts(GoodFacts(), {Good("a"), Good("b")})) {
    EXPECT_EQ(row.outcome, Outcome::kPassed) << row.check << " " << row.what;
  }
}

TEST(JudgeHosts, AnotherBuildOfTheSameVersionFails) {
  const CheckRow row = TheBadRow([](CheckedHost& host) { host.facts.hash = "4567"; });
  EXPECT_EQ(row.check, "program");
  EXPECT_EQ(row.exit_code, 78);
  EXPECT_THAT(row.what, HasSubstr("SL1030 another build: sluice 1.0, XXH3 4567; here 1.0, 0123"));
}

TEST(JudgeHosts, AnotherLibraryFailsWithBothVersions) {
  const CheckRow row = TheBadRow([](CheckedHost& host) { host.facts.libraries["UCX"] = "1.12.0"; });
  EXPECT_EQ(row.exit_code, 78);
  EXPECT_THAT(row.what, HasSubstr("CAF 0.17.6, UCX 1.12.0; here CAF 0.17.6, UCX 1.13.1"));
}

TEST(JudgeHosts, AClockThatIsOffIsRemarkedOnAndThenFails) {
  CheckRow row = TheBadRow([](CheckedHost& host) { host.clock_ahead = absl::Seconds(4.2); });
  EXPECT_EQ(row.outcome, Outcome::kRemark);
  EXPECT_THAT(row.what, HasSubstr("SL1060 4.2 s ahead of this host's"));
  row = TheBadRow([](CheckedHost& host) { host.clock_ahead = -absl::Seconds(90); });
  EXPECT_EQ(row.outcome, Outcome::kFailed);
  EXPECT_THAT(row.what, HasSubstr("90.0 s behind"));
}

TEST(JudgeHosts, AClockIsNotBlamedForASlowNetwork) {
  const CheckRow row = TheBadRow([](CheckedHost& host) {
    host.clock_ahead = absl::Seconds(1);
    host.clock_uncertainty = absl::Seconds(1);
  });
  EXPECT_EQ(row.outcome, Outcome::kRemark);
  EXPECT_THAT(row.what, HasSubstr("known only within 1000 ms"));
}

TEST(JudgeHosts, AClockThatNobodyToldIsNoGoodClock) {
  const CheckRow row =
      TheBadRow([](CheckedHost& host) { host.clock_uncertainty = absl::InfiniteDuration(); });
  EXPECT_EQ(row.check, "clock");
}

TEST(JudgeHosts, SharedMemoryIsCountedPerWorker) {
  const CheckRow row =
      TheBadRow([](CheckedHost& host) { host.facts.shm_free_bytes = 4 * kShmPerSlot - 1; });
  EXPECT_EQ(row.exit_code, 78);
  EXPECT_THAT(row.what, HasSubstr("SL1040"));
  EXPECT_THAT(row.what, HasSubstr("64 MiB needed for 4 workers"));
  EXPECT_THAT(TheBadRow([](CheckedHost& host) {
                host.facts.shm_bytes = host.facts.shm_free_bytes = -1;
              }).what,
              HasSubstr("there is no /dev/shm"));
}

TEST(JudgeHosts, OpenFilesSayWhetherUlimitHelps) {
  CheckRow row = TheBadRow([](CheckedHost& host) { host.facts.open_files = 128; });
  EXPECT_EQ(row.exit_code, 78);
  EXPECT_THAT(row.advice, HasSubstr("ulimit -n 288"));
  row = TheBadRow(
      [](CheckedHost& host) { host.facts.open_files = host.facts.open_files_hard = 128; });
  EXPECT_THAT(row.advice, HasSubstr("hard limit is 128"));
}

TEST(JudgeHosts, LittleLockedMemoryIsEnoughForTcp) {
  const CheckRow row = TheBadRow([](CheckedHost& host) { host.facts.locked_bytes = 65536; });
  EXPECT_EQ(row.outcome, Outcome::kRemark);
  EXPECT_THAT(row.what, HasSubstr("limit 64 KiB"));
}

TEST(JudgeHosts, ASlowerProcessorAndTooFewAreRemarkedOn) {
  EXPECT_THAT(TheBadRow([](CheckedHost& host) { host.facts.instruction_set = "SSE4"; }).what,
              HasSubstr("SSE4, 8 processors; here AVX2"));
  EXPECT_THAT(TheBadRow([](CheckedHost& host) { host.facts.processors = 2; }).what,
              HasSubstr("2 processors for 4 workers"));
}

TEST(JudgeHosts, AnInterfaceThatIsNotThereFails) {
  const CheckRow row = TheBadRow([](CheckedHost& host) { host.facts.address_error = "SL1011 no"; });
  EXPECT_EQ(row.exit_code, 78);
  EXPECT_EQ(row.what, "SL1011 no");
}

TEST(JudgeHosts, AFolderThatCannotBeWrittenFailsAsStorage) {
  const CheckRow row =
      TheBadRow([](CheckedHost& host) { host.facts.folder_error = "Permission denied"; });
  EXPECT_EQ(row.exit_code, 74);
  EXPECT_EQ(TheBadRow([](CheckedHost& host) { host.facts.directory_error = "none"; }).exit_code,
            78);
  EXPECT_EQ(TheBadRow([](CheckedHost& host) { host.facts.folder_free_bytes = 1 << 20; }).outcome,
            Outcome::kRemark);
}

TEST(JudgeHosts, HostsWithDifferentDevicesAreRemarkedOn) {
  CheckedHost other = Good("a");
  other.facts.devices = 4;
  int remarks = 0;
  for (const CheckRow& row : JudgeHosts(GoodFacts(), {Good("b"), other})) {
    remarks += row.check == "GPU" && row.outcome == Outcome::kRemark;
  }
  EXPECT_EQ(remarks, 2);
}

TEST(HostFacts, AreReadBack) {
  HostFacts facts = GoodFacts();
  facts.interfaces = {"eth0 10.0.0.1"};
  facts.devices = 2;
  facts.folder_error = "full";
  EXPECT_EQ(ToJson(HostFactsFromJson(ToJson(facts))), ToJson(facts));
}

TEST(HostFacts, OfAnotherShapeAreUnknown) {
  const HostFacts facts = HostFactsFromJson(
      {{"version", 3}, {"libraries", {1, 2}}, {"interfaces", "eth0"}, {"open_files", "many"}});
  EXPECT_EQ(ToJson(facts), ToJson(HostFacts()));
}

TEST(ParseCheckAnswer, TakesAnObjectBehindItsMark) {
  EXPECT_TRUE(ParseCheckAnswer("sluice-check {\"time\":1}").ok());
  for (const char* line : {"", "hello", "{\"time\":1}", "sluice-check", "sluice-check [1]",
                           "sluice-check {\"time\":"}) {
    EXPECT_EQ(ParseCheckAnswer(line).status().code(), absl::StatusCode::kDataLoss) << line;
  }
}

}  // namespace
}  // namespace sluice
