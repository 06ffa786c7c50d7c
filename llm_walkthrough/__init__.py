"""Step through LLM inference with ONNX, token by token.

Re-exports nothing: `from llm_walkthrough.sampling import TopK` tells the file to open.
"""
