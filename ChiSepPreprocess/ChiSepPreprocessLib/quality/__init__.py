"""Quality control: what was measured and computed, in numbers, words and one picture."""
