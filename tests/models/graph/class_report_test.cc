#include "models/graph/class_report.h"

#include <gtest/gtest.h>

#include "tests/models/graph/analysed.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

Analysed Example() {
  GraphBuilder b;
  ValueId x = b.Relu(b.Linear("fc0", b.Input({5}), 5, 8));
  x = b.Op("test::mystery", {{b.Linear("fc1", x, 8, 6)}});
  return Analyse(b.Build({b.Linear("last", x, 6, 3)}));
}

TEST(ClassTable, SaysWhatIsPrunedAndWhyTheRestIsNot) {
  const Analysed net = Example();
  EXPECT_EQ(ClassTable(net.graph, net.axes, net.classes),
            "class   units  multiple  parameters  made by <- read by, or why it is not pruned\n"
            "    0       8         1           6  fc0.weight <- fc1.weight\n"
            "    1       6         1           9  fc1.weight <- -\n"
            "      kept: test::mystery at line 3: the operator is unknown\n"
            "    2       3         1           7  last.weight <- -\n"
            "      kept: it is the network's output\n"
            "1 of 3 classes can be pruned\n"
            "not supported: test::mystery at line 3: the operator is unknown; it keeps 1 classes "
            "(1) with 54 parameters\n");
}

TEST(ClassDot, DrawsEachOperatorOnce) {
  const Analysed net = Example();
  const std::string dot = ClassDot(net.graph, net.axes, net.classes);
  EXPECT_EQ(dot.rfind("digraph network {\n", 0), 0);
  for (const char* line : {"n0 -> n1;", "n3 -> n4;", "v0 -> n0;", "n4 -> o0;",
                           "n3 [label=\"test::mystery\", fillcolor=\"red\"];",
                           "n1 [label=\"aten::relu [class 0]\", fillcolor=\"0.000 0.4 1.0\"];"}) {
    EXPECT_NE(dot.find(line), std::string::npos) << line << "\n" << dot;
  }
}

}  // namespace
}  // namespace sluice::graph
