#include "orchestrator/launcher/scheduler_env.h"

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Nodes(absl::string_view text) {
  auto names = ParseSlurmNodeList(text);
  return names.ok() ? absl::StrJoin(*names, " ") : std::string(names.status().message());
}

std::string Counts(absl::string_view text) {
  auto counts = ParseSlurmTaskCounts(text);
  return counts.ok() ? absl::StrJoin(*counts, " ") : std::string(counts.status().message());
}

TEST(ReadRank, NobodySaysAnything) {
  const auto given = ReadRank({{"PATH", "/bin"}});
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->source, "");
  EXPECT_EQ(given->rank, 0);
  EXPECT_EQ(given->size, 1);
}

TEST(ReadRank, EveryLauncherByItsOwnNames) {
  const std::pair<const char*, Environment> launchers[] = {
      {"Sluice", {{"SLUICE_RANK", "2"}, {"SLUICE_SIZE", "4"}, {"SLUICE_LOCAL_SIZE", "2"}}},
      {"Horovod", {{"HOROVOD_RANK", "2"}, {"HOROVOD_SIZE", "4"}, {"HOROVOD_LOCAL_SIZE", "2"}}},
      {"torchrun", {{"RANK", "2"}, {"WORLD_SIZE", "4"}, {"LOCAL_WORLD_SIZE", "2"}}},
      {"Open MPI",
       {{"OMPI_COMM_WORLD_RANK", "2"},
        {"OMPI_COMM_WORLD_SIZE", "4"},
        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
        {"PMIX_RANK", "2"}}},
      {"PMI", {{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALNRANKS", "2"}}},
      {"PMI", {{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"PMI_LOCAL_SIZE", "2"}}},
      {"Slurm",
       {{"SLURM_PROCID", "2"},
        {"SLURM_NTASKS", "8"},
        {"SLURM_STEP_NUM_TASKS", "4"},
        {"SLURM_STEP_TASKS_PER_NODE", "1,2,1"},
        {"SLURM_NODEID", "1"}}},
  };
  for (const auto& [source, environment] : launchers) {
    const auto given = ReadRank(environment);
    ASSERT_TRUE(given.ok()) << source << given.status();
    EXPECT_EQ(given->source, source);
    EXPECT_EQ(given->rank, 2) << source;
    EXPECT_EQ(given->size, 4) << source;
    EXPECT_EQ(given->local_size, 2) << source;
    EXPECT_THAT(given->warnings, IsEmpty());
  }
}

TEST(ReadRank, TheFirstCompleteSetWinsAndADifferentOneIsReported) {
  const auto given = ReadRank({{"RANK", "1"},
                               {"WORLD_SIZE", "2"},
                               {"SLURM_PROCID", "0"},
                               {"SLURM_NTASKS", "8"},
                               {"OMPI_COMM_WORLD_RANK", "1"},
                               {"OMPI_COMM_WORLD_SIZE", "2"}});
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->source, "torchrun");
  EXPECT_EQ(given->rank, 1);
  ASSERT_THAT(given->warnings, SizeIs(1));
  EXPECT_THAT(given->warnings[0],
              AllOf(HasSubstr("rank 1 of 2 (torchrun)"), HasSubstr("rank 0 of 8 (Slurm)")));
}

TEST(ReadRank, HalfASetNamesBothVariables) {
  const std::pair<Environment, std::pair<const char*, const char*>> halves[] = {
      {{{"RANK", "1"}}, {"RANK is set", "WORLD_SIZE is not"}},
      {{{"WORLD_SIZE", "4"}}, {"WORLD_SIZE is set", "RANK is not"}},
      {{{"SLUICE_RANK", "1"}, {"RANK", "1"}, {"WORLD_SIZE", "2"}},
       {"SLUICE_RANK is set", "SLUICE_SIZE is not"}},
      {{{"SLURM_NTASKS", "4"}}, {"SLURM_NTASKS is set", "SLURM_PROCID is not"}},
  };
  for (const auto& [environment, parts] : halves) {
    EXPECT_THAT(std::string(ReadRank(environment).status().message()),
                AllOf(HasSubstr(parts.first), HasSubstr(parts.second)));
  }
}

TEST(ReadRank, HalfASetBehindACompleteOneDoesNotMatter) {
  // mpirun within an allocation.
  EXPECT_TRUE(
      ReadRank(
          {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"SLURM_NTASKS", "2"}})
          .ok());
}

TEST(ReadRank, ValuesAreCheckedAndNamed) {
  EXPECT_THAT(std::string(ReadRank({{"RANK", "4"}, {"WORLD_SIZE", "4"}}).status().message()),
              HasSubstr("RANK=\"4\": expected a whole number from 0 to 3"));
  EXPECT_THAT(std::string(ReadRank({{"RANK", "0"}, {"WORLD_SIZE", "many"}}).status().message()),
              HasSubstr("WORLD_SIZE=\"many\""));
}

TEST(ReadRank, PmixAloneGivesNoSize) {
  EXPECT_THAT(std::string(ReadRank({{"PMIX_RANK", "0"}}).status().message()),
              HasSubstr("SLUICE_SIZE"));
}

GivenRank Rank2Of4(const char* source) {
  GivenRank given;
  given.source = source;
  given.rank = 2;
  given.size = 4;
  return given;
}

TEST(FindMeetingPoint, AnAddressThatIsGivenCounts) {
  const auto point = FindMeetingPoint({{"MASTER_ADDR", "pod-0.train"},
                                       {"MASTER_PORT", "29400"},
                                       {"TORCHELASTIC_RUN_ID", "my run/7"}},
                                      Rank2Of4("torchrun"));
  ASSERT_TRUE(point.ok());
  EXPECT_EQ(point->host, "pod-0.train");
  EXPECT_EQ(point->port, 29400);
  EXPECT_EQ(point->job_id, "my-run-7");
}

TEST(FindMeetingPoint, SlurmsFirstNodeAndAPortOfTheJob) {
  const Environment environment = {
      {"SLURM_STEP_NODELIST", "gpu[03-04]"}, {"SLURM_JOB_ID", "123"}, {"SLURM_STEP_ID", "0"}};
  const auto point = FindMeetingPoint(environment, Rank2Of4("Slurm"));
  ASSERT_TRUE(point.ok()) << point.status();
  EXPECT_EQ(point->host, "gpu03");
  EXPECT_EQ(point->job_id, "slurm-123.0");
  EXPECT_GE(point->port, 20000);
  EXPECT_LT(point->port, 30000);
  Environment other = environment;
  other["SLURM_STEP_ID"] = "1";
  EXPECT_NE(FindMeetingPoint(other, Rank2Of4("Slurm"))->port, point->port);
  other["SLURM_RESTART_COUNT"] = "2";
  EXPECT_EQ(FindMeetingPoint(other, Rank2Of4("Slurm"))->job_id, "slurm-123.1-restart2");
}

TEST(FindMeetingPoint, OneHostMeetsOnLoopback) {
  GivenRank given = Rank2Of4("Open MPI");
  given.local_size = 4;
  const auto point = FindMeetingPoint({{"PMIX_NAMESPACE", "3581411329"}}, given);
  ASSERT_TRUE(point.ok());
  EXPECT_EQ(point->host, "127.0.0.1");
  EXPECT_EQ(point->job_id, "mpi-3581411329");
  EXPECT_EQ(FindMeetingPoint({{"SLURM_STEP_NODELIST", "n7"}}, Rank2Of4("Slurm"))->host,
            "127.0.0.1");
}

TEST(FindMeetingPoint, SeveralHostsWithoutAnAddressSayWhatToSet) {
  GivenRank given = Rank2Of4("Open MPI");
  given.local_size = 2;
  EXPECT_THAT(std::string(FindMeetingPoint({}, given).status().message()),
              AllOf(HasSubstr("MASTER_ADDR"), HasSubstr("MASTER_PORT"), HasSubstr("mpirun: -x")));
}

TEST(FindMeetingPoint, AProcessAloneTakesAnyPort) {
  const auto point = FindMeetingPoint({}, GivenRank());
  ASSERT_TRUE(point.ok());
  EXPECT_EQ(point->host, "127.0.0.1");
  EXPECT_EQ(point->port, 0);
}

TEST(FindMeetingPoint, ABadPortIsNamed) {
  EXPECT_THAT(std::string(FindMeetingPoint({{"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}},
                                           Rank2Of4("torchrun"))
                              .status()
                              .message()),
              HasSubstr("MASTER_PORT=\"70000\""));
}

TEST(ReadSlurmAllocation, HostsAndTasksOfTheJob) {
  const auto allocation = ReadSlurmAllocation({{"SLURM_JOB_ID", "9"},
                                               {"SLURM_JOB_NODELIST", "gpu[01-02],login5"},
                                               {"SLURM_TASKS_PER_NODE", "4(x2),3"}});
  ASSERT_TRUE(allocation.ok()) << allocation.status();
  ASSERT_TRUE(allocation->has_value());
  EXPECT_EQ((*allocation)->job_id, "9");
  EXPECT_EQ(ToString((*allocation)->hosts), "gpu01 4, gpu02 4, login5 3");
}

TEST(ReadSlurmAllocation, OutsideOfOneThereIsNone) {
  EXPECT_FALSE(ReadSlurmAllocation({{"SLURM_CONF", "x"}})->has_value());
}

TEST(ReadSlurmAllocation, ListsThatDoNotFitTogetherAreAnError) {
  EXPECT_THAT(std::string(ReadSlurmAllocation({{"SLURM_JOB_ID", "9"},
                                               {"SLURM_JOB_NODELIST", "a,b,c"},
                                               {"SLURM_TASKS_PER_NODE", "4(x2)"}})
                              .status()
                              .message()),
              AllOf(HasSubstr("names 3 nodes"), HasSubstr("of 2")));
}

TEST(ParseSlurmNodeList, RangesWidthsAndSeveralGroups) {
  EXPECT_EQ(Nodes("gpu[01-03,07],login5"), "gpu01 gpu02 gpu03 gpu07 login5");
  EXPECT_EQ(Nodes("n[8-11]"), "n8 n9 n10 n11");
  EXPECT_EQ(Nodes("n[098-101]"), "n098 n099 n100 n101");
  EXPECT_EQ(Nodes("r[1-2]n[01-02]-ib"), "r1n01-ib r1n02-ib r2n01-ib r2n02-ib");
  EXPECT_EQ(Nodes("a"), "a");
}

TEST(ParseSlurmNodeList, EveryMalformedListHasAPosition) {
  for (const char* text :
       {"", "a,", ",a", "a[", "a[]", "a[1", "a[1-]", "a[-1]", "a[3-1]", "a[1,]", "a[1;2]", "a]",
        "a b", "-a", "n[0-99999]", "a[1-2][0-65535]", "n[11111111111111111111]"}) {
    EXPECT_THAT(Nodes(text), AllOf(HasSubstr("node list"), HasSubstr("(character "))) << text;
  }
}

TEST(ParseSlurmTaskCounts, RepetitionsAreSpelledOut) {
  EXPECT_EQ(Counts("4(x2),3"), "4 4 3");
  EXPECT_EQ(Counts("1"), "1");
}

TEST(ParseSlurmTaskCounts, EveryMalformedListIsAnError) {
  for (const char* text : {"", "4(x2", "4(2)", "x", "4,", "0", "4(x0)", "4(x99999)", "-1"}) {
    EXPECT_THAT(Counts(text), HasSubstr("is not like 4 or 4(x2)")) << text;
  }
}

}  // namespace
}  // namespace sluice
