#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/version.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/config/nearest_word.h"
#include "orchestrator/flags/command_line.h"
#include "orchestrator/launcher/remote_start.h"
#include "orchestrator/launcher/ssh.h"
#include "orchestrator/preflight/check_host.h"
#include "policies/plugin/policy_host.h"

namespace sluice {
namespace {

struct Subcommand {
  const char* name;
  const char* arguments;
  const char* summary;
  const char* examples;
  std::vector<absl::string_view> flags;
  int (*run)(const CommandLine& line);
};

const std::vector<Subcommand>& Subcommands() {
  static const auto* const all = new std::vector<Subcommand>{
      {"run",
       "[-np N] [--set key=value ...] JOB | [JOB] -- PROGRAM [arguments]",
       "train: launch coordinator, workers and profilers, here or on several hosts",
       "  orchestrator run -np 4 examples/fashion_mnist.yaml\n"
       "  orchestrator run -np 4 --set compression.policy=none --set training.seed=7 JOB.yaml\n"
       "  orchestrator run -np 2 --json JOB.yaml | tail -1 | python3 -m json.tool\n"
       "  orchestrator run -np 4 --dry-run JOB.yaml\n"
       "  orchestrator run -np 4 --min-np 2 JOB.yaml\n"
       "  orchestrator run -np 4 --set checkpoint.directory=ckpt --resume auto JOB.yaml\n"
       "  orchestrator run -np 2 -- ./my_trainer --epochs 3\n"
       "  orchestrator run -H node01:4,node02:4 JOB.yaml\n"
       "  orchestrator run -np 4 --min-np 2 --host-discovery-script ./hosts.sh JOB.yaml\n"
       "  orchestrator run -np 8 --hostfile hosts.txt --network-interface eth1 JOB.yaml\n",
       {"np",
        "num_proc",
        "min_np",
        "max_np",
        "profilers",
        "reset_limit",
        "max_restarts",
        "elastic_timeout",
        "resume",
        "H",
        "hosts",
        "hostfile",
        "host_discovery_script",
        "slots_per_host",
        "slots",
        "blacklist_cooldown_range",
        "p",
        "ssh_port",
        "i",
        "ssh_identity_file",
        "ssh_accept_new",
        "network_interface",
        "network_interfaces",
        "coordinator_port",
        "env",
        "no_env",
        "output_filename",
        "json",
        "verbose",
        "dry_run",
        "run_directory",
        "log_level",
        "start_timeout",
        "credentials",
        "chaos",
        "job"},
       RunCommand},
      {"check",
       "[-H LIST | --hostfile FILE] [JOB]",
       "preflight: whether hosts, and the network between them, can run a job",
       "  orchestrator check\n"
       "  orchestrator check -H node01:4,node02:4\n"
       "  orchestrator check --hostfile hosts.txt --set checkpoint.directory=/shared/ckpt --json\n"
       "  orchestrator check --build\n",
       {"build", "np", "num_proc", "H", "hosts", "hostfile", "p", "ssh_port", "i",
        "ssh_identity_file", "ssh_accept_new", "network_interface", "network_interfaces",
        "run_directory", "json", "log_level"},
       CheckCommand},
      {"analyse",
       "FILE | --model NAME, --example SHAPE [options]",
       "what can be pruned in a network, and why the rest cannot",
       "  orchestrator analyse model.pt --example 1x28x28\n"
       "  orchestrator analyse --model resnet18 --example 3x32x32 --dot resnet18.dot\n"
       "  orchestrator analyse --model gpt --example 128 --classes 256 --json\n"
       "  orchestrator analyse model.pt --example 1x28x28 --example 16 --keep 'head.*'\n",
       {"model", "example", "classes", "divisor", "keep", "dot", "json", "log_level"},
       AnalyseCommand},
      {"plan",
       "--stats FILE [options]",
       "plan from a run's recorded statistics: another policy, network or number of ranks",
       "  orchestrator plan --stats runs/x/stats.jsonl --explain\n"
       "  orchestrator plan --stats runs/x/stats.jsonl --policy uniform --window 3\n"
       "  orchestrator plan --stats runs/x/stats.jsonl --policy lgreco_time --network 1gbit,0.2ms "
       "--backward 40ms --world 64\n"
       "  orchestrator plan --stats runs/x/stats.jsonl --set compression.alpha=2 --json > "
       "plan.json\n"
       "  orchestrator run -np 4 --set compression.policy=recorded --set "
       "compression.plan_file=plan.json JOB.yaml\n",
       {"stats", "window", "policy", "job", "network", "backward", "world", "explain", "json",
        "log_level"},
       PlanCommand},
      {"prune",
       "CHECKPOINT | RUN_DIRECTORY, --out FILE",
       "a trained network without what pruning has made zero, as TorchScript",
       "  orchestrator prune runs/x --out smaller.pt\n"
       "  orchestrator run -np 4 --set model.torchscript=smaller.pt JOB.yaml\n",
       {"out", "json", "log_level"},
       PruneCommand},
      {"attack",
       "CHECKPOINT | RUN_DIRECTORY",
       "how a trained model stands adversarial images, and its layers' singular values",
       "  orchestrator attack runs/x\n"
       "  orchestrator attack ckpt/step_00001200 --samples 1000 --eps 0.03 --json\n",
       {"eps", "samples", "restarts", "json", "log_level"},
       AttackCommand},
      {"solve",
       "FILE.json",
       "solve multiple-choice knapsack instances exactly and print them as JSON",
       "  orchestrator solve tests/policies/solver/testdata/lgreco_knapsack.json\n",
       {"log_level"},
       SolveCommand},
      {"credentials",
       "DIR",
       "make a folder of credentials for a job whose processes are started by hand",
       "  orchestrator credentials ~/.sluice-credentials\n",
       {"log_level"},
       CredentialsCommand},
      {"coordinator",
       "--job FILE --job-id ID --run-directory DIR --credentials DIR",
       "the process that forms the cluster and plans (started by run)",
       "  orchestrator coordinator --job runs/x/job.yaml --job-id 7f3a --run-directory runs/x "
       "--credentials ~/.sluice-credentials\n",
       {"job", "job_id", "run_directory", "json", "verbose", "bind", "port", "announce_fd",
        "recover", "launcher_pid", "log_level", "start_timeout", "credentials", "chaos"},
       CoordinatorCommand},
      {"worker",
       "JOB [--set key=value ...] [-- PROGRAM [arguments]] | --job FILE --job-id ID "
       "--run-directory DIR --coordinator "
       "HOST:PORT --slot N --credentials DIR",
       "a process that trains one replica (started by run, or by srun, mpirun, torchrun)",
       "  srun -n 4 orchestrator worker JOB.yaml\n"
       "  mpirun -np 4 orchestrator worker JOB.yaml\n"
       "  mpirun -np 4 orchestrator worker JOB.yaml -- ./my_trainer --epochs 3\n"
       "  orchestrator worker --job runs/x/job.yaml --job-id 7f3a --run-directory runs/x "
       "--coordinator 127.0.0.1:41873 --slot 0 --credentials ~/.sluice-credentials\n",
       {"job", "job_id", "run_directory", "coordinator", "slot", "launcher_pid", "log_level",
        "start_timeout", "json", "verbose", "credentials", "chaos"},
       AnyWorkerCommand},
      {"profiler",
       "--job FILE --job-id ID --run-directory DIR --coordinator HOST:PORT --slot N "
       "--credentials DIR",
       "a process that measures what compression would lose (started by run)",
       "  orchestrator profiler --job runs/x/job.yaml --job-id 7f3a --run-directory runs/x "
       "--coordinator 127.0.0.1:41873 --slot 0 --credentials ~/.sluice-credentials\n",
       {"job", "job_id", "run_directory", "coordinator", "slot", "launcher_pid", "log_level",
        "start_timeout", "credentials"},
       ProfilerCommand},
  };
  return *all;
}

void PrintHelp(std::FILE* out) {
  std::fputs(
      "Sluice: trains neural networks on several processes and decides, layer by layer, how hard "
      "each\n"
      "gradient is compressed on its way.\n\n"
      "Usage: orchestrator SUBCOMMAND [options] [arguments]\n\n",
      out);
  for (const Subcommand& subcommand : Subcommands()) {
    std::fprintf(out, "  %-12s %s\n", subcommand.name, subcommand.summary);
  }
  std::fputs(
      "\n  orchestrator SUBCOMMAND --help    options and examples\n"
      "  orchestrator --version\n\nExamples:\n",
      out);
  std::fputs(Subcommands().front().examples, out);
}

void PrintSubcommandHelp(const Subcommand& subcommand) {
  std::printf("Usage: orchestrator %s %s\n\n%s\n\nOptions (\"-\" and \"_\" are the same):\n",
              subcommand.name, subcommand.arguments, subcommand.summary);
  for (absl::string_view name : subcommand.flags) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    std::string shown = absl::StrCat(name.size() <= 2 ? "-" : "--", name);
    for (char& c : shown) c = c == '_' ? '-' : c;
    const std::string initial = flag->DefaultValue();
    std::printf("  %-18s %s%s\n", shown.c_str(), flag->Help().c_str(),
                initial.empty() || initial == "0" || initial == "-1" || initial == "false"
                    ? ""
                    : absl::StrCat(" (default ", initial, ")").c_str());
  }
  if (std::string(subcommand.name) == "run" || std::string(subcommand.name) == "attack" ||
      std::string(subcommand.name) == "prune" || std::string(subcommand.name) == "plan" ||
      std::string(subcommand.name) == "worker" || std::string(subcommand.name) == "check") {
    std::printf("  %-18s %s\n", "--set key=value", "override a key of the job file; repeatable");
  }
  std::printf("\nExamples:\n%s", subcommand.examples);
}

int UsageError(const std::string& message) {
  std::fprintf(stderr, "orchestrator: %s\nTry: orchestrator --help\n", message.c_str());
  return kExitUsage;
}

int Main(std::vector<std::string> args) {
  if (args.empty()) {
    PrintHelp(stderr);
    return kExitUsage;
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    PrintHelp(stdout);
    return kExitOk;
  }
  if (args[0] == "--version" || args[0] == "version") {
    std::printf("sluice %s\n", kVersion);
    return kExitOk;
  }
  // Not for people: the coordinator starts it (docs/policy_plugins.md).
  if (args[0] == kPolicyHostCommand && args.size() == 2) return RunPolicyHost(args[1]);
  // Nor this one: a launcher on another host does (docs/running_on_a_cluster.md).
  if (args[0] == kRemoteExecCommand) {
    if (args.size() == 1) return RunRemoteExec();
    if (args.size() == 2 && args[1] == "--probe") {
      std::printf("%s\n", ProbeAnswer().c_str());
      return kExitOk;
    }
  }
  if (args[0] == kCheckHostCommand && args.size() == 1) return RunCheckHost();
  // As users of horovodrun type it.
  if (args[0] == "--check-build" || args[0] == "-cb") {
    args[0] = "check";
    args.insert(args.begin() + 1, "--build");
  }
  for (const Subcommand& subcommand : Subcommands()) {
    if (args[0] != subcommand.name) continue;
    args.erase(args.begin());
    for (const std::string& arg : args) {
      if (arg == "--") break;
      if (arg == "--help" || arg == "-h") {
        PrintSubcommandHelp(subcommand);
        return kExitOk;
      }
    }
    auto line = ParseCommandLine(args, subcommand.flags);
    if (!line.ok()) {
      return UsageError(absl::StrCat(subcommand.name, ": ", line.status().message()));
    }
    if (absl::Status status = SetLogLevel(absl::GetFlag(FLAGS_log_level)); !status.ok()) {
      return UsageError(absl::StrCat("--log-level: ", status.message()));
    }
    return subcommand.run(*line);
  }
  std::vector<std::string> names;
  for (const Subcommand& subcommand : Subcommands()) names.push_back(subcommand.name);
  return UsageError(
      absl::StrCat("unknown subcommand \"", args[0], "\"", DidYouMean(args[0], names)));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a launcher that is gone must not kill who still has to say so
  return sluice::Main(std::vector<std::string>(argv + 1, argv + argc));
}
