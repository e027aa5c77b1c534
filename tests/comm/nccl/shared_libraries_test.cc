#include "comm/nccl/shared_libraries.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST(SystemLibraries, OpensWhatTheLoaderFindsAndFindsSymbols) {
  SystemLibraries libraries({}, {});
  const absl::StatusOr<void*> math = libraries.Open("libm.so.6");
  ASSERT_TRUE(math.ok()) << math.status();
  const absl::StatusOr<void*> cosine = libraries.Symbol(*math, "cos");
  ASSERT_TRUE(cosine.ok()) << cosine.status();
  EXPECT_EQ(reinterpret_cast<double (*)(double)>(*cosine)(0), 1.0);
}

TEST(SystemLibraries, NamesWhatIsMissing) {
  SystemLibraries libraries({"/no/such/folder"}, {});
  const absl::Status library = libraries.Open("libnot_here.so.1").status();
  EXPECT_EQ(library, absl::NotFoundError("libnot_here.so.1: cannot open shared object file: No "
                                         "such file or directory"));
  const absl::StatusOr<void*> math = libraries.Open("libm.so.6");
  ASSERT_TRUE(math.ok()) << math.status();
  const absl::Status symbol = libraries.Symbol(*math, "no_such_function").status();
  EXPECT_EQ(symbol.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(symbol.message()), HasSubstr("no_such_function"));
}

TEST(SystemLibraries, ADamagedFileInAGivenFolderIsTheReasonThatIsReported) {
  const std::string folder = std::getenv("TEST_TMPDIR");
  std::ofstream(folder + "/libdamaged.so.1") << "not a library";
  for (auto libraries : {SystemLibraries({folder}, {}), SystemLibraries({folder}, {"/none"})}) {
    const absl::Status status = libraries.Open("libdamaged.so.1").status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(folder + "/libdamaged.so.1"));
  }
}

TEST(SystemLibraries, ADamagedFileDoesNotHideAGoodOne) {
  const std::string folder = std::getenv("TEST_TMPDIR");
  std::ofstream(folder + "/libm.so.6") << "not a library";
  EXPECT_TRUE(SystemLibraries({folder}, {}).Open("libm.so.6").ok());
}

}  // namespace
}  // namespace sluice
