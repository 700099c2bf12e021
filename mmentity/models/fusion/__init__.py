"""From the logits of a head to the result of each image."""
