#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

/// Bytes of an IDX file of unsigned bytes.
std::string EncodeIdx(const std::vector<int64_t>& shape, const std::vector<uint8_t>& bytes);

/// Writes `bytes` to `path`, compressed with gzip if the path ends in ".gz". Ends the process on
/// error.
void WriteTestFile(const std::string& path, const std::string& bytes);

/// A data set in Fashion-MNIST's files and shapes that a network can learn: class c is a bright
/// square at a place of its own, under noise. The same bytes for the same arguments.
/// \return `directory`, for convenience; it must exist
std::string WriteSyntheticFashionMnist(const std::string& directory, int64_t train_samples,
                                       int64_t test_samples);

}  // namespace sluice
