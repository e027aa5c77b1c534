#include "tests/models/graph/nets.h"

#include <limits>

#include "base/random.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

using Ints = std::vector<int64_t>;

Graph Mlp() {
  GraphBuilder b;
  ValueId x = b.Relu(b.Linear("fc1", b.Input({5}), 5, 8));
  x = b.Op("aten::tanh", {{b.Linear("fc2", x, 8, 6)}});
  return b.Build({b.Linear("fc3", x, 6, 3)});
}

/// As traced: transposed weights.
Graph Traced() {
  GraphBuilder b;
  const ValueId x = b.Input({5});
  const ValueId w1 = b.Parameter("fc1.weight", {8, 5}), b1 = b.Parameter("fc1.bias", {8});
  const ValueId h = b.Relu(
      b.Op("aten::addmm", {{b1}, {x}, {b.Op("aten::t", {{w1}})}, {int64_t{1}}, {int64_t{1}}}));
  const ValueId w2 = b.Parameter("fc2.weight", {3, 8});
  return b.Build({b.Matmul(h, b.Op("aten::t", {{w2}}))});
}

Graph ConvFlatten() {
  GraphBuilder b;
  ValueId x = b.Relu(b.BatchNorm("bn", b.Conv("conv", b.Input({2, 4, 4}), 2, 6, 3), 6));
  x = b.Op("aten::max_pool2d",
           {{x}, {Ints{2, 2}}, {Ints{2, 2}}, {Ints{0, 0}}, {Ints{1, 1}}, {false}});
  x = b.Op("aten::flatten", {{x}, {int64_t{1}}, {int64_t{-1}}});
  return b.Build({b.Linear("fc", x, 24, 3)});
}

Graph Residual() {
  GraphBuilder b;
  ValueId x = b.Relu(b.Conv("stem", b.Input({2, 3, 3}), 2, 6, 3));
  const ValueId inner = b.Relu(b.BatchNorm("bn1", b.Conv("conv1", x, 6, 5, 3), 5));
  x = b.Relu(b.Add(x, b.BatchNorm("bn2", b.Conv("conv2", inner, 5, 6, 3), 6)));
  x = b.Add(x, b.Conv("conv3", x, 6, 6, 1));
  return b.Build({b.Linear("fc", b.Op("aten::mean", {{x}, {Ints{2, 3}}, {false}}), 6, 3)});
}

Graph Dense() {
  GraphBuilder b;
  const ValueId input = b.Input({2, 3, 3});
  ValueId x = b.Conv("stem", input, 2, 4, 3);
  for (int layer = 0; layer < 3; ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    const int64_t in = 4 + 3 * layer;
    const ValueId more = b.Conv(name, b.Relu(b.BatchNorm(name + ".bn", x, in)), in, 3, 3);
    x = b.Cat({x, more}, 1);
  }
  x = b.Relu(b.BatchNorm("bn", b.Cat({x, input, x}, 1), 28));
  return b.Build({b.Linear("fc", b.Op("aten::mean", {{x}, {Ints{2, 3}}, {false}}), 28, 3)});
}

Graph Depthwise() {
  GraphBuilder b;
  ValueId x = b.Conv("expand", b.Input({2, 3, 3}), 2, 6, 1);
  x = b.Op("aten::hardtanh", {{x}, {0.0}, {6.0}});
  x = b.Op("aten::hardtanh",
           {{b.BatchNorm("bn", b.Conv("depthwise", x, 6, 6, 3, 6), 6)}, {0.0}, {6.0}});
  x = b.Conv("multiplied", x, 6, 12, 3, 6);
  x = b.Conv("project", x, 12, 4, 1);
  return b.Build({b.Linear("fc", b.Op("aten::mean", {{x}, {Ints{2, 3}}, {false}}), 4, 3)});
}

/// Whole groups of convolutions, behind a concatenation.
Graph Grouped() {
  GraphBuilder b;
  const ValueId x = b.Input({2, 3, 3});
  ValueId y = b.Cat({b.Conv("left", x, 2, 4, 1), b.Conv("right", x, 2, 8, 1)}, 1);
  y = b.Relu(b.Conv("grouped", y, 12, 9, 3, 3));
  return b.Build({b.Conv("last", y, 9, 2, 1)});
}

Graph Upscaled() {
  GraphBuilder b;
  const ValueId x = b.Conv("conv", b.Input({2, 3, 3}), 2, 6, 1);
  const ValueId weight = b.Parameter("up.weight", {6, 8, 1, 1});
  const Ints ones = {1, 1}, zeros = {0, 0};
  ValueId y = b.Op("aten::conv_transpose2d", {{x},
                                              {weight},
                                              {b.Parameter("up.bias", {8})},
                                              {ones},
                                              {zeros},
                                              {zeros},
                                              {int64_t{1}},
                                              {ones}});
  const ValueId grouped = b.Parameter("grouped.weight", {8, 6, 1, 1});
  y = b.Op("aten::conv_transpose2d", {{b.Relu(y)},
                                      {grouped},
                                      {b.Parameter("grouped.bias", {12})},
                                      {ones},
                                      {zeros},
                                      {zeros},
                                      {int64_t{2}},
                                      {ones}});
  y = b.Op("aten::pixel_shuffle", {{y}, {int64_t{2}}});
  return b.Build({b.Conv("last", y, 3, 2, 1)});
}

Graph GroupNormed() {
  GraphBuilder b;
  ValueId x = b.Conv("conv", b.Input({2, 3, 3}), 2, 8, 1);
  const ValueId scale = b.Parameter("gn.weight", {8}), shift = b.Parameter("gn.bias", {8});
  x = b.Relu(b.Op("aten::group_norm", {{x}, {int64_t{4}}, {scale}, {shift}, {1e-5}, {false}}));
  x = b.Op("aten::prelu", {{b.Conv("conv2", x, 8, 4, 1)}, {b.Parameter("prelu.weight", {4})}});
  return b.Build({b.Conv("last", x, 4, 2, 1)});
}

/// A sigmoid gate per channel.
Graph SqueezeExcite() {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Conv("conv", b.Input({2, 3, 3}), 2, 6, 3));
  ValueId gate = b.Op("aten::mean", {{x}, {Ints{2, 3}}, {true}});
  gate = b.Relu(b.Conv("down", gate, 6, 4, 1));
  gate = b.Op("aten::sigmoid", {{b.Conv("up", gate, 4, 6, 1)}});
  const ValueId y = b.Op("aten::sum", {{b.Mul(x, gate)}, {Ints{2, 3}}, {false}});
  return b.Build({b.Linear("fc", y, 6, 3)});
}

/// A zoo layer: q, k and v in one, by view, permute and select.
Graph FusedAttention() {
  GraphBuilder b;
  const ValueId x = b.Input({3, 8});
  const ValueId token = b.Parameter("class_token", {1, 1, 8});
  ValueId y = b.Cat(
      {b.Op("aten::expand", {{token}, {Ints{2, -1, -1}}, {false}}), b.Linear("embed", x, 8, 8)}, 1);
  y = b.Add(y, b.Parameter("positions", {1, 4, 8}));
  ValueId qkv = b.Linear("qkv", b.LayerNorm("ln", y, 8), 8, 24);
  qkv = b.Permute(b.View(qkv, {2, 4, 3, 4, 2}), {2, 0, 3, 1, 4});
  const auto part = [&](int64_t i) { return b.Op("aten::select", {{qkv}, {int64_t{0}}, {i}}); };
  const ValueId q = b.Op("aten::mul", {{part(0)}, {0.7}});
  const ValueId scores = b.Softmax(b.Matmul(q, b.Transpose(part(1), -2, -1)));
  ValueId mixed = b.Transpose(b.Matmul(scores, part(2)), 1, 2);
  mixed = b.Op("aten::reshape", {{mixed}, {Ints{2, 4, 8}}});
  y = b.Add(y, b.Linear("out", mixed, 8, 8));
  y = b.Linear("fc2", b.Op("aten::tanh", {{b.Linear("fc1", y, 8, 10)}}), 10, 8);
  return b.Build({b.Linear("head", b.Op("aten::select", {{y}, {int64_t{1}}, {int64_t{0}}}), 8, 3)});
}

/// The same by chunk, with a causal mask.
Graph ChunkedAttention() {
  GraphBuilder b;
  const ValueId x = b.Input({3, 8});
  const std::vector<ValueId> parts =
      b.Ops("aten::chunk", {{b.Linear("qkv", x, 8, 24)}, {int64_t{3}}, {int64_t{-1}}}, 3);
  std::vector<ValueId> heads;
  for (ValueId part : parts) heads.push_back(b.Transpose(b.View(part, {2, 3, 4, 2}), 1, 2));
  ValueId scores = b.Matmul(heads[0], b.Transpose(heads[1], -2, -1));
  scores = b.Softmax(b.Add(scores, b.Buffer("mask", {3, 3})));
  const ValueId mixed = b.Transpose(b.Matmul(scores, heads[2]), 1, 2);
  const ValueId flat = b.View(b.Op("aten::contiguous", {{mixed}, {int64_t{0}}}), {2, 3, 8});
  return b.Build({b.Linear("out", flat, 8, 5)});
}

/// Gated units, parts by sizes and by slices, of one layer.
Graph Parted() {
  GraphBuilder b;
  const ValueId x = b.Linear("wide", b.Input({5}), 5, 20);
  const auto parts = b.Ops("aten::split_with_sizes", {{x}, {Ints{4, 10, 6}}, {int64_t{1}}}, 3);
  const ValueId gated = b.Op("aten::glu", {{parts[1]}, {int64_t{1}}});
  const auto slice = [&](ValueId of, Operand start, Operand end) {
    return b.Op("aten::slice", {{of}, {int64_t{1}}, start, end, {int64_t{1}}});
  };
  const ValueId head = slice(parts[2], {}, {int64_t{2}});
  const ValueId tail = slice(parts[2], {int64_t{-4}}, {});
  const ValueId most = b.Relu(slice(parts[0], {int64_t{0}}, {int64_t{-1}}));
  const ValueId rest = slice(parts[0], {int64_t{3}}, {std::numeric_limits<int64_t>::max()});
  const ValueId all = b.Cat({tail, b.Mul(gated, b.Linear("more", x, 20, 5)), rest, head, most}, 1);
  return b.Build({b.Linear("last", all, 15, 3)});
}

/// One layer called on two inputs, and one weight used in both directions.
Graph Shared() {
  GraphBuilder b;
  const ValueId weight = b.Parameter("shared.weight", {6, 5});
  const auto call = [&](ValueId x) { return b.Op("aten::linear", {{x}, {weight}, {}}); };
  const ValueId x = b.Cat({b.Relu(call(b.Input({5}))), b.Relu(call(b.Input({5})))}, 1);
  const ValueId code = b.Relu(b.Linear("code", x, 12, 7));
  const ValueId tied = b.Parameter("tied.weight", {4, 7});
  const ValueId h = b.Relu(b.Op("aten::linear", {{code}, {tied}, {}}));
  return b.Build(
      {b.Linear("last", b.Op("aten::linear", {{h}, {b.Op("aten::t", {{tied}})}, {}}), 7, 2)});
}

}  // namespace

std::vector<Net> Nets() {
  return {{"Mlp", Mlp, 2},
          {"Traced", Traced, 1},
          {"ConvFlatten", ConvFlatten, 1},
          {"Residual", Residual, 2},
          {"Dense", Dense, 4},
          {"Depthwise", Depthwise, 2},
          {"Grouped", Grouped, 1},
          {"Upscaled", Upscaled, 2},
          {"GroupNormed", GroupNormed, 2},
          {"SqueezeExcite", SqueezeExcite, 2},
          {"FusedAttention", FusedAttention, 3},
          {"ChunkedAttention", ChunkedAttention, 1},
          {"Parted", Parted, 4},
          {"Shared", Shared, 3}};
}

Graph RandomNet(uint64_t seed) {
  GraphBuilder b;
  const RandomKey key = RandomKey(seed).With("net");
  uint64_t drawn = 0;
  const auto draw = [&](uint64_t below) { return static_cast<int64_t>(key.Bits(drawn++) % below); };
  int64_t channels = 2;
  ValueId x = b.Input({channels, 2, 2});
  const int64_t layers = 3 + draw(5);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    const int64_t out = 2 + draw(5);
    switch (draw(6)) {
      case 0:
        x = b.Relu(b.Conv(name, x, channels, out, 3));
        channels = out;
        break;
      case 1:
        x = b.Relu(
            b.Add(x, b.BatchNorm(name + ".bn", b.Conv(name, x, channels, channels, 1), channels)));
        break;
      case 2:
        x = b.Cat({b.Conv(name, x, channels, out, 1), x}, 1);
        channels += out;
        break;
      case 3:
        x = b.BatchNorm(name + ".bn", b.Conv(name, x, channels, channels, 3, channels), channels);
        break;
      case 4:
        x = b.Mul(b.Conv(name, x, channels, out, 1),
                  b.Op("aten::sigmoid", {{b.Conv(name + ".gate", x, channels, out, 1)}}));
        channels = out;
        break;
      default: {
        const ValueId y = b.Conv(name, x, channels, 2 * out, 1);
        const auto halves = b.Ops("aten::chunk", {{y}, {int64_t{2}}, {int64_t{1}}}, 2);
        x = b.Cat({halves[1], b.Relu(x), halves[0]}, 1);
        channels += 2 * out;
      }
    }
  }
  x = b.Op("aten::flatten", {{x}, {int64_t{1}}, {int64_t{-1}}});
  return b.Build({b.Linear("last", x, 4 * channels, 3)});
}

}  // namespace sluice::graph
