"""The ways to compress that train_bench.py compares, and the settings that both systems share."""

import dataclasses
import re

# Steps between a window's end and its plan.
LEAD_STEPS = 2


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is trained and how, whatever the system."""
    model: str
    ranks: int
    batch: int  # per rank
    steps: int  # in all
    warmup: int  # of them, not timed
    optimizer: str
    learning_rate: float
    schedule: str
    schedule_warmup: int  # steps
    compress_from: int  # the first compressed step
    window: int
    bucket_mb: float
    ddp_bucket_mb: float
    data: str
    eval: bool


@dataclasses.dataclass(frozen=True)
class Method:
    """A system with one way to compress, e.g. sluice:topk1 or ddp:powersgd4."""
    system: str
    name: str

    def __str__(self):
        return f"{self.system}:{self.name}"


# What each network is trained on: the job's data set, and where Debian has it.
TEXT_MODELS = ["gpt"]
IMAGES, TEXT = "/usr/share/datasets/fashion-mnist", "/usr/share/perl/5.36/pod"


def data_of(model):
    """The job's data.dataset, and the default of its path."""
    return ("bytes", TEXT) if model in TEXT_MODELS else ("fashion_mnist", IMAGES)


FAMILIES = ["quantizer", "cast", "clipped", "sign", "ternary", "topk", "lowrank", "drop"]

# Of a Sluice job, by the method's name and the number in it.
SLUICE = {
    r"none": lambda _: {"policy": "none"},
    # As PyTorch's hook: nothing is kept of what a cast loses.
    r"fp16": lambda _: {"policy": "uniform", "uniform_codec": "fp16", "error_feedback": "off"},
    r"maxmin([1-8])": lambda n: {"policy": "uniform", "uniform_codec": "quantizer", "uniform_bits": int(n)},
    r"sign": lambda _: {"policy": "uniform", "uniform_codec": "sign"},
    r"ternary": lambda _: {"policy": "uniform", "uniform_codec": "ternary"},
    r"clipped([1-4])": lambda n: {"policy": "uniform", "uniform_codec": "clipped", "uniform_bits": int(n)},
    r"topk([0-9.]+)": lambda n: {"policy": "uniform", "uniform_codec": "topk", "uniform_density": float(n) / 100},
    r"lowrank([0-9]+)": lambda n: {"policy": "uniform", "uniform_codec": "lowrank", "uniform_rank": int(n)},
    r"lgreco": lambda _: {"policy": "lgreco"},
    r"lgreco([1-8])": lambda n: {"policy": "lgreco", "uniform_bits": int(n)},
    r"lgreco_mixed": lambda _: {"policy": "lgreco", "candidate_families": FAMILIES},
    r"lgreco_time": lambda _: {"policy": "lgreco_time", "candidate_families": FAMILIES},
}
DDP = {
    r"none": lambda _: "none",
    r"fp16": lambda _: "fp16",
    r"powersgd([0-9]+)": lambda n: "powersgd:" + n,
}
DEFAULT = ("sluice:none,ddp:none,sluice:fp16,ddp:fp16,sluice:maxmin4,sluice:lgreco,sluice:topk1,"
           "sluice:lowrank1,ddp:powersgd1,sluice:lowrank2,ddp:powersgd2,sluice:lowrank4,ddp:powersgd4")


def look_up(table, name):
    for pattern, make in table.items():
        match = re.fullmatch(pattern, name)
        if match:
            return make(match.group(1) if match.groups() else None)
    return None


def parse_methods(text):
    """\\raises ValueError naming the method and what there is"""
    methods = []
    for word in text.split(","):
        system, _, name = word.partition(":")
        table = {"sluice": SLUICE, "ddp": DDP}.get(system)
        if table is None or look_up(table, name) is None:
            known = [f"{kind}:{re.sub(r'[(].*', 'N', pattern)}" for kind, patterns in
                     (("sluice", SLUICE), ("ddp", DDP)) for pattern in patterns]
            raise ValueError(f"unknown method {word!r}: expected {', '.join(known)}")
        methods.append(Method(system, name))
    return methods


def plans(method):
    """Whether the method measures gradients in windows, and so needs a profiler."""
    return method.system == "sluice" and method.name.startswith("lgreco")


def timed_from(method, settings):
    """The first timed step: none that compresses later, or whose first plan is in force later, is timed before."""
    if plans(method):
        ends = settings.window * (settings.compress_from // settings.window + 1)
        return max(settings.warmup, ends + LEAD_STEPS + 1)
    if method.name == "none":
        return settings.warmup
    return max(settings.warmup, settings.compress_from)


def sluice_job(method, settings, seed, transports):
    """A job file's content."""
    compression = {
        "warmup_steps": settings.compress_from,
        "window_steps": settings.window,
        "lead_steps": LEAD_STEPS,
    }
    compression.update(look_up(SLUICE, method.name))
    return {
        "name": "train_bench",
        "model": {"name": settings.model},
        "data": {"dataset": data_of(settings.model)[0], "path": settings.data},
        "training": {
            "global_batch": settings.batch * settings.ranks,
            "steps": settings.steps,
            "seed": seed,
            "checksum_every_steps": 0,
            "threads": 1,
        },
        "optimizer": {"kind": settings.optimizer, "learning_rate": settings.learning_rate, "weight_decay": 0,
                      **({"momentum": 0.9} if settings.optimizer == "sgd" else {})},
        "schedule": {"kind": settings.schedule, "warmup_steps": settings.schedule_warmup},
        "compression": compression,
        "communication": {"bucket_mb": settings.bucket_mb, "timeout_seconds": 600, "transports": transports},
        "world": {"size": settings.ranks},
        "checkpoint": {"at_end": "off"},
        "report": {"every_steps": 1},
    }


def ddp_arguments(method, settings, seed):
    """The command line of peers/ddp_bench.py."""
    arguments = [
        "--model", settings.model, "--hook", look_up(DDP, method.name), "--batch", settings.batch,
        "--steps", settings.steps, "--warmup", timed_from(method, settings), "--optimizer", settings.optimizer,
        "--learning-rate", settings.learning_rate, "--schedule", settings.schedule, "--seed", seed,
        "--schedule-warmup", settings.schedule_warmup, "--compress-from", settings.compress_from,
        "--bucket-mb", settings.ddp_bucket_mb, "--data", settings.data,
    ]
    return [str(word) for word in arguments] + (["--eval"] if settings.eval else [])
