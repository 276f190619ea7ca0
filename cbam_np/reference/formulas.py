r"""The eleven formulas of the document in one table: each with its gradient, functions, test and chapters.

If one of them doesn't fit the formula, `tests/test_formulas.py` fails. A gradient is written as d and the symbol: dF is
∂L/∂F for some number L that is computed from the output, an array of the shape of F.
"""

from dataclasses import dataclass

BLOCK = "01_the_block"
POOLING = "02_pooling"
MLP = "03_the_shared_mlp"
CHANNEL = "04_channel_attention"
CONVOLUTION = "05_the_convolution"
ITS_GRADIENT = "06_its_gradient"
WHOLE = "07_the_whole_backward"


@dataclass(frozen=True)
class Formula:
    r"""One row.

    Parameters
    ----------
    number : int
    name : str
    chinese : str
    document : str
        LaTeX as the document has it, with subscripts lost in rendering.
    as_read : str
        LaTeX as it should be read.
    shape : tuple of str
        That of the left side.
    gradient : str
        LaTeX, boxed in one of the chapters, \boxed{...}.
    functions : tuple of str
        What computes it, by dotted name, the left side first.
    in_docstring : tuple of str
        Lines of the gradient in the docstrings of these functions.
    test : str
        The pytest node that compares its gradient with autograd.
    chapters : tuple of str
        The first has document and as_read, the latter with \tag{number}. There, spacing and shapes in
        \underbrace{...}_{...} may be added.
    """

    number: int
    name: str
    chinese: str
    document: str
    as_read: str
    shape: tuple[str, ...]
    gradient: str
    functions: tuple[str, ...]
    in_docstring: tuple[str, ...]
    test: str
    chapters: tuple[str, ...]


def _autograd(case: str) -> str:
    return f"tests/test_against_torch.py::test_output_and_every_gradient_equal_autograd[{case}-(2, 3, 5, 7)]"


FORMULAS = (
    Formula(
        number=1,
        name="channel attention, from outside",
        chinese="通道注意力(整体)",
        document=r"\mathbf{F’} = \text{CAM}(\mathbf{F}) \cdot \mathbf{F}",
        as_read=r"F' = M_c(F) \otimes F",
        shape=("N", "C", "H", "W"),
        gradient=r"dF'' \;\to\; dF' \;\to\; dF",
        functions=("cbam_np.attention.block.cbam", "cbam_np.attention.channel.channel_attention"),
        in_docstring=("dF″ → dF′ → dF", "dF = M_c ⊗ dF′ + (dM_c sent back through channel_map)"),
        test=_autograd("cbam"),
        chapters=(BLOCK, WHOLE),
    ),
    Formula(
        number=2,
        name="spatial attention, from outside",
        chinese="空间注意力(整体)",
        document=r"\mathbf{F’’} = \text{SAM}(\mathbf{F’}) \cdot \mathbf{F’}",
        as_read=r"F'' = M_s(F') \otimes F'",
        shape=("N", "C", "H", "W"),
        gradient=r"dF'' \;\to\; dF' \;\to\; dF",
        functions=("cbam_np.attention.block.cbam", "cbam_np.attention.spatial.spatial_attention"),
        in_docstring=("dF″ → dF′ → dF", "dF′ = M_s ⊗ dF″ + (dM_s sent back through spatial_map)"),
        test=_autograd("cbam"),
        chapters=(BLOCK, WHOLE),
    ),
    Formula(
        number=3,
        name="average pooling over space",
        chinese="空间平均池化",
        document=r"\mathbf{F}{\text{avg}}^c = \frac{1}{H \times W} \sum{i=1}^{H} \sum_{j=1}^{W} \mathbf{F}(i,j)",
        as_read=r"F^c_{\text{avg}}[n,c] = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} F[n,c,i,j]",
        shape=("N", "C"),
        gradient=r"dF[n,c,i,j] = \frac{1}{HW}\; dF^c_{\text{avg}}[n,c]",
        functions=("cbam_np.ops.pooling.avg_pool_over_space",),
        in_docstring=("dF[n,c,i,j] = 1/(HW) · dF^c_avg[n,c]",),
        test=_autograd("avg_pool_over_space"),
        chapters=(POOLING,),
    ),
    Formula(
        number=4,
        name="max pooling over space",
        chinese="空间最大池化",
        document=r"\mathbf{F}{\text{max}}^c = \max{i \in H, j \in W} \mathbf{F}(i,j)",
        as_read=r"F^c_{\text{max}}[n,c] = \max_{1 \le i \le H,\; 1 \le j \le W} F[n,c,i,j]",
        shape=("N", "C"),
        gradient=r"dF[n,c,i,j] = \begin{cases} dF^c_{\text{max}}[n,c] & \text{if } (i,j) = (i^*,j^*) \\"
        r" 0 & \text{else} \end{cases}",
        functions=("cbam_np.ops.pooling.max_pool_over_space",),
        in_docstring=("dF[n,c,i,j] = dF^c_max[n,c] if (i,j) = (i*,j*), else 0",),
        test=_autograd("max_pool_over_space"),
        chapters=(POOLING,),
    ),
    Formula(
        number=5,
        name="the shared MLP",
        chinese="共享多层感知机",
        document=r"MLP(x) = W_2 \sigma(W_1 x)",
        as_read=r"\text{MLP}(x) = W_2\, \text{ReLU}(W_1 x)",
        shape=("N", "C"),
        gradient=r"dW_2 = d_{\text{out}}^{\top} h \qquad dh = d_{\text{out}} W_2 \qquad dz = dh \odot [z > 0] \qquad"
        r" dW_1 = dz^{\top} x \qquad dx = dz\, W_1",
        functions=("cbam_np.ops.perceptron.mlp", "cbam_np.ops.activation.relu"),
        in_docstring=(
            "d_w2 = d_outᵀ h",
            "d_h = d_out W2",
            "d_z = d_h where z > 0, else 0",
            "d_w1 = d_zᵀ x",
            "d_x = d_z W1",
        ),
        test=_autograd("mlp"),
        chapters=(MLP,),
    ),
    Formula(
        number=6,
        name="the channel map",
        chinese="通道注意力图",
        document=r"\mathbf{M}c = \sigma(\text{MLP}(\mathbf{F}{\text{avg}}) + \text{MLP}(\mathbf{F}_{\text{max}}))",
        as_read=r"M_c = \sigma\left(\text{MLP}(F^c_{\text{avg}}) + \text{MLP}(F^c_{\text{max}})\right)",
        shape=("N", "C", "1", "1"),
        gradient=r"ds = dM_c \odot \sigma'(s) \qquad dW_1 = dW_1^{\text{avg}} + dW_1^{\text{max}} \qquad"
        r" dW_2 = dW_2^{\text{avg}} + dW_2^{\text{max}}",
        functions=(
            "cbam_np.attention.channel.channel_map",
            "cbam_np.ops.perceptron.shared_mlp",
            "cbam_np.ops.activation.sigmoid",
        ),
        in_docstring=(
            "dF = avg pool's dF + max pool's dF",
            "d_w1 = d_w1 through avg + d_w1 through max",
            "dz = d_out · σ′(z)",
        ),
        test=_autograd("channel_map"),
        chapters=(CHANNEL,),
    ),
    Formula(
        number=7,
        name="channel attention",
        chinese="通道注意力",
        document=r"\mathbf{F’} = \mathbf{M}_c \cdot \mathbf{F}",
        as_read=r"F' = M_c \otimes F",
        shape=("N", "C", "H", "W"),
        gradient=r"dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\, F[n,c,i,j] \qquad"
        r" dF = M_c \otimes dF' + dF_{\text{avg}} + dF_{\text{max}}",
        functions=("cbam_np.attention.channel.channel_attention", "cbam_np.ops.gating.gate"),
        in_docstring=("dF = M_c ⊗ dF′ + (dM_c sent back through channel_map)", "d_m = Σ d_out · f", "d_f = m ⊗ d_out"),
        test=_autograd("channel_attention"),
        chapters=(CHANNEL,),
    ),
    Formula(
        number=8,
        name="average pooling over channels",
        chinese="通道平均池化",
        document=r"\mathbf{F}{\text{avg}}^s = \frac{1}{C} \sum{k=1}^{C} \mathbf{F}k",
        as_read=r"F^s_{\text{avg}}[n,i,j] = \frac{1}{C} \sum_{c=1}^{C} F'[n,c,i,j]",
        shape=("N", "1", "H", "W"),
        gradient=r"dF'[n,c,i,j] = \frac{1}{C}\; dF^s_{\text{avg}}[n,i,j]",
        functions=("cbam_np.ops.pooling.avg_pool_over_channels",),
        in_docstring=("dF′[n,c,i,j] = 1/C · dF^s_avg[n,i,j]",),
        test=_autograd("avg_pool_over_channels"),
        chapters=(POOLING,),
    ),
    Formula(
        number=9,
        name="max pooling over channels",
        chinese="通道最大池化",
        document=r"\mathbf{F}{\text{max}}^s = \max_{k \in C} \mathbf{F}_k",
        as_read=r"F^s_{\text{max}}[n,i,j] = \max_{1 \le c \le C} F'[n,c,i,j]",
        shape=("N", "1", "H", "W"),
        gradient=r"dF'[n,c,i,j] = \begin{cases} dF^s_{\text{max}}[n,i,j] & \text{if } c = c^* \\"
        r" 0 & \text{else} \end{cases}",
        functions=("cbam_np.ops.pooling.max_pool_over_channels",),
        in_docstring=("dF′[n,c,i,j] = dF^s_max[n,i,j] if c = c*, else 0",),
        test=_autograd("max_pool_over_channels"),
        chapters=(POOLING,),
    ),
    Formula(
        number=10,
        name="the spatial map",
        chinese="空间注意力图",
        document=r"\mathbf{M}s = \sigma(\text{Conv}{7 \times 7}([\mathbf{F}{\text{avg}}^s; \mathbf{F}{\text{max}}^s]))",
        as_read=r"M_s = \sigma\left(\text{Conv}_{7 \times 7}\left([F^s_{\text{avg}};\, F^s_{\text{max}}]\right)\right)",
        shape=("N", "1", "H", "W"),
        gradient=r"dK[c,a,b] = \sum_{n,i,j} du[n,i,j]\; x_{\text{pad}}[n,c,i+a,j+b] \qquad"
        r" dx_{\text{pad}}[n,c,i,j] = \sum_{a,b} K[c,a,b]\; du[n,i-a,j-b]",
        functions=("cbam_np.attention.spatial.spatial_map", "cbam_np.ops.conv.conv2d"),
        in_docstring=(
            "dF′ = avg pool's dF′ + max pool's dF′",
            "d_K = Σ_n d_out[n] columns[n]ᵀ",
            "d_x_padded[n,c,a,b] = Σ_{o,u,v} kernel[o,c,u,v] · d_out[n, o, a-u, b-v]",
        ),
        test=_autograd("spatial_map"),
        chapters=(CONVOLUTION, ITS_GRADIENT),
    ),
    Formula(
        number=11,
        name="spatial attention",
        chinese="空间注意力",
        document=r"\mathbf{F’’} = \mathbf{M}_s \cdot \mathbf{F’}",
        as_read=r"F'' = M_s \otimes F'",
        shape=("N", "C", "H", "W"),
        gradient=r"dM_s[n,i,j] = \sum_{c} dF''[n,c,i,j]\, F'[n,c,i,j] \qquad"
        r" dF' = M_s \otimes dF'' + dF'_{\text{avg}} + dF'_{\text{max}}",
        functions=("cbam_np.attention.spatial.spatial_attention", "cbam_np.ops.gating.gate"),
        in_docstring=("dF′ = M_s ⊗ dF″ + (dM_s sent back through spatial_map)", "d_m = Σ d_out · f", "d_f = m ⊗ d_out"),
        test=_autograd("spatial_attention"),
        chapters=(ITS_GRADIENT,),
    ),
)
