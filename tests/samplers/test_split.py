"""Ground kept for validation: by place, and no training tile touches it."""
