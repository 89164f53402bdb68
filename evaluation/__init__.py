"""The paper's experiments and ours: metrics, baselines, tables and figures."""
