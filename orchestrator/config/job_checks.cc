#include "orchestrator/config/job_checks.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "orchestrator/config/nearest_word.h"
#include "orchestrator/config/otov3_checks.h"
#include "orchestrator/config/tscnc_checks.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/schedule/phase_schedule.h"

namespace sluice {
namespace {

constexpr char kQuantizer[] = "compression.quantizer";
constexpr char kUniformCodec[] = "compression.uniform_codec";
constexpr char kValueBits[] = "compression.value_bits";

using Origins = std::map<std::string, std::string>;

std::string OriginOf(const Origins& origins, const std::string& path) {
  const auto at = origins.find(path);
  return at == origins.end() ? "default" : at->second;
}

// "path", with where it was set when that is known.
std::string Named(const Origins& origins, const std::string& path, const std::string& value) {
  const auto at = origins.find(path);
  return absl::StrCat(path, " ", value,
                      at == origins.end() ? "" : absl::StrCat(" (set at ", at->second, ")"));
}

// QSGD's levels of a norm need a bit for the sign and one for the level at the least.
void CheckNormBits(int bits, const std::string& path, const Origins& origins, ErrorList& errors) {
  if (bits >= 2) return;
  errors.Add(OriginOf(origins, path), absl::StrCat(path, ": ", Named(origins, kQuantizer, "l2norm"),
                                                   " needs 2 bits or more, got ", bits,
                                                   ": raise it, or use quantizer maxmin"));
}

// What is dropped must come back.
void CheckDrop(const proto::Compression& compression, const Origins& origins, ErrorList& errors) {
  constexpr char kFamilies[] = "compression.candidate_families";
  const auto& families = compression.candidate_families();
  if (compression.error_feedback() == "on" ||
      std::find(families.begin(), families.end(), "drop") == families.end()) {
    return;
  }
  errors.Add(OriginOf(origins, kFamilies),
             absl::StrCat(kFamilies, ": ", Named(origins, "compression.error_feedback", "off"),
                          " would lose what drop leaves out: turn it on, or leave drop out"));
}

// What a step lost is known from residuals.
void CheckErrorCorrection(const proto::Compression& compression, const Origins& origins,
                          ErrorList& errors) {
  constexpr char kCorrection[] = "compression.error_correction";
  if (compression.error_correction() != "on" || compression.error_feedback() == "on") return;
  errors.Add(OriginOf(origins, kCorrection),
             absl::StrCat(kCorrection, ": ", Named(origins, "compression.error_feedback", "off"),
                          " keeps nothing of what was lost: turn it on, or this off"));
}

void CheckAlphaSchedule(const proto::Compression& compression, const Origins& origins,
                        ErrorList& errors) {
  constexpr char kSchedule[] = "compression.alpha_schedule";
  if (compression.alpha_schedule().empty()) return;
  const absl::Status status = AlphaSchedule::Parse(compression.alpha_schedule()).status();
  if (!status.ok()) {
    errors.Add(OriginOf(origins, kSchedule), absl::StrCat(kSchedule, ": ", status.message()));
  }
}

// The parameters of the uniform codec, and what the policy can do with it.
void CheckUniformCodec(const proto::Compression& compression, const Origins& origins,
                       ErrorList& errors) {
  const std::string& codec = compression.uniform_codec();
  const auto refuse = [&](const std::string& path, absl::string_view why) {
    errors.Add(OriginOf(origins, path), absl::StrCat(path, ": ", why));
  };
  const int value_bits = compression.value_bits();
  if (value_bits != 32 && value_bits != 16 && value_bits != 8 && value_bits != 4) {
    refuse(kValueBits, absl::StrCat("expected 32, 16, 8 or 4, got ", value_bits));
  } else if (codec == "lowrank" && value_bits == 4) {
    refuse(kValueBits, absl::StrCat(Named(origins, kUniformCodec, codec),
                                    " sends factors with 32, 16 or 8 bits, got 4: raise it"));
  }
  if (codec == "clipped" && compression.uniform_bits() > 4) {
    refuse("compression.uniform_bits",
           absl::StrCat(Named(origins, kUniformCodec, codec), " has 1 to 4 bits, got ",
                        compression.uniform_bits(), ": lower it, or use uniform_codec quantizer"));
  }
  if (codec == "quantizer") return;
  if (compression.policy() == "uniform" && compression.rounding() == "stochastic") {
    refuse("compression.rounding",
           absl::StrCat(Named(origins, kUniformCodec, codec),
                        " rounds to nearest, got stochastic: only quantizer has it"));
  }
}

// Which of data's keys its data set needs, and which changes its samples can have.
void CheckData(const proto::Data& data, const Origins& origins, ErrorList& errors) {
  const auto refuse = [&](const std::string& path, absl::string_view why) {
    errors.Add(OriginOf(origins, path), absl::StrCat(path, ": ", why));
  };
  const std::string set = Named(origins, "data.dataset", data.dataset());
  if (data.path().empty() && data.dataset() != "fashion_mnist" && data.dataset() != "synthetic") {
    refuse("data.path", absl::StrCat(set, " has no usual place: set it"));
  }
  if (data.dataset() == "tokens" && data.vocabulary() == 0) {
    refuse("data.vocabulary", absl::StrCat(set, " does not know it: set it"));
  }
  if (data.augment().empty()) return;
  const bool is_text = data.dataset() == "bytes" || data.dataset() == "tokens";
  if (is_text) refuse("data.augment", absl::StrCat(set, " is text, these are for images"));
  const auto& augment = data.augment();
  if (data.dataset() == "synthetic" && data.inputs() == 2 &&
      std::find(augment.begin(), augment.end(), "mixup") != augment.end()) {
    refuse("data.augment", absl::StrCat("mixup blends one input, ",
                                        Named(origins, "data.inputs", "2"), " has two"));
  }
}

void CheckWorld(const proto::World& world, const Origins& origins, ErrorList& errors) {
  const auto refuse = [&](const std::string& path, const std::string& why) {
    errors.Add(OriginOf(origins, path), absl::StrCat(path, ": ", why));
  };
  if (world.min_size() == 0) {
    if (world.max_size() > 0) {
      refuse("world.max_size", "only elastic jobs have one: set world.min_size too");
    }
    return;
  }
  if (world.cooldown_max_seconds() < world.cooldown_min_seconds()) {
    refuse("world.cooldown_max_seconds",
           absl::StrCat("expected at least world.cooldown_min_seconds, ",
                        world.cooldown_min_seconds(), ", got ", world.cooldown_max_seconds()));
  }
  if (world.size() > 0 && world.min_size() > world.size()) {
    refuse("world.min_size",
           absl::StrCat("expected at most world.size, ", world.size(), ", got ", world.min_size()));
  }
  if (world.max_size() > 0 && world.max_size() < std::max(world.size(), world.min_size())) {
    refuse("world.max_size",
           absl::StrCat("expected at least world.size and world.min_size, ",
                        std::max(world.size(), world.min_size()), ", got ", world.max_size()));
  }
}

void CheckPhases(const proto::JobConfig& job, const Origins& origins, ErrorList& errors) {
  const auto refuse = [&](const std::string& path, const std::string& why) {
    errors.Add(OriginOf(origins, "phases"), absl::StrCat(path, ": ", why));
  };
  const auto order = RunOrder({job.phases().begin(), job.phases().end()});
  if (!order.ok()) {
    errors.Add(OriginOf(origins, "phases"), order.status().message());
    return;
  }
  for (int p = 0; p < job.phases_size(); ++p) {
    const proto::Phase& phase = job.phases(p);
    const std::string where = absl::StrCat("phases[", p, "] (", NameOf(phase), ")");
    if (phase.steps() == 0 && phase.epochs() == 0) {
      refuse(where,
             "expected steps or epochs above 0, with a condition too: it ends the phase "
             "earlier, not later");
    }
    if (phase.until() == "accuracy" && (phase.target() <= 0 || phase.target() > 1)) {
      refuse(where, absl::StrCat("until accuracy needs a target above 0 and at most 1, got ",
                                 phase.target()));
    }
    if (phase.until() == "loss" && phase.target() <= 0) {
      refuse(where, "until loss needs a target above 0");
    }
    if (phase.kind() != "finetune" && phase.frozen_size() > 0) {
      refuse(where, absl::StrCat("frozen is for phases of kind finetune, this is ", phase.kind()));
    }
    for (const std::string& problem : TscncProblems(job, phase)) refuse(where, problem);
    for (const std::string& problem : Otov3Problems(phase)) refuse(where, problem);
  }
}

void CheckTraining(const proto::JobConfig& job, const Origins& origins, ErrorList& errors) {
  const auto refuse = [&](const std::string& path, const std::string& why) {
    errors.Add(OriginOf(origins, path), absl::StrCat(path, ": ", why));
  };
  const proto::Training& training = job.training();
  if (training.accumulation_steps() > training.global_batch()) {
    refuse(
        "training.accumulation_steps",
        absl::StrCat("expected at most training.global_batch, ", training.global_batch(), ", got ",
                     training.accumulation_steps(), ": each micro-batch needs a sample"));
  }
  // The optimiser has gone on by the time that others learn of it.
  if (training.local_steps() > 1 && training.on_nan() == "skip") {
    refuse("training.local_steps",
           absl::StrCat(Named(origins, "training.on_nan", "skip"),
                        " passes over single steps, which local ones are not: use stop, or "
                        "local_steps 1"));
  }
  if (training.sync_batch_norm()) {
    for (const auto& [path, set] :
         {std::pair("training.accumulation_steps", training.accumulation_steps() > 1),
          std::pair("training.local_steps", training.local_steps() > 1),
          std::pair("model.torchscript", !job.model().torchscript().empty())}) {
      if (!set) continue;
      refuse("training.sync_batch_norm",
             absl::StrCat("cannot be true with ", path, ": leave one of them out"));
    }
  }
  const proto::Optimizer& optimizer = job.optimizer();
  if (optimizer.nesterov() == "on" && (optimizer.kind() != "sgd" || optimizer.momentum() == 0)) {
    refuse("optimizer.nesterov",
           absl::StrCat("needs kind sgd and a momentum above 0, got ",
                        Named(origins, "optimizer.kind", optimizer.kind()), " and ",
                        Named(origins, "optimizer.momentum", absl::StrCat(optimizer.momentum())),
                        ": turn it off, or set those"));
  }
  if (job.schedule().kind() == "one_cycle" && job.schedule().warmup_steps() > 0) {
    refuse("schedule.warmup_steps",
           absl::StrCat(Named(origins, "schedule.kind", "one_cycle"),
                        " begins with a rise of its own, got ", job.schedule().warmup_steps(),
                        ": set it to 0, and peak_at and start_factor instead"));
  }
}

// A run has a folder of its own, so a later one finds nothing in the default place.
void CheckResume(const proto::Checkpoint& checkpoint, const Origins& origins, ErrorList& errors) {
  if (checkpoint.resume() != "auto" || !checkpoint.directory().empty()) return;
  errors.Add(OriginOf(origins, "checkpoint.resume"),
             "checkpoint.resume: auto looks in checkpoint.directory, which is not set");
}

// What is the built-in trainer's alone.
void CheckProgram(const proto::JobConfig& job, const Origins& origins, ErrorList& errors) {
  if (job.program().command().empty()) return;
  const auto refuse = [&](const std::string& path) {
    errors.Add(OriginOf(origins, path),
               absl::StrCat(path,
                            ": a program keeps and restores its state itself "
                            "(docs/library.md): leave it out"));
  };
  if (job.checkpoint().every_steps() > 0) refuse("checkpoint.every_steps");
  if (job.checkpoint().resume() != "none") refuse("checkpoint.resume");
  if (job.phases_size() > 0) {
    errors.Add(OriginOf(origins, "phases"),
               "phases: a program decides itself what it trains when: leave them out");
  }
  if (job.program().command(0).empty()) {
    errors.Add(OriginOf(origins, "program.command"),
               "program.command: its first word is the path of a program, got \"\"");
  }
}

}  // namespace

void CheckJob(const proto::JobConfig& job, const std::map<std::string, std::string>& origins,
              ErrorList& errors) {
  const auto in_folder_name = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-' || c >= 0x80;
  };
  if (job.name().empty() || job.name()[0] == '.' || job.name()[0] == '-' ||
      !std::all_of(job.name().begin(), job.name().end(), in_folder_name)) {
    errors.Add(
        OriginOf(origins, "name"),
        absl::StrCat("name: expected letters, digits, \".\", \"_\" and \"-\", not starting with "
                     "\".\" or \"-\", since run folders are named after it, got ",
                     Quoted(job.name())));
  }
  if (job.compression().quantizer() == "l2norm") {
    if (job.compression().uniform_codec() == "quantizer") {
      CheckNormBits(job.compression().uniform_bits(), "compression.uniform_bits", origins, errors);
    }
    const auto& bits = job.compression().candidate_bits();
    CheckNormBits(bits.empty() ? 2 : *std::min_element(bits.begin(), bits.end()),
                  "compression.candidate_bits", origins, errors);
  }
  CheckUniformCodec(job.compression(), origins, errors);
  CheckDrop(job.compression(), origins, errors);
  CheckErrorCorrection(job.compression(), origins, errors);
  CheckAlphaSchedule(job.compression(), origins, errors);
  CheckData(job.data(), origins, errors);
  CheckTraining(job, origins, errors);
  CheckWorld(job.world(), origins, errors);
  CheckPhases(job, origins, errors);
  CheckResume(job.checkpoint(), origins, errors);
  CheckProgram(job, origins, errors);
}

}  // namespace sluice
