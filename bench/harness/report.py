"""Medians, ratios, the table and the JSON file."""
from statistics import median

# What the ratios relate to: the first of these that took part.
REFERENCES = {"plain": ["floor-uring"], "handshake": ["floor-openssl"], "other": ["ours", "h2o"]}


def reference(scenario, names):
    kind = "plain" if scenario.plain else "handshake" if scenario.handshake else "other"
    return next((n for n in REFERENCES[kind] if n in names), None)


def summarise(rounds, floor):
    """`rounds`: {server: [cell per round]}. The ratio is the median of the rounds' own ratios: what disturbs the machine
    disturbs neighbours in a round alike."""
    result = {}
    for name, cells in rounds.items():
        s = {k: median(c[k] for c in cells) for k in ("cpu_us", "cpu_share", "rps", "p50_us", "p99_us", "load_share", "response_bytes")}
        s["requests"] = sum(c["requests"] for c in cells)
        s["errors"] = sum(c["errors"] for c in cells)
        costs = [c["cpu_us"] for c in cells]
        s["spread"] = (max(costs) - min(costs)) / s["cpu_us"] if s["cpu_us"] else 0
        s["per_cpu_second"] = 1e6 / s["cpu_us"] if s["cpu_us"] else 0
        s["ratio"] = None
        if floor in rounds:
            pairs = [(c["cpu_us"], f["cpu_us"]) for c, f in zip(cells, rounds[floor]) if f["cpu_us"]]
            s["ratio"] = median(c / f for c, f in pairs) if pairs else None
        s["warnings"] = next((c["warnings"] for c in cells if c["warnings"]), "")
        result[name] = s
    return result


def columns(unit, floor):
    return ["server", "body", f"CPU µs/{unit}", "± %", f"× {floor or '-'}", f"{unit}/CPU-s", f"{unit}/s", "p50 µs", "p99 µs", "CPU %", "errors"]


def number(v):
    return f"{v:,.0f}" if v >= 1000 else f"{v:.1f}" if v >= 100 else f"{v:.2f}"


def row(name, source, s):
    ratio = f"{s['ratio']:.2f}" if s["ratio"] else "-"
    return [name, source, number(s["cpu_us"]), f"{s['spread'] * 50:.0f}", ratio, number(s["per_cpu_second"]), number(s["rps"]),
            number(s["p50_us"]), number(s["p99_us"]), f"{s['cpu_share'] * 100:.0f}", str(s["errors"])]


def table(scenario, summary, sources, floor):
    lines = [f"{scenario.name}: {scenario.about}"]
    if not summary:
        return lines[0]
    rows = [columns(scenario.unit, floor)] + [row(name, sources[name], s) for name, s in summary.items()]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for r in rows:
        lines.append("  " + "  ".join(v.ljust(w) if i < 2 else v.rjust(w) for i, (v, w) in enumerate(zip(r, widths))))
    return "\n".join(lines)


def absence(absent):
    """`absent`: {server: reason}. Servers with one reason stand together."""
    reasons = {}
    for name, why in absent.items():
        reasons.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
