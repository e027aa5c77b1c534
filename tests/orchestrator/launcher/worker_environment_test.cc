#include "orchestrator/launcher/worker_environment.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

WorkerFacts ThirdOfThree() {
  WorkerFacts facts;
  facts.placement.rank = 2;
  facts.placement.node = 1;
  facts.placement.nodes = 2;
  facts.placement.local_rank = 0;
  facts.placement.local_size = 1;
  facts.placement.cross_rank = 1;
  facts.placement.cross_size = 2;
  facts.size = 3;
  facts.host = "node02";
  facts.job_id = "7f3a";
  facts.coordinator_host = "10.0.0.1";
  facts.coordinator_port = "41873";
  return facts;
}

TEST(WorkerEnvironment, BothColumnsAndOurs) {
  EXPECT_THAT(WorkerEnvironment(ThirdOfThree(), {}),
              IsSupersetOf({Pair("HOROVOD_RANK", "2"),
                            Pair("RANK", "2"),
                            Pair("HOROVOD_SIZE", "3"),
                            Pair("WORLD_SIZE", "3"),
                            Pair("HOROVOD_LOCAL_RANK", "0"),
                            Pair("LOCAL_RANK", "0"),
                            Pair("HOROVOD_LOCAL_SIZE", "1"),
                            Pair("LOCAL_WORLD_SIZE", "1"),
                            Pair("HOROVOD_CROSS_RANK", "1"),
                            Pair("GROUP_RANK", "1"),
                            Pair("HOROVOD_CROSS_SIZE", "2"),
                            Pair("GROUP_WORLD_SIZE", "2"),
                            Pair("HOROVOD_HOSTNAME", "node02"),
                            Pair("MASTER_ADDR", "10.0.0.1"),
                            Pair("MASTER_PORT", "41873"),
                            Pair("HOROVOD_GLOO_RENDEZVOUS_ADDR", "10.0.0.1"),
                            Pair("HOROVOD_GLOO_RENDEZVOUS_PORT", "41873"),
                            Pair("ROLE_NAME", "default"),
                            Pair("ROLE_RANK", "2"),
                            Pair("ROLE_WORLD_SIZE", "3"),
                            Pair("TORCHELASTIC_RUN_ID", "7f3a"),
                            Pair("PYTHONUNBUFFERED", "1"),
                            Pair("SLUICE_RANK", "2"),
                            Pair("SLUICE_SIZE", "3"),
                            Pair("SLUICE_LOCAL_RANK", "0"),
                            Pair("SLUICE_LOCAL_SIZE", "1"),
                            Pair("SLUICE_CROSS_RANK", "1"),
                            Pair("SLUICE_CROSS_SIZE", "2"),
                            Pair("SLUICE_GENERATION", "1"),
                            Pair("SLUICE_JOB_ID", "7f3a"),
                            Pair("SLUICE_COORDINATOR_ADDR", "10.0.0.1:41873")}));
  EXPECT_THAT(WorkerEnvironment(ThirdOfThree(), {}),
              Not(testing::Contains(Key("HOROVOD_ELASTIC"))));
}

TEST(WorkerEnvironment, SettingsOfTheUserStay) {
  WorkerFacts facts = ThirdOfThree();
  facts.network_interface = "eth1";
  const Environment set = WorkerEnvironment(facts, {{"NCCL_SOCKET_IFNAME", "ib"}});
  EXPECT_EQ(set.count("NCCL_SOCKET_IFNAME"), 0u);
  EXPECT_EQ(set.at("UCX_NET_DEVICES"), "eth1");
  EXPECT_EQ(set.at("HOROVOD_GLOO_IFACE"), "eth1");
}

TEST(LibrarySettings, WhatTheUserHasSetStays) {
  const Environment set = LibrarySettings(2, {{"OMP_NUM_THREADS", "8"}, {"PATH", "/bin"}});
  EXPECT_THAT(set, UnorderedElementsAre(Pair("OPENBLAS_NUM_THREADS", "2"),
                                        Key("MALLOC_MMAP_THRESHOLD_"),
                                        Key("MALLOC_TRIM_THRESHOLD_")));
}

TEST(PassedOn, NothingOfThisHostOrSessionAndNoSecrets) {
  const Environment ours = {
      {"PATH", "/bin"},          {"UCX_TLS", "tcp"}, {"DISPLAY", ":0"},
      {"SSH_AUTH_SOCK", "/x"},   {"TMUX", "1"},      {"CUDA_VISIBLE_DEVICES", "0"},
      {"SLURM_PROCID", "0"},     {"OLDPWD", "/"},    {"BASH_FUNC_f%%", "() {"},
      {"HF_TOKEN", "x"},         {"my_secret", "x"}, {"DB_PASSWORD", "x"},
      {"AWS_ACCESS_KEY_ID", "x"}};
  EXPECT_THAT(PassedOn(ours, {}), UnorderedElementsAre(Key("PATH"), Key("UCX_TLS")));
}

TEST(PassedOn, WishesAddAndRemove) {
  const Environment ours = {
      {"PATH", "/bin"}, {"HF_TOKEN", "x"}, {"UCX_TLS", "tcp"}, {"UCX_LOG", "y"}};
  const EnvironmentWishes wishes = {{"HF_TOKEN", "A=1=2", "EMPTY="}, {"UCX_*"}};
  EXPECT_THAT(PassedOn(ours, wishes),
              UnorderedElementsAre(Pair("PATH", "/bin"), Pair("HF_TOKEN", "x"), Pair("A", "1=2"),
                                   Pair("EMPTY", "")));
  EXPECT_THAT(Added(wishes), UnorderedElementsAre(Pair("A", "1=2"), Pair("EMPTY", "")));
  EXPECT_THAT(Removed(ours, wishes), ElementsAre("UCX_LOG", "UCX_TLS"));
}

TEST(CheckWishes, NamesAreNamesAndExist) {
  EXPECT_TRUE(CheckWishes({{"A=b"}, {"*"}}, {}).ok());
  for (const char* wrong : {"", "=x", "1A=x", "A B=x", "A-B"}) {
    EXPECT_FALSE(CheckWishes({{wrong}, {}}, {}).ok()) << wrong;
  }
  EXPECT_THAT(std::string(CheckWishes({{"GONE"}, {}}, {}).message()), HasSubstr("GONE=VALUE"));
}

}  // namespace
}  // namespace sluice
