"""What SE costs, and what CBAM costs."""

from cbam_np.reference.cost import cbam_cost, se_cost
from generated.tables import table

SIZES = (64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)  # C, H = W: the stages of a ResNet-50


def cost() -> str:
    """SE against CBAM."""
    rows = []
    for channels, size in SIZES:
        se, cbam = se_cost(channels), cbam_cost(channels, size, size)
        counts = se.parameters, cbam.parameters, se.multiply_adds, cbam.multiply_adds
        ratio = f"{cbam.multiply_adds / se.multiply_adds:.1f}"
        rows.append([f"{channels}, {size}", *(f"{count:,}".replace(",", " ") for count in counts), ratio])
    head = ["C, H=W", "parameters, SE", "CBAM", "multiply-adds, SE", "CBAM", "CBAM / SE"]
    return table(head, rows, "rrrrrr")
