#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A result of rota-compare whose figures are made up, with everything the page shows and some names
that are hard to print: for tests, and for looking at the page.

    example.py > result.json && rota-compare page result.json page.html
"""
import json
import math
import random

# What would end a script, a tag, an attribute or a character, if it were not escaped.
HARD = "</script><b>\"'&amp;\u2028{{title}}"
ROUNDS = 9
COST = {"uring": 1.0, "uring multishot=off": 1.09, "uring taskrun=coop": 1.05, "epoll": 1.14}
GUEST_COST = 1.4

VARIANTS = [
    {"name": "uring", "engine": "uring", "options": "", "about": "the default", "command": None},
    {"name": "uring multishot=off", "engine": "uring", "options": "multishot=off",
     "about": "one at a time", "command": None},
    {"name": "uring taskrun=coop", "engine": "uring", "options": "taskrun=coop",
     "about": None, "command": None},
    {"name": "epoll", "engine": "epoll", "options": "", "about": "the default", "command": None},
    {"name": HARD, "engine": None, "options": None, "about": None,
     "command": f"{HARD} --port {{port}}"},
]

MACHINE = {
    "kernel": "6.18.44", "architecture": "x86_64", "system": f"System {HARD}",
    "cpu": {"model": "Processor <9>", "sockets": 1, "cores": 2, "threads": 4, "smt": True,
            "governor": None, "usable": 2},
    "memory_bytes": 25276502016, "virtualisation": {"hypervisor": "KVM", "container": "docker"},
    "mitigations": {"meltdown": "Not affected", "spectre_v2": "Mitigation: Retpolines",
                    "srso": "Vulnerable", "unknown": None},
    "limits": {"open_files": {"soft": 1024, "hard": 20000},
               "locked_memory_bytes": {"soft": 8388608, "hard": "unlimited"}},
    "sysctls": {"net.core.somaxconn": "4096", "kernel.io_uring_disabled": None},
    "build": {"libc": "glibc 2.36", "liburing": "2.3", "compiler": "gcc 12.2.0", "flags": "-O2"},
}

ENGINES = [
    {"name": "uring", "usable": True, "why_not": None, "says": "all is well", "features": [
        {"name": "multishot receive", "on": True, "why": None, "kernel": "6.0", "works": True,
         "required": True},
        {"name": "no iowait", "on": False, "why": f"too old {HARD}", "kernel": "6.15",
         "works": False, "required": False}]},
    {"name": "epoll", "usable": True, "why_not": None, "says": "", "features": []},
]


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def interval(values, middle="median"):
    """Not the bootstrap: near enough for looks."""
    values = sorted(values)
    return {middle: median(values), "low": values[1], "high": values[-2]}


def call_of(ratio):
    if ratio["low"] > 0.97 and ratio["high"] < 1.03:
        return "equal"
    return "less" if ratio["high"] < 1 else "more" if ratio["low"] > 1 else "undecided"


def histogram(p50_ns, count):
    """A log-normal body and a tail, as [value, count] with values ascending."""
    buckets = []
    for step in range(60):
        value = p50_ns * math.exp(-0.9 + step * 0.07)
        distance = math.log(value / p50_ns) / 0.3
        share = math.exp(-distance * distance / 2) + 0.004 * math.exp(-(distance - 6) ** 2 / 3)
        if int(count * share * 0.09):
            buckets.append([int(value), int(count * share * 0.09)])
    return buckets


def measure(chance, cost_ns, connections, disturbance):
    """One round."""
    cost = cost_ns * disturbance * chance.gauss(1, 0.01)
    per_s = 1e9 / cost * 0.98
    p50 = connections / per_s * 1e9
    return {
        "requests": int(per_s / 2), "seconds": 0.5, "requests_per_s": per_s, "cpu_ns": cost,
        "cpu_user_ns": cost * 0.05, "cpu_system_ns": cost * 0.95, "syscalls": 0.05,
        "completions_per_enter": 40.5, "switches": 0.002, "resident_bytes": 9123456, "steal": 0.001,
        "busy": 0.98, "latency_ns": {"count": int(per_s / 2), "p50": p50, "p90": p50 * 1.5,
                                     "p99": p50 * 2.2, "p999": p50 * 6, "p9999": p50 * 9,
                                     "max": p50 * 20}}


def figures_of(rounds):
    figures = {key: interval([one[key] for one in rounds])
               for key in rounds[0] if key not in ("requests", "seconds", "latency_ns")}
    for key in ("p50", "p90", "p99", "p999", "p9999", "max"):
        figures[f"{key}_ns"] = interval([one["latency_ns"][key] for one in rounds])
    return figures


def compare(rounds, variant, reference):
    for figure in ("cpu_ns", "requests_per_s", "p99_ns"):
        def value(one, figure=figure):
            return one["latency_ns"]["p99"] if figure == "p99_ns" else one[figure]
        ratio = interval([value(one) / value(other)
                          for one, other in zip(rounds[variant], rounds[reference])], "ratio")
        yield {"variant": variant, "reference": reference, "figure": figure, **ratio,
               "p": 0.004, "call_alone": call_of(ratio), "call": call_of(ratio)}


def point(chance, title, workload, connections, cost_ns):
    disturbances = [chance.gauss(1, 0.05) for _ in range(ROUNDS)]
    rounds = {variant["name"]: [
        measure(chance, cost_ns * COST.get(variant["name"], GUEST_COST), connections, disturbance)
        for disturbance in disturbances] for variant in VARIANTS}
    comparisons = []
    for name in rounds:
        if name != "epoll":
            comparisons += compare(rounds, name, "epoll")
        if name.startswith("uring "):
            comparisons += compare(rounds, name, "uring")
    return {
        "workload": workload, "unit": "request", "connections": connections, "depth": 1,
        "title": f"{title}, {connections} connections, depth 1, 64 B", "payload": 64, "reactors": 1,
        "rate": None, "idle": 0, "reference": "epoll", "skipped": None,
        "results": [{"variant": name, "failed": None, "rounds": made, "figures": figures_of(made),
                     "histogram": histogram(median([one["latency_ns"]["p50"] for one in made]),
                                            sum(one["requests"] for one in made))}
                    for name, made in rounds.items()],
        "load_engine": f"uring {HARD}",
        "load": {"loop": "closed", "servers": "saturated", "client": "ahead",
                 "words": f"closed loop, servers saturated {HARD}"},
        "comparisons": comparisons, "words": [], "notes": [f"A note {HARD}"]}


def result():
    chance = random.Random(7)
    points = [point(chance, "echo", "echo", 64, 5200), point(chance, "echo", "echo", 1000, 5500),
              point(chance, "key-value, SET:GET 1:10", "kv", 64, 7100)]
    failed = point(chance, HARD, HARD, 8, 6000)
    failed["results"][-1] = {"variant": HARD, "failed": f"ended {HARD}", "rounds": [],
                             "figures": {}, "histogram": []}
    skipped = {"workload": "churn", "title": "churn", "reference": "epoll",
               "skipped": f"Too few {HARD}.", "results": [], "comparisons": [], "words": []}
    return {
        "format": "rota-compare 1",
        "made": {"date": "2026-11-26T16:00:00Z", "command": f"rota-compare {HARD}",
                 "version": "0.1.0", "seconds": 118, "seed": 7, "rounds": ROUNDS,
                 "round_seconds": 0.5, "confidence": 0.95, "load_engine": "uring"},
        "calls": {"comparisons": 91, "different": 40, "different_alone": 43},
        "machine": MACHINE, "engines": ENGINES, "variants": VARIANTS,
        "points": points + [failed, skipped], "verdict": []}


if __name__ == "__main__":
    print(json.dumps(result(), indent=1))
