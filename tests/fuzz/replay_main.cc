// Runs a fuzz target without a fuzzer: every seed file, then deterministic mutations of the seeds
// and random bytes. Usage: TARGET [--runs=N] [--seed=S] [FILE]...
//
// When the target crashes, the input is left in $TEST_UNDECLARED_OUTPUTS_DIR (or the working
// folder) as crash-input; give that file to the same program to see the crash again.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kMaxRandomBytes = 4096;

// What the crash handler needs; it may only read plain memory.
const uint8_t* current_data = nullptr;
size_t current_size = 0;
char crash_path[4096];

void SaveInput(int signal_number) {
  const int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0) {
    const ssize_t written = write(file, current_data, current_size);
    static const char kText[] = "\nfuzz target crashed; its input is in ";
    if (written == static_cast<ssize_t>(current_size) &&
        write(STDERR_FILENO, kText, sizeof(kText) - 1) > 0 &&
        write(STDERR_FILENO, crash_path, std::strlen(crash_path)) > 0) {
      (void)!write(STDERR_FILENO, "\n", 1);
    }
    close(file);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void Run(const Bytes& input) {
  // An exact heap copy, so that the address sanitizer sees the first byte read past the end.
  std::vector<uint8_t> exact(input.begin(), input.end());
  exact.shrink_to_fit();
  current_data = exact.data();
  current_size = exact.size();
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// Numbers in order from one stream.
class Dice {
 public:
  explicit Dice(sluice::RandomKey key) : key_(key) {}
  uint64_t Below(uint64_t bound) { return key_.Below(next_++, bound); }

 private:
  sluice::RandomKey key_;
  uint64_t next_ = 0;
};

Bytes RandomBytes(Dice& dice) {
  Bytes bytes(dice.Below(dice.Below(4) == 0 ? kMaxRandomBytes : 64));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(dice.Below(256));
  return bytes;
}

void MutateOnce(Bytes& bytes, const std::vector<Bytes>& seeds, Dice& dice) {
  static constexpr uint8_t kEdges[] = {0, 1, 0x7f, 0x80, 0xff};
  const uint64_t kind = dice.Below(7);
  if (bytes.empty() || kind == 0) {  // insert
    const size_t at = dice.Below(bytes.size() + 1);
    const Bytes more = RandomBytes(dice);
    bytes.insert(bytes.begin() + at, more.begin(),
                 more.begin() + std::min<size_t>(more.size(), 16));
    return;
  }
  const size_t at = dice.Below(bytes.size());
  switch (kind) {
    case 1:
      bytes[at] ^= static_cast<uint8_t>(1u << dice.Below(8));
      break;
    case 2:
      bytes[at] = kEdges[dice.Below(sizeof(kEdges))];
      break;
    case 3:
      bytes[at] = static_cast<uint8_t>(dice.Below(256));
      break;
    case 4:
      bytes.resize(at);
      break;
    case 5: {  // drop a range
      const size_t n = 1 + dice.Below(std::min<size_t>(bytes.size() - at, 16));
      bytes.erase(bytes.begin() + at, bytes.begin() + at + n);
      break;
    }
    default: {  // the tail of another seed
      const Bytes& other = seeds[dice.Below(seeds.size())];
      const size_t from = dice.Below(other.size() + 1);
      bytes.resize(at);
      bytes.insert(bytes.end(), other.begin() + from, other.end());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  uint64_t runs = 20000;
  uint64_t seed = 1;
  std::vector<Bytes> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.rfind("--runs=", 0) == 0) {
      runs = std::strtoull(arg.c_str() + 7, nullptr, 10);
    } else if (arg.rfind("--seed=", 0) == 0) {
      seed = std::strtoull(arg.c_str() + 7, nullptr, 10);
    } else {
      std::ifstream file(arg, std::ios::binary);
      if (!file) {
        std::fprintf(stderr, "cannot read seed file %s\n", arg.c_str());
        return 1;
      }
      seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }

  const char* folder = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  std::snprintf(crash_path, sizeof(crash_path), "%s/crash-input", folder != nullptr ? folder : ".");
  for (int fatal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(fatal, SaveInput);

  for (const Bytes& input : seeds) Run(input);
  seeds.emplace_back();  // the empty input is always a seed
  Run(seeds.back());
  const sluice::RandomKey key(seed);
  for (uint64_t run = 0; run < runs; ++run) {
    Dice dice(key.With(run));
    Bytes input;
    if (dice.Below(4) == 0) {
      input = RandomBytes(dice);
    } else {
      input = seeds[dice.Below(seeds.size())];
      for (uint64_t n = 1 + dice.Below(5); n > 0; --n) MutateOnce(input, seeds, dice);
    }
    Run(input);
  }
  std::printf("%zu seeds and %llu generated inputs (seed %llu) passed\n", seeds.size(),
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(seed));
  return 0;
}
