"""Step through LLM inference with ONNX, token by token.

Nothing is re-exported here: `from llm_walkthrough.sampling import TopK` tells which
file to open.
"""
