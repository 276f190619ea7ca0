"""What the commands print about trained weights and about modules of other people."""

from generated.tables import measured, table


def inspect_output() -> str:
    """What `cbam-np inspect` prints."""
    return f"```text\n{measured('weights')['inspect'].rstrip()}\n```"


def audit_output() -> str:
    """What `cbam-np audit` prints."""
    return f"```text\n{measured('weights')['audit'].rstrip()}\n```"


def layouts() -> str:
    """The table of layouts."""
    rows = [
        [
            row["name"],
            f"`{row['w1']}`, `{row['w2']}`",
            f"`{row['kernel']}`",
            "[max; avg]" if row["max_first"] else "[avg; max]",
            "shared alike" if row["ties"] == "split" else "first",
        ]
        for row in measured("weights")["layouts"]
    ]
    return table(["layout", "MLP", "convolution", "order", "ties"], rows)
