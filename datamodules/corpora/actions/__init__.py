"""Twenty motion-capture clips with captions, rendered video and spoken captions, cut in windows."""
