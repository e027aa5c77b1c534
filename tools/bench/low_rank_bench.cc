// Speed of low-rank compression on one core against memcpy of the same matrix, in one run:
//
//   bazel run -c opt //tools/bench:low_rank_bench -- [--benchmark_filter=REGEX]
//
// Lines are encode or decode (with a residual) with the side that travels / shape / rank. GB/s count
// the matrix's own bytes once; `of_memcpy` is the ratio to memcpy's best run, timed just before. Large
// shapes do not fit the caches. `loop` lines run over many tensors of one small shape, as a reducer
// does: their us per tensor show what a call costs. Results are checked once, outside the timed loops.

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "comm/low_rank/factor.h"
#include "comm/low_rank/kernels.h"
#include "comm/low_rank/low_rank_tensor.h"
#include "comm/low_rank/orthonormalise.h"

namespace sluice {
namespace {

struct Shape {
  int64_t rows;
  int64_t cols;
};

std::string ToString(Shape shape) {
  return std::to_string(shape.rows) + "x" + std::to_string(shape.cols);
}

std::vector<float> RandomValues(int64_t n) {
  Factor column(n, 1);
  column.FillColumn(0, RandomKey(1));
  return std::vector<float>(column.data(), column.data() + n);
}

// Processor time of this thread: what other processes on the machine take does not count.
double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + now.tv_nsec * 1e-9;
}

template <class Work>
double BestSeconds(int runs, int repeats, Work work) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const double start = CpuSeconds();
    for (int k = 0; k < repeats; ++k) {
      work();
      benchmark::ClobberMemory();
    }
    best = std::min(best, (CpuSeconds() - start) / repeats);
  }
  return best;
}

// Enough runs in a row to be seen by the clock.
int RepeatsFor(double bytes) { return std::max(1, static_cast<int>(4e6 / bytes)); }

template <class Work>
void Measure(benchmark::State& state, const std::vector<float>& values, std::vector<float>* out,
             Work work) {
  const double bytes = values.size() * 4.0;
  const int repeats = RepeatsFor(bytes);
  const double copy =
      BestSeconds(7, repeats, [&] { std::memcpy(out->data(), values.data(), values.size() * 4); });
  double best = 1e9;
  for (auto _ : state) {
    const double seconds = BestSeconds(1, repeats, work);
    state.SetIterationTime(seconds * repeats);
    best = std::min(best, seconds);
  }
  state.counters["best_us"] = best * 1e6;
  state.counters["best_GB/s"] = bytes / best * 1e-9;
  state.counters["of_memcpy"] = copy / best;
}

struct Problem {
  Problem(Shape shape, int rank, Step at)
      : tensor(shape.rows, shape.cols, rank, RandomKey(2)),
        step(at),
        values(RandomValues(shape.rows * shape.cols)),
        matrix(values),
        residual(values),
        factor(tensor.FactorElements(at)) {}

  void Encode() { tensor.Encode(step, matrix, absl::MakeSpan(factor)); }
  void Decode() {
    tensor.Decode(step, factor, sent, absl::MakeSpan(matrix), absl::MakeSpan(residual));
  }

  LowRankTensor tensor;
  Step step;
  std::vector<float> values;
  std::vector<float> matrix;
  std::vector<float> residual;
  std::vector<float> factor;
  std::vector<float> sent;
};

bool Check(benchmark::State& state, Problem* problem) {
  problem->matrix = problem->values;
  problem->Encode();
  problem->sent = problem->factor;
  problem->Decode();
  for (size_t i = 0; i < problem->values.size(); ++i) {
    const float sum = problem->matrix[i] + problem->residual[i];
    if (!(std::fabs(sum - problem->values[i]) <= 1e-5f)) {
      state.SkipWithError("result and residual do not add up to the matrix");
      return false;
    }
  }
  return true;
}

void EncodeSpeed(benchmark::State& state, Shape shape, int rank, FactorSide side) {
  Problem problem(shape, rank, Step(side == FactorSide::kLeft ? 0 : 1));
  if (!Check(state, &problem)) return;
  problem.matrix = problem.values;
  Measure(state, problem.values, &problem.residual, [&] { problem.Encode(); });
}

// The kernel behind Decode, which itself belongs to an Encode. It also copies a factor or two: see the
// loop lines for whole steps.
void DecodeSpeed(benchmark::State& state, Shape shape, int rank, FactorSide side) {
  Problem problem(shape, rank, Step(side == FactorSide::kLeft ? 0 : 1));
  if (!Check(state, &problem)) return;
  std::vector<float> copy(problem.values.size());
  Factor left(shape.rows, rank);
  Factor right(shape.cols, rank);
  Factor sent(side == FactorSide::kLeft ? shape.rows : shape.cols, rank);
  for (int k = 0; k < rank; ++k) {
    left.FillColumn(k, RandomKey(1).With(k));
    right.FillColumn(k, RandomKey(2).With(k));
    sent.FillColumn(k, RandomKey(3).With(k));
  }
  const FactorProduct result = {left.data(), left.stride(), right.data(), right.stride()};
  Measure(state, problem.values, &copy, [&] {
    if (side == FactorSide::kLeft) {
      ReplaceWithLeftProduct(result, {sent.data(), sent.stride(), right.data(), right.stride()},
                             rank, problem.matrix.data(), shape.rows, shape.cols,
                             problem.residual.data());
    } else {
      ReplaceWithRightProduct(result, {left.data(), left.stride(), sent.data(), sent.stride()},
                              rank, problem.matrix.data(), shape.rows, shape.cols,
                              problem.residual.data());
    }
  });
}

void BasisSpeed(benchmark::State& state, int64_t length, int rank) {
  Factor seed(length, rank);
  for (int k = 0; k < rank; ++k) seed.FillColumn(k, RandomKey(1).With(k));
  Factor basis = seed;
  std::vector<double> scratch(rank);
  std::vector<float> values(length * rank);
  std::vector<float> out(values.size());
  seed.CopyTo(absl::MakeSpan(values));
  Measure(state, values, &out, [&] {
    basis = seed;
    Orthonormalise(RandomKey(2), &basis, &scratch);
  });
}

// Steps (Encode and Decode) of many tensors of one shape, one after the other.
void LoopSpeed(benchmark::State& state, Shape shape, int rank, int tensors) {
  std::vector<Problem> problems;
  for (int i = 0; i < tensors; ++i) problems.emplace_back(shape, rank, Step(i % 2));
  for (Problem& problem : problems) {
    if (!Check(state, &problem)) return;
  }
  std::vector<float> values(shape.rows * shape.cols * tensors);
  std::vector<float> out(values.size());
  Measure(state, values, &out, [&] {
    for (Problem& problem : problems) {
      problem.Encode();
      problem.Decode();
    }
  });
  state.counters["us_per_tensor"] = state.counters["best_us"] / tensors;
}

void Register() {
  const auto add = [](const std::string& name, auto function, auto... args) {
    benchmark::RegisterBenchmark(name.c_str(), function, args...)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond)
        ->MinTime(0.1);
  };
  // ResNet-50's and VGG-16's small, middle and large layers.
  const Shape shapes[] = {{64, 147}, {512, 4608}, {2048, 512}, {4096, 4096}};
  for (Shape shape : shapes) {
    for (int rank : {1, 2, 4, 8, 32}) {
      const std::string what = ToString(shape) + "/rank" + std::to_string(rank);
      add("encode_left/" + what, EncodeSpeed, shape, rank, FactorSide::kLeft);
      add("encode_right/" + what, EncodeSpeed, shape, rank, FactorSide::kRight);
      add("decode_left/" + what, DecodeSpeed, shape, rank, FactorSide::kLeft);
      add("decode_right/" + what, DecodeSpeed, shape, rank, FactorSide::kRight);
    }
  }
  for (int rank : {4, 32}) add("basis/4608/rank" + std::to_string(rank), BasisSpeed, 4608, rank);
  add("loop/8x8/rank1", LoopSpeed, Shape{8, 8}, 1, 64);  // next to no work: what calls cost
  for (Shape shape : {Shape{64, 9}, {64, 64}, {64, 576}}) {
    add("loop/" + ToString(shape) + "/rank4", LoopSpeed, shape, 4, 64);
  }
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::printf("instruction set: %s\n", sluice::LowRankInstructionSet());
  sluice::Register();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
