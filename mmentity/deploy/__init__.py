"""The network as a file for other runtimes: exporting it, and running it without PyTorch.

``export`` needs PyTorch; the other modules need NumPy and Pillow, and ``runtime`` ONNX Runtime.
"""
