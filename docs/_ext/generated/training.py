"""How fast a network is trained: by one process, by two, and beside PyTorch."""

from statistics import median, quantiles

from cbam_np.commands import inside as inside_net
from generated.tables import machine, measured, table


def training_speed() -> str:
    """ResNet-8 trained on NumPy, beside PyTorch eager."""
    found = measured("training")
    load, rows = found["machine"]["load"], []
    quiet = load is not None and load < 1
    for t in found["timings"]:
        if t["cores"] > 1 and not quiet:
            continue
        low, middle, high = quantiles([a / b for a, b in zip(t["ours"], t["torch"], strict=True)], n=4)
        epochs = [f"{median(t[side]) * found['images'] / t['batch']:.0f} s" for side in ("ours", "torch")]
        shares = [f"{100 * share:.0f} %" for share in t["shares"].values()]
        rows.append([t["attention"], str(t["cores"]), f"{middle:.2f} ({low:.2f} to {high:.2f})", *epochs, *shares])
    head = ["attention", "cores", "ratio", f"{found['images']:,} images".replace(",", " "), "PyTorch"]
    head += ["of our time: convolutions", "batch norm", "ReLU"]
    left_out = "" if quiet else " So what was measured on several cores says nothing, and is left out."
    return (
        f"{machine(found)} In the minute before, the load was {load}.{left_out} Medians "
        f"over {found['rounds']} rounds; in parentheses the quartiles.\n\n{table(head, rows, 'lrrrrrrr')}"
    )


def inside() -> str:
    """The block inside a PyTorch network, with each gradient."""
    found = measured("inside")
    widths = ", ".join(map(str, found["widths"]))
    return (
        f"{machine(found)} In the minute before, the load was {found['machine']['load']}. "
        f"Batches of {found['batch']} images of {found['size']}×{found['size']}, stages of {widths} channels, float32, "
        f"one thread. Medians over {found['rounds']} rounds; in parentheses the quartiles. "
        f"{inside_net.in_words(found)}\n\n{table(list(inside_net.HEAD), inside_net.rows(found), 'lrrrr')}"
    )


def scaling() -> str:
    """A step of training by one process and by two."""
    found = measured("scaling")
    one, two = (found["seconds"][n] for n in "12")
    low, *_, high = sorted(found["speedups"])
    flops = 6 * found["multiply-adds"] * found["batch"]
    latency = two["sum of 4 bytes"] / 2
    bandwidth = 32e6 / two["sum of 32000000 bytes"]
    predicted = one["step"] / 2 + 2 * latency + found["message"] / bandwidth
    rows = [
        ["a step of one process", f"{1e3 * one['step']:.0f} ms"],
        ["two processes, times as fast (least, most)", f"{median(found['speedups']):.2f} ({low:.2f}, {high:.2f})"],
        ["flops of a step", f"{flops / 1e9:.2f} · 10⁹"],
        ["its message", f"{found['message'] / 1e6:.2f} MB"],
        ["flops a second of one process", f"{flops / one['step'] / 1e9:.1f} · 10⁹"],
        ["seconds to start a message", f"{1e6 * latency:.0f} µs"],
        ["bytes a second between two processes", f"{bandwidth / 1e6:.0f} MB"],
        ["two processes by the model, times as fast", f"{one['step'] / predicted:.2f}"],
    ]
    load = found["machine"]["load"]
    return (
        f"{machine(found)} In the minute before, the load was {load}. Medians over "
        f"{found['runs']} runs of {found['rounds']} steps, of {found['batch']} pictures each.\n\n"
        f"{table(['what', 'measured'], rows, 'lr')}"
    )
