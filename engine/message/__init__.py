"""Discord's rules for the body of Execute Webhook; `rules` is the entry.

A message is checked in two steps, so that all its problems are told at once: `structure` looks at
what is true of any JSON (depth, size, numbers, characters), then pydantic models, one module per
concern, say what each value may be and, by `Part.problems`, what values may be together.
"""
