"""Photographs of scikit-image and scikit-learn, cut into small crops."""
