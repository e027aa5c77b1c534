#include "orchestrator/config/job_checks.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "orchestrator/config/nearest_word.h"

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

// A run has a folder of its own, so a later one finds nothing in the default place.
void CheckResume(const proto::Checkpoint& checkpoint, const Origins& origins, ErrorList& errors) {
  if (checkpoint.resume() != "auto" || !checkpoint.directory().empty()) return;
  errors.Add(OriginOf(origins, "checkpoint.resume"),
             "checkpoint.resume: auto looks in checkpoint.directory, which is not set");
}

// What only the built-in trainer writes.
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
  CheckWorld(job.world(), origins, errors);
  CheckResume(job.checkpoint(), origins, errors);
  CheckProgram(job, origins, errors);
}

}  // namespace sluice
