// Speed of the codecs on one core against memcpy of the same 64 MB of floats, in one run:
//
//   bazel run -c opt //tools/bench:codec_bench -- [--benchmark_filter=REGEX]
//       [--benchmark_out=FILE --benchmark_out_format=json]
//
// bytes_per_second counts the floats (64 MB per iteration), not the record, so that all lines
// compare; `of_memcpy` is the ratio to memcpy's best run. Results are checked once, outside the
// timed loops.

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "comm/codec/codec.h"
#include "comm/codec/codec_error.h"
#include "comm/reducer/float_loops.h"

namespace sluice {
namespace {

constexpr int64_t kElements = int64_t{16} << 20;
constexpr double kBytes = kElements * 4.0;

// Sums of uniform numbers: close to normal, and cheap to draw.
std::vector<float> Gradient() {
  std::vector<float> values(kElements);
  const RandomKey key(1);
  for (int64_t i = 0; i < kElements; ++i) {
    const uint64_t bits = key.Bits(i);
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += static_cast<float>(bits >> (16 * k) & 0xffff) - 32767.5f;
    values[i] = sum * 1e-7f;
  }
  return values;
}

struct Buffers {
  std::vector<float> values = Gradient();
  std::vector<float> out = std::vector<float>(kElements, 0.0f);
  std::vector<std::byte> record = std::vector<std::byte>(kBytes + 4096);
};

Buffers& SharedBuffers() {
  static Buffers* const buffers = new Buffers;
  return *buffers;
}

// Processor time of this thread: what other processes on the machine take does not count.
double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + now.tv_nsec * 1e-9;
}

// Best of many copies, timed just before each line: other load on the memory hits both alike.
double MemcpySeconds() {
  Buffers& buffers = SharedBuffers();
  double best = 1e9;
  for (int i = 0; i < 7; ++i) {
    const double start = CpuSeconds();
    std::memcpy(buffers.out.data(), buffers.values.data(), kBytes);
    benchmark::ClobberMemory();
    best = std::min(best, CpuSeconds() - start);
  }
  return best;
}

// Times `work` and reports the best run against memcpy's best.
template <class Work>
void Measure(benchmark::State& state, Work work) {
  const double copy = MemcpySeconds();
  double best = 1e9;
  for (auto _ : state) {
    const double start = CpuSeconds();
    work();
    benchmark::ClobberMemory();
    const double seconds = CpuSeconds() - start;
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes));
  state.counters["best_GB/s"] = kBytes / best * 1e-9;
  state.counters["of_memcpy"] = copy / best;
}

void Copy(benchmark::State& state) {
  Buffers& buffers = SharedBuffers();
  Measure(state, [&] { std::memcpy(buffers.out.data(), buffers.values.data(), kBytes); });
}

// What the reducer does to every gradient and to every mean.
void LookForNotFinite(benchmark::State& state) {
  Buffers& buffers = SharedBuffers();
  Measure(state, [&] { benchmark::DoNotOptimize(AllFinite(buffers.values)); });
}

absl::Span<std::byte> RecordSpan(const CodecConfig& config) {
  return absl::MakeSpan(SharedBuffers().record).first(EncodedBytes(config, kElements));
}

// Decodes the record and compares the error with what SquaredErrors predicts.
bool Check(benchmark::State& state, const CodecConfig& config) {
  Buffers& buffers = SharedBuffers();
  const absl::Status status =
      Decode(config, RecordSpan(config), DecodeMode::kAssign, absl::MakeSpan(buffers.out));
  if (!status.ok()) {
    state.SkipWithError(std::string(status.message()).c_str());
    return false;
  }
  double error = 0;
  for (int64_t i = 0; i < kElements; ++i) {
    const double difference = static_cast<double>(buffers.values[i]) - buffers.out[i];
    error += difference * difference;
  }
  const double expected = SquaredErrors({config}, buffers.values)[0];
  // Stochastic rounding has an expectation only; over 16 Mi values it is met closely.
  if (std::fabs(error - expected) > expected * (config.stochastic ? 1e-2 : 1e-5)) {
    state.SkipWithError("the decoded error is not the predicted one");
    return false;
  }
  return true;
}

void EncodeSpeed(benchmark::State& state, CodecConfig config) {
  Buffers& buffers = SharedBuffers();
  Measure(state, [&] { Encode(config, buffers.values, RandomKey(2), RecordSpan(config)); });
  Check(state, config);
}

void DecodeAddSpeed(benchmark::State& state, CodecConfig config) {
  Buffers& buffers = SharedBuffers();
  Encode(config, buffers.values, RandomKey(2), RecordSpan(config));
  if (!Check(state, config)) return;
  Measure(state, [&] {
    const absl::Status status =
        Decode(config, RecordSpan(config), DecodeMode::kAdd, absl::MakeSpan(buffers.out));
    benchmark::DoNotOptimize(status.ok());
  });
}

void ErrorSpeed(benchmark::State& state, const std::vector<CodecConfig>& configs) {
  Buffers& buffers = SharedBuffers();
  Measure(state, [&] { benchmark::DoNotOptimize(SquaredErrors(configs, buffers.values)); });
}

std::vector<CodecConfig> Widths(CodecKind kind, uint8_t min, uint8_t max) {
  std::vector<CodecConfig> configs;
  for (uint8_t bits = min; bits <= max; ++bits) configs.push_back({kind, bits, 512, false});
  return configs;
}

// Nine densities from 0.1 % to 25 %, fp16 values.
void TopKErrorSpeed(benchmark::State& state, bool exact) {
  Buffers& buffers = SharedBuffers();
  std::vector<CodecConfig> configs;
  for (uint32_t ppm = 1000; ppm < 500000; ppm *= 2) {
    configs.push_back({CodecKind::kTopK, 16, 0, false, ppm, exact});
  }
  Measure(state, [&] { benchmark::DoNotOptimize(SquaredErrors(configs, buffers.values)); });
}

template <class Add>
void RegisterTopK(const Add& add) {
  for (uint32_t density_ppm : {1000, 10000, 100000}) {
    for (uint8_t bits : {32, 16, 8}) {
      for (bool exact : {false, true}) {
        const CodecConfig config = {CodecKind::kTopK, bits, 0, false, density_ppm, exact};
        add("encode/" + ToString(config), EncodeSpeed, config);
        if (!exact) add("decode_add/" + ToString(config), DecodeAddSpeed, config);
      }
    }
  }
  add("errors_9_densities/topk", TopKErrorSpeed, false);
  add("errors_9_densities/topk_exact", TopKErrorSpeed, true);
}

void Register() {
  const auto add = [](const std::string& name, auto function, auto... args) {
    benchmark::RegisterBenchmark(name.c_str(), function, args...)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond)
        ->MinTime(0.3);
  };
  add("memcpy", Copy);
  add("all_finite", LookForNotFinite);
  std::vector<CodecConfig> configs = {
      {CodecKind::kRaw, 0, 0, false},    {CodecKind::kFp16, 0, 0, false},
      {CodecKind::kBf16, 0, 0, false},   {CodecKind::kDrop, 0, 0, false},
      {CodecKind::kSign, 1, 512, false}, {CodecKind::kTernary, 2, 512, false}};
  for (uint8_t bits = 1; bits <= 4; ++bits) {
    configs.push_back({CodecKind::kClipped, bits, 512, false});
  }
  for (uint8_t bits = 1; bits <= 8; ++bits)
    configs.push_back({CodecKind::kMaxMin, bits, 512, false});
  for (uint8_t bits : {4, 8}) configs.push_back({CodecKind::kMaxMin, bits, 512, true});
  for (uint8_t bits : {4, 8}) {
    for (bool stochastic : {false, true}) {
      configs.push_back({CodecKind::kL2Norm, bits, 512, stochastic});
    }
  }
  for (const CodecConfig& config : configs) {
    add("encode/" + ToString(config), EncodeSpeed, config);
    add("decode_add/" + ToString(config), DecodeAddSpeed, config);
  }
  RegisterTopK(add);
  add("errors_2_to_8_bits/maxmin", ErrorSpeed, Widths(CodecKind::kMaxMin, 2, 8));
  add("errors_2_to_8_bits/l2norm", ErrorSpeed, Widths(CodecKind::kL2Norm, 2, 8));
  std::vector<CodecConfig> low_bits = Widths(CodecKind::kClipped, 1, 4);
  low_bits.push_back({CodecKind::kSign, 1, 512, false});
  low_bits.push_back({CodecKind::kTernary, 2, 512, false});
  add("errors/sign_ternary_clipped1_to_4", ErrorSpeed, low_bits);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::printf("instruction set: %s; %lld floats\n", sluice::CodecInstructionSet().c_str(),
              static_cast<long long>(sluice::kElements));
  sluice::Register();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
