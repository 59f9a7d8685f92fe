"""Figures of a model, each with its sample count, interval and seed: judges, coverage, probes, scores, gallery."""
