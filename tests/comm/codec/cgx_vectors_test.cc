// The worked examples of the CGX record (testdata/cgx_maxmin.json), key by key.

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "comm/codec/codec.h"
#include "comm/codec/record_header.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

nlohmann::json LoadVectors() {
  std::ifstream file("tests/comm/codec/testdata/cgx_maxmin.json");
  return nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
}

std::string Text(const std::vector<std::byte>& record, size_t at, size_t n) {
  return std::string(reinterpret_cast<const char*>(record.data()) + at, n);
}

TEST(CgxVectors, FormatIsTheOneImplemented) {
  EXPECT_EQ(LoadVectors().at("format"), "sluice-maxmin/1");
}

TEST(CgxVectors, RecordsAndValuesMatchBitForBit) {
  const nlohmann::json vectors = LoadVectors();
  ASSERT_GE(vectors.at("cases").size(), 7u);
  for (const nlohmann::json& example : vectors.at("cases")) {
    const nlohmann::json& source = example.contains("input") ? example : vectors;
    const auto input = source.at("input").get<std::vector<float>>();
    const CodecConfig config = {CodecKind::kMaxMin, example.at("bits").get<uint8_t>(),
                                example.at("bucket_size").get<uint32_t>(), false};
    SCOPED_TRACE(ToString(config));
    const std::vector<std::byte> record = EncodeRecord(config, input);
    ASSERT_EQ(record.size(), kRecordHeaderBytes + example.at("record_bytes").get<size_t>());

    const std::string meta = absl::HexStringToBytes(example.at("meta_hex").get<std::string>());
    const std::string payload =
        absl::HexStringToBytes(example.at("payload_hex").get<std::string>());
    EXPECT_EQ(Text(record, kRecordHeaderBytes, meta.size()), meta);
    const size_t codes = kRecordHeaderBytes + meta.size();
    EXPECT_EQ(Text(record, codes, payload.size()), payload);
    const size_t padding = record.size() - codes - payload.size();
    EXPECT_EQ(Text(record, codes + payload.size(), padding), std::string(padding, '\0'));

    const auto scales = example.at("meta").get<std::vector<std::vector<float>>>();
    ASSERT_EQ(scales.size() * 8, meta.size());
    for (size_t k = 0; k < scales.size(); ++k) {
      float unit_and_min[2];
      std::memcpy(unit_and_min, meta.data() + 8 * k, 8);
      EXPECT_EQ(unit_and_min[0], scales[k].at(0));
      EXPECT_EQ(unit_and_min[1], scales[k].at(1));
    }
    const auto levels = example.at("levels").get<std::vector<int>>();
    ASSERT_EQ(levels.size(), input.size());
    for (size_t i = 0; i < levels.size(); ++i) {
      int level = 0;
      for (int b = 0; b < config.bits; ++b) {
        const size_t bit = i * config.bits + b;
        level |= (static_cast<int>(record[codes + bit / 8]) >> (bit % 8) & 1) << b;
      }
      EXPECT_EQ(level, levels[i]) << "element " << i;
    }
    EXPECT_EQ(BitsOf(DecodeRecord(config, record, input.size())),
              BitsOf(example.at("decoded").get<std::vector<float>>()));
  }
}

}  // namespace
}  // namespace sluice
