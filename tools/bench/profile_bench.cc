// What it costs to profile all options of a layer in one pass, against one option at a time, on one core:
//
//   bazel run -c opt //tools/bench:profile_bench -- [--benchmark_filter=REGEX]
//
// `records`: a tensor of 4 Mi values, the default quantisers or top-k densities. `lowrank`: ranks 2 to 8.
//   all         what the profiler does
//   each        the same code, once per option
//   gram        singular values of the whole shorter side, for all ranks
//   power       per rank five rounds of power iteration from random columns, with the codec's own kernels
//   eigen       the same with a library's products and Householder QR, as L-GreCo's published hook does
// `best_ms` is processor time. Before its lines are timed, a tensor's errors are compared: records one by
// one to 1e-9 of the error, ranks with the exact ones: at most 2 % above their norm (power, eigen: 5 %), and
// not below.

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <eigen3/Eigen/Dense>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/codec/codec_error.h"
#include "comm/low_rank/low_rank_error.h"
#include "comm/low_rank/low_rank_tensor.h"

namespace sluice {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int kRounds = 5;
// How far a norm may be above the exact one. Iterations of no more columns than the rank converge slowly.
constexpr double kSketchAbove = 0.02, kPowerAbove = 0.05;

// Sums of uniform numbers: close to normal, and cheap to draw.
std::vector<float> NormalValues(int64_t count) {
  std::vector<float> values(count);
  const RandomKey key(1);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = key.Bits(i);
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += static_cast<float>(bits >> (16 * k) & 0xffff) - 32767.5f;
    values[i] = sum * 1e-7f;
  }
  return values;
}

// A gradient's matrix: 16 directions, each 0.8 of the one before, with noise of the norm of the first.
std::vector<float> GradientMatrix(int64_t rows, int64_t cols) {
  std::vector<float> values = NormalValues(rows * cols);
  Eigen::Map<Matrix> matrix(values.data(), rows, cols);
  const float noise = matrix.norm();
  float scale = noise;
  for (int k = 0; k < 16; ++k, scale *= 0.8f) {
    const Eigen::VectorXf left = Eigen::VectorXf::NullaryExpr(
        rows, [&](Eigen::Index i) { return std::sin(0.7f * (k + 1) * i + k); });
    const Eigen::VectorXf right = Eigen::VectorXf::NullaryExpr(
        cols, [&](Eigen::Index i) { return std::sin(0.3f * (k + 1) * i + 2 * k); });
    matrix += scale * left.normalized() * right.normalized().transpose();
  }
  return values;
}

// Processor time of this thread: what other processes on the machine take does not count.
double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + now.tv_nsec * 1e-9;
}

using Errors = std::function<std::vector<double>()>;

double SquaredDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  }
  return sum;
}

double PowerError(const std::vector<float>& values, int64_t rows, int64_t cols, int rank) {
  LowRankTensor tensor(rows, cols, rank, RandomKey(rank));
  std::vector<float> result = values;
  std::vector<float> factor;
  for (int64_t turn = 0; turn < 2 * kRounds; ++turn) {
    factor.resize(tensor.FactorElements(Step(turn)));
    tensor.Encode(Step(turn), values, absl::MakeSpan(factor));
    if (turn + 1 < 2 * kRounds) tensor.Keep(Step(turn), factor);
  }
  tensor.Decode(Step(2 * kRounds - 1), factor, factor, absl::MakeSpan(result), {});
  return SquaredDifference(values, result);
}

Eigen::MatrixXf Orthonormal(const Eigen::MatrixXf& columns) {
  return Eigen::HouseholderQR<Eigen::MatrixXf>(columns).householderQ() *
         Eigen::MatrixXf::Identity(columns.rows(), columns.cols());
}

double EigenError(const std::vector<float>& values, int64_t rows, int64_t cols, int rank) {
  const Eigen::Map<const Matrix> matrix(values.data(), rows, cols);
  const std::vector<float> seed = NormalValues(cols * rank);
  Eigen::MatrixXf right = Eigen::Map<const Eigen::MatrixXf>(seed.data(), cols, rank);
  Eigen::MatrixXf left;
  for (int round = 0; round < kRounds; ++round) {
    left = Orthonormal(matrix * Orthonormal(right));
    right = matrix.transpose() * left;
  }
  const Matrix lost = matrix - left * right.transpose();
  return lost.cast<double>().squaredNorm();
}

bool Near(const std::vector<double>& errors, const std::vector<double>& expected, double below,
          double above) {
  for (size_t k = 0; k < errors.size(); ++k) {
    if (!(errors[k] >= expected[k] * (1 - below) && errors[k] <= expected[k] * (1 + above))) {
      std::fprintf(stderr, "option %zu: squared error %.9g, expected %.9g\n", k, errors[k],
                   expected[k]);
      return false;
    }
  }
  return true;
}

// Times `errors` after comparing it with `expected`.
void Measure(benchmark::State& state, const Errors& errors, const Errors& expected, double below,
             double above) {
  if (!Near(errors(), expected(), below, above)) {
    state.SkipWithError("the errors are not the expected ones");
    return;
  }
  double best = 1e9;
  for (auto _ : state) {
    const double start = CpuSeconds();
    benchmark::DoNotOptimize(errors());
    const double seconds = CpuSeconds() - start;
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  state.counters["best_ms"] = best * 1e3;
}

template <class Option, class ErrorOf>
Errors OneByOne(const std::vector<Option>& options, ErrorOf error_of) {
  return [=] {
    std::vector<double> errors;
    for (const Option& option : options) errors.push_back(error_of(option));
    return errors;
  };
}

void Add(const std::string& name, const Errors& errors, const Errors& expected, double below,
         double above) {
  benchmark::RegisterBenchmark(name.c_str(), Measure, errors, expected, below, above)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->Iterations(3);
}

void AddRecords(const std::string& name, const std::vector<CodecConfig>& options) {
  const auto values = std::make_shared<std::vector<float>>(NormalValues(int64_t{4} << 20));
  const Errors all = [=] { return SquaredErrors(options, *values); };
  const Errors each = OneByOne(
      options, [=](const CodecConfig& option) { return SquaredErrors({option}, *values)[0]; });
  Add("records/" + name + "/all", all, each, 1e-9, 1e-9);
  Add("records/" + name + "/each", each, all, 1e-9, 1e-9);
}

void AddLowRank(int64_t rows, int64_t cols) {
  const auto values = std::make_shared<std::vector<float>>(GradientMatrix(rows, cols));
  const std::vector<int> ranks = {2, 3, 4, 5, 6, 7, 8};
  const auto spectrum = [=](SpectrumMethod method) -> Errors {
    return [=] { return LowRankSquaredErrors(*values, rows, cols, ranks, method); };
  };
  const Errors exact = spectrum(SpectrumMethod::kGram);
  const auto add = [&](const std::string& name, const Errors& errors, double above) {
    // Squares: a share of the norm above, and what fp32's products round.
    Add("lowrank/" + std::to_string(rows) + "x" + std::to_string(cols) + "/" + name, errors, exact,
        1e-5, (1 + above) * (1 + above) - 1);
  };
  add("all", spectrum(SpectrumMethod::kAuto), kSketchAbove);
  add("each",
      OneByOne(ranks,
               [=](int rank) { return LowRankSquaredErrors(*values, rows, cols, {rank})[0]; }),
      kSketchAbove);
  add("gram", exact, kSketchAbove);
  add("power", OneByOne(ranks, [=](int rank) { return PowerError(*values, rows, cols, rank); }),
      kPowerAbove);
  add("eigen", OneByOne(ranks, [=](int rank) { return EigenError(*values, rows, cols, rank); }),
      kPowerAbove);
}

void Register() {
  std::vector<CodecConfig> quantisers;
  for (const uint32_t bucket : {128, 512, 2048}) {
    for (uint8_t bits = 2; bits <= 8; ++bits) {
      quantisers.push_back({CodecKind::kMaxMin, bits, bucket});
    }
  }
  AddRecords("maxmin", quantisers);
  std::vector<CodecConfig> densities;
  for (const uint32_t ppm : {1000, 2000, 5000, 10000, 20000, 50000, 100000}) {
    for (const uint8_t bits : {32, 8}) densities.push_back({CodecKind::kTopK, bits, 0, false, ppm});
  }
  AddRecords("topk", densities);
  AddLowRank(512, 4608);
  AddLowRank(2048, 512);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  sluice::Register();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
