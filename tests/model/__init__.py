"""All interleavings of a small inbox: every state that it can reach is judged by the promises."""
