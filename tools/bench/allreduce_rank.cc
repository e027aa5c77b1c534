#include "tools/bench/allreduce_rank.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "comm/collective/all_reduce.h"
#include "comm/collective/all_reduce_algorithm.h"
#include "comm/collective/barrier.h"
#include "comm/collective/collective_context.h"
#include "comm/transport/transport.h"
#include "comm/transport/ucx_transport.h"

namespace sluice {
namespace {

using Network = AllReduceBenchOptions::Network;

absl::StatusOr<std::unique_ptr<UcxEndpointSeed>> CreateSeed(Network network) {
  switch (network) {
    case Network::kShm:
      return UcxEndpointSeed::Create({"posix,cma,self"});
    case Network::kTcp:
      setenv("UCX_NET_DEVICES", "lo", /*overwrite=*/0);
      return UcxEndpointSeed::Create({"tcp,self"});
    case Network::kNetlab:
      // Shared memory would reach the other namespaces, past their links.
      setenv("UCX_NET_DEVICES", "net0", /*overwrite=*/0);
      return UcxEndpointSeed::Create({"tcp,self"});
  }
  return absl::InternalError("no such network");
}

absl::StatusOr<std::unique_ptr<Transport>> Connect(const AllReduceBenchOptions& options,
                                                   AllReducePipe& pipe) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<UcxEndpointSeed> seed, CreateSeed(options.network));
  SLUICE_RETURN_IF_ERROR(pipe.Write(absl::StrCat("+", seed->address())));
  std::vector<std::string> addresses;
  for (int rank = 0; rank < options.ranks; ++rank) {
    SLUICE_ASSIGN_OR_RETURN(std::string address, pipe.Read());
    addresses.push_back(std::move(address));
  }
  return std::move(*seed).Connect(Rank(options.rank), addresses);
}

// Small whole numbers, so that every order of adding them gives the same, exact sum. `salt` makes
// what an earlier check left behind wrong.
float Value(int64_t index, int64_t rank, int64_t salt) {
  return static_cast<float>((index + salt) % 61 + rank);
}

class Measurement {
 public:
  Measurement(const AllReduceBenchOptions& options, AllReduceAlgorithm algorithm,
              Transport& transport)
      : options_(options), transport_(transport) {
    const int per_host = options.ranks_per_host > 0            ? options.ranks_per_host
                         : options.network == Network::kNetlab ? 1
                                                               : options.ranks;
    for (int rank = 0; rank < options.ranks; ++rank) hosts_.push_back(rank / per_host);
    how_.algorithm = algorithm;
    how_.host_of_rank = hosts_;
    how_.chunk_bytes = options.chunk_bytes;
    if (options.link_bytes_per_second > 0) {
      how_.link.bytes_per_second = options.link_bytes_per_second;
      how_.link.observations = 1;
    }
  }

  absl::StatusOr<AllReduceTimes> Take(int64_t bytes, bool in_place) {
    const auto count = static_cast<size_t>(bytes / 4);
    data_.assign(count, 0);
    if (!in_place) input_.assign(count, 0);
    AllReduceTimes times;
    SLUICE_RETURN_IF_ERROR(Check(in_place, times.wrong));
    Fill([](size_t) { return 0.0F; }, in_place);
    for (int i = 0; i < options_.warmup; ++i) SLUICE_RETURN_IF_ERROR(Reduce(in_place));
    times.microseconds.reserve(static_cast<size_t>(options_.iterations));
    for (int i = 0; i < options_.iterations; ++i) {
      SLUICE_RETURN_IF_ERROR(Barrier(NextContext()));
      const absl::Time begin = absl::Now();
      SLUICE_RETURN_IF_ERROR(Reduce(in_place));
      times.microseconds.push_back(absl::ToDoubleMicroseconds(absl::Now() - begin));
    }
    SLUICE_RETURN_IF_ERROR(Check(in_place, times.wrong));
    return times;
  }

  absl::Status Finish() { return Barrier(NextContext()); }

 private:
  CollectiveContext NextContext() {
    return {transport_, options_.ranks, operation_++, absl::Now() + options_.timeout};
  }

  absl::Status Reduce(bool in_place) {
    if (!in_place) std::copy(input_.begin(), input_.end(), data_.begin());
    return AllReduce(NextContext(), how_, absl::MakeSpan(data_), buffers_);
  }

  template <class ValueOf>
  void Fill(ValueOf value_of, bool in_place) {
    std::vector<float>& filled = in_place ? data_ : input_;
    for (size_t i = 0; i < filled.size(); ++i) filled[i] = value_of(i);
  }

  absl::Status Check(bool in_place, int64_t& wrong) {
    if (!options_.check) return absl::OkStatus();
    const auto ranks = static_cast<int64_t>(options_.ranks);
    const int64_t salt = ++salt_;
    const int64_t self = options_.rank;
    Fill([&](size_t i) { return Value(static_cast<int64_t>(i), self, salt); }, in_place);
    SLUICE_RETURN_IF_ERROR(Reduce(in_place));
    for (size_t i = 0; i < data_.size(); ++i) {
      const float sum = static_cast<float>(ranks) * Value(static_cast<int64_t>(i), 0, salt) +
                        static_cast<float>(ranks * (ranks - 1) / 2);
      if (data_[i] != sum) ++wrong;
    }
    return absl::OkStatus();
  }

  const AllReduceBenchOptions& options_;
  Transport& transport_;
  std::vector<int> hosts_;
  AllReduceOptions how_;
  AllReduceBuffers buffers_;
  std::vector<float> data_;
  std::vector<float> input_;
  uint32_t operation_ = 0;
  int64_t salt_ = 0;
};

absl::Status Run(const AllReduceBenchOptions& options, AllReducePipe& pipe) {
  SLUICE_ASSIGN_OR_RETURN(const AllReduceAlgorithm algorithm,
                          ParseAllReduceAlgorithm(options.algorithm));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> transport, Connect(options, pipe));
  Measurement measurement(options, algorithm, *transport);
  for (int64_t bytes : options.Sizes()) {
    for (bool in_place : {false, true}) {
      if (!in_place && !options.out_of_place) continue;
      SLUICE_ASSIGN_OR_RETURN(const AllReduceTimes times, measurement.Take(bytes, in_place));
      SLUICE_RETURN_IF_ERROR(
          pipe.Write(absl::StrCat("+", times.wrong, " ", absl::StrJoin(times.microseconds, " "))));
    }
  }
  return measurement.Finish();
}

}  // namespace

absl::Status RunAllReduceRank(const AllReduceBenchOptions& options, AllReducePipe& pipe) {
  const absl::Status outcome = Annotate(Run(options, pipe), ToString(Rank(options.rank)));
  // Nobody is there to tell when writing fails: the parent is gone.
  if (!outcome.ok()) (void)pipe.Write(absl::StrCat("-", outcome.message()));
  return outcome;
}

absl::StatusOr<std::string> ReadFromRank(AllReducePipe& pipe) {
  SLUICE_ASSIGN_OR_RETURN(const std::string text, pipe.Read());
  if (text.empty() || text[0] != '+') {
    return absl::UnavailableError(text.empty() ? "an empty text" : text.substr(1));
  }
  return text.substr(1);
}

absl::StatusOr<AllReduceTimes> ParseAllReduceTimes(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  AllReduceTimes times;
  bool good = !words.empty() && absl::SimpleAtoi(words[0], &times.wrong);
  for (size_t i = 1; i < words.size(); ++i) {
    double time = 0;
    good = good && absl::SimpleAtod(words[i], &time);
    times.microseconds.push_back(time);
  }
  if (!good) return absl::DataLossError(absl::StrCat("not the times of a rank: \"", text, "\""));
  return times;
}

}  // namespace sluice
