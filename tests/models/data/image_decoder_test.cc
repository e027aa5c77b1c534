#include "models/data/image_decoder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_images.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// Smooth, so that JPEG keeps it.
RgbImage Slope(int64_t height, int64_t width) {
  RgbImage image{height, width, {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      image.pixels.push_back(static_cast<uint8_t>(y * 255 / height));
      image.pixels.push_back(static_cast<uint8_t>(x * 255 / width));
      image.pixels.push_back(static_cast<uint8_t>(128));
    }
  }
  return image;
}

void ExpectDataLoss(const std::string& bytes) {
  const auto image = DecodeImage(bytes, 1);
  EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss) << bytes.size() << " bytes";
}

TEST(DecodeImage, APngIsDecodedExactly) {
  const RgbImage image = Slope(13, 29);
  const auto decoded = DecodeImage(EncodePng(image), 1);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->height, 13);
  EXPECT_EQ(decoded->width, 29);
  EXPECT_EQ(decoded->pixels, image.pixels);
}

TEST(DecodeImage, AJpegIsDecodedClosely) {
  const RgbImage image = Slope(40, 64);
  const auto decoded = DecodeImage(EncodeJpeg(image), 40);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->height, 40);
  ASSERT_EQ(decoded->width, 64);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    ASSERT_NEAR(decoded->pixels[i], image.pixels[i], 4) << i;
  }
}

TEST(DecodeImage, ALargeJpegComesOutSmallerButNotTooSmall) {
  const auto decoded = DecodeImage(EncodeJpeg(PlainImage(400, 800, 200, 100, 50)), 90);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->height, 100);  // an eighth would be 50, two eighths are 100
  EXPECT_EQ(decoded->width, 200);
  EXPECT_NEAR(decoded->pixels[0], 200, 3);
  EXPECT_NEAR(decoded->pixels[1], 100, 3);
  EXPECT_NEAR(decoded->pixels[2], 50, 3);
}

TEST(DecodeImage, EveryTruncationIsDataLoss) {
  for (const std::string& file : {EncodePng(Slope(20, 20)), EncodeJpeg(Slope(20, 20))}) {
    // The very end of a PNG is a mark without content that libpng does not wait for.
    for (size_t n = 0; n + 20 < file.size(); ++n) ExpectDataLoss(file.substr(0, n));
  }
}

TEST(DecodeImage, AnotherFormatIsDataLoss) {
  std::string file = EncodePng(Slope(4, 4));
  file[1] = 'Q';
  ExpectDataLoss(file);
  EXPECT_THAT(std::string(DecodeImage("GIF89a", 1).status().message()),
              HasSubstr("neither JPEG nor PNG"));
}

TEST(DecodeImage, ADamagedChecksumIsDataLoss) {
  std::string file = EncodePng(Slope(20, 20));
  file[file.size() / 2] ^= 1;
  ExpectDataLoss(file);
}

TEST(DecodeImage, AHugeSizeIsDataLossWithoutAHugeAllocation) {
  std::string file = EncodeJpeg(Slope(16, 16));
  // In the frame header, after its length and precision: height and width.
  const size_t frame = file.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  for (size_t i = 5; i < 9; ++i) file[frame + i] = i % 2 == 1 ? '\xff' : '\xdc';
  const auto image = DecodeImage(file, 1);
  EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(image.status().message()), HasSubstr("65500 x 65500 pixels"));
}

}  // namespace
}  // namespace sluice
