"""Normalization with ReLU and shortcut: values, operations, and their Triton kernels."""
