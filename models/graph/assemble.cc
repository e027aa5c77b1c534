#include "models/graph/assemble.h"

#include <ATen/Functions.h>

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

using Tensors = std::vector<at::Tensor>;

absl::Status Invalid(absl::string_view why) { return absl::InvalidArgumentError(why); }

// Of two traces in different modes: which call of training is which of evaluation.
class Alignment {
 public:
  Alignment(const Trace& trains, const Trace& evaluates, size_t inputs)
      : trains_(trains), evaluates_(evaluates), ids_(trains.shapes.size(), -1) {
    for (size_t i = 0; i < inputs; ++i) ids_[i] = static_cast<int32_t>(i);
  }

  // By call of training: the call of evaluation; -1 = none.
  std::optional<std::vector<int32_t>> Align() {
    std::vector<int32_t> partners;
    size_t next = 0;
    for (const TracedCall& call : trains_.calls) {
      const bool same = next < evaluates_.calls.size() && Same(call, evaluates_.calls[next]);
      partners.push_back(same ? static_cast<int32_t>(next++) : -1);
    }
    if (next < evaluates_.calls.size()) return std::nullopt;
    for (size_t i = 0; i < trains_.outputs.size(); ++i) {
      if (i >= evaluates_.outputs.size() || !SameId(trains_.outputs[i], evaluates_.outputs[i])) {
        return std::nullopt;
      }
    }
    return partners;
  }

  // By id of training: the id of evaluation; -1 = none. \pre Align() gave one
  const std::vector<int32_t>& ids() const { return ids_; }

 private:
  bool SameId(int32_t train, int32_t evaluate) {
    if (train < 0 || evaluate < 0) return train == evaluate;
    if (ids_[train] >= 0) return ids_[train] == evaluate;
    const auto a = trains_.constants.find(train);
    const auto b = evaluates_.constants.find(evaluate);
    if (a == trains_.constants.end() || b == evaluates_.constants.end()) return false;
    if (a->second.dtype() != b->second.dtype() || !at::equal(a->second, b->second)) return false;
    ids_[train] = evaluate;
    return true;
  }

  bool SameArgument(const TracedCall::Argument& train, const TracedCall::Argument& evaluate) {
    using Argument = TracedCall::Argument;
    if (train.of.index() != evaluate.of.index()) return false;
    if (const auto* const id = std::get_if<int32_t>(&train.of)) {
      return SameId(*id, std::get<int32_t>(evaluate.of));
    }
    if (const auto* const list = std::get_if<Argument::Ids>(&train.of)) {
      const auto& other = std::get<Argument::Ids>(evaluate.of).ids;
      if (list->ids.size() != other.size()) return false;
      for (size_t i = 0; i < other.size(); ++i) {
        if (!SameId(list->ids[i], other[i])) return false;
      }
      return true;
    }
    if (const auto* const integers = std::get_if<Argument::Integers>(&train.of)) {
      return integers->values == std::get<Argument::Integers>(evaluate.of).values;
    }
    const auto& a = std::get<c10::IValue>(train.of);
    const auto& b = std::get<c10::IValue>(evaluate.of);
    return (a.isBool() && b.isBool()) || a == b;  // modes may differ
  }

  bool Same(const TracedCall& train, const TracedCall& evaluate) {
    if (train.kind != evaluate.kind || train.arguments.size() != evaluate.arguments.size() ||
        train.outputs.size() != evaluate.outputs.size()) {
      return false;
    }
    for (size_t i = 0; i < train.arguments.size(); ++i) {
      if (!SameArgument(train.arguments[i], evaluate.arguments[i])) return false;
    }
    for (size_t i = 0; i < train.outputs.size(); ++i) ids_[train.outputs[i]] = evaluate.outputs[i];
    return true;
  }

  const Trace& trains_;
  const Trace& evaluates_;
  std::vector<int32_t> ids_;
};

// Puts the traces together.
class Builder {
 public:
  Builder(const Source& source, const Tensors& example, const Traces& traces)
      : source_(source), traces_(traces) {
    program_.inputs = static_cast<int32_t>(example.size());
    program_.samples = example.front().size(0);
    program_.states = source.states;
    given_ = program_.inputs + static_cast<int32_t>(source.states.size());
  }

  absl::StatusOr<Imported> Build() {
    SLUICE_RETURN_IF_ERROR(CheckSameCalls());
    SLUICE_RETURN_IF_ERROR(CheckInPlaceCalls(evaluates()));
    SLUICE_RETURN_IF_ERROR(FindCounters());
    Alignment alignment(traces_.trains, evaluates(), given_);
    const auto partners = alignment.Align();
    if (!partners) {
      return Invalid(
          "forward does other things in training mode than in evaluation mode, besides batch norm, "
          "dropout and changes of buffers: such a network cannot be imported");
    }
    NumberValues(alignment);
    for (size_t i = 0; i < partners->size(); ++i) {
      const int32_t partner = (*partners)[i];
      AddStep(traces_.trains.calls[i], partner);
    }
    for (const int32_t output : evaluates().outputs) program_.outputs.push_back(ids_[output]);
    FinishGraph();
    SLUICE_RETURN_IF_ERROR(CheckChangedStates());
    return Imported{std::move(graph_), std::move(program_), std::move(notes_)};
  }

 private:
  const Trace& evaluates() const { return traces_.evaluates; }

  absl::Status DependsOnValues(size_t call) const {
    return Invalid(absl::StrCat(
        evaluates().calls[call].kind.toQualString(), " at ", PlaceOf(call),
        " differs between two batches: what forward does depends on the values of its inputs, or "
        "on the batch size in another way than by a shape. Such a network cannot be imported"));
  }

  // With another batch: the same operators, on tensors with the same ids.
  absl::Status CheckSameCalls() const {
    const Trace& other = traces_.evaluates_other;
    for (size_t i = 0; i < evaluates().calls.size(); ++i) {
      const TracedCall& call = evaluates().calls[i];
      if (i >= other.calls.size() || call.kind != other.calls[i].kind ||
          call.outputs != other.calls[i].outputs ||
          call.arguments.size() != other.calls[i].arguments.size()) {
        return DependsOnValues(i);
      }
      for (size_t a = 0; a < call.arguments.size(); ++a) {
        if (!SameButIntegers(call.arguments[a], other.calls[i].arguments[a])) {
          return DependsOnValues(i);
        }
      }
    }
    if (other.calls.size() != evaluates().calls.size() || other.outputs != evaluates().outputs) {
      return Invalid("forward does more for one batch than for another: it cannot be imported");
    }
    for (const auto& [id, tensor] : evaluates().constants) {
      const at::Tensor& same = other.constants.at(id);
      if (tensor.dtype() == same.dtype() && at::equal(tensor, same)) continue;
      return Invalid(absl::StrCat(
          "forward makes a tensor of ", absl::StrJoin(tensor.sizes(), " x "),
          " from values of its inputs without LibTorch's operators: it cannot be imported"));
    }
    return absl::OkStatus();
  }

  static bool SameButIntegers(const TracedCall::Argument& a, const TracedCall::Argument& b) {
    using Argument = TracedCall::Argument;
    if (a.of.index() != b.of.index()) return false;
    if (const auto* const id = std::get_if<int32_t>(&a.of)) return *id == std::get<int32_t>(b.of);
    if (const auto* const list = std::get_if<Argument::Ids>(&a.of)) {
      return list->ids == std::get<Argument::Ids>(b.of).ids;
    }
    if (const auto* const integers = std::get_if<Argument::Integers>(&a.of)) {
      return integers->values.size() == std::get<Argument::Integers>(b.of).values.size();
    }
    return std::get<c10::IValue>(a.of) == std::get<c10::IValue>(b.of);
  }

  bool IsState(int32_t id) const { return id >= program_.inputs && id < given_; }

  static std::vector<int32_t> Reads(const TracedCall& call) {
    std::vector<int32_t> reads;
    for (const auto& argument : call.arguments) {
      if (const auto* const id = std::get_if<int32_t>(&argument.of)) reads.push_back(*id);
      if (const auto* const list = std::get_if<TracedCall::Argument::Ids>(&argument.of)) {
        reads.insert(reads.end(), list->ids.begin(), list->ids.end());
      }
    }
    return reads;
  }

  // Calls that change state while it evaluates. A module that was traced in training mode counts its batches; nobody
  // reads the count, and it is kept for training.
  absl::Status FindCounters() {
    std::set<int32_t> counts;
    for (size_t i = 0; i < evaluates().calls.size(); ++i) {
      const TracedCall& call = evaluates().calls[i];
      const std::vector<int32_t> reads = Reads(call);
      if (IsInPlace(call) && !reads.empty() &&
          (IsState(reads.front()) || counts.count(reads.front()) > 0)) {
        counters_.insert(static_cast<int32_t>(i));
        counts.insert(reads.front());
        counts.insert(call.outputs.begin(), call.outputs.end());
      }
    }
    for (size_t i = 0; i < evaluates().calls.size(); ++i) {
      if (counters_.count(static_cast<int32_t>(i)) > 0) continue;
      for (const int32_t id : Reads(evaluates().calls[i])) {
        if (counts.count(id) == 0) continue;
        return Invalid(absl::StrCat(
            "forward changes ", IsState(id) ? source_.states[id - program_.inputs].name : "state",
            " in evaluation mode and then reads it (", evaluates().calls[i].kind.toQualString(),
            "): it cannot be imported"));
      }
    }
    return absl::OkStatus();
  }

  // Inputs, states with the constants, what evaluation makes, what only training makes.
  void NumberValues(const Alignment& alignment) {
    ids_.resize(evaluates().shapes.size(), -1);
    train_ids_.resize(traces_.trains.shapes.size(), -1);
    for (int32_t id = 0; id < given_; ++id) ids_[id] = id;
    for (const auto& [id, tensor] : evaluates().constants) ids_[id] = AddConstant(id, tensor);
    for (const auto& [id, tensor] : traces_.trains.constants) {
      if (alignment.ids()[id] < 0) train_ids_[id] = AddConstant(-1, tensor);
    }
    int32_t next = given_ + constants_;
    for (const TracedCall& call : evaluates().calls) {
      for (const int32_t output : call.outputs) ids_[output] = next++;
    }
    graph_.values.resize(next);
    for (size_t id = 0; id < train_ids_.size(); ++id) {
      const int32_t same = alignment.ids()[id];
      if (same >= 0) {
        train_ids_[id] = ids_[same];
      } else if (train_ids_[id] < 0) {
        train_ids_[id] = next++;
      }
    }
    program_.values = next;
    for (size_t id = 0; id < ids_.size(); ++id) {
      if (ids_[id] < 0) continue;
      graph_.values[ids_[id]].shape = evaluates().shapes[id];
      graph_.values[ids_[id]].other_shape = traces_.evaluates_other.shapes[id];
    }
  }

  int32_t AddConstant(int32_t id, const at::Tensor& tensor) {
    State state;
    state.name = absl::StrCat("constant", constants_);
    state.tensor = tensor;
    if (source_.constants_are_weights && id >= 0 && tensor.is_floating_point()) {
      if (const auto name = WeightName(id)) {
        state.name = *name;
        state.tensor = tensor.detach().clone();
        state.trainable = state.parameter = true;
      }
    }
    program_.states.push_back(std::move(state));
    return given_ + constants_++;
  }

  // Of a constant that an operator takes as its weight or bias: "linear2.weight" of the third linear layer.
  std::optional<std::string> WeightName(int32_t id) const {
    std::map<std::string, int> numbers;
    for (const TracedCall& call : evaluates().calls) {
      const std::string op(absl::StripPrefix(call.kind.toUnqualString(), "_"));
      const int number = numbers[op]++;
      for (const auto& argument : call.arguments) {
        const auto* const read = std::get_if<int32_t>(&argument.of);
        if (read == nullptr || *read != id) continue;
        if (argument.name != "weight" && argument.name != "bias") return std::nullopt;
        return absl::StrCat(op, number, ".", argument.name);
      }
    }
    return std::nullopt;
  }

  // \param partner  the same call of evaluation; -1 = runs in training mode alone
  void AddStep(const TracedCall& trains, int32_t partner) {
    const TracedCall& call = partner >= 0 ? evaluates().calls[partner] : trains;
    const TracedCall& other = partner >= 0 ? traces_.evaluates_other.calls[partner] : trains;
    const std::vector<int32_t>& ids = partner >= 0 ? ids_ : train_ids_;
    Step step;
    Node node;
    step.kind = call.kind;
    step.returns_list = call.returns_list;
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      step.arguments.push_back(
          ArgumentOf(call.arguments[i], trains.arguments[i], other.arguments[i], ids));
      node.operands.push_back(OperandOf(step.arguments.back()));
    }
    for (const int32_t id : call.outputs) step.outputs.push_back(ids[id]);
    NoteMode(step);
    if (partner >= 0 && counters_.count(partner) == 0) {
      step.node = static_cast<int32_t>(graph_.nodes.size());
      node.op = step.kind.toQualString();
      if (IsInPlace(call)) node.op.pop_back();
      node.outputs = step.outputs;
      node.place = PlaceOf(static_cast<size_t>(partner));
      for (const ValueId id : step.outputs) graph_.values[id].producer = step.node;
      graph_.nodes.push_back(std::move(node));
    }
    program_.steps.push_back(std::move(step));
  }

  Argument ArgumentOf(const TracedCall::Argument& argument, const TracedCall::Argument& trains,
                      const TracedCall::Argument& other, const std::vector<int32_t>& ids) const {
    using Traced = TracedCall::Argument;
    if (const auto* const id = std::get_if<int32_t>(&argument.of)) return {ids[*id]};
    if (const auto* const list = std::get_if<Traced::Ids>(&argument.of)) {
      Argument::Tensors tensors;
      tensors.optional = list->optional;
      for (const int32_t id : list->ids) tensors.ids.push_back(id >= 0 ? ids[id] : -1);
      return {std::move(tensors)};
    }
    if (const auto* const integers = std::get_if<Traced::Integers>(&argument.of)) {
      Argument::Numbers numbers;
      numbers.list = integers->list;
      for (size_t i = 0; i < integers->values.size(); ++i) {
        const int64_t value = integers->values[i];
        const int64_t factor = std::get<Traced::Integers>(other.of).values[i] - value;
        numbers.extents.push_back({factor, value - factor * program_.samples});
      }
      return {std::move(numbers)};
    }
    const auto& constant = std::get<c10::IValue>(argument.of);
    const auto& in_training = std::get<c10::IValue>(trains.of);
    if (constant.isBool() && constant.toBool() != in_training.toBool()) {
      return {Argument::Mode{in_training.toBool(), constant.toBool()}};
    }
    return {constant};
  }

  Operand OperandOf(const Argument& argument) const {
    if (const auto* const id = std::get_if<ValueId>(&argument.of)) return {*id};
    if (const auto* const tensors = std::get_if<Argument::Tensors>(&argument.of)) {
      std::vector<ValueId> ids;
      for (const ValueId id : tensors->ids) {
        if (id >= 0) ids.push_back(id);
      }
      return {std::move(ids)};
    }
    if (const auto* const numbers = std::get_if<Argument::Numbers>(&argument.of)) {
      std::vector<int64_t> values;
      for (const Extent& extent : numbers->extents) values.push_back(extent.At(program_.samples));
      if (!numbers->list) return {values.front()};
      return {std::move(values)};
    }
    if (const auto* const mode = std::get_if<Argument::Mode>(&argument.of)) return {mode->evaluate};
    const auto& constant = std::get<c10::IValue>(argument.of);
    if (constant.isNone()) return {};
    if (constant.isBool()) return {constant.toBool()};
    if (constant.isDouble()) return {constant.toDouble()};
    if (constant.isString()) return {constant.toStringRef()};
    return {c10::str(constant)};
  }

  void NoteMode(const Step& step) {
    const absl::string_view kind = step.kind.toQualString();
    const size_t flag = kind == "aten::batch_norm" ? 5 : 2;
    if (kind != "aten::batch_norm" && kind != "aten::dropout") return;
    const auto* const fixed = std::get_if<c10::IValue>(&step.arguments[flag].of);
    if (fixed == nullptr || !fixed->isBool()) return;
    const std::string note =
        absl::StrCat(kind,
                     fixed->toBool() ? " always trains, in evaluation mode too"
                                     : " always evaluates, in training mode too",
                     ": the module was traced in that mode");
    for (const std::string& known : notes_) {
      if (known == note) return;
    }
    notes_.push_back(note);
  }

  // The module whose parameters a call of evaluation reads; else the last one before it.
  std::string PlaceOf(size_t call) const {
    for (size_t i = call + 1; i-- > 0;) {
      for (const int32_t id : Reads(evaluates().calls[i])) {
        if (!IsState(id)) continue;
        const std::string& name = source_.states[id - program_.inputs].name;
        const size_t dot = name.rfind('.');
        return absl::StrCat(i < call ? "after " : "",
                            dot == std::string::npos ? name : name.substr(0, dot));
      }
    }
    return "the beginning";
  }

  void FinishGraph() {
    for (int32_t i = 0; i < program_.inputs; ++i) graph_.inputs.push_back(i);
    for (size_t i = 0; i < program_.states.size(); ++i) {
      Value& value = graph_.values[program_.IdOfState(i)];
      const State& state = program_.states[i];
      value.state = state.name;
      value.trainable = state.trainable;
      value.shape = value.other_shape = state.tensor.sizes().vec();
    }
    graph_.outputs = program_.outputs;
  }

  // What training changed must be changed by a step, else a rebuilt network would not do it.
  absl::Status CheckChangedStates() const {
    std::set<int32_t> explained;
    for (const TracedCall& call : traces_.trains.calls) {
      const std::vector<int32_t> reads = Reads(call);
      if (IsInPlace(call) && !reads.empty()) explained.insert(reads.front());
      const absl::string_view kind = call.kind.toQualString();
      if (kind != "aten::batch_norm" && kind != "aten::instance_norm") continue;
      for (const size_t statistic : {3, 4}) {
        const auto* const id = std::get_if<int32_t>(&call.arguments[statistic].of);
        if (id != nullptr) explained.insert(*id);
      }
    }
    for (const size_t state : traces_.changed) {
      if (explained.count(program_.IdOfState(state)) > 0) continue;
      return Invalid(absl::StrCat("forward changes \"", source_.states[state].name,
                                  "\" by no operator that is known to: it cannot be imported"));
    }
    return absl::OkStatus();
  }

  const Source& source_;
  const Traces& traces_;
  Graph graph_;
  Program program_;
  std::vector<std::string> notes_;
  std::set<int32_t> counters_;  // calls of evaluation
  int32_t given_ = 0;           // inputs and states of the source
  int32_t constants_ = 0;
  std::vector<int32_t> ids_;        // by id of evaluation
  std::vector<int32_t> train_ids_;  // by id of training
};

}  // namespace

absl::StatusOr<Imported> Assemble(const Source& source, const Tensors& example,
                                  const Traces& traces) {
  return Builder(source, example, traces).Build();
}

}  // namespace sluice::graph
