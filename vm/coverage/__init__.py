"""Coverage: which code of a guest was executed, how often, and from where."""
