"""What users do with embeddings, on original and on decoded tokens.

One task a file, each a function from original tokens, decoded tokens and, where tokens were dropped, masks of those
kept to figures by name.
"""
