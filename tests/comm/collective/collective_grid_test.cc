// Every collective but all-reduce over every transport, rank count and size, against a naive reference.

#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "comm/collective/all_gather.h"
#include "comm/collective/barrier.h"
#include "comm/collective/broadcast.h"
#include "comm/collective/request_set.h"
#include "comm/collective/scatter_reduce.h"
#include "gtest/gtest.h"
#include "tests/comm/collective/all_reduce_cases.h"
#include "tests/comm/collective/span_codec.h"
#include "tests/comm/transport/transport_mesh.h"

namespace sluice {
namespace {

// The last one makes UCX leave its eager protocol.
std::vector<int64_t> Sizes(MeshKind kind) {
  return {0, 1, 7, 1001, kind == MeshKind::kInproc ? 9001 : 100003};
}

// Whole numbers small enough that sums are exact in any order.
std::vector<float> WholeNumbers(int rank, int64_t elements) {
  std::vector<float> values(static_cast<size_t>(elements));
  const RandomKey key = RandomKey(1).With(static_cast<uint64_t>(rank));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(key.Below(i, 2001)) - 1000;
  }
  return values;
}

std::vector<float> SumOverRanks(int ranks, int64_t elements) {
  std::vector<float> sums(static_cast<size_t>(elements));
  for (int rank = 0; rank < ranks; ++rank) {
    const std::vector<float> values = WholeNumbers(rank, elements);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
  }
  return sums;
}

class CollectiveGrid : public testing::TestWithParam<std::tuple<MeshKind, int>> {
 protected:
  MeshKind kind() const { return std::get<0>(GetParam()); }
  int ranks() const { return std::get<1>(GetParam()); }

  using Body = std::function<void(const CollectiveContext&, int rank, int64_t elements)>;

  // Runs `body` for all sizes on all ranks; each size is an operation of its own.
  void Run(const Body& body) {
    RunRanks(CreateMesh(kind(), ranks()), [&](Transport& transport, int rank) {
      uint32_t operation = 0xfffffff0u;  // the whole width of the tag
      for (int64_t elements : Sizes(kind())) {
        body({transport, ranks(), operation++, Never()}, rank, elements);
      }
    });
  }

  // What every rank ended with, for all sizes in turn.
  std::vector<std::vector<float>> Results(
      const std::function<absl::Status(const CollectiveContext&, std::vector<float>&)>& reduce) {
    std::mutex mutex;
    std::vector<std::vector<float>> results(static_cast<size_t>(ranks()));
    Run([&](const CollectiveContext& context, int rank, int64_t elements) {
      std::vector<float> data = RoughNumbers(rank, elements);
      EXPECT_EQ(reduce(context, data), absl::OkStatus());
      const std::lock_guard<std::mutex> lock(mutex);
      auto& result = results[static_cast<size_t>(rank)];
      result.insert(result.end(), data.begin(), data.end());
    });
    return results;
  }

  static void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  }
};

std::string NameOf(const testing::TestParamInfo<std::tuple<MeshKind, int>>& info) {
  return ToString(std::get<0>(info.param)) + std::to_string(std::get<1>(info.param)) + "Ranks";
}

INSTANTIATE_TEST_SUITE_P(Inproc, CollectiveGrid,
                         testing::Combine(testing::Values(MeshKind::kInproc),
                                          testing::Values(1, 2, 3, 7, 8, 16)),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Ucx, CollectiveGrid,
                         testing::Combine(testing::Values(MeshKind::kUcxTcp, MeshKind::kUcxShm),
                                          testing::Values(1, 2, 3, 4)),
                         NameOf);

TEST_P(CollectiveGrid, ScatterReduceSumsRawChunks) {
  Run([&](const CollectiveContext& context, int rank, int64_t elements) {
    std::vector<float> data = WholeNumbers(rank, elements);
    SpanCodec codec(SpanCodec::Kind::kRaw, context, absl::MakeSpan(data));
    ScatterReduce operation;
    EXPECT_EQ(ScatterReduceAllGather(context, codec, operation), absl::OkStatus());
    EXPECT_EQ(data, SumOverRanks(ranks(), elements)) << elements << " elements";
  });
}

TEST_P(CollectiveGrid, ScatterReduceGivesTheSameBitsOnEveryRankAndRun) {
  for (SpanCodec::Kind kind : {SpanCodec::Kind::kRaw, SpanCodec::Kind::kTopBytes}) {
    const auto reduce = [&](const CollectiveContext& context, std::vector<float>& data) {
      SpanCodec codec(kind, context, absl::MakeSpan(data));
      ScatterReduce operation;
      return ScatterReduceAllGather(context, codec, operation);
    };
    const auto first = Results(reduce);
    for (const auto& result : first) ExpectSameBits(result, first[0]);
    ExpectSameBits(Results(reduce)[0], first[0]);
  }
}

TEST_P(CollectiveGrid, ScatterReduceOfALossyCodecSumsWhatWasEncoded) {
  Run([&](const CollectiveContext& context, int rank, int64_t elements) {
    std::vector<float> data = RoughNumbers(rank, elements);
    SpanCodec codec(SpanCodec::Kind::kTopBytes, context, absl::MakeSpan(data));
    ScatterReduce operation;
    EXPECT_EQ(ScatterReduceAllGather(context, codec, operation), absl::OkStatus());

    // The owner's values exact, the others' encoded once, in ascending order; then the sum encoded.
    std::vector<std::vector<float>> inputs;
    for (int r = 0; r < ranks(); ++r) inputs.push_back(RoughNumbers(r, elements));
    for (int owner = 0; owner < ranks(); ++owner) {
      const auto [begin, end] = codec.Range(owner);
      for (int64_t i = begin; i < end; ++i) {
        const auto at = static_cast<size_t>(i);
        float sum = inputs[static_cast<size_t>(owner)][at];
        for (int r = 0; r < ranks(); ++r) {
          if (r != owner) sum += TopBytes(inputs[static_cast<size_t>(r)][at]);
        }
        ASSERT_EQ(data[at], TopBytes(sum)) << "element " << i << " of " << elements;
      }
    }
  });
}

TEST_P(CollectiveGrid, ScatterReduceTakesBuffersThatOtherSizesUsed) {
  RunRanks(CreateMesh(kind(), ranks()), [&](Transport& transport, int rank) {
    ScatterReduce operation;
    uint32_t number = 0;
    for (int64_t elements : {1001, 7, 0, 50000, 1001}) {
      std::vector<float> data = WholeNumbers(rank, elements);
      const CollectiveContext context{transport, ranks(), number++, Never()};
      SpanCodec codec(SpanCodec::Kind::kRaw, context, absl::MakeSpan(data));
      EXPECT_EQ(ScatterReduceAllGather(context, codec, operation), absl::OkStatus());
      EXPECT_EQ(data, SumOverRanks(ranks(), elements));
    }
  });
}

TEST_P(CollectiveGrid, BroadcastGivesEveryRankTheBytesOfAnyRoot) {
  RunRanks(CreateMesh(kind(), ranks()), [&](Transport& transport, int rank) {
    uint32_t operation = 0;
    for (int root = 0; root < ranks(); ++root) {
      for (int64_t elements : {0, 1, 7, 30011}) {
        std::vector<float> data = WholeNumbers(rank, elements);
        EXPECT_EQ(Broadcast({transport, ranks(), operation++, Never()}, Rank(root),
                            AsBytes(absl::MakeSpan(data))),
                  absl::OkStatus());
        EXPECT_EQ(data, WholeNumbers(root, elements)) << "from rank " << root;
      }
    }
  });
}

TEST_P(CollectiveGrid, AllGatherOrdersPartsByRank) {
  Run([&](const CollectiveContext& context, int rank, int64_t elements) {
    std::vector<float> mine = WholeNumbers(rank, elements);
    std::vector<float> out(mine.size() * static_cast<size_t>(ranks()));
    EXPECT_EQ(AllGather(context, AsBytes(absl::MakeSpan(mine)), AsBytes(absl::MakeSpan(out))),
              absl::OkStatus());
    std::vector<float> expected;
    for (int r = 0; r < ranks(); ++r) {
      const std::vector<float> part = WholeNumbers(r, elements);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    EXPECT_EQ(out, expected);
  });
}

TEST_P(CollectiveGrid, BarrierHoldsEveryRankUntilTheLastOneCame) {
  std::mutex mutex;
  int came = 0;
  RunRanks(CreateMesh(kind(), ranks()), [&](Transport& transport, int rank) {
    for (uint32_t round = 0; round < 20; ++round) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        ++came;
      }
      EXPECT_EQ(Barrier({transport, ranks(), round, Never()}), absl::OkStatus());
      const std::lock_guard<std::mutex> lock(mutex);
      EXPECT_GE(came, static_cast<int>(round + 1) * ranks());
    }
  });
}

}  // namespace
}  // namespace sluice
