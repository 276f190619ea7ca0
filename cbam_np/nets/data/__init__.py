"""Data to learn from: cluttered digits (made here, no download), Fashion-MNIST (real), and the batches of an epoch.

Needs the extra "train": scikit-learn for the digits, pooch for downloading Fashion-MNIST.
"""

from cbam_np.nets.data.batching import batches
from cbam_np.nets.data.digits import Scenes, cluttered_digits
from cbam_np.nets.data.fashion import DataError, FashionMNIST, fashion_mnist

__all__ = ["DataError", "FashionMNIST", "Scenes", "batches", "cluttered_digits", "fashion_mnist"]
