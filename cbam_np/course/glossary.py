"""The glossary: the terms of the course in English and in Chinese, and the chapter where each comes first.

A chapter writes "pooling (池化)" where a term is new. `tests/test_glossary.py` fails when such a term isn't here, when
one that is here occurs nowhere, or when it occurs in an earlier chapter. Chapter 0 gathers; it counts only for terms
that no other chapter has.
"""

from typing import NamedTuple


class Term(NamedTuple):
    """One row."""

    english: str
    chinese: str
    chapter: int


GLOSSARY = (
    Term("adjoint", "伴随", 7),
    Term("array library", "数组库", 11),
    Term("array-API standard", "数组 API 标准", 11),
    Term("attention", "注意力", 0),
    Term("autograd, automatic differentiation", "自动微分", 8),
    Term("average pooling", "平均池化", 2),
    Term("backend", "后端", 11),
    Term("backward pass, backpropagation", "反向传播", 1),
    Term("batch", "批", 1),
    Term("batch normalisation", "批归一化", 12),
    Term("bias", "偏置", 3),
    Term("broadcasting", "广播", 1),
    Term("chain", "链", 8),
    Term("chain rule", "链式法则", 2),
    Term("channel", "通道", 1),
    Term("channel attention", "通道注意力", 1),
    Term("complex step", "复步法", 8),
    Term("computational graph", "计算图", 0),
    Term("concatenation", "拼接", 6),
    Term("convolution", "卷积", 5),
    Term("convolution kernel", "卷积核", 1),
    Term("convolutional network", "卷积神经网络", 0),
    Term("correlation (statistics)", "相关性", 4),
    Term("cross-correlation", "互相关", 6),
    Term("derivative", "导数", 0),
    Term("device", "设备", 11),
    Term("directional derivative", "方向导数", 2),
    Term("dispatch", "分派", 11),
    Term("feature map", "特征图", 1),
    Term("finite differences", "有限差分", 8),
    Term("flip", "翻转", 6),
    Term("forward pass", "前向传播", 10),
    Term("gate", "门控", 1),
    Term("global (pooling)", "全局", 5),
    Term("GPU", "图形处理器", 11),
    Term("gradient", "梯度", 1),
    Term("gradient check", "梯度检查", 1),
    Term("hidden unit", "隐藏单元", 3),
    Term("host", "主机", 11),
    Term("in place", "原地", 11),
    Term("Jacobian", "雅可比矩阵", 4),
    Term("kernel (function on a GPU)", "核函数", 11),
    Term("kink", "尖点", 2),
    Term("leaf", "叶子节点", 12),
    Term("linear", "线性", 6),
    Term("loss", "损失", 2),
    Term("mask", "掩码", 3),
    Term("max pooling", "最大池化", 2),
    Term("MLP, multi-layer perceptron", "多层感知机", 3),
    Term("multiply-add", "乘加", 6),
    Term("norm", "范数", 4),
    Term("normalisation", "归一化", 4),
    Term("overflow", "溢出", 4),
    Term("padding", "填充", 6),
    Term("path", "路径", 4),
    Term("pixel", "像素", 2),
    Term("pooling", "池化", 2),
    Term("queue", "队列", 11),
    Term("reduction ratio", "缩减比", 1),
    Term("ReLU", "线性整流", 3),
    Term("residual block", "残差块", 12),
    Term("saturated", "饱和", 4),
    Term("shape", "形状", 1),
    Term("shared", "共享", 3),
    Term("shared MLP", "共享多层感知机", 1),
    Term("shortcut", "跳跃连接", 12),
    Term("sigmoid", "S 型函数", 4),
    Term("spatial attention", "空间注意力", 1),
    Term("stand-in", "替身", 11),
    Term("stream", "流", 11),
    Term("stride (of a convolution)", "步幅", 6),
    Term("stride (of an array in memory)", "步长", 5),
    Term("synchronisation", "同步", 11),
    Term("tail", "尾部", 4),
    Term("thread", "线程", 11),
    Term("tie", "并列", 2),
    Term("total derivative", "全导数", 3),
    Term("transpose", "转置", 3),
    Term("upstream gradient", "上游梯度", 1),
    Term("weights", "权重", 3),
    Term("window", "窗口", 6),
    Term("winner", "胜出通道", 5),
)
