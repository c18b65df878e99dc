"""What archives there are in folders, behind patterns and URLs, and what is in them, from their heads and tails."""
