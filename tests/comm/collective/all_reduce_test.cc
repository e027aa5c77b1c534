// Every all-reduce over rank counts, sizes and layouts of hosts, bit by bit in its documented order.

#include "comm/collective/all_reduce.h"

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/collective/all_reduce_cases.h"
#include "tests/comm/transport/transport_mesh.h"

namespace sluice {
namespace {

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

class AllReduceGrid : public testing::TestWithParam<std::tuple<MeshKind, int>> {
 protected:
  MeshKind kind() const { return std::get<0>(GetParam()); }
  int ranks() const { return std::get<1>(GetParam()); }

  // Every case with every size on one mesh, and with one set of buffers per rank for all.
  void ExpectDocumentedSums(const std::vector<int64_t>& sizes, int64_t chunk_bytes) {
    std::vector<std::vector<std::vector<float>>> expected;
    const std::vector<AllReduceCase> cases = AllReduceCases(ranks());
    for (const AllReduceCase& all_reduce : cases) {
      expected.emplace_back();
      for (int64_t elements : sizes) {
        expected.back().push_back(SumInDocumentedOrder(all_reduce, ranks(), elements));
      }
    }
    RunRanks(CreateMesh(kind(), ranks()), [&](Transport& transport, int rank) {
      AllReduceBuffers buffers;
      uint32_t operation = 0xffffff00u;  // the whole width of the tag
      for (size_t c = 0; c < cases.size(); ++c) {
        AllReduceOptions options = cases[c].options();
        options.chunk_bytes = chunk_bytes;
        for (size_t s = 0; s < sizes.size(); ++s) {
          std::vector<float> data = RoughNumbers(rank, sizes[s]);
          ASSERT_EQ(AllReduce({transport, ranks(), operation++, Never()}, options,
                              absl::MakeSpan(data), buffers),
                    absl::OkStatus());
          EXPECT_TRUE(SameBits(data, expected[c][s]))
              << cases[c] << ", " << sizes[s] << " elements, rank " << rank;
        }
      }
    });
  }
};

std::string NameOf(const testing::TestParamInfo<std::tuple<MeshKind, int>>& info) {
  return ToString(std::get<0>(info.param)) + std::to_string(std::get<1>(info.param)) + "Ranks";
}

INSTANTIATE_TEST_SUITE_P(Inproc, AllReduceGrid,
                         testing::Combine(testing::Values(MeshKind::kInproc),
                                          testing::Values(1, 2, 3, 4, 5, 7, 8, 16)),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Ucx, AllReduceGrid,
                         testing::Combine(testing::Values(MeshKind::kUcxTcp, MeshKind::kUcxShm),
                                          testing::Values(2, 4)),
                         NameOf);

TEST_P(AllReduceGrid, SmallVectorsHaveTheDocumentedSum) {
  ExpectDocumentedSums({0, 1, ranks() - 1, ranks(), ranks() + 1, 101}, 0);
}

TEST_P(AllReduceGrid, VectorsOfManyMessagesHaveTheDocumentedSum) {
  // Both sides of the length up to which halving-doubling exchanges whole vectors.
  ExpectDocumentedSums({1001, 4096, 9001}, 256);
}

TEST_P(AllReduceGrid, LongVectorsHaveTheDocumentedSum) {
  // UCX leaves its eager protocol.
  ExpectDocumentedSums({kind() == MeshKind::kInproc ? 40009 : 300007}, 0);
}

TEST_P(AllReduceGrid, AChunkOfOneElementIsPossible) { ExpectDocumentedSums({3, 23}, 1); }

TEST(AllReduce, AutoTakesWhatTheCostModelChooses) {
  struct World {
    std::string chosen;
    size_t elements;
    std::vector<int> hosts;
  };
  const World worlds[] = {{"direct", 1000000, {}},
                          {"ring", 1000000, {0, 0, 0, 0, 0, 1, 1, 1}},
                          {"halving-doubling", 10, {}},
                          {"hierarchical", 1000000, {0, 0, 0, 0, 1, 1, 1, 1}}};
  for (const World& world : worlds) {
    RunRanks(CreateMesh(MeshKind::kInproc, 8), [&](Transport& transport, int rank) {
      if (rank != 0) return;
      // The others leave: the error names what was chosen.
      AllReduceOptions options;
      options.host_of_rank = world.hosts;
      std::vector<float> data(world.elements, 1.0f);
      AllReduceBuffers buffers;
      const absl::Status outcome =
          AllReduce({transport, 8, 1, Never()}, options, absl::MakeSpan(data), buffers);
      EXPECT_THAT(std::string(outcome.message()),
                  testing::StartsWith(world.chosen + " all-reduce 1: "));
    });
  }
}

TEST(AllReduce, WorldOfOneNeedsNoPeer) {
  auto mesh = CreateMesh(MeshKind::kInproc, 2);  // a profiler, say, is peer 1
  for (const AllReduceCase& all_reduce : AllReduceCases(1)) {
    std::vector<float> data = {1, 2, 3};
    AllReduceBuffers buffers;
    EXPECT_EQ(AllReduce({*mesh[0], 1, 1, absl::InfinitePast()}, all_reduce.options(),
                        absl::MakeSpan(data), buffers),
              absl::OkStatus());
    EXPECT_EQ(data, (std::vector<float>{1, 2, 3}));
  }
  EXPECT_EQ(mesh[0]->counters().sent_messages, 0);
}

TEST(AllReduce, OptionsThatDoNotFitTheWorldAreRefused) {
  auto mesh = CreateMesh(MeshKind::kInproc, 3);
  std::vector<float> data(10);
  AllReduceBuffers buffers;
  AllReduceOptions options;
  const std::vector<int> hosts = {0, 1};
  options.host_of_rank = hosts;
  EXPECT_EQ(AllReduce({*mesh[0], 3, 7, Never()}, options, absl::MakeSpan(data), buffers),
            absl::InvalidArgumentError(
                "all-reduce 7: host_of_rank names the hosts of 2 ranks, the world has 3"));
  options = {};
  options.chunk_bytes = -1;
  EXPECT_EQ(
      AllReduce({*mesh[0], 3, 7, Never()}, options, absl::MakeSpan(data), buffers),
      absl::InvalidArgumentError("all-reduce 7: chunk_bytes is -1, a length is expected, or 0"));
}

// What each rank sends: bytes, messages.
using Cost = std::pair<int64_t, int64_t>;

std::vector<Cost> CostsOf(const AllReduceOptions& options, int ranks, int64_t elements) {
  std::vector<Cost> costs(static_cast<size_t>(ranks));
  RunRanks(CreateMesh(MeshKind::kInproc, ranks), [&](Transport& transport, int rank) {
    std::vector<float> data(static_cast<size_t>(elements), 1.0f);
    AllReduceBuffers buffers;
    EXPECT_EQ(AllReduce({transport, ranks, 1, Never()}, options, absl::MakeSpan(data), buffers),
              absl::OkStatus());
    const TransportCounters counters = transport.counters();
    costs[static_cast<size_t>(rank)] = {counters.sent_bytes, counters.sent_messages};
  });
  return costs;
}

TEST(AllReduceCost, DirectAndRingSendTwoChunksToOrForEveryOtherRank) {
  for (AllReduceAlgorithm algorithm : {AllReduceAlgorithm::kDirect, AllReduceAlgorithm::kRing}) {
    AllReduceOptions options;
    options.algorithm = algorithm;
    EXPECT_EQ(CostsOf(options, 4, 400), std::vector<Cost>(4, {2400, 6}));
    options.chunk_bytes = 100;  // 4 messages per chunk
    EXPECT_EQ(CostsOf(options, 4, 400), std::vector<Cost>(4, {2400, 24}));
  }
}

TEST(AllReduceCost, HalvingDoublingSendsTwoMessagesPerDistance) {
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kHalvingDoubling;
  EXPECT_EQ(CostsOf(options, 8, 8000), std::vector<Cost>(8, {2 * 7 * 4000, 6}));
}

TEST(AllReduceCost, HalvingDoublingOfAShortVectorSendsItOncePerDistance) {
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kHalvingDoubling;
  EXPECT_EQ(CostsOf(options, 8, 100), std::vector<Cost>(8, {3 * 400, 3}));
}

TEST(AllReduceCost, FoldedRanksSendTheirVectorOnce) {
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kHalvingDoubling;
  const Cost host{400 + 400, 2}, alone{400, 1}, guest{400, 1};
  EXPECT_EQ(CostsOf(options, 3, 100), (std::vector<Cost>{host, alone, guest}));
}

TEST(AllReduceCost, HierarchicalSendsAChunkTwiceInsideAndItsPartsTwiceAcross) {
  const std::vector<int> hosts = {0, 0, 0, 0, 1, 1, 1, 1};
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kHierarchical;
  options.host_of_rank = hosts;
  // Chunks of 400 bytes: 3 of them out and 3 sums, then half of one each way across.
  EXPECT_EQ(CostsOf(options, 8, 400), std::vector<Cost>(8, {6 * 400 + 2 * 200, 6 + 2}));
}

TEST(AllReduceCost, OfUnequalHostsTheLowestRankSendsForAll) {
  const std::vector<int> hosts = {0, 0, 0, 1};
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kHierarchical;
  options.host_of_rank = hosts;
  const Cost leader{2 * 1600 + 2 * 800, 2 + 2}, member{1600, 1}, alone{2 * 800, 2};
  EXPECT_EQ(CostsOf(options, 4, 400), (std::vector<Cost>{leader, member, member, alone}));
}

}  // namespace
}  // namespace sluice
